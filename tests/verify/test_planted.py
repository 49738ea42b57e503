"""Planted faults through the command line and real workers: each yields exactly its status."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from verify.checks import IN_FULL
from verify.cli import main
from verify.results import read
from verify.setup import Parts
from verify.spec import Case, Status, Verdict

pytestmark = pytest.mark.timeout(300)
FLOAT32 = ("--dtype", "float32", "--device", "cpu")

# op -> status of its forward, and what its text says
EXPECTED = {
    "exp": (Status.FAIL, "x budget"),
    "tanh": (Status.PASS, ""),
    "sin": (Status.CRASH, "SIGSEGV"),
    "rsqrt": (Status.CRASH, "SIGABRT"),
    "sqrt": (Status.TIMEOUT, "no answer within"),
    "log1p": (Status.FAIL, "input 0 was changed by the call"),
    "expm1": (Status.FAIL, "memory that was never written"),
    "erf": (Status.FAIL, "memory outside an array was written"),
    "sigmoid": (Status.FAIL, "the same call again, on other threads, gave other bits"),
    "softplus": (Status.UNIMPLEMENTED, "later"),
    "cos": (Status.FAIL, "explaining it ended here: the worker died: SIGABRT"),
    "log": (Status.PASS, ""),
}


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parent)  # spawned workers get this sys.path too
    monkeypatch.chdir(tmp_path)
    return importlib.import_module("planted")


@pytest.fixture
def verify(planted: ModuleType) -> Callable[..., tuple[int, list[Verdict]]]:
    """Runs needle-verify over needle's ops with their faults: exit code and verdicts."""

    def run(*arguments: str, cases: int = 1) -> tuple[int, list[Verdict]]:
        parts = Parts("planted:run_case", planted.Registry(cases))
        code = main([*arguments, *FLOAT32, "--json", "r.jsonl"], parts)
        return code, read(Path("r.jsonl")).verdicts

    return run


Run = Callable[..., tuple[int, list[Verdict]]]


def test_every_fault_yields_exactly_its_status(verify: Run) -> None:
    code, verdicts = verify("--op", ",".join(EXPECTED), "--check", "forward", "--timeout", "10")
    assert code == 1
    assert {Case.parse(v.id).op: v.status for v in verdicts} == {
        op: status for op, (status, _) in EXPECTED.items()
    }
    for verdict in verdicts:
        assert EXPECTED[Case.parse(verdict.id).op][1] in verdict.message, verdict


def test_a_wrong_gradient_and_a_right_one(verify: Run) -> None:
    code, verdicts = verify("--op", "tanh,log", "--check", "vjp")
    assert code == 1
    assert [v.status for v in sorted(verdicts, key=lambda v: v.id)] == [Status.PASS, Status.FAIL]


def test_an_op_that_always_fails_is_explained_a_few_times_and_shrunk_once_a_worker(
    verify: Run, planted: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    code, verdicts = verify("--op", "exp", "--check", "forward", "--jobs", "2", cases=12)
    assert code == 1
    assert [v.status for v in verdicts] == [Status.FAIL] * 12
    full = [v for v in verdicts if v.attribution]
    assert 1 <= len(full) <= 2 * IN_FULL
    for verdict in verdicts:
        assert "x budget" in verdict.message
        assert f"replay: {Case.parse(verdict.id).replay_line()}" in verdict.message
    files = sorted(Path("r.jsonl.failures").glob("*.json"))
    assert 1 <= len(files) <= 2
    shrunk = next(v for v in full if "smallest counterexample" in v.message)
    assert any(f"replay: needle-verify --replay {f}" in shrunk.message for f in files)
    assert "\n  x = " in shrunk.message
    assert "\n  y = " in shrunk.message or "\n  y[" in shrunk.message
    saved = json.loads(files[0].read_text())
    assert Case.parse(saved["case"]).op == "exp"
    assert saved["environment"]["threads"] == "1"
    capsys.readouterr()
    # without the fault, the file's case passes: in a worker of needle-verify itself
    assert main(["--replay", str(files[0])]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"PASS {saved['case']}")
    assert "bits        other than recorded" in out


def test_a_deterministic_op_replays_bit_for_bit(
    planted: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """In another process, alone, after the environment of then was restored."""
    chosen = ("--op", "matmul,exp", "--check", "forward,vjp", "--layout", "compact")
    assert main([*chosen, "--budget", "smoke", *FLOAT32, "--json", "r.jsonl"]) == 0
    header, *lines = Path("r.jsonl").read_text().splitlines()
    wanted = [json.loads(line) for line in lines]
    assert all(v["digest"] for v in wanted)
    one_each = {tuple(v["id"].split("/")[:2]): v | {"status": "FAIL"} for v in wanted}.values()
    # as if they had failed: the wrong ones are replayed
    Path("some.jsonl").write_text("\n".join([header, *map(json.dumps, one_each)]) + "\n")
    capsys.readouterr()
    assert main(["--replay", "some.jsonl"]) == 0
    out = capsys.readouterr().out
    assert out.count("bits        the same as recorded") == len(one_each) > 3
