"""The results file: strict JSON Lines, resumed where it was cut off."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import ModuleType

import pytest

from verify.plan import Plan, Selection, make_plan
from verify.results import Writer, provenance, read, unfinished
from verify.spec import JUDGES, Case, Status, UsageError, Verdict


@pytest.fixture
def plan(fake: ModuleType) -> Plan:
    return make_plan(Selection(ops=("good",), dtypes=("float32",)), fake.Registry())


@pytest.fixture
def written(plan: Plan, tmp_path: Path) -> Path:
    """A results file with the first four cases."""
    path = tmp_path / "results.jsonl"
    with Writer(path, provenance(plan, ["needle-verify"])) as writer:
        for case in plan.cases[:4]:
            writer.write(Verdict(case.id, Status.PASS, rho=0.5))
    return path


def test_everything_of_a_verdict_comes_back(plan: Plan, tmp_path: Path) -> None:
    verdict = Verdict(
        plan.ids[0],
        Status.FAIL,
        rho=math.inf,
        ulp=math.nan,
        worst="y[0] = nan, should be 1",
        budget={"rounding": 1e-7, "infinite": math.inf},
        impostors=("zeros", "copy"),
        message="first line\nsecond line",
        environment={"isa": "x86-64-v3", "threads": "1"},
    )
    path = tmp_path / "results.jsonl"
    with Writer(path, provenance(plan, ["needle-verify", "--op", "good"])) as writer:
        writer.write(verdict)
    back = read(path).verdicts[0]
    assert back.ulp is not None
    assert math.isnan(back.ulp)
    back.ulp = verdict.ulp
    assert back == verdict


def test_the_file_is_strict_json(written: Path, plan: Plan) -> None:
    with Writer(written, None, written.stat().st_size) as writer:
        writer.write(Verdict(plan.ids[4], Status.FAIL, rho=-math.inf, ulp=math.nan))

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    for line in written.read_text().splitlines():
        json.loads(line, parse_constant=refuse)


def test_the_header_says_what_was_run_where(written: Path, plan: Plan) -> None:
    header = read(written).header
    assert header["plan"]["size"] == len(plan.cases) == 5 * len(JUDGES)
    assert header["plan"]["hash"] == plan.hash
    assert read(written).selection == plan.selection
    assert {"python", "torch", "numpy", "needle"} <= header["versions"].keys()
    assert header["machine"]["cpu"]
    assert {"command", "started", "seed", "commit"} <= header.keys()


def test_a_verdict_is_on_disk_when_write_returns(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with Writer(path, provenance(plan, [])) as writer:
        writer.write(Verdict(plan.ids[0], Status.PASS))
        assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize("cut", [1, 20])
def test_a_cut_off_last_line_is_run_again(written: Path, plan: Plan, cut: int) -> None:
    written.write_bytes(written.read_bytes()[:-cut])
    results = read(written)
    left, stand = unfinished(plan, results, written)
    assert [v.id for v in stand] == list(plan.ids[:3])
    assert [c.id for c in left] == list(plan.ids[3:])
    with Writer(written, None, results.complete_bytes) as writer:
        for case in left:
            writer.write(Verdict(case.id, Status.PASS))
    assert [v.id for v in read(written).verdicts] == list(plan.ids)


@pytest.mark.parametrize(
    ("line", "text", "what"),
    [
        (1, '{"needle_verify": 99, "plan": {}}', "needle_verify=99"),
        (1, '{"needle_verify": 1, "plan": {"size": 3}}', "hash, selection"),
        (1, "not json", "header"),
        (3, "not json", "verdict"),
        (3, "[1]", "no JSON object"),
        (3, '{"id": "good/forward", "status": "PASS"}', "9 parts"),
        (3, '{"id": "a/b/c/d/-/-/e/f/seed0", "status": "GREAT"}', "GREAT"),
        (3, '{"status": "PASS"}', "id"),
        (3, '{"id": "a/b/c/d/-/-/e/f/seed0", "status": "PASS", "colour": 1}', "colour"),
        (3, '{"id": "a/b/c/d/-/-/e/f/seed0", "status": "PASS", "rho": "much"}', "much"),
        (3, '{"id": "a/b/c/d/-/-/e/f/seed0", "status": "PASS", "message": null}', "message is a"),
        (3, '{"id": "a/b/c/d/-/-/e/f/seed0", "status": "PASS", "seconds": "x"}', "seconds are a"),
        (3, '{"id": "a/b/c/d/-/-/e/f/seed0", "status": "PASS", "seconds": NaN}', "seconds are a"),
        (3, '{"id": "a/b/c/d/-/-/e/f/seed0", "status": "PASS", "checked": []}', "checked is a"),
        (3, '{"id": "a/b/c/d/-/-/e/f/seed0", "status": "PASS", "environment": null}', "verdict"),
        (
            3,
            '{"id": "a/b/c/d/-/-/e/f/seed0", "status": "PASS", "environment": {"isa": 4}}',
            "texts",
        ),
        (3, '{"id": "a/b/c/d/-/-/e/f/seed0", "status": "PASS", "impostors": "nan"}', "are a list"),
        (
            1,
            '{"needle_verify": 1, "plan": {"size": "x", "hash": "", "selection": {}}}',
            "size is a",
        ),
    ],
)
def test_a_malformed_line_is_named(written: Path, line: int, text: str, what: str) -> None:
    lines = written.read_text().splitlines()
    lines[line - 1] = text
    written.write_text("\n".join(lines) + "\n")
    with pytest.raises(UsageError, match=what) as caught:
        read(written)
    assert f"{written}:{line}:" in str(caught.value)


def test_absent_and_empty_files_are_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    with pytest.raises(UsageError, match="empty file"):
        read(empty)
    with pytest.raises(UsageError, match=r"absent\.jsonl"):
        read(tmp_path / "absent.jsonl")
    with pytest.raises(UsageError, match="cannot write"):
        Writer(tmp_path / "absent" / "results.jsonl", {})


def test_another_plan_is_refused(written: Path, fake: ModuleType) -> None:
    other = make_plan(Selection(ops=("good",), seed=1), fake.Registry())
    with pytest.raises(UsageError, match="another plan"):
        unfinished(other, read(written), written)


def test_a_verdict_outside_the_plan_is_refused(written: Path, plan: Plan) -> None:
    with Writer(written, None, written.stat().st_size) as writer:
        writer.write(Verdict(Case("alien", "fd", "cpu", "float32", ()).id, Status.PASS))
    with pytest.raises(UsageError, match="alien"):
        unfinished(plan, read(written), written)


@pytest.mark.parametrize(
    "case",
    [
        Case("a", "fd", "cpu", "float64", ()),
        Case("a", "fd", "cpu", "float64", ((), (0, 3), (1,)), (("axis", -1), ("keepdims", True))),
        Case("a", "fd", "cuda_sim", "float32", ((2,),), (("axes", (0, -1)), ("x", None)), seed=12),
        Case("nn.A", "vjp", "numpy", "float32", ((2, 3),), (("padding", ((0, 1), (2, 0))),)),
        Case("a", "vjp", "cpu", "float32", ((2,),), (("s", -0.5), ("t", 1e-30), ("axes", (1,)))),
        Case("a", "vjp", "cpu", "float32", ((2,),), (("index", "1:,::-1"), ("e", ()))),
    ],
)
def test_ids_round_trip(case: Case) -> None:
    assert Case.parse(case.id) == case
    assert len(case.id.split()) == 1, "a replay line is one word"
