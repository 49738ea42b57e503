"""The pages in docs: their commands print what they show; tests/architecture holds their code."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).resolve().parents[2]
CONSOLE = [
    pytest.param(block, id=f"{page.stem}-{i}")
    for page in sorted((ROOT / "docs").glob("*.md"))
    for i, block in enumerate(re.findall(r"^```console\n(.*?)^```", page.read_text(), re.M | re.S))
]


def plain(text: str) -> str:
    """Without what differs from machine to machine: numbers and widths."""
    return re.sub(r"[-+]?\d[\d,.]*(e[-+]?\d+)?|\binf\b", "N", re.sub(r"\s+", " ", text)).strip()


@pytest.mark.slow
@pytest.mark.parametrize("block", CONSOLE)
def test_pages_show_what_the_commands_print(
    block: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if "cuda_kernel" in block and shutil.which("g++") is None:
        pytest.skip("needs g++")
    command, _, output = block.partition("\n")
    words = shlex.split(command.removeprefix("$ needle-verify "))
    assert command.startswith("$ needle-verify ")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "csrc").symlink_to(ROOT / "csrc")
    found = subprocess.run(
        [sys.executable, "-m", "verify", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 1, found.stdout + found.stderr
    printed = iter(map(plain, found.stdout.splitlines()))
    for line in filter(None, map(plain, output.splitlines())):
        assert line == "..." or line in printed, f"{line!r} is not in\n{found.stdout}"
