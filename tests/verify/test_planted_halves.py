"""Faults of 16-bit kernels, planted on the simulator: the command line finds each in each dtype."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from verify import targets
from verify.cli import main
from verify.results import read
from verify.setup import Parts
from verify.spec import Case, Status, Verdict

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        targets.device_status("cuda_sim") is not None, reason="needle was built without it"
    ),
]
HALVES = ("float16", "bfloat16")
# op -> the region of its inputs that shows the fault; any: the interior does
FOUND = {
    "summation": "",
    "exp": "",
    "sqrt": "",
    "multiply": "special",
    "add": "edge",
    "mul_scalar": "interior",
}

Run = Callable[..., list[Verdict]]


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Verdicts of needle-verify over forwards on the simulator."""
    monkeypatch.syspath_prepend(Path(__file__).parent)  # spawned workers get this sys.path too
    monkeypatch.chdir(tmp_path)

    def run(case_function: str) -> list[Verdict]:
        options = ("--device", "cuda_sim", "--dtype", ",".join(HALVES), "--check", "forward")
        main(
            ["--op", ",".join(FOUND), *options, "--json", "r.jsonl", "-q"],
            Parts(case_function),
        )
        return read(Path("r.jsonl")).verdicts

    return run


def test_each_fault_is_found_in_each_dtype_and_nothing_else(verify: Run) -> None:
    importlib.import_module("planted_halves")
    verdicts = verify("planted_halves:run_case")
    failed: dict[tuple[str, str], set[str]] = {}
    for verdict in verdicts:
        if verdict.status is Status.FAIL:
            case = Case.parse(verdict.id)
            failed.setdefault((case.op, case.dtype), set()).add(case.region)
    assert failed.keys() == {(op, dtype) for op in FOUND for dtype in HALVES}
    for (op, _), regions in failed.items():
        assert FOUND[op] in regions or not FOUND[op]


def test_the_kernels_without_faults_pass(verify: Run) -> None:
    assert {v.status for v in verify("verify.checks:run_case")} == {Status.PASS}
