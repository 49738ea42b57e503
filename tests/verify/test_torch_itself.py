"""torch's own error beside needle's: what it is, where it is known, and where it is shown."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from verify import registry, table
from verify.checks import run_case
from verify.reference import itself
from verify.results import from_line, to_line
from verify.spec import Case, Row, Status, Verdict
from verify.summary import summarize

pytestmark = pytest.mark.timeout(120)
THIRD = np.array([1 / 3, 2 / 3, 10.0], np.float32)
# what their references give has no 32 bits: indices, and counts made of them
WITHOUT = {"argmax", "argmin", "one_hot"}


def row(reference: object) -> Row:
    return Row(name="mine", family="user", reference=reference, samples=())  # type: ignore[arg-type]


def test_torch_computes_in_the_dtype_of_the_case() -> None:
    square = row(lambda t, x: x * x)
    [y] = itself.computed(square, [THIRD], {}, None) or []
    assert y.dtype == np.float32
    assert (y == THIRD * THIRD).all()
    [dx] = itself.computed(square, [THIRD], {}, [np.ones(3, np.float32)]) or []
    assert (dx == 2 * THIRD).all()
    half = THIRD.astype(ml_dtypes.bfloat16)
    [y] = itself.computed(square, [half], {}, None) or []
    assert (y == (half * half).astype(np.float32)).all()


def test_an_array_given_twice_is_one_input() -> None:
    product = row(lambda t, a, b: a * b)
    found = itself.computed(product, [THIRD, THIRD], {}, [np.ones(3, np.float32)]) or []
    assert [(g == 2 * THIRD).all() for g in found] == [True, True]


def test_what_torch_does_not_compute_is_left_out() -> None:
    def raising(t: object, x: object) -> object:
        raise RuntimeError("expected m1 and m2 to have the same dtype")

    assert itself.computed(row(raising), [THIRD], {}, None) is None
    assert itself.computed(row(lambda t, x: x.double()), [THIRD], {}, None) is None
    one = [np.ones(3, np.float32)]
    [zero] = itself.computed(row(lambda t, x: x.detach().sign()), [THIRD], {}, one) or []
    assert not zero.any(), "torch's zero gradient"


def test_a_verdict_says_torchs_own_error() -> None:
    case = "exp/{}/cpu/{}/33/-/compact/interior/seed0".format
    for judge in ("forward", "vjp"):
        verdict = run_case(Case.parse(case(judge, "float32")))
        assert 0 < (verdict.torch_rho or 0) <= 1
        assert 0 < (verdict.torch_ulp or 0) < 2
        assert "of the same bound" in table.full(verdict, table.plain)
        assert from_line(to_line(verdict)) == verdict
    oracle = run_case(Case.parse(case("forward", "float64")))
    assert (oracle.torch_rho, oracle.torch_ulp) == (None, None)
    assert "torch_rho" not in to_line(oracle)


def test_torchs_own_gelu_is_not_the_rows_formula() -> None:
    """Far below 0 torch cancels; the row's formula does not."""
    verdict = run_case(
        Case.parse("gelu/forward/cpu/float32/1023/approximate='none'/compact/interior/seed0")
    )
    assert verdict.status is Status.PASS
    assert (verdict.torch_ulp or 0) > 100 * (verdict.ulp or 1)


@pytest.mark.parametrize("judge", ["forward", "vjp"])
def test_every_row_has_torch_beside_it(judge: str) -> None:
    without = set()
    for row in registry.rows().values():
        cases = registry.plan_cases(row, "numpy", "float32", judge, 0, "smoke")
        if cases and all(run_case(c).torch_ulp is None for c in cases[:4]):
            without.add(row.name)
    assert without == (WITHOUT if judge == "forward" else set())


def test_the_table_has_a_column_for_it() -> None:
    name = "exp/forward/cpu/{}/3/-/compact/interior/seed0".format
    known = Verdict(name("float32"), Status.PASS, rho=0.5, ulp=1.0, torch_ulp=2.25)
    other = Verdict(name("float64"), Status.PASS, rho=0.5, ulp=1.0)
    head, *lines = table.table(summarize([known, other], 2).lines, table.plain).splitlines()
    assert head.endswith("ULP torch  worst")
    assert [line.split()[5:8] for line in lines] == [
        ["0.50", "1.00", "2.25"],
        ["0.50", "1.00", "forward"],
    ]
    assert "torch" not in table.table(summarize([other], 1).lines, table.plain)
