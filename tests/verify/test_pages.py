"""The pages in docs: their commands print what they show; tests/architecture holds their code."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).resolve().parents[2]
CONSOLE = [
    pytest.param(block, id=f"{page.stem}-{i}")
    for page in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
    for i, block in enumerate(re.findall(r"^```console\n(.*?)^```", page.read_text(), re.M | re.S))
]
PROMPT = "$ needle-verify "


def commands(block: str) -> Iterator[tuple[list[str], list[str]]]:
    """The words of every command of a block, and the lines shown below it."""
    assert block.startswith(PROMPT)
    for part in re.split(r"^\$ needle-verify ", block, flags=re.M)[1:]:
        command, *shown = part.splitlines()
        yield shlex.split(command), shown


def exit_code(shown: list[str]) -> int:
    """What the page says, as "(exit 1)"; a page that shows a FAIL alone means 1, else 0."""
    said = [int(code) for line in shown for code in re.findall(r"\(exit (\d)\)$", line)]
    return said[-1] if said else int(any(line.startswith("FAIL") for line in shown))


@pytest.mark.slow
@pytest.mark.parametrize("block", CONSOLE)
def test_pages_show_what_the_commands_print(
    block: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if "cuda_kernel" in block and shutil.which("g++") is None:
        pytest.skip("needs g++")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copytree(ROOT / "tests" / "targets", tmp_path / "tests" / "targets")
    (tmp_path / "csrc").symlink_to(ROOT / "csrc")
    monkeypatch.syspath_prepend(ROOT / "docs" / "site")
    plain = importlib.import_module("tour").plain
    for words, shown in commands(block):
        found = subprocess.run(
            [sys.executable, "-m", "verify", *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
        )
        assert found.returncode == exit_code(shown), found.stdout + found.stderr
        printed = iter(map(plain, found.stdout.splitlines()))
        for line in filter(None, map(plain, shown)):
            assert line == "..." or line in printed, f"{line!r} is not in\n{found.stdout}"
