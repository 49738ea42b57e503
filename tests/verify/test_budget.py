"""The bounds against exact arithmetic: no correct variant alarms, known wrong ones do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest

from verify import budget, reference
from verify.accuracy import TF32
from verify.budget import compare, format_of
from verify.registry import rows
from verify.spec import Row

F32, F64 = format_of("float32"), format_of("float64")
mpmath.mp.prec = 200


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def row(expression: Callable[..., Any]) -> Row:
    return Row(name="f", family="test", reference=expression, samples=())


def test_ulp_is_the_spacing_of_float32() -> None:
    x = np.concatenate(
        [rng().standard_normal(1000) * np.exp2(rng(1).uniform(-149, 127, 1000)), [0.0]]
    )
    x32 = np.abs(x.astype(np.float32))
    assert np.array_equal(budget.ulp(F32, x32), np.spacing(x32).astype(np.float64))


def test_ulp_is_the_spacing_of_float64() -> None:
    x = np.abs(rng().standard_normal(1000) * np.exp2(rng(1).uniform(-1000, 1000, 1000)))
    assert np.array_equal(budget.ulp(F64, x), np.spacing(x))


# --- each rule: operands off by no more than their errors, rounded once, in rational arithmetic


def perturbed(a: np.ndarray, e: np.ndarray, seed: int) -> list[Fraction]:
    share = rng(seed).choice([-1.0, 1.0], a.shape)
    return [
        Fraction(float(v)) + Fraction(float(s * d)) for v, d, s in zip(a, e, share, strict=True)
    ]


def rounded(x: Fraction, p: int) -> Fraction:
    """x rounded to p bits, to even."""
    if x == 0:
        return x
    exponent = math.floor(math.log2(abs(x.numerator)) - math.log2(x.denominator)) + 1
    for shift in (exponent - 1, exponent, exponent + 1):
        if Fraction(2) ** (shift - 1) <= abs(x) < Fraction(2) ** shift:
            unit = Fraction(2) ** (shift - p)
            return round(x / unit) * unit
    raise AssertionError


@pytest.mark.parametrize(
    ("rule", "operation"),
    [
        (budget.add, lambda a, b: a + b),
        (budget.multiply, lambda a, b: a * b),
        (budget.divide, lambda a, b: a / b),
    ],
)
@pytest.mark.parametrize("share", [0.0, 1e-7, 1e-3])
def test_rules_hold_in_rational_arithmetic(rule: Any, operation: Any, share: float) -> None:
    a, b = (rng(s).standard_normal(300).astype(np.float32).astype(np.float64) for s in (1, 2))
    ea, eb = share * np.abs(a), share * np.abs(b)
    bound = rule(F32, operation(a, b), a, ea, b, eb)
    for i, (p, q) in enumerate(zip(perturbed(a, ea, 3), perturbed(b, eb, 4), strict=True)):
        exact = operation(Fraction(a[i]), Fraction(b[i]))
        assert abs(rounded(operation(p, q), 24) - exact) <= Fraction(float(bound[i])) * (
            1 + Fraction(1, 2**28)
        )


def test_adding_an_exact_zero_rounds_nothing() -> None:
    """What a selection sends to both its branches is added to zeros: its own error is all."""
    a, none = rng().standard_normal(50), np.zeros(50)
    e = 1e-3 * np.abs(a)
    assert np.array_equal(budget.add(F32, a, a, e, none, none), e)
    assert np.array_equal(budget.add(F32, a, none, none, a, e), e)
    assert np.all(budget.add(F32, a, a, e, none, none + 1e-9) > e)


def test_a_number_that_meets_an_exact_zero_is_stored() -> None:
    """relu(x) + 0.1 at x < 0 in 16 bits, where 0.1 has 24 bits until then."""
    half = budget.format_of("float16", "cuda_sim", own_kernels=True)
    tenth, error = np.array([0.1]), np.array([abs(float(np.float32(0.1)) - 0.1)])
    none = np.zeros(1)
    bound = budget.add(half, tenth, none, none, tenth, error)
    assert abs(float(np.float16(0.1)) - 0.1) <= bound[0] < 1e-4
    stored = np.array([0.5 * float(np.spacing(np.float16(0.1)))])  # of a result that is there
    assert budget.add(half, tenth, none, none, tenth, stored)[0] == stored[0]


@pytest.mark.parametrize(("name", "low"), [("exp", -5.0), ("log", 0.01), ("tanh", -5.0)])
def test_elementary_rules_propagate_errors(name: str, low: float) -> None:
    """mean value forms: errors of any size, in 200 bits."""
    a = rng().uniform(low, 5.0, 200)
    e = np.abs(a) * np.exp2(rng(1).uniform(-40, -2, 200))
    y = getattr(np, name)(a)
    quiet = budget.Format(
        "test", 53, -1022, np.inf, dict.fromkeys(["exp", "log", "tanh", "pow"], 0.0)
    )
    bound = getattr(budget, name)(quiet, y, a, e)
    function = getattr(mpmath, name)
    for x, d, b in zip(a, e, bound, strict=True):
        at = mpmath.mpf(float(x))
        moved = max(abs(function(at + s * mpmath.mpf(float(d))) - function(at)) for s in (-1, 1))
        assert moved <= mpmath.mpf(float(b)) * (1 + mpmath.mpf(2) ** -45)
        assert moved >= mpmath.mpf(float(b)) / 8  # and it is no wild overestimate


def test_power_rule_propagates_errors() -> None:
    a, b = rng().uniform(0.1, 5.0, 200), rng(1).uniform(-4, 4, 200)
    ea, eb = a * 1e-6, np.abs(b) * 1e-5
    quiet = budget.Format("test", 53, -1022, np.inf, {"pow": 0.0})
    bound = budget.power(quiet, a**b, a, ea, b, eb)
    for i in range(200):
        x, y = mpmath.mpf(float(a[i])), mpmath.mpf(float(b[i]))
        moved = max(
            abs((x + s * mpmath.mpf(float(ea[i]))) ** (y + t * mpmath.mpf(float(eb[i]))) - x**y)
            for s in (-1, 1)
            for t in (-1, 1)
        )
        assert moved / 1.001 <= mpmath.mpf(float(bound[i])) <= 4 * moved


# --- sums and products of float32 vectors: correct orders of summation, and wrong results


def sequential(terms: np.ndarray) -> np.float32:
    return np.float32(np.add.accumulate(terms, dtype=np.float32)[-1])


def blocked(terms: np.ndarray) -> np.float32:
    parts = [sequential(terms[i : i + 16]) for i in range(0, len(terms), 16)]
    return sequential(np.array(parts, np.float32))


def tree(terms: np.ndarray) -> np.float32:
    while len(terms) > 1:
        if len(terms) % 2:
            terms = np.append(terms, np.float32(0))
        terms = terms[::2] + terms[1::2]
    return np.float32(terms[0])


def interleaved(terms: np.ndarray) -> np.float32:
    lanes = [sequential(terms[i::8]) for i in range(min(8, len(terms)))]
    return sequential(np.array(lanes, np.float32))


def fused(a: np.ndarray, b: np.ndarray) -> np.float32:
    total = np.float32(0)
    for x, y in zip(a.astype(np.float64), b.astype(np.float64), strict=True):
        total = np.float32(float(total) + x * y)  # float64 holds the product exactly
    return total


ORDERS = [sequential, blocked, tree, interleaved]
KINDS: dict[str, Callable[[int, int], np.ndarray]] = {
    "random": lambda n, s: rng(s).standard_normal(n),
    "constant": lambda n, s: np.full(n, 0.1),
    "positive": lambda n, s: rng(s).uniform(0.5, 1.0, n),
    "ties": lambda n, s: rng(s).choice([0.1, 0.3, -0.7], n),
    "wide": lambda n, s: rng(s).standard_normal(n) * np.exp2(rng(s).integers(-20, 20, n)),
}


@pytest.mark.parametrize("order", ORDERS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_no_correct_sum_alarms(order: Any, kind: str) -> None:
    for n in (2, 7, 40, 300, 5000):
        for seed in range(5):
            a = KINDS[kind](n, seed).astype(np.float32)
            [want] = reference.forward(row(lambda t, x: x.sum()), [a], {}, F32)
            verdict = compare(F32, np.asarray(order(a)), want.value, want.error)
            assert verdict.ok, (n, seed, verdict)


def test_a_sequential_sum_of_a_million_tenths_is_wrong_by_a_percent_and_correct_all_the_same() -> (
    None
):
    a = np.full(10**6, 0.1, np.float32)
    got = sequential(a)
    assert abs(got / 1e5 - 1) > 5e-3
    [want] = reference.forward(row(lambda t, x: x.sum()), [a], {}, F32)
    assert compare(F32, np.asarray(got), want.value, want.error).ok


@pytest.mark.parametrize("kind", ["random", "constant", "positive", "ties"])
def test_no_correct_dot_alarms(kind: str) -> None:
    for n in (1, 3, 40, 1000):
        for seed in range(5):
            a, b = (
                KINDS[kind](n, seed).astype(np.float32),
                KINDS[kind](n, seed + 50).astype(np.float32),
            )
            [want] = reference.forward(row(lambda t, x, y: t.dot(x, y)), [a, b], {}, F32)
            for got in (*(order(a * b) for order in ORDERS), fused(a, b), np.dot(a, b)):
                assert compare(F32, np.asarray(got), want.value, want.error).ok


@pytest.mark.parametrize("n", [8, 64, 1024])
def test_a_lost_term_of_a_dot_is_found(n: int) -> None:
    a, b = (rng(s).standard_normal(n).astype(np.float32) for s in (1, 2))
    [want] = reference.forward(row(lambda t, x, y: t.dot(x, y)), [a, b], {}, F32)
    assert not compare(F32, np.asarray(sequential((a * b)[:-1])), want.value, want.error).ok


@pytest.mark.parametrize("n", [8, 1024, 65536])
def test_a_lost_term_of_integers_is_found_at_every_length(n: int) -> None:
    a, b = (rng(s).choice([-3.0, -1.0, 2.0], n).astype(np.float32) for s in (1, 2))
    [want] = reference.forward(row(lambda t, x, y: t.dot(x, y)), [a, b], {}, F32)
    assert not compare(F32, np.asarray(sequential((a * b)[:-1])), want.value, want.error).ok


def test_accumulation_in_half_precision_is_found() -> None:
    a, b = (rng(s).standard_normal((16, 64)).astype(np.float32) for s in (1, 2))
    [want] = reference.forward(row(lambda t, x, y: t.matmul(x, y.T)), [a, b], {}, F32)
    low = (a.astype(np.float16) @ b.astype(np.float16).T).astype(np.float32)
    assert compare(F32, a @ b.T, want.value, want.error).ok
    assert not compare(F32, low, want.value, want.error).ok


def test_factors_of_tf32_are_within_their_bound_and_of_bfloat16_are_not() -> None:
    a, b = (np.abs(rng(i).normal(size=(64, 300))).astype(np.float32) for i in range(2))
    fmt = replace(F32, factor_error=TF32)
    exact = (a.astype(np.float64) * b).sum(axis=1)

    def cut(x: Any, bits: int) -> Any:
        kept = x.view(np.uint32) & ~np.uint32((1 << (24 - bits)) - 1)
        return kept.view(np.float32).astype(np.float64)

    for bits, right in ((11, True), (8, False)):
        got = (cut(a, bits) * cut(b, bits)).sum(axis=1).astype(np.float32)
        for rounded in (fmt, F32):
            bound = budget.dot(rounded, exact, exact, np.zeros(64), 300, True, False)
            assert compare(rounded, got, exact, bound).ok is (right and rounded is fmt)


def test_integers_leave_no_room() -> None:
    a = rng().integers(-8, 9, (9, 50)).astype(np.float32)
    [want] = reference.forward(row(lambda t, x: t.matmul(x, x.T)), [a], {}, F32)
    assert not want.error.any()
    wrong = a @ a.T
    wrong[3, 4] = np.nextafter(wrong[3, 4], np.float32(np.inf))
    assert not compare(F32, wrong, want.value, want.error).ok


def test_large_integers_do_leave_room() -> None:
    a = np.full((1, 40), 1001.0, np.float32)
    [want] = reference.forward(row(lambda t, x: t.matmul(x, x.T)), [a], {}, F32)
    assert want.error.all()  # the partial sums pass 2**24


# --- gradients: the bound along torch's backward, other formulas included


def test_formulas_of_the_quotient_rule_agree_within_the_bound() -> None:
    a, b, g = (rng(s).standard_normal(20000).astype(np.float32) for s in (1, 2, 3))
    _, want = reference.vjp(row(lambda t, x, y: x / y), [a, b], {}, [g], F32)
    for formula in (-g * a / (b * b), -g * (a / b) / b, -(g / b) * (a / b), -g / b * a / b):
        assert compare(F32, formula, want.value, want.error).ok
    wrong = (-g * a / (b * b)).astype(np.float32) * np.float32(1 + 4e-7)
    assert not compare(F32, wrong, want.value, want.error).ok


def test_gradient_of_tanh() -> None:
    x, g = (rng(s).standard_normal(20000).astype(np.float32) for s in (1, 2))
    y = np.tanh(x.astype(np.float64)).astype(np.float32)
    [want] = reference.vjp(row(lambda t, x: t.tanh(x)), [x], {}, [g], F32)
    assert compare(F32, g * (1 - y * y), want.value, want.error).ok
    assert not compare(F32, g * (1 - y), want.value, want.error).ok
    low = np.tanh(x.astype(np.float16)).astype(np.float32)
    assert not compare(F32, g * (1 - low * low), want.value, want.error).ok


def test_gradient_of_a_broadcast_operand_is_a_sum() -> None:
    a, b, g = (
        rng(s).standard_normal(n).astype(np.float32)
        for s, n in ((1, (500, 3)), (2, 3), (3, (500, 3)))
    )
    _, want = reference.vjp(row(lambda t, x, y: x * y), [a, b], {}, [g], F32)
    assert compare(
        F32, np.array([sequential((g * a)[:, j]) for j in range(3)]), want.value, want.error
    ).ok
    assert not compare(F32, (g * a)[:-1].sum(0), want.value, want.error).ok


def test_an_operation_without_a_rule_raises() -> None:
    with pytest.raises(LookupError, match="no error rule"):
        reference.forward(row(lambda t, x: t.special.bessel_j0(x)), [np.ones(2)], {}, F32)


def test_float64_operations_that_ieee_rounds_are_compared_bit_for_bit() -> None:
    a, b = (rng(s).standard_normal(1000) for s in (1, 2))
    [want] = reference.forward(row(lambda t, x, y: x / y), [a, b], {}, F64)
    assert compare(F64, a / b, want.value, want.error).ok
    assert not compare(F64, a * (1 / b), want.value, want.error).ok
    [twice] = reference.forward(row(lambda t, x, y: x / y / y), [a, b], {}, F64)
    assert compare(F64, a / (b * b), twice.value, twice.error).ok


# --- compare


def check(got: Any, want: Any, error: float = 0.0, **how: Any) -> bool:
    got, want = np.asarray(got, np.float32), np.asarray(want, np.float64)
    return compare(F32, got, want, np.full(want.shape, error), **how).ok


def test_special_values() -> None:
    nan, inf = np.nan, np.inf
    assert check([nan, inf, -inf, 1], [nan, inf, -inf, 1])
    for got, want in ((nan, 1), (1, nan), (inf, 1), (inf, -inf), (1, inf), (nan, inf), (inf, nan)):
        assert not check([got], [want], error=1e-3), (got, want)


def test_overflow_is_infinite_and_only_there() -> None:
    largest = float(np.finfo(np.float32).max)
    assert check([np.inf], [largest * 2])
    assert not check([-np.inf], [largest * 2])
    assert not check([largest], [largest * 2])
    assert not check([np.inf], [largest / 2])


def test_signed_zero() -> None:
    assert check([-0.0], [0.0])
    assert not check([-0.0], [0.0], signed_zero=True)
    assert check([-0.0], [-0.0], signed_zero=True)


def test_shapes_must_agree() -> None:
    assert not check([1.0, 1.0], [[1.0, 1.0]])


def test_the_worst_element_is_named() -> None:
    got, want = np.ones((3, 4), np.float32), np.ones((3, 4))
    got[1, 2] = 1.5
    verdict = compare(F32, got, want, np.full((3, 4), 0.25))
    assert (verdict.index, verdict.got, verdict.want) == ((1, 2), 1.5, 1.0)
    assert verdict.rho == pytest.approx(2.0)
    assert verdict.ulp == 0.5 * 2**24 * 0.5


def test_a_quotient_of_anybodys_formula_may_be_a_product() -> None:
    """a * (1 / b) and a * b**-1 lie within the bound where a formula is free, and only there."""
    a, b = rng().standard_normal(20000), rng(1).standard_normal(20000)
    a32, b32 = a.astype(np.float32), b.astype(np.float32)
    exact = a32.astype(np.float64) / b32
    nothing = np.zeros_like(exact)
    free = budget.divide(replace(F32, any_formula=True), exact, a32, nothing, b32, nothing)
    ours = replace(F32, any_formula=True, own_kernels=True)
    own = budget.divide(ours, exact, a32, nothing, b32, nothing)
    for product in (a32 * (np.float32(1) / b32), a32 * np.power(b32, np.float32(-1))):
        error = np.abs(product.astype(np.float64) - exact)
        assert np.all(error <= free)
        assert np.any(error > own)
    assert np.all(free <= 6 * F32.u * np.abs(exact) + 3 * F32.eta)


def test_what_rounds_is_named_where_a_result_has_no_gradient() -> None:
    """Batch norm in evaluation: its running statistics are results, and constants."""
    norm = rows()["nn.BatchNorm1d"]
    arrays = [rng(i).random(s) + 0.5 for i, s in enumerate(((5, 3), *[(3,)] * 4))]
    cotangents = [np.ones((5, 3)), np.ones(3), np.ones(3)]
    named = reference.operations(norm, arrays, {"training": False}, cotangents, F32)
    assert named
