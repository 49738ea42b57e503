"""What makes a group WEAK, that counts add up to the plan, and the exit code."""

from __future__ import annotations

import pytest

from verify import checks, registry
from verify.spec import IMPOSTORS, Case, Exit, Status, Verdict
from verify.summary import Group, impostors, summarize


def verdict(
    op: str = "a",
    status: Status = Status.PASS,
    passing: tuple[str, ...] = (),
    declared: str = "",
    judge: str = "forward",
    n: int = 1,
    rho: float | None = None,
) -> Verdict:
    case = Case(op, judge, "cpu", "float32", ((n,),))
    return Verdict(case.id, status, rho=rho, impostors=passing, vacuous_reason=declared)


def test_an_impostor_that_passes_every_case_makes_a_group_weak() -> None:
    assert impostors([verdict(passing=("zeros", "nan")), verdict(passing=("zeros",))]) == ("zeros",)


def test_one_case_that_tells_each_impostor_apart_is_enough() -> None:
    assert impostors([verdict(passing=("zeros",)), verdict(passing=("nan",))]) == ()
    assert impostors([verdict(passing=IMPOSTORS)] * 99 + [verdict()]) == ()


def test_declared_cases_are_no_evidence_either_way() -> None:
    declared = verdict(passing=("zeros", "constant"), declared="the gradient of a step is zero")
    assert impostors([declared, verdict()]) == ()
    assert impostors([declared, verdict(passing=("copy",))]) == ("copy",)
    strong_but_declared = verdict(declared="the gradient of a step is zero")
    assert impostors([strong_but_declared, verdict(passing=("nan",))]) == ("nan",)


def test_a_declaration_excuses_zeros_and_constants_only() -> None:
    zero = verdict(passing=("zeros", "constant", "copy"), declared="it is zero")
    assert impostors([zero]) == ("copy",)
    assert impostors([verdict(passing=("zeros", "constant"), declared="it is zero")]) == ()
    empty = verdict(passing=IMPOSTORS, declared="an empty array")
    assert impostors([empty]) == ("stale", "nan", "copy"), "nothing was looked at"


@pytest.mark.parametrize("status", [Status.CRASH, Status.TIMEOUT, Status.SKIP])
def test_cases_without_a_comparison_are_no_evidence(status: Status) -> None:
    assert impostors([verdict(status=status)]) == ()
    assert impostors([verdict(passing=("nan",)), verdict(status=status)]) == ("nan",)


def test_groups_are_judged_apart() -> None:
    summary = summarize(
        [verdict(n=1), verdict(judge="vjp", passing=("zeros",)), verdict("b", n=2)], planned=3
    )
    assert summary.weak == {Group("a", "vjp", "cpu", "float32"): ("zeros",)}
    assert summary.counts == {Status.PASS: 2, Status.WEAK: 1}
    assert summary.exit is Exit.WEAK


def test_single_vacuous_cases_in_a_strong_group_are_counted_not_failed() -> None:
    summary = summarize([verdict(passing=("zeros",)), verdict(n=2)], planned=2)
    assert (summary.weak, summary.vacuous, summary.exit) == ({}, 1, Exit.GOOD)


def test_counts_add_up_to_the_plan() -> None:
    statuses = [s for s in Status if s is not Status.WEAK]
    verdicts = [verdict(status=s, n=i) for i, s in enumerate(statuses)]
    verdicts += [verdict("b", passing=("nan",), n=i) for i in range(4)]
    summary = summarize(verdicts, planned=13)
    assert summary.counts[Status.WEAK] == 4
    assert summary.counts.total() + summary.not_run == 13
    assert summary.not_run == 3
    assert sum(line.cases for line in summary.lines) == 10


@pytest.mark.parametrize(
    ("verdicts", "planned", "code"),
    [
        ([verdict()], 1, Exit.GOOD),
        ([verdict(), verdict(status=Status.SKIP, n=2)], 2, Exit.GOOD),
        ([verdict(status=Status.FAIL)], 1, Exit.WRONG),
        ([verdict(status=Status.CRASH)], 1, Exit.WRONG),
        ([verdict(status=Status.TIMEOUT)], 1, Exit.WRONG),
        ([verdict(passing=("nan",))], 1, Exit.WEAK),
        ([verdict(), verdict(status=Status.UNIMPLEMENTED, n=2)], 2, Exit.WEAK),
        ([verdict()], 2, Exit.WEAK),
        ([], 0, Exit.WEAK),
        ([verdict(passing=("nan",)), verdict("b", Status.FAIL)], 2, Exit.WRONG),
    ],
)
def test_exit_code(verdicts: list[Verdict], planned: int, code: Exit) -> None:
    assert summarize(verdicts, planned).exit is code


def test_a_line_keeps_its_worst_case() -> None:
    nan = float("nan")
    calm, largest, wrong = verdict(rho=0.5, n=1), verdict(rho=0.9, n=2), verdict(rho=0.1, n=3)
    wrong.status = Status.FAIL
    line = summarize([calm, largest, wrong], 3).lines[0]
    assert (line.rho, line.worst) == (0.9, wrong)
    assert summarize([largest, calm], 2).lines[0].worst is largest
    assert summarize([largest, verdict(rho=nan, n=4), calm], 3).lines[0].rho is nan


@pytest.mark.parametrize("seed", [48, 0, 1])
@pytest.mark.parametrize("name", ["AvgPoolGrad", "Fold", "ConvInputGrad", "ConvWeightGrad"])
def test_an_inner_product_that_happens_to_be_0_is_not_all_the_evidence(
    name: str, seed: int
) -> None:
    """Of zeros both sides of an adjoint are 0; with seed 48 so was AvgPoolGrad's right one."""
    row = registry.rows()[name]
    cases = registry.plan_cases(row, "cpu", "float64", "algebra", seed, "smoke")
    assert impostors([checks.run_case(case) for case in cases]) == ()
