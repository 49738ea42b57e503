"""Budget deep asks what no other does, and all that they do; what it once accused wrongly, and what
it may not ask.
"""

from __future__ import annotations

import itertools

import pytest

from verify import registry
from verify.checks import run_case
from verify.registry.planning import why_not_laid_out
from verify.spec import BUDGETS, DTYPES, JUDGES, Case, Status


@pytest.mark.parametrize(
    "case",
    [
        # the kernel's rounding, not that of the other ops that make the slope's own slope
        "ActivationGrad/vjp/cpu/float32/1023,1023/activation='gelu'/transposed/huge/seed0",
        "ActivationGrad/vjp/cpu/float32/1023,1023/activation='silu'/strided/huge/seed0",
        # products of four tiny numbers
        "NormalizeGrad/vjp/cpu/float32/2x3x4,2x3x4,1x1x4/axes=(-3,-2)/reversed/tiny/seed0",
        # one sum over taps and channels
        "ConvInputGrad/forward/cpu/float32/1x4x3x17,3x3x9x17/x_shape=(1,6,5,9)"
        "/broadcast/tiny/seed0",
        # the learning rate rounds to float32
        "optim.SGD/forward/cpu/float32/9,9,9,9/-/compact/zeros/seed0",
    ],
)
def test_no_right_op_is_accused(case: str) -> None:
    verdict = run_case(Case.parse(case))
    assert verdict.status is Status.PASS, verdict.message


@pytest.mark.parametrize("device", ["cpu", "cuda_sim"])
def test_each_budget_asks_what_the_smaller_ones_ask(device: str) -> None:
    """So what `default` finds of planted faults, `deep` finds too."""
    for row in registry.rows().values():
        for judge, dtype in itertools.product(JUDGES, DTYPES):
            smoke, default, deep = (
                {c.id for c in registry.plan_cases(row, device, dtype, judge, 0, budget)}
                for budget in BUDGETS
            )
            assert smoke <= default <= deep, (row.name, judge, dtype)


def test_equal_elements_are_no_point_for_differences_where_results_jump() -> None:
    row = registry.rows()["MaxPoolGrad"]
    asked = registry.plan_cases(row, "cpu", "float64", "fd", 0, "deep")
    assert row.jumps
    assert {c.layout for c in asked} >= {"compact", "strided"}
    for repeating in ("broadcast", "mixed"):  # whose layouts are drawn, broadcast among them
        assert not [c for c in asked if c.layout == repeating]
        assert why_not_laid_out(row, "fd", repeating)


def test_differences_are_taken_where_clip_has_a_slope() -> None:
    """At equal bounds its gradient is a convention, which torch shares and differences cannot."""
    asked = registry.plan_cases(registry.rows()["clip"], "cpu", "float64", "fd", 0, "deep")
    equal = [c for c in asked if dict(c.kwargs).get("low") == dict(c.kwargs).get("high")]
    assert equal
    assert {run_case(c).status for c in equal if "ties" in c.id} == {Status.PASS}
