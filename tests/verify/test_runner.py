"""A case gets exactly its status, whatever it does to its worker, and the others go on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from verify.runner import Runner
from verify.spec import Case, Status, Verdict
from verify.worker import Settings, SetupError

pytestmark = pytest.mark.timeout(120)


def cases(op: str, n: int, device: str = "cpu") -> list[Case]:
    return [Case(op, "forward", device, "float32", ((i + 1,),)) for i in range(n)]


def run(
    planned: list[Case],
    timeout: float = 20.0,
    jobs: int = 2,
    settings: Settings | None = None,
) -> list[Verdict]:
    settings = settings or Settings("fake_parts:run_case")
    runner = Runner(planned, settings, jobs=jobs, timeout=timeout)
    return [v for v in runner.verdicts() if v is not None]


@pytest.mark.usefixtures("fake")
def test_every_misfortune_gets_its_status_and_costs_one_case() -> None:
    expected = {
        "good": Status.PASS,
        "wrong": Status.FAIL,
        "raising": Status.FAIL,
        "segfault": Status.CRASH,
        "abort": Status.CRASH,
        "exits": Status.CRASH,
        "hang": Status.TIMEOUT,
        "missing": Status.UNIMPLEMENTED,
    }
    planned = [
        case for trio in zip(*(cases(op, 3) for op in expected), strict=True) for case in trio
    ]
    planned += cases("goodness", 40)
    verdicts = run(planned, timeout=1.5)
    assert Counter(v.id for v in verdicts) == Counter(c.id for c in planned)
    for verdict in verdicts:
        op = Case.parse(verdict.id).op
        assert verdict.status is expected.get(op, Status.PASS), verdict
    said = {Case.parse(v.id).op: v.message for v in verdicts}
    assert "SIGSEGV" in said["segfault"]
    assert "SIGABRT" in said["abort"]
    assert "in run_case" in said["segfault"], "the Python line that crashed"
    assert "exit code 0" in said["exits"]
    assert "1.5 s" in said["hang"]
    assert "RuntimeError: a bug of the check" in said["raising"]


@pytest.mark.usefixtures("fake")
def test_nothing_but_crashes_is_still_a_verdict_each() -> None:
    verdicts = run(cases("segfault", 12))
    assert [v.status for v in verdicts] == [Status.CRASH] * 12


@pytest.mark.usefixtures("fake")
def test_the_time_out_is_of_each_case_not_of_those_before_it() -> None:
    verdicts = run(cases("slow", 6), timeout=1.0, jobs=1)  # 1.8 s in all
    assert {v.status for v in verdicts} == {Status.PASS}
    assert all(v.seconds >= 0.3 for v in verdicts)


@pytest.mark.usefixtures("fake")
def test_environment_is_pinned_and_recorded_even_by_a_crash() -> None:
    settings = Settings("fake_parts:run_case", threads=3, isa="ancient")
    verdicts = run(cases("good", 2) + cases("segfault", 1), jobs=1, settings=settings)
    for verdict in verdicts:
        assert verdict.environment["threads"] == "3"
        assert verdict.environment["isa"] == "ancient"
    assert verdicts[0].worst == "OMP_NUM_THREADS=3"


@pytest.mark.usefixtures("fake")
def test_each_device_has_processes_of_its_own() -> None:
    verdicts = run(cases("good", 20) + cases("good", 20, "numpy"))
    pids = {
        device: {v.environment["pid"] for v in verdicts if f"/{device}/" in v.id}
        for device in ("cpu", "numpy")
    }
    assert pids["cpu"]
    assert pids["numpy"]
    assert not pids["cpu"] & pids["numpy"]


@pytest.mark.usefixtures("fake")
def test_a_worker_is_replaced_after_a_cuda_error_and_no_case_is_charged() -> None:
    verdicts = run(cases("cuda_error", 3) + cases("good", 5), jobs=1)
    assert Counter(v.status for v in verdicts) == {Status.FAIL: 3, Status.PASS: 5}
    failed = [v.environment["pid"] for v in verdicts if v.status is Status.FAIL]
    assert len(set(failed)) == 3
    assert not set(failed) & {v.environment["pid"] for v in verdicts if v.status is Status.PASS}


@pytest.mark.usefixtures("fake")
def test_a_worker_that_cannot_import_is_an_error_of_setup() -> None:
    with pytest.raises(SetupError, match="no_such_module"):
        run(cases("good", 3), settings=Settings("no_such_module:run_case"))


def test_a_worker_that_dies_at_its_start_is_an_error_of_setup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dies_at_import.py").write_text("import os\nos.abort()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SetupError, match=r"\[cpu\].*SIGABRT"):
        run(cases("good", 3), settings=Settings("dies_at_import:run_case"))


@pytest.mark.usefixtures("fake")
def test_abandoning_a_run_ends_its_workers(fake: ModuleType) -> None:
    runner = Runner(cases("good", 1000), Settings("fake_parts:run_case"), jobs=2)
    arriving = runner.verdicts()
    first = next(v for v in arriving if v is not None)
    arriving.close()
    assert not Path(f"/proc/{first.environment['pid']}").exists()
