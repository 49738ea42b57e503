"""What one pass over the data loses of a variance, in exact and in 400-bit arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
import torch

from verify import reference
from verify.budget import format_of
from verify.reference.reductions import one_pass
from verify.spec import Row

F32 = format_of("float32")
Signs = Callable[[str], int]


def welford(x: Any, less: int, signs: Signs) -> Any:
    """S / (n - less); every operation is off by u, relative, to the side that `signs` says."""

    def off(name: str, exact: Any) -> Any:
        return exact * (1 + signs(name) * Fraction(F32.u))

    mean, total = x[0], 0 * x[0]
    for k, v in enumerate(x[1:], 2):
        d = off("difference", v - mean)
        mean = off("mean", mean + off("quotient", d / k))
        total = off("sum", total + off("product", d * off("difference", v - mean)))
    return off("variance", total / (len(x) - less))


def variance(x: Any, less: int) -> Any:
    mean = sum(x) / len(x)
    return sum((v - mean) ** 2 for v in x) / (len(x) - less)


def rising(name: str) -> int:
    """All means too large, so that rising values are too near to them."""
    return {"mean": 1, "quotient": 1, "difference": 0}.get(name, -1)


def loss(x: Any, less: int = 0, signs: Signs = rising) -> float:
    """The error in units of u, in rational arithmetic where x is rational."""
    return float(abs(welford(x, less, signs) - variance(x, less))) / F32.u


def bound(x: list[Fraction], less: int) -> float:
    """That of torch's var, in units of u."""
    row = Row(name="f", family="t", reference=lambda t, a: t.var(a, correction=less), samples=())
    return float(reference.forward(row, [np.array(x, np.float64)], {}, F32)[0].error) / F32.u


@pytest.mark.parametrize("less", [0, 1])
@pytest.mark.parametrize("n", [2, 3, 9, 33])
def test_no_roundings_are_outside(n: int, less: int) -> None:
    rng = np.random.default_rng(n)
    for far in (0.0, 1.0, 1000.0):
        for _ in range(3 if n > 9 else 10):
            drawn = rng.standard_normal(n) if rng.random() < 0.5 else np.arange(n) / n
            x = [Fraction(float(np.float32(v + far))) for v in drawn]
            allowed = bound(x, less)
            assert loss(x, less) <= allowed
            assert loss(x, less, lambda _: int(rng.choice([-1, 1]))) <= allowed


def test_far_values_lose_what_is_said_and_not_half_of_it() -> None:
    """Twice the term would be too much and half of it too little."""
    n = 200
    x = [30 + Fraction(k, n) for k in range(n)]
    said = one_pass(F32, n, *(torch.tensor(float(v)) for v in (variance(x, 0), sum(x) / n)))
    assert 0.5 * float(said) / F32.u < loss(x) < float(said) / F32.u


def test_less_degrees_of_freedom_lose_as_much_of_the_sum() -> None:
    x, shares = [Fraction(1000), Fraction(1001)], []
    for less in (0, 1):
        v, m = (torch.tensor(float(p)) for p in (variance(x, less), sum(x) / 2))
        shares.append(loss(x, less) * F32.u / float(one_pass(F32, 2, v, m, less)))
    assert shares[0] == pytest.approx(shares[1], rel=1e-3)


def test_a_bound_without_the_term_would_be_too_small() -> None:
    """Many values of both signs: two passes are bounded by 6 sqrt(n) roundings there."""
    n = 1000
    with mpmath.workprec(400):
        x = [mpmath.mpf(-1) / 1024, *(30 + mpmath.mpf(k) / n for k in range(1, n))]
        found = loss(x)
        term = one_pass(F32, n, *(torch.tensor(float(v)) for v in (variance(x, 0), sum(x) / n)))
    allowed = bound(x, 0)
    assert allowed - float(term) / F32.u < found < allowed
