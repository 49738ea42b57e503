"""Choosing faults, rates, reports, the results file: what needs no process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from verify.cache import sources
from verify.cli import main
from verify.faults import digests, equivalent, native, record, report
from verify.faults.baseline import Baseline, Cache, Seen, reaching
from verify.faults.choosing import Choice, sample
from verify.faults.equivalent import Equivalent
from verify.faults.fault import KINDS, Fault
from verify.faults.language import usable
from verify.faults.outcome import FOUND, STILLBORN, SURVIVED, UNREACHED, Outcome, Tried
from verify.faults.planting import Python
from verify.faults.python import faults
from verify.faults.rates import Rate, rates
from verify.faults.run import _some
from verify.faults.ways import CRASH, EXCEPTION, HANG, RESULT, WAYS, way, ways
from verify.judges import examine
from verify.judges.question import Raised, call
from verify.registry import rows
from verify.results import Writer
from verify.spec import Case, Status, UsageError
from verify.targets import Call
from verify.worker import answer

ROOT = Path(__file__).parents[2]
FAULTS = faults(ROOT)
PYTHON = Python(ROOT)


# --- choosing


def test_a_choice_is_by_id_kind_and_path() -> None:
    one = FAULTS[7]
    assert Choice(ids=(one.id,)).of(FAULTS) == [one]
    chosen = Choice(kinds=("sign",), paths=("needle/optim/*",)).of(FAULTS)
    assert chosen == [f for f in FAULTS if f.kind == "sign" and "optim" in f.path]
    assert chosen
    assert Choice().of(FAULTS) == list(FAULTS)


@pytest.mark.parametrize(
    ("choice", "hint"),
    [
        (Choice(ids=(FAULTS[0].id + "1",)), "did you mean " + FAULTS[0].id),
        (Choice(kinds=("sing",)), "did you mean sign"),
        (Choice(paths=("needle/opts/*",)), "needle/optim/"),
    ],
)
def test_what_does_not_exist_is_told_with_what_is_like_it(choice: Choice, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        choice.of(FAULTS)


def test_a_sample_has_some_of_every_kind_and_stays_where_others_come_and_go() -> None:
    chosen = sample(FAULTS, 40, seed=0)
    assert len(chosen) == 40
    assert {f.kind for f in chosen} == {f.kind for f in FAULTS}
    assert chosen == sample(FAULTS, 40, seed=0) != sample(FAULTS, 40, seed=1)
    gone = next(f for f in FAULTS if f not in chosen)
    assert sample([f for f in FAULTS if f is not gone], 40, seed=0) == chosen
    assert len(sample(FAULTS, 10**6, seed=0)) == len(FAULTS)


def test_list_and_show_answer_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    one = next(f for f in FAULTS if f.kind == "correction")
    assert main(["faults", "list", "--language", "python", "--kind", "correction"]) == 0
    assert one.id in capsys.readouterr().out.splitlines()
    assert main(["faults", "show", one.id]) == 0
    shown = capsys.readouterr().out
    assert one.diff() in shown
    assert f"{one.path}:{one.line}" in shown
    assert main(["faults", "show", one.id + "0"]) == 2
    assert f"did you mean {one.id}" in capsys.readouterr().err
    assert main(["faults", "list", "--kind", "correction", "--path", "needle/ops/*"]) == 3
    others = [["--kind", "sign"], ["--path", "needle/nn/*"]]
    if "cpu" in usable():
        others.append(["--language", "cpu"])
    for word, other in zip(("show", "run", "show"), others, strict=False):
        assert main(["faults", word, one.id, *other]) == 3
        assert "nothing is selected" in capsys.readouterr().err
    assert main(["faults", "show"]) == main(["faults", "lits"]) == 2
    capsys.readouterr()
    assert main(["faults", "--kind", "nope"]) == 2
    assert f"known: {', '.join(KINDS)}" in capsys.readouterr().err
    # told before anything is measured
    assert main(["faults", "--op", "sofmax"]) == 2
    assert "did you mean softmax" in capsys.readouterr().err
    assert main(["faults", "--jobs", "0"]) == main(["faults", "--baseline", "/none"]) == 2


# --- the rows that are asked


def test_rows_are_asked_nearest_first() -> None:
    def row(name: str, **places: str) -> Baseline:
        cases = {
            f"{name}/{judge}/cpu/float32/3/-/compact/interior/seed0": Seen(
                Status.PASS, 0.1, frozenset(found.split()), ""
            )
            for judge, found in places.items()
        }
        return Baseline(name, cases)

    rows_ = [
        row("nn.Cos", forward="cos x y"),
        row("sin", forward="sin", vjp="sin cos"),
        row("tan", forward="tan", second="cos tan"),
        row("sum_of_cos", forward="cos sum a b"),
        row("cos", forward="cos a", vjp="sin cos"),
        row("exp", forward="exp"),
    ]
    assert reaching("cos", rows_) == ("cos", "sum_of_cos", "nn.Cos", "sin", "tan")
    assert reaching("log", rows_) == ()
    node = "needle/autograd/__init__.py:Value.is_leaf"
    rows_ = [row("exp", forward=node), row("autograd.Tensor", forward=f"{node} a b")]
    assert reaching(node, rows_) == ("autograd.Tensor", "exp")


def test_of_many_rows_near_ones_and_some_of_all_others_are_asked() -> None:
    rows_ = tuple("abcdefghij")
    assert _some(rows_, None) == _some(rows_, 10) == rows_
    assert _some(rows_, 4) == ("a", "b", "f", "j")
    assert _some(rows_, 5) == ("a", "b", "c", "f", "j")
    assert _some(rows_, 1) == ("a",)


def test_a_cache_gives_back_what_it_was_given(tmp_path: Path) -> None:
    cases = {
        f"sin/{judge}/cpu/float32/3/-/compact/interior/seed0": Seen(
            Status.FAIL if judge == "fd" else Status.PASS, 0.25, frozenset(places), judge
        )
        for judge, places in {"forward": ("a", "b"), "vjp": ("b", "c"), "fd": ("a", "b")}.items()
    }
    cache = Cache(tmp_path, "key")
    assert not cache.has(PYTHON, "sin", "smoke")
    cache.put(PYTHON, Baseline("sin", cases), "smoke")
    assert cache.has(PYTHON, "sin", "smoke")
    assert cache.get(PYTHON, "sin", "smoke") == Baseline("sin", cases)
    assert cache.get(PYTHON, "sin", "deep") is None
    assert Cache(tmp_path, "other").get(PYTHON, "sin", "smoke") is None
    (alarm,) = Baseline("sin", cases).alarms.items()
    assert alarm == ("sin/fd/cpu/float32/3/-/compact/interior/seed0", "fd")


# --- rates


@pytest.mark.parametrize(
    ("found", "of", "low", "high"),
    [(0, 10, 0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1), (99, 100, 0.9455, 0.9982)],
)
def test_the_interval_is_wilsons(found: int, of: int, low: float, high: float) -> None:
    assert Rate(found, of).interval == pytest.approx((low, high), abs=5e-5)
    assert Rate().interval == (0.0, 1.0)


def outcome(fault: Fault, state: str, **by: bool) -> Outcome:
    judges = {judge: Tried(3, "a/case" if found else "") for judge, found in by.items()}
    case = "softmax/vjp/cpu/float32/3/-/compact/interior/seed0" if state == FOUND else ""
    return Outcome(fault.id, "d", state, "softmax", judges, case, to_kill=len(fault.id) / 100)


ENDED = {
    f.id: o
    for f, o in [
        (FAULTS[0], outcome(FAULTS[0], FOUND, forward=True, vjp=True)),
        (FAULTS[1], outcome(FAULTS[1], FOUND, forward=False, vjp=True)),
        (FAULTS[2], outcome(FAULTS[2], SURVIVED, forward=False)),
        (FAULTS[3], replace(outcome(FAULTS[3], UNREACHED), row="")),
        (FAULTS[4], outcome(FAULTS[4], STILLBORN)),
    ]
}
EQUAL = {FAULTS[5].id: Equivalent("it is", "policy", True, FAULTS[5].change)}


def ended(**changes: object) -> report.Ended:
    whole = report.Ended({"budget": "smoke"}, FAULTS[:6], ENDED, EQUAL, {})
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_rates_leave_out_what_is_equivalent_or_stillborn() -> None:
    found = rates(FAULTS[:6], ENDED, EQUAL)
    assert found.whole == Rate(2, 4)
    assert found.languages == {"python": Rate(2, 4)}
    assert found.judges == {"softmax": {"forward": Rate(1, 3), "vjp": Rate(2, 2)}}
    assert found.rows == {"softmax": Rate(2, 3), "": Rate(0, 1)}
    assert found.alone == {"vjp": [FAULTS[1].id]}
    assert found.to_kill == sorted(ENDED[f.id].to_kill for f in FAULTS[:2])


def test_reports_name_survivors_with_their_diff_and_count_everything() -> None:
    text = report.markdown(ended(alarms={"exp/forward": "wrong"}))
    for fault in FAULTS[2:4]:
        assert f"### {fault.id}\n" in text
        assert fault.diff() in text
    assert "`exp/forward`: wrong" in text
    assert f"- `{FAULTS[5].id}` (policy): it is\n" in text
    assert "| policy | 1 |" in text
    assert "| same | 0 |" in text
    assert "| a wrong result | 2 |" in text
    assert "| softmax | 2/3 |" in text
    data = report.as_json(ended())
    assert data["rate"]["found"] == 2
    assert data["survivors"].keys() == {FAULTS[2].id, FAULTS[3].id}
    assert data["found"] == [FAULTS[0].id, FAULTS[1].id]
    assert data["equivalents"] == {FAULTS[5].id: {"sort": "policy", "reason": "it is"}}
    assert data["sorts of equivalents"] == {"same": 0, "speed": 0, "policy": 1}
    assert data["found by"] == {RESULT: 2, EXCEPTION: 0, CRASH: 0, HANG: 0}
    named = {(cell["row"], cell["judge"], cell["kind"]): cell for cell in data["cells"]}
    assert named.keys() == rates(FAULTS[:6], ENDED, EQUAL).cells.keys()
    assert sum(cell["found"] for cell in data["cells"] if cell["judge"] == "vjp") == 2
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert report.totals(ended()) == (
        "2 of 4 faults found (50 %), 2 survived, 1 equivalent, 1 stillborn"
    )
    assert ended(faults=FAULTS[:8]).missing == 2
    assert max(map(len, report.terminal(ended()).splitlines())) <= 80


def test_a_rate_is_never_rounded_up_to_100() -> None:
    assert report.percent(Rate(9999, 10000)) == "99.9 %"
    assert report.percent(Rate(10, 10)) == "100 %"


# --- what is kept


def test_a_line_that_was_cut_off_is_judged_again(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    with Writer(path, {record.KEY: record.FORMAT}) as writer:
        for one in ENDED.values():
            writer.line(one.to_json())
    whole = path.read_bytes()
    assert record.read(path).outcomes == ENDED
    path.write_bytes(whole[:-20])
    found = record.read(path)
    assert found.outcomes.keys() == ENDED.keys() - {FAULTS[4].id}
    assert whole[: found.complete_bytes].endswith(b"\n")
    for wrong in (b"", b'{"needle_verify":1}\n', whole.replace(b'"survived"', b'"alive"')):
        path.write_bytes(wrong)
        with pytest.raises(UsageError, match=r"f\.jsonl"):
            record.read(path)


def test_a_digest_follows_the_file_the_fault_the_row_and_the_budget(tmp_path: Path) -> None:
    fault = FAULTS[0]
    path = tmp_path / fault.path
    path.parent.mkdir(parents=True)
    path.write_text("a")
    known = {digests.of_fault(fault, tmp_path, [row], budget)
             for row in ("relu", "nn.ReLU", "conv") for budget in ("smoke", "deep")}  # fmt: skip
    assert len(known) == 6
    assert digests.of_fault(fault, tmp_path, ["relu"], "smoke") in known
    assert digests.of_fault(replace(fault, after="x"), tmp_path, ["relu"], "smoke") not in known
    path.write_text("b")
    assert digests.of_fault(fault, tmp_path, ["relu"], "smoke") not in known
    assert digests.of_rows().keys() == rows().keys()


def test_what_judges_is_what_a_worker_imports() -> None:
    code = "import sys, verify.checks; print(*(m for m in sys.modules if m.startswith('verify.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {name.split(".")[1] for name in done.stdout.split()}
    assert imported - {"registry"} == set(sources.JUDGING)


# --- equivalents


def test_equivalents_exist_and_are_few() -> None:
    known, every = equivalent.read(), [*FAULTS, *native.faults(ROOT)]
    equivalent.require_current(known, every)
    assert len(known) <= equivalent.MOST * len(every)


def test_an_equivalent_with_the_same_results_leaves_graphs_alone() -> None:
    """Another number of nodes is another speed and other memory."""
    run = [sys.executable, str(Path(__file__).with_name("fault_nodes.py"))]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    (_, right), *planted = map(json.loads, done.stdout.splitlines())
    known = [name for name, entry in equivalent.read().items() if entry.sort == "same"]
    assert {name for name, _ in planted} == {f.id for f in FAULTS} & {*known}
    assert {name: counts for name, counts in planted if counts != right} == {}


def test_only_what_a_second_reader_confirmed_leaves_the_rates() -> None:
    called = {
        "a": Equivalent("it is", "same", True, ""),
        "b": Equivalent("it may be", "speed", False, ""),
    }
    assert equivalent.confirmed(called) == {"a": called["a"]}


def test_an_equivalent_needs_a_reason_and_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    entry = '["a:b:sign:1"]\nreason = "none"\nsort = "speed"\nconfirmed = false\nchange = "0"\n'
    path.write_text(entry)
    known = equivalent.read(path)
    assert known == {"a:b:sign:1": Equivalent("none", "speed", False, "0")}
    equivalent.require_current(known, FAULTS, whole=False)
    with pytest.raises(UsageError, match="a:b:sign:1"):
        equivalent.require_current(known, FAULTS)
    # the number stands for another fault than the one that was read
    moved = {FAULTS[0].id: Equivalent("it is", "same", True, FAULTS[1].change)}
    with pytest.raises(UsageError, match=f"got change={FAULTS[0].change} of "):
        equivalent.require_current(moved, FAULTS, whole=False)
    for wrong in ('["x"]\nconfirmed = true', '["x"]\nreason = ""\nconfirmed = true', "x = 1", "["):
        path.write_text(wrong)
        with pytest.raises(UsageError, match=r"e\.toml"):
            equivalent.read(path)


@pytest.mark.parametrize("odd", ['"fast"', "[]", "1"])
def test_an_equivalent_is_of_a_known_sort(odd: str, tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    rest = 'reason = "none"\nconfirmed = true\nchange = "0"\n'
    path.write_text(f'["a:b:sign:1"]\nsort = {odd}\n{rest}')
    told = r"e\.toml .*a sort is one of same, speed, policy, got sort=.* at 'a:b:sign:1'"
    with pytest.raises(UsageError, match=told):
        equivalent.read(path)
    path.write_text(f'["a:b:sign:1"]\n{rest}')
    with pytest.raises(UsageError, match=r"with reason, sort, confirmed and change.*'sort'"):
        equivalent.read(path)


# --- how faults are found


def fails(*given: object) -> NoReturn:
    raise MemoryError if given else ValueError("no")


def of_a_call() -> str:
    with pytest.raises(Raised) as told:
        call(fails)
    return str(told.value)


def of_a_check() -> str:
    return answer("sin/forward/cpu/float32/3/-/compact/interior/seed0", fails, {}).message


@pytest.mark.parametrize(
    ("says", "by"),
    [
        ("FAIL: y[1] = nan, should be 1; the result is exact", RESULT),
        ("FAIL: it gave a result, should raise ValueError", RESULT),
        (f"FAIL: {of_a_call()}", EXCEPTION),
        (f"FAIL: {of_a_check()}", EXCEPTION),
        ("CRASH: SIGSEGV", CRASH),
        ("TIMEOUT: no answer within 20.2 s", HANG),
    ],
)
def test_what_a_case_says_tells_how_a_fault_was_found(says: str, by: str) -> None:
    found = Outcome("a", "d", FOUND, says=says)
    assert way(found) == by
    counts = ways([found, found, replace(found, state=STILLBORN)])
    assert counts == dict.fromkeys(WAYS, 0) | {by: 2}


def test_another_error_than_it_should_raise_is_an_exception(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = rows()["softmax"]
    refusal = row.errors[0]
    case = replace(
        Case.parse("softmax/errors/cpu/float32/3/-/compact/interior/seed0"),
        shapes=refusal.shapes,
        kwargs=refusal.kwargs,
    )
    monkeypatch.setattr(Call, "refusal", lambda self, region: KeyError("relu"))
    assert way(Outcome("a", "d", FOUND, says=f"FAIL: {examine(case, row).message}")) == EXCEPTION
