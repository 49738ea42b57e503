"""Planted faults in real processes: they are active, deaths and hangs are finds, runs go on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from verify import registry
from verify.cli import main
from verify.faults import record
from verify.faults.planting import source_root
from verify.faults.python import faults
from verify.setup import Parts

HERE = Path(__file__).parent
ROOT = source_root()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What fault_parts.py found, in a process without needle."""
    folder = tmp_path_factory.mktemp("faults")
    done = subprocess.run(
        [sys.executable, str(HERE / "fault_parts.py"), str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def statuses(answers: list[Any]) -> list[str]:
    return [f"{group} {status}" for _, group, status, _ in answers]


def test_without_a_fault_every_case_passes(seen: dict[str, Any]) -> None:
    assert statuses(seen["right"]) == ["forward PASS"] * 2 + ["vjp PASS"] * 2 + ["cos PASS"]


def test_a_fault_is_active_and_its_group_ends_with_the_first_find(seen: dict[str, Any]) -> None:
    assert statuses(seen["wrong"]) == ["forward FAIL", "vjp PASS", "vjp PASS", "cos PASS"]
    assert statuses(seen["every"]) == ["forward FAIL"] * 2 + ["vjp PASS"] * 2 + ["cos PASS"]


def test_one_that_changes_nothing_is_found_by_nothing(seen: dict[str, Any]) -> None:
    assert statuses(seen["equal"]) == statuses(seen["right"])


def test_a_fault_in_a_package_itself_is_active(seen: dict[str, Any]) -> None:
    assert statuses(seen["package"])[0] == "forward FAIL"


def test_a_death_is_a_find_and_others_go_on(seen: dict[str, Any]) -> None:
    assert statuses(seen["crash"]) == ["forward CRASH", "vjp CRASH", "cos PASS"]
    assert "SIGABRT" in seen["crash"][0][3]


def test_a_hang_is_a_find_and_ends_it(seen: dict[str, Any]) -> None:
    assert statuses(seen["hang"]) == ["forward TIMEOUT"]
    assert "3 s" in seen["hang"][0][3]


def test_errors_and_memory_without_end_are_finds(seen: dict[str, Any]) -> None:
    assert statuses(seen["raises"]) == ["forward FAIL", "vjp FAIL", "cos PASS"]
    assert statuses(seen["greedy"]) == statuses(seen["raises"])
    assert "MemoryError" in seen["greedy"][0][3]


def test_what_a_fault_prints_goes_nowhere(seen: dict[str, Any]) -> None:
    assert statuses(seen["printing"]) == statuses(seen["right"])


def test_one_that_needle_cannot_be_imported_with_is_stillborn(seen: dict[str, Any]) -> None:
    assert seen["stillborn"][0] == "stillborn"
    assert "maths" in seen["stillborn"][1]


def test_one_that_is_not_in_what_was_imported_says_nothing(seen: dict[str, Any]) -> None:
    assert seen["unplanted"][0] == "unready"
    assert "not in the module that was imported" in seen["unplanted"][1]


def test_what_is_executed_is_seen_by_case(seen: dict[str, Any]) -> None:
    of_forward, of_vjp, of_cos = seen["watched"][0], seen["watched"][2], seen["watched"][-1]
    assert "needle/ops/functions.py:Sin.compute" in of_forward
    assert "needle/ops/functions.py:Sin.gradient" not in of_forward
    assert "needle/ops/functions.py:Sin.gradient" in of_vjp
    assert "needle/ops/functions.py:Sin.compute" not in of_cos


def test_needle_was_never_imported_where_processes_are_forked(seen: dict[str, Any]) -> None:
    assert seen["imported"] is False


def test_the_engine_knows_who_found_a_fault(seen: dict[str, Any]) -> None:
    found = seen["engine"]["wrong"]
    assert (found["state"], found["row"], found["rows"]) == ("found", "sin", 1)
    assert found["judges"]["forward"]["status"] == "FAIL"
    assert found["case"] == found["judges"]["forward"]["case"]
    assert found["case"].startswith("sin/forward/cpu/")
    assert found["judges"]["vjp"]["case"] == ""  # the gradient is the right one
    assert found["says"].startswith("FAIL: ")
    assert 0 < found["to_kill"] < found["seconds"]


def test_one_judge_is_enough_where_that_is_all_that_is_asked(seen: dict[str, Any]) -> None:
    quick, found = seen["engine"]["first"], seen["engine"]["wrong"]
    assert (quick["state"], quick["case"]) == (found["state"], found["case"])
    assert quick["judges"] == {}
    assert quick["cases"] < found["cases"]


def test_what_found_a_fault_before_is_asked_first(seen: dict[str, Any]) -> None:
    first, known = seen["engine"]["first"], seen["engine"]["known"]
    assert (known["state"], known["cases"], known["rows"], known["row"]) == ("found", 1, 1, "sin")
    assert known["case"].startswith("cos/vjp/cpu/")
    assert known["digest"] == "digest"
    for name, more in (("known_no_more", 1), ("unknown", 0)):  # the others follow
        found = seen["engine"][name]
        assert (found["state"], found["case"]) == (first["state"], first["case"])
        assert found["cases"] == first["cases"] + more
    of_others = seen["engine"]["known_of_others"]
    assert (of_others["case"], of_others["row"]) == (known["case"], "cos")
    assert (of_others["cases"], of_others["digest"]) == (1, "wide")


def test_the_engine_asks_a_survivor_everything(seen: dict[str, Any]) -> None:
    survivor = seen["engine"]["equal"]
    assert (survivor["state"], survivor["rows"], survivor["case"]) == ("survived", 2, "")
    assert survivor["cases"] > seen["engine"]["wrong"]["cases"]
    assert seen["engine"]["unreached"]["state"] == "unreached"
    assert seen["engine"]["stillborn"]["state"] == "stillborn"


def test_the_other_rows_follow_where_no_smoke_case_executes_a_fault(seen: dict[str, Any]) -> None:
    found = seen["engine"]["others"]
    assert (found["state"], found["row"], found["rows"]) == ("found", "sin", 1)
    assert found["digest"] == "wide", "it rests on rows that were not known to execute it"


def test_a_case_that_fails_without_the_fault_finds_nothing(seen: dict[str, Any]) -> None:
    alarmed, found = seen["engine"]["alarmed"], seen["engine"]["wrong"]
    assert alarmed["state"] == "found"
    assert found["case"] not in (alarmed["case"], alarmed["judges"]["forward"]["case"])


# --- the command, with two rows

SIN = "needle/ops/functions.py:Sin."


class TwoRows:
    @staticmethod
    def rows() -> dict[str, Any]:
        return {name: registry.rows()[name] for name in ("sin", "cos")}

    plan_cases = staticmethod(registry.plan_cases)


def test_a_run_is_kept_resumed_reported_and_held_against_a_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    kept, summary = tmp_path / "f.jsonl", tmp_path / "f.json"
    chosen = [f.id for f in faults(ROOT) if f.id.startswith(SIN) and f.kind in ("sign", "detached")]

    def run(*arguments: str) -> int:
        with_rows = Parts(registry=TwoRows())  # type: ignore[arg-type]
        return main(["faults", "run", *arguments, "--budget", "smoke", "--jobs", "1"], with_rows)

    assert run(*chosen, "--json", str(kept), "--report", str(summary)) == 0
    assert f"{len(chosen)} of {len(chosen)} faults found (100 %)" in capsys.readouterr().out
    outcomes = record.read(kept).outcomes
    assert sorted(outcomes) == sorted(chosen)
    assert {o.row for o in outcomes.values()} == {"sin"}
    by = {j for o in outcomes.values() for j, t in o.judges.items() if t.case}
    assert {"forward", "vjp", "second"} <= by

    # one line says another thing, one is stale, one is gone: only the last two are judged again
    first, second, third = chosen[:3]
    header, *lines = kept.read_text().splitlines(keepends=True)
    lines = [line for line in lines if third not in line]
    lines = [
        line.replace('"state":"found"', '"state":"survived"') if first in line
        else line.replace('"digest":"', '"digest":"0') if second in line
        else line
        for line in lines
    ]  # fmt: skip
    kept.write_text("".join([header, *lines]))
    assert run(*chosen, "--resume", str(kept), "-v") == 1
    said = capsys.readouterr().out
    assert f"SURVIVED {first}" in said
    judged = {line.split()[1] for line in said.splitlines() if line.startswith("found ")}
    assert judged == {second, third}

    # what found a fault is asked first of a run that asks something else of it
    again = tmp_path / "again.jsonl"
    told = ("--known", str(kept), "--json", str(again))
    assert run(second, *told) == 2
    assert "[known] with --first" in capsys.readouterr().err
    assert run(second, "--first", *told) == 0
    told_of = record.read(again)
    assert told_of.header["known"] == len(chosen)
    (outcome,) = told_of.outcomes.values()
    assert (outcome.case, outcome.cases) == (outcomes[second].case, 1)

    # the survivor was found at the time of the baseline
    assert run(*chosen, "--resume", str(kept), "--baseline", str(summary)) == 4
    assert first in capsys.readouterr().err
    for option, path in ("--resume", kept), ("--baseline", summary):  # asked in another way
        assert run(*chosen, "--first", option, str(path)) == 2
        assert f"[{option[2:]}] it was made with first=False" in capsys.readouterr().err
    data = json.loads(summary.read_text())
    summary.write_text(json.dumps(data | {"survivors": {first: {}}}))
    assert run(*chosen, "--resume", str(kept), "--baseline", str(summary)) == 0

    # with fewer faults that could be asked a rate means less: what was found then is lost now
    summary.write_text(json.dumps(data | {"survivors": {}}))
    header, *lines = kept.read_text().splitlines(keepends=True)
    dead = [re.sub('"state":"[a-z]+"', '"state":"stillborn"', line) for line in lines]
    kept.write_text("".join([header, *dead]))
    assert run(*chosen, "--resume", str(kept)) == 3, "nothing was judged"
    assert run(second, "--resume", str(kept), "--baseline", str(summary)) == 3
    kept.write_text("".join([header, *lines[:-1], dead[-1]]))
    assert run(*chosen, "--resume", str(kept), "--baseline", str(summary)) == 4

    assert run("--op", "cos", "--kind", "sign", "--path", "*/functions.py") == 0
    assert "2 of 2 faults found" in capsys.readouterr().out  # Cos.compute and Cos.gradient
    # what no row executes is no fault that was found
    exp = "needle/ops/elementwise.py:Exp.compute:sign:1"
    assert run(exp) == 1
    assert f"UNREACHED {exp}" in capsys.readouterr().out


def test_an_interrupt_keeps_what_is_judged(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    kept = tmp_path / "f.jsonl"
    code = (
        "import sys, test_fault_engine as t\nfrom verify.cli import main\n"
        "from verify.setup import Parts\n"
        "if __name__ == '__main__': sys.exit(main(sys.argv[1:], Parts(registry=t.TwoRows())))"
    )
    program = tmp_path / "program.py"
    program.write_text(code)
    # long enough for an interrupt before the last fault
    options = ("--path", "needle/ops/functions.py", "--budget", "deep", "--jobs", "1")
    process = start(
        str(program), "faults", *options, "--json", str(kept), XDG_CACHE_HOME=str(tmp_path)
    )
    until = time.monotonic() + 240
    while time.monotonic() < until and not (kept.exists() and kept.read_text().count("\n") > 1):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode in (1, 3)  # 1: with the two rows, some survive
    assert "interrupted" in errors
    assert f"--resume {kept}" in errors
    assert record.read(kept).outcomes
