"""Bugs planted in small kernels (tests/native/sim/planted), each told by the simulator's checker.

A `BUG name: rule` comment stands at a line that the report must name.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLANTED = ROOT / "tests/native/sim/planted"
SIMULATOR = ROOT / "csrc/cuda/sim"
CXX = os.environ.get("CXX", "g++")
SEEDS = range(1, 6)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which(CXX) is None, reason=f"needs a C++ compiler ({CXX})"),
    pytest.mark.skipif(shutil.which("addr2line") is None, reason="needs addr2line for lines"),
]


@dataclass(frozen=True)
class Bug:
    name: str
    rule: str  # `result`: no report, a wrong result
    site: str  # file:line


def bugs() -> list[Bug]:
    return [
        Bug(match[1], match[2].strip(), f"{path.name}:{number}")
        for path in sorted(PLANTED.glob("*.cu"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (match := re.search(r"// BUG (\w+): (.+)", line)) is not None
    ]


BUGS = bugs()


@dataclass(frozen=True)
class Outcome:
    code: int  # 0 right, 1 a wrong result, 2 an error
    text: str


Runs = dict[str, list[dict[str, Outcome]]]


def compile_unit(source: Path, target: Path) -> None:
    kernel = source.suffix == ".cu"
    flags = ["-O1", "-g1", "-fsanitize=thread,alignment,bounds"] if kernel else ["-O2"]
    subprocess.run(
        [
            CXX,
            "-std=c++20",
            *flags,
            "-w",
            f"-I{SIMULATOR}",
            "-x",
            "c++",
            "-c",
            source,
            "-o",
            target,
        ],
        check=True,
    )


def run(program: Path, version: str, seed: int) -> dict[str, Outcome]:
    result = subprocess.run(
        [program, "--all", version],
        capture_output=True,
        text=True,
        env={**os.environ, "NEEDLE_SIM_SEED": str(seed)},
        timeout=120,
    )
    assert result.returncode in (0, 1, 2), result.stderr
    lines = [line.split("\t", 2) for line in result.stdout.splitlines()]
    return {name: Outcome(int(code), text) for name, code, text in lines}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """What the wrong and the right versions did under each seed."""
    folder = tmp_path_factory.mktemp("planted")
    sources = [*PLANTED.glob("*.cu"), *SIMULATOR.glob("*.cc")]
    objects = [folder / f"{source.name}.o" for source in sources]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_unit, sources, objects))
    program = folder / "planted"
    subprocess.run([CXX, *objects, "-o", program], check=True)
    return {
        version: [run(program, version, seed) for seed in SEEDS] for version in ("wrong", "right")
    }


def test_every_planted_bug_is_marked_once(runs: Runs) -> None:
    assert sorted(bug.name for bug in BUGS) == sorted(runs["wrong"][0])
    assert len(BUGS) >= 30


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_planted_bug_is_reported_with_its_line(bug: Bug, runs: Runs) -> None:
    for outcomes in runs["wrong"]:
        outcome = outcomes[bug.name]
        if bug.rule == "result":
            assert outcome.code == 1, outcome
            continue
        assert outcome.code == 2, outcome
        assert outcome.text.startswith(bug.rule), outcome
        if not bug.rule.startswith("invalid"):  # a call, not an access
            assert bug.site in outcome.text, outcome


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_same_kernel_without_the_bug_is_not(bug: Bug, runs: Runs) -> None:
    assert [outcomes[bug.name] for outcomes in runs["right"]] == [Outcome(0, "")] * len(SEEDS)
