"""Known failures: what they excuse, until when, and what an entry that excuses nothing costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from verify.cli import main
from verify.plan import Selection, make_plan
from verify.results import read
from verify.skips import Entry, Skips
from verify.spec import Case, Exit, Status, UsageError, Verdict
from verify.summary import summarize

pytestmark = pytest.mark.timeout(120)
LATER = date.today() + timedelta(days=30)
FD = ("--check", "fd", "--dtype", "float32")


@pytest.fixture
def verify(
    fake: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs needle-verify over the fake ops with a skips file of these texts."""

    def run(entries: str, *arguments: str) -> tuple[int, str, str]:
        (tmp_path / "skips.toml").write_text(entries)
        code = main([*arguments, "--skips", str(tmp_path / "skips.toml")], fake.parts())
        return code, *capsys.readouterr()

    return run


Run = Callable[..., tuple[int, str, str]]


def entry(what: str, reason: str = "known since May", expires: date = LATER) -> str:
    return f'[[skip]]\n{what}\nreason = "{reason}"\nexpires = {expires}\n'


def test_wrong_cases_are_skipped_with_the_reason_everywhere(verify: Run, tmp_path: Path) -> None:
    kept, xml, markdown = (tmp_path / name for name in ("r.jsonl", "r.xml", "r.md"))
    reports = ("--json", str(kept), "--junit", str(xml), "--markdown", str(markdown))
    entries = entry('case = "wrong/fd"') + entry('op = "missing"') + entry('op = "segf*"')
    code, out, _ = verify(entries, "--op", "good,wrong,missing,segfault", *FD, *reports)
    assert code == 0
    assert "5 PASS + 15 SKIP = 20 cases" in out
    said = f"known since May (until {LATER}, {tmp_path}/skips.toml:1)"
    assert f"SKIP 5: {said}" in out
    assert [line.split()[4] for line in out.splitlines() if line.startswith("wrong ")] == ["SKIP"]
    verdicts = read(kept).verdicts
    first = next(v for v in verdicts if v.id.startswith("wrong/"))
    assert first.status is Status.SKIP
    assert first.message.splitlines()[0] == said
    assert "FAIL dx[0] = 1.3120" in first.message, "what it was is kept"
    suite = ET.parse(xml).getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("20", "0", "15")
    assert said in {e.get("message") for e in suite.iter("skipped")}
    assert f"SKIP 5: {said}" in markdown.read_text()


def test_what_is_not_named_stays_wrong(verify: Run) -> None:
    entries = entry('op = "wrong"\njudge = "fd"\ndevice = "cpu"')
    code, out, _ = verify(entries, "--op", "wrong", "--check", "fd,vjp", "--dtype", "float32")
    assert code == 1
    assert "5 FAIL + 5 SKIP" in out
    case = 'case = "wrong/fd/cpu/float32/3/-/compact/interior/seed0"'
    assert "4 FAIL + 1 SKIP" in verify(entry(case), "--op", "wrong", *FD)[1]


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ('op = "good"', "stale, all 5 of its cases pass"),
        ('case = "good/fd/cpu/float32/99"', "stale, there is no such case"),
        ('case = "good/fd/*/float32/*/-/offset"', "stale, there is no such case"),
    ],
)
def test_a_stale_entry_is_weak_evidence_and_named(
    verify: Run, tmp_path: Path, what: str, why: str
) -> None:
    code, out, _ = verify("# a comment\n\n" + entry(what), "--op", "good", *FD)
    assert code == 3
    assert f"SKIP {tmp_path}/skips.toml:3: {why}: known since May" in out
    assert "the evidence is too weak" in out


@pytest.mark.parametrize(
    "what",
    ['op = "wrong"', 'op = "good"\ndevice = "cuda"', 'case = "good/vjp"', 'case = "good/fd/*/*64"'],
)
def test_what_this_run_does_not_ask_for_is_not_stale(verify: Run, what: str) -> None:
    assert verify(entry(what), "--op", "good", *FD)[0] == 0


def test_a_case_of_another_budget_is_not_stale(verify: Run) -> None:
    assert verify(entry('case = "good/fd/cpu/float32/8"'), "--op", "good", *FD)[0] == 0


def test_an_expired_entry_excuses_nothing_and_is_named(verify: Run, tmp_path: Path) -> None:
    yesterday = date.today() - timedelta(days=1)
    old = entry('op = "wrong"', expires=yesterday)
    code, out, _ = verify(old, "--op", "wrong", *FD)
    assert code == 1
    assert "5 FAIL" in out
    line = f"SKIP {tmp_path}/skips.toml:1: expired on {yesterday}"
    assert line in out
    code, out, _ = verify(old, "--op", "good", *FD)
    assert code == 3
    assert line in out
    assert verify(entry('op = "wrong"', expires=date.today()), "--op", "wrong", *FD)[0] == 0


def test_a_resumed_run_keeps_its_skips(verify: Run, fake: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    entries = entry('op = "wrong"') + entry('op = "good"')
    assert verify(entries, "--op", "wrong,good", *FD, "--json", str(path))[0] == 3
    whole = path.read_text()
    path.write_text("".join(whole.splitlines(keepends=True)[:4]))  # interrupted after three
    assert main(["--resume", str(path)], fake.parts()) == 3
    assert {v.status for v in read(path).verdicts if v.id.startswith("wrong")} == {Status.SKIP}
    assert sorted(json.loads(x)["id"] for x in path.read_text().splitlines()[1:]) == sorted(
        json.loads(x)["id"] for x in whole.splitlines()[1:]
    )
    code, _, err = verify(entry('op = "wrong"'), "--resume", str(path))
    assert code == 2
    assert "other skips" in err


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("[[skip]\n", 1, "malformed TOML"),
        ('[[skip]]\nop = "wrong"\nreason = \n', 3, "malformed TOML"),
        ('[skip]\nop = "wrong"\n', 1, r"nothing but \[\[skip\]\]"),
        ("skips = 3\n", 1, r"nothing but \[\[skip\]\]"),
        ('skip = [{op = "wrong"}]\n', 1, r"nothing but \[\[skip\]\]"),
        (entry('op = "good"') + '[[skip]]\nop = "wrong"\n', 5, "needs a reason"),
        ('[[skip]]\nop = "wrong"\nreason = "x"\n', 1, "an entry expires"),
        ('[[skip]]\nop = "wrong"\nreason = " "\nexpires = 2099-01-01\n', 1, "not empty"),
        ('[[skip]]\nop = "wrong"\nreason = "x"\nexpires = "soon"\n', 1, "is a date"),
        ('[[skip]]\nop = "wrong"\nreason = "x"\nexpires = 2099-01-01T10:00:00\n', 1, "is a date"),
        ('[[skip]]\nreason = "x"\nexpires = 2099-01-01\n', 1, "either a case or"),
        (entry('op = "wrong"\ncase = "wrong"'), 1, "either a case or"),
        (entry('op = "wrnog"'), 1, "did you mean wrong"),
        (entry('case = "wrong/vjpp"'), 1, "did you mean vjp"),
        (entry('device = "tpu"'), 1, "known: cpu"),
        (entry('op = "wrong"\nuntil = "May"'), 1, "unknown key"),
        (entry('reason = """\n[[skip]]\n"""\nop = "wrong"').replace('reason = "k', "#"), 1, ""),
        (entry('case = "a/b/c/d/e/f/g/h/i/j"'.replace("a/b/c/d", "wrong/fd/cpu/*")), 1, "9 parts"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(
    verify: Run, tmp_path: Path, text: str, place: int, words: str
) -> None:
    code, out, err = verify(text, "--op", "wrong", *FD)
    if not words:  # a heading inside a text is none
        assert code == 0, err
        return
    assert (code, "PASS" in out or "FAIL" in out) == (2, False)
    assert f"{tmp_path}/skips.toml:{place}" in err
    with pytest.raises(UsageError, match=words):
        raise UsageError(err)


def test_an_absent_file_is_named(fake: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--op", "good", "--skips", "/no/such.toml"], fake.parts()) == 2
    assert "/no/such.toml" in capsys.readouterr().err


def test_counts_add_up_and_the_skipped_are_no_evidence(fake: ModuleType) -> None:
    plan = make_plan(Selection(ops=("wrong",), judges=("fd",)), fake.Registry())
    skips = Skips([Entry("f:1", "wrong/fd/cpu/float32", "known", LATER)])
    verdicts = [
        skips.applied(Verdict(i, Status.FAIL, rho=9.0, impostors=("zeros",))) for i in plan.ids[:7]
    ]
    rotten = skips.rotten(plan, verdicts, fake.Registry())
    summary = summarize(verdicts, len(plan.cases), rotten=rotten)
    assert summary.counts == {Status.SKIP: 5, Status.FAIL: 2}
    assert summary.counts.total() + summary.not_run == len(plan.cases)
    assert [(line.dtype, line.rho) for line in summary.lines] == [("float32", None), ("float64", 9)]
    assert not rotten
    passed = [Verdict(i, Status.PASS) for i in plan.ids[:4]]
    assert not skips.rotten(plan, passed, fake.Registry()), "the fifth has no verdict yet"
    stale = skips.rotten(plan, [*passed, Verdict(plan.ids[4], Status.PASS)], fake.Registry())
    assert summarize(passed, 4, rotten=stale).exit is Exit.WEAK


def test_names_that_look_like_globs_match_themselves() -> None:
    odd = Case("getitem", "fd", "cpu", "float64", ((3,),), (("index", "[1]"),)).id
    assert Entry("f:1", odd, "known", LATER).matches(odd)


@pytest.mark.parametrize("found", [[{"where": "x"}], [1], 5])
def test_a_malformed_header_is_a_usage_error(found: Any) -> None:
    with pytest.raises(UsageError, match="malformed in the results' header"):
        Skips.from_json(found)
