"""The gate: what changed raises an alarm, noise does not, and what it could not hold is told."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from fake_gate import Bench, Change
from junit_rules import require_junit

from verify import registry
from verify.gate import accuracy
from verify.gate.baseline import cases_of
from verify.gate.baseline import read as read_baseline
from verify.gate.rules import ALARMS
from verify.plan import Selection, make_plan
from verify.spec import OUTSIDE, Status, Verdict

junitparser = pytest.importorskip("junitparser", reason="needs junitparser (extra: test)")
ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(120)


def scaled(by: float, *parts: str) -> Change:
    """The rhos of cases whose ids have these parts."""

    def change(v: Verdict) -> Verdict:
        hit = set(parts) <= set(v.id.split("/"))
        return replace(v, rho=v.rho * by) if hit and v.rho is not None else v

    return change


def test_the_same_run_and_other_seeds_raise_no_alarm(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(12):
        assert bench.gate(bench.results(f"{seed}.jsonl", seed)) == 0
    assert "nothing regressed (exit 0)" in capsys.readouterr().out


def test_noise_raises_no_more_alarms_than_it_may(bench: Bench) -> None:
    """Without a factor, so that every count is at the edge of what is asked."""

    def rhos(seed: int) -> dict[Any, Any]:
        path = bench.results("r.jsonl", seed)
        lines = path.read_text().splitlines()[1:]
        return cases_of(Verdict.from_json(json.loads(line)) for line in lines)

    runs = [rhos(seed) for seed in range(12)]
    alarms = sum(
        bool(list(accuracy.findings(accuracy.questions(a, b, 1.0), ALARMS)))
        for i, a in enumerate(runs)
        for j, b in enumerate(runs)
        if i != j
    )
    assert alarms <= 2, "of 132; one per cent of runs are allowed one, at most"


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (("good",), "good/*/cpu/*"),
        (("good", "vjp"), "good/vjp/cpu/*"),
        (("good", "float32"), "good/*/cpu/float32"),
        (("good", "vjp", "float32"), "good/vjp/cpu/float32"),
    ],
)
def test_less_accuracy_is_caught_with_another_seed(
    bench: Bench, capsys: pytest.CaptureFixture[str], parts: tuple[str, ...], said: str
) -> None:
    by = 3 if len(parts) < 3 else 8  # one group has 20 cases
    assert bench.gate(bench.results("r.jsonl", 5, scaled(by, *parts))) == 4
    out = capsys.readouterr().out
    assert f"  {said}\n" in out
    assert "rho is above 1.25 x the recorded one in" in out
    assert "goodness" not in out
    assert "1 regression (exit 4)" in out


def test_a_group_whose_cases_are_others_is_held_by_quantiles(bench: Bench) -> None:
    """No case is on record: there are no pairs."""
    before = {g: {f"old{n}": r for n, r in c.items()} for g, c in read(bench.baseline).items()}
    here = {g: {n: 20 * r for n, r in c.items()} for g, c in read(bench.baseline).items()}
    asked = accuracy.questions(before, here, 1.25)
    found = list(accuracy.findings(asked, ALARMS))
    assert len(found) == 3
    assert all("of their group" in f.text for f in found)
    assert not list(accuracy.findings(accuracy.questions(before, before, 1.25), ALARMS))


def read(path: Path) -> dict[Any, Any]:
    from verify.gate.baseline import read as read_baseline

    return read_baseline(path).groups


def test_what_cannot_be_held_is_told(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Few cases with a rho: not even if all of them grew."""

    def few(v: Verdict) -> Verdict:
        return replace(v, rho=None) if v.id.startswith("slow/") and "/2/" not in v.id else v

    assert bench.gate(bench.results("few.jsonl", change=few), "--update") == 0
    capsys.readouterr()
    for seed in (0, 5):  # with the record's own seed no rho has moved
        assert bench.gate(bench.results("r.jsonl", seed, few)) == 0
        assert "too few cases to hold slow on cpu: a larger" in capsys.readouterr().out


def test_better_accuracy_and_more_cases_are_no_regression(bench: Bench) -> None:
    assert bench.gate(bench.results("r.jsonl", 5, scaled(0.2))) == 0
    more = bench.results("more.jsonl", devices=("cpu", "numpy"))
    assert bench.gate(more) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: None if v.id.startswith("slow/") else v, "op slow\n    80 cases on record"),
        (lambda v: None if "/vjp/" in v.id and v.id.startswith("slow/") else v, "slow/vjp/cpu/"),
        (lambda v: None if v.id.endswith("/seed0") and "/7/" in v.id else v, "1 of 20 cases"),
        (lambda v: replace(v, rho=None) if "slow" in v.id else v, "no case has a rho any more"),
    ],
)
def test_lost_coverage_is_told(
    bench: Bench, capsys: pytest.CaptureFixture[str], change: Change, said: str
) -> None:
    path = bench.results("r.jsonl", change=change)
    lines = path.read_text().splitlines()
    header = json.loads(lines[0])
    header["plan"]["size"] = len(lines) - 1  # a smaller plan, all of it run
    path.write_text("\n".join([json.dumps(header), *lines[1:]]) + "\n")
    assert bench.gate(path) == 4
    out = capsys.readouterr().out
    assert "coverage:" in out
    assert said in out


def test_a_lost_device_is_told_once(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.gate(bench.results("two.jsonl", devices=("cpu", "numpy")), "--update") == 0
    assert bench.gate(bench.results("one.jsonl")) == 4
    out = capsys.readouterr().out
    assert "device numpy\n    240 cases on record, none in this run" in out
    assert "1 regression" in out


# --- failures


def failing(v: Verdict) -> Verdict:
    if v.id == "good/vjp/cpu/float32/3/-/compact/interior/seed0":
        return replace(v, status=Status.FAIL, rho=9.0, worst="dx[0] = 1, should be 2")
    return v


def skips(path: Path, expires: date, op: str = "good") -> str:
    path.write_text(f'[[skip]]\nop = "{op}"\nreason = "known"\nexpires = {expires}\n')
    return str(path)


def test_a_failure_is_new_unless_it_is_known(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bench.results("r.jsonl", change=failing)
    assert bench.gate(path) == 4
    out = capsys.readouterr().out
    assert "FAIL: dx[0] = 1, should be 2" in out
    assert "replay: needle-verify --replay good/vjp/cpu/float32/3/-/compact/interior/seed0" in out
    known = tmp_path / "known.toml"
    tomorrow = date.today() + timedelta(days=1)
    assert bench.gate(path, "--skips", skips(known, tomorrow)) == 0
    capsys.readouterr()
    assert bench.gate(path, "--skips", skips(known, date(2020, 1, 1))) == 3
    assert "expired on 2020-01-01" in capsys.readouterr().out
    assert bench.gate(bench.results("good.jsonl"), "--skips", skips(known, tomorrow)) == 3
    assert "stale, all" in capsys.readouterr().out


def test_failures_of_a_group_are_one_finding(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(v: Verdict) -> Verdict:
        wrong = v.id.startswith("slow/vjp/cpu/float32")
        return replace(v, status=Status.CRASH, message="SIGSEGV") if wrong else failing(v)

    assert bench.gate(bench.results("r.jsonl", change=change)) == 4
    out = " ".join(capsys.readouterr().out.split())
    assert "CRASH: SIGSEGV; and 19 more of slow/vjp/cpu/float32" in out
    assert "2 regressions" in out


def test_a_skip_of_the_run_that_the_file_does_not_know_is_a_failure(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(v: Verdict) -> Verdict:
        return v if failing(v) is v else replace(v, status=Status.SKIP, message="known")

    path = bench.results("r.jsonl", change=change)
    assert bench.gate(path) == 4
    assert "no known failure any more" in capsys.readouterr().out


def test_what_a_target_may_get_wrong_is_no_weak_evidence(bench: Bench) -> None:
    def one(attribution: str) -> Change:
        def change(v: Verdict) -> Verdict:
            first = v.id.startswith("good/forward/") and "/1/" in v.id
            missing = replace(v, status=Status.UNIMPLEMENTED, attribution=attribution, rho=None)
            return missing if first else v

        return change

    results = bench.results("open.jsonl", change=one(OUTSIDE))
    assert '"UNIMPLEMENTED"' in results.read_text()
    assert bench.gate(results, "--update") == 0
    assert bench.gate(results) == 0
    assert bench.gate(bench.results("missing.jsonl", change=one(""))) == 3


def test_weak_evidence_comes_first(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    zeros = bench.results("r.jsonl", change=lambda v: replace(failing(v), impostors=("zeros",)))
    assert bench.gate(zeros) == 3
    out = capsys.readouterr().out
    assert "\nWEAK good/vjp/cpu/float32: zeros would have passed all cases" in out
    assert "FAIL: dx[0] = 1" in out, "what regressed is told all the same"
    part = bench.results("part.jsonl", change=lambda v: v if "good" in v.id else None)
    assert bench.gate(part) == 3
    assert "80 of 240 cases were not run" in capsys.readouterr().out
    missing = bench.results("m.jsonl", change=lambda v: replace(v, status=Status.UNIMPLEMENTED))
    assert bench.gate(missing) == 3


# --- the command


def test_an_update_takes_good_runs_only_and_says_what_it_accepts(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    before = bench.baseline.read_text()
    assert bench.gate(bench.results("f.jsonl", change=failing), "--update") == 1
    assert bench.baseline.read_text() == before
    weak = bench.results("w.jsonl", change=lambda v: replace(v, impostors=("nan",)))
    assert bench.gate(weak, "--update") == 3
    assert bench.baseline.read_text() == before
    capsys.readouterr()
    assert bench.gate(bench.results("b.jsonl", 5, scaled(3, "good")), "--update") == 0
    out = capsys.readouterr().out
    assert "this update accepts:" in out
    assert "good/*/cpu/*" in out
    assert bench.baseline.read_text() != before
    assert bench.gate(bench.results("c.jsonl", 6, scaled(3, "good"))) == 0


def test_a_run_boxed_in_time_is_no_baseline(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bench.results("r.jsonl")
    path.write_text(path.read_text().replace('"budget":"default"', '"budget":"60"'))
    assert bench.gate(path, "--update") == 2
    assert "a budget of seconds" in capsys.readouterr().err


def test_reports(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    xml, text = tmp_path / "g.xml", tmp_path / "g.md"

    def change(v: Verdict) -> Verdict | None:
        return scaled(8, "goodness")(failing(v)) if "/9/" not in v.id else None

    path = bench.results("r.jsonl", change=change)
    assert bench.gate(path, "--junit", str(xml), "--markdown", str(text)) == 3
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if "replay: " not in line]  # to be copied whole
    assert max(map(len, lines)) <= 80
    require_junit(xml.read_text())
    (suite,) = junitparser.JUnitXml.fromfile(str(xml))
    names = {(c.classname, c.name) for c in suite}
    assert ("gate.accuracy", "goodness/*/cpu/*") in names
    assert suite.failures == sum(bool(c.result) for c in suite)
    assert suite.tests == len(list(suite))
    markdown = text.read_text()
    assert markdown.startswith("# needle-verify gate: 13 regressions and the evidence is too weak")
    assert markdown.index("## Failures") < markdown.index("## Coverage") < markdown.index("## Weak")
    assert len(markdown) < 4000
    assert bench.gate(bench.results("good.jsonl"), "--junit", str(xml)) == 0
    (suite,) = junitparser.JUnitXml.fromfile(str(xml))
    assert (suite.tests, suite.failures) == (3, 0)


def baseline_of(cases: object, origin: object = None, speed: Sequence[object] = ()) -> str:
    """A baseline of one group."""
    group = {"op": "sin", "judge": "vjp", "device": "cpu", "dtype": "float32", "cases": cases}
    return json.dumps(
        {
            "needle_verify_baseline": 1,
            "origin": {"commit": None, "started": ""} if origin is None else origin,
            "groups": [group],
            "speed": [{"machine": "", "row": "a row", "threshold": 1, "ratios": r} for r in speed],
            "faults": [],
        }
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "malformed"),
        ("[]", "malformed"),
        ('{"needle_verify_baseline": 7}', "another version"),
        ('{"needle_verify_baseline": 1}', "no 'groups'"),
        ('{"needle_verify_baseline": 1, "groups": []}', "it records no group"),
        (baseline_of([]), "'list' object has no attribute 'items'"),
        (baseline_of({}, origin={}), "its origin has no commit and no started"),
        (baseline_of({}, speed=[[]]), "no ratios of a row"),
    ],
)
def test_a_malformed_baseline_is_a_usage_error(
    bench: Bench, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    bench.baseline.write_text(text)
    assert bench.gate(bench.results("r.jsonl")) == 2
    err = capsys.readouterr().err
    assert "[baseline] malformed" in err
    assert says in err


def test_other_usage_errors(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    good = bench.results("r.jsonl")
    for options, says in (
        (["--factor", "0.5"], "[factor] at least 1"),
        (["--factor", "inf"], "[factor] at least 1"),
        (["--markdown", str(bench.baseline)], "[markdown] a file of its own, got that of baseline"),
        (["--junit", str(good)], "[junit] a file of its own, got that of results"),
        (["--junit", "x", "--markdown", "./x"], "[junit] a file of its own, got that of markdown"),
        (["--markdown", "/no/such/folder/x.md"], "[markdown] cannot write"),
        (["--ratios", "/no/such/file"], "[ratios] cannot read"),
        (["--bseline", "x"], "did you mean --baseline"),
    ):
        assert bench.gate(good, *options) == 2
        assert says in capsys.readouterr().err
    bench.baseline.unlink()
    bench.baseline = bench.folder / "no such folder" / "baseline.json"
    assert bench.gate(good, "--update") == 2
    assert "[baseline] cannot write" in capsys.readouterr().err
    assert bench.gate(good) == 2  # what is only read need not be where one can write
    assert re.search(r"\[baseline\] cannot read, got file=.*baseline.json", capsys.readouterr().err)


def test_another_machine_is_told(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    text = bench.baseline.read_text()
    bench.baseline.write_text(re.sub(r'"torch": "[^"]*"', '"torch": "1.0"', text))
    assert bench.gate(bench.results("r.jsonl")) == 0
    assert "recorded elsewhere: torch 1.0, here" in capsys.readouterr().out


def test_accuracy_may_be_held_on_the_same_machine_alone(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    """Roundings differ by instruction set: failures and coverage do not."""

    changed = bench.results("r.jsonl", change=scaled(20.0, "vjp"))
    assert bench.gate(changed, "--same-machine") == 4
    text = bench.baseline.read_text()
    bench.baseline.write_text(re.sub(r'"torch": "[^"]*"', '"torch": "1.0"', text))
    capsys.readouterr()
    assert bench.gate(changed) == 4
    assert bench.gate(changed, "--same-machine") == 0
    assert "accuracy was not held: --same-machine" in capsys.readouterr().out
    gone = bench.results("gone.jsonl", change=lambda v: None if "vjp" in v.id else v)
    assert bench.gate(gone, "--same-machine") in (3, 4)
    failed = bench.results("failed.jsonl", change=lambda v: replace(v, status=Status.FAIL))
    assert bench.gate(failed, "--same-machine") == 4


def test_what_ci_holds_runs_against_is_of_cases_that_exist() -> None:
    """A change of the plan records reports/baseline.json anew: needle-verify gate --update."""
    recorded = read_baseline(ROOT / "reports" / "baseline.json")
    assert recorded.origin["seed"] == 0
    selection = Selection(devices=("cpu", "numpy"), budget=recorded.origin["budget"])
    planned = {case_id.rpartition("/")[0] for case_id in make_plan(selection, registry).ids}
    ids = {"/".join([*group, name]) for group, cases in recorded.groups.items() for name in cases}
    assert ids == planned
    ci = (ROOT / ".ci" / "run").read_text()
    assert "gate" in ci
    assert "--baseline reports/baseline.json --same-machine" in ci
