"""What the engine makes of answers that are wrong, and what `faults` refuses before it begins."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from verify.cli import main
from verify.faults import engine, record
from verify.faults.baseline import Baseline, Seen
from verify.faults.child import Answer, Asked
from verify.faults.fault import Fault
from verify.faults.outcome import FOUND, SURVIVED, Outcome
from verify.faults.run import Run
from verify.faults.tasks import Setup
from verify.spec import Status, UsageError

ROOT = Path(__file__).parents[2]
FAULT = Fault("a.py:f:sign:1", "a.py", 1, "x", "-x")
CASES = [
    f"sin/{j}/cpu/float64/{n}//compact/interior/seed0" for j in ("forward", "vjp") for n in (1, 2)
]
A, B, C, D = CASES


def judged(monkeypatch: pytest.MonkeyPatch, *series: Sequence[tuple[str, Status]]) -> Outcome:
    """The outcome of the first row where each process gives one of the series of answers."""
    left = list(series)

    def ask(_: Any, fault: Any, asked: Sequence[Asked], **how: Any) -> Iterator[Answer]:
        groups = {question.case: question.group for question in asked}
        for case, status in left.pop(0):
            yield Answer(case, groups[case], status, 0.5, "it says")

    monkeypatch.setattr(engine, "ask", ask)
    setup = Setup("smoke", "", "", first=False, peers=False)
    judge = engine.Engine(setup)
    seen = {case: Seen(Status.PASS, 0.1, frozenset("p"), "") for case in CASES}
    questions = [Asked(case, case.split("/")[1]) for case in CASES]
    monkeypatch.setattr(judge, "_baseline", lambda *_: Baseline("sin", seen))
    monkeypatch.setattr(judge, "_questions", lambda *_: questions)
    outcome = Outcome(FAULT.id, "", SURVIVED, row="sin")
    judge._ask(SimpleNamespace(), FAULT, "sin", outcome)  # type: ignore[arg-type]
    assert not left
    return outcome


def test_a_hang_that_does_not_come_again_is_no_find(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = [(case, Status.PASS) for case in CASES]
    found = judged(monkeypatch, [(A, Status.TIMEOUT)], passed[:1], passed[1:])
    assert (found.state, found.cases) == (SURVIVED, 4)


def test_every_judge_is_asked_where_one_case_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = [(A, Status.TIMEOUT)]
    found = judged(monkeypatch, hangs, hangs, [], [(C, Status.FAIL)])
    assert (found.state, found.case) == (FOUND, A)
    assert {name for name, tried in found.judges.items() if tried.case} == {"forward", "vjp"}


def test_what_follows_a_find_in_its_group_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(monkeypatch, [(A, Status.FAIL), (C, Status.PASS), (D, Status.PASS)])
    assert (found.state, found.cases) == (FOUND, 3)


@pytest.mark.parametrize(
    "text", ["5\n", '{"needle_verify_faults": 1, "command": 5}\n', '{"needle_verify_faults": 2}\n']
)
def test_a_malformed_header_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"malformed line, got .*f\.jsonl:1"):
        record.read(path)


@pytest.mark.parametrize("odd", [{"judges": []}, {"to_kill": "a"}, {"peers": 7}, {"says": None}])
def test_a_malformed_outcome_is_named(odd: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    line = json.dumps({"fault": "a", "digest": "", "state": "found", "judges": {}} | odd)
    path.write_text('{"needle_verify_faults": 1}\n' + line + "\n")
    with pytest.raises(UsageError, match=r"malformed line, got .*f\.jsonl:2"):
        record.read(path)


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ({"judges": None}, "judges is of another type, got judges=None"),
        ({"state": []}, "state is of another type, got state=[]"),
        (
            {"state": "alive"},
            "a state is one of found, survived, unreached, stillborn, got 'alive'",
        ),
        ({"judges": {"fd": 3}}, "what fd tried has names and values, got 3"),
        ({"judges": {"fd": {}}}, "what fd tried has cases, got none of cases"),
        ({"judges": {"fd": {"cases": "3"}}}, "cases is of another type, got cases='3'"),
        ({"judges": {"fd": {"cases": 3, "case": 3}}}, "case is of another type, got case=3"),
        ({"judges": {"fd": {"cases": -1}}}, "cases is finite and not negative, got cases=-1"),
        ({"judges": {"fd": {"cases": True}}}, "cases is of another type, got cases=True"),
        ({"judges": {"odd": {"cases": 3}}}, "a judge is one of forward, vjp, fd, "),
        (
            {"judges": {"fd": {"cases": 3, "status": "PASS"}}},
            "a status is one of FAIL, CRASH, TIMEOUT, got 'PASS'",
        ),
        ({"peers": {"odd": "found"}}, "a peer is one of gradcheck, fast, "),
        (
            {"peers": {"assert_close": 5}},
            "what a peer says is one of found, missed, does not apply, alarm, got 5",
        ),
        ({"rows": -1}, "rows is finite and not negative, got rows=-1"),
        ({"to_kill": 10**400}, "to_kill is finite and not negative, got to_kill=1000"),
        ({"to_kill": float("nan")}, "a number is finite, got NaN"),
        ({"to_kill": -float("inf")}, "a number is finite, got -Infinity"),
        ({}, "what is found has the case that found it, got case=''"),
    ],
)
def test_what_is_wrong_in_an_outcome_is_told(
    odd: dict[str, Any], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "f.jsonl"
    line = json.dumps({"fault": "a", "digest": "", "state": "found", "judges": {}} | odd)
    path.write_text('{"needle_verify_faults": 1}\n' + line + "\n")
    with pytest.raises(UsageError, match=re.escape(f"f.jsonl:2: {says}")):
        record.read(path)


@pytest.mark.parametrize("number", ["NaN", "1e999"])
def test_a_number_that_no_report_could_hold_is_malformed(number: str, tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(f'{{"needle_verify_faults": 1, "begun": {number}}}\n')
    with pytest.raises(UsageError, match=rf"f\.jsonl:1: a number is finite, got {number}"):
        record.read(path)


def test_what_was_asked_is_told_with_its_type() -> None:
    told = r"\[resume\] it was made with most_rows='12', got most_rows=12 for f\.jsonl"
    with pytest.raises(UsageError, match=told):
        record.require_asked("resume", Path("f.jsonl"), {"most_rows": "12"}, {"most_rows": 12})


def test_what_an_outcome_lacks_is_told(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    for line, says in (
        ('{"fault": "a", "state": "found"}', "got none of digest, judges"),
        (
            '{"fault": "a", "digest": "", "state": "found", "judges": {}, "case": "exp"}',
            "a case is an id, got case='exp'",
        ),
        ("{}", "an outcome has fault, digest, state, judges, got none of fault, digest, state"),
        ("[]", "an outcome has names and values, got []"),
        ("5", "an outcome has names and values, got 5"),
    ):
        path.write_text('{"needle_verify_faults": 1}\n' + line + "\n")
        with pytest.raises(UsageError, match=rf"f\.jsonl:2: .*{re.escape(says)}"):
            record.read(path)


@pytest.mark.parametrize("stillborn", [5, {"a": 1}])
def test_a_malformed_report_is_no_baseline(stillborn: Any, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    data = {"needle_verify_faults": 1, "survivors": {}, "stillborn": stillborn}
    path.write_text(json.dumps(data))
    with pytest.raises(UsageError, match="no report of faults"):
        record.read_report(path)


def test_reports_from_before_equivalents_had_a_sort_are_baselines(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    data = {"needle_verify_faults": 1, "survivors": {}, "equivalents": {"a": "a reason"}}
    path.write_text(json.dumps(data))
    assert record.read_report(path) == data


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--baseline", "r.json", "--report", "r.json"], "[report] a file of its own"),
        (["--baseline", "r.json", "--json", "r.json"], "[json] a file of its own"),
        (["--resume", "f.jsonl", "--report", "f.jsonl"], "[report] a file of its own"),
        (["--resume", "f.jsonl", "--json", "g.jsonl"], "[resume] the run goes on"),
        (["--resume", ""], "[faults] cannot read the file"),
        (["--resume", "nowhere.jsonl"], "[faults] cannot read the file"),
    ],
)
def test_what_would_be_lost_or_cannot_be_read_is_refused_first(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.json").write_text('{"needle_verify_faults": 1, "survivors": {}}')
    Path("f.jsonl").write_text('{"needle_verify_faults": 1}\n')
    before = {path: path.read_text() for path in tmp_path.iterdir()}
    assert main(["faults", "--language", "python", *arguments]) == 2
    assert says in capsys.readouterr().err
    assert {path: path.read_text() for path in tmp_path.iterdir()} == before


def test_a_run_of_equivalents_alone_judges_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from verify.faults import command, equivalent

    monkeypatch.setattr(Run, "measure", lambda self, quiet: None)
    chosen = ["--language", "python", "--kind", "broadcast", "--path", "needle/ops/indexing.py"]
    known = {f"needle/ops/indexing.py:{name}" for name in (
        "Where.gradient:broadcast:1", "Where.gradient:broadcast:2", "Gather.gradient:broadcast:1",
        "ScatterAdd.gradient:broadcast:1", "take:broadcast:1",
    )}  # fmt: skip
    confirmed = {name: equivalent.Equivalent("a reason", "same", True, "") for name in known}
    monkeypatch.setattr(command.equivalent, "confirmed", lambda _: confirmed)
    assert main(["faults", *chosen, "--jobs", "1"]) == 3
    assert "nothing is judged: all of 5 faults are equivalents" in capsys.readouterr().err
