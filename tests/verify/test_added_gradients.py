"""The sum of a value's gradients: bounded for every order, each sum stored in the dtype."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from verify import reference
from verify.budget import compare, format_of
from verify.reference.added import Added
from verify.spec import Row

DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
SHAPE = (40, 50)


def uses(t: Any, x: Any, *factors: Any) -> Any:
    return tuple(x * f for f in factors)


def viewed(t: Any, x: Any, *factors: Any) -> Any:
    """Of a view, twice, and of a view of another: three sums, in two places."""
    row = x[0]
    return row * factors[0], row * factors[1], x[0] * factors[2], x[0] * factors[3]


def transposed(t: Any, x: Any, *factors: Any) -> Any:
    """Gradients whose values and bounds lie in two orders of memory are added, then viewed."""
    z = x.reshape(4, 10, 50).transpose(0, 1)
    return tuple((z * f.reshape(z.shape)).transpose(0, 1) for f in factors)


def pulled(
    function: Any, dtype: str, shape: tuple[int, ...], factors: list[Any], ones: Any = None
) -> Any:
    """The gradient with respect to x, and the format that it is bounded in."""
    row = Row(name="added", family="test", reference=function, samples=())
    fmt = format_of(dtype, "cuda_sim", own_kernels=True)
    arrays = [np.ones(shape), *factors]
    ones = ones or [np.ones_like(f) for f in factors]
    return reference.vjp(row, arrays, {}, ones, fmt)[0], fmt


def operands(dtype: str, n: int) -> list[Any]:
    rng = np.random.default_rng(n)
    return [rng.standard_normal(SHAPE).astype(DTYPES[dtype]) for _ in range(n)]


def orders(terms: list[Any]) -> Any:
    """Every order, from the left, and in pairs."""
    for p in permutations(terms):
        total = p[0]
        for term in p[1:]:
            total = total + term
        yield total
        if len(p) == 4:
            yield (p[0] + p[1]) + (p[2] + p[3])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [2, 3, 4])
def test_every_order_is_within_the_bound(dtype: str, n: int) -> None:
    factors = operands(dtype, n)
    alone, _ = pulled(uses, dtype, (), [f[3, 4] for f in factors])
    expected, fmt = pulled(uses, dtype, SHAPE, factors)
    assert alone.error == expected.error[3, 4]
    rhos = []
    for got in orders(factors):
        comparison = compare(fmt, got, expected.value, expected.error)
        assert comparison.ok, comparison
        rhos.append(comparison.rho)
    assert max(rhos) > 0.4  # and the bound is no wild overestimate


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sum_of_a_views_gradients_is_the_views(dtype: str) -> None:
    factors = operands(dtype, 4)
    expected, fmt = pulled(viewed, dtype, (2, *SHAPE), factors)
    assert not expected.error[1].any()
    for got in orders(factors):
        assert compare(fmt, got, expected.value[0], expected.error[0]).ok


def test_a_sum_of_transposed_gradients_is_viewed() -> None:
    factors = operands("float32", 4)
    ones = [np.ones((4, 10, 50))] * 4
    expected, fmt = pulled(transposed, "float32", SHAPE, factors, ones)
    turned = [f.reshape(10, 4, 50).transpose(1, 0, 2).reshape(SHAPE) for f in factors]
    for got in orders(turned):
        assert compare(fmt, got, expected.value, expected.error).ok


def test_a_dropped_gradient_is_found() -> None:
    factors = operands("bfloat16", 4)
    expected, fmt = pulled(uses, "bfloat16", SHAPE, factors)
    assert not compare(fmt, sum(factors[1:]), expected.value, expected.error).ok


def test_a_rounding_more_than_additions_have_is_found() -> None:
    factors = operands("float32", 3)
    expected, fmt = pulled(uses, "float32", SHAPE, factors)
    coarse = sum(f.astype(ml_dtypes.bfloat16) for f in factors).astype(np.float32)
    assert not compare(fmt, coarse, expected.value, expected.error).ok


def test_integers_and_zeros_leave_no_room() -> None:
    whole = [np.full(SHAPE, v, np.float32) for v in (3.0, -5.0, 7.0)]
    assert not pulled(uses, "float32", SHAPE, whole)[0].error.any()
    alone = [np.full(SHAPE, v, np.float32) for v in (0.0, 0.3, 0.0)]
    assert not pulled(uses, "float32", SHAPE, alone)[0].error.any()


def test_integers_beyond_the_exact_ones_have_room() -> None:
    """2^24 + 1 - 2^24: in one order 0, in another 1."""
    terms = [np.full(SHAPE, v, np.float32) for v in (2.0**24, 1.0, -(2.0**24))]
    expected, fmt = pulled(uses, "float32", SHAPE, terms)
    for got in orders(terms):
        assert compare(fmt, got, expected.value, expected.error).ok


def test_an_order_may_leave_the_range() -> None:
    """60,000 + 60,000 - 60,000 in 16 bits: infinite in one order; as two numbers it never is."""
    terms = [np.full(SHAPE, v, np.float16) for v in (6e4, 6e4, -6e4)]
    expected, fmt = pulled(uses, "float16", SHAPE, terms)
    with np.errstate(over="ignore"):
        for got in orders(terms):
            assert compare(fmt, got, expected.value, expected.error).ok
    largest = np.finfo(np.float32).max
    nearly = [np.full(SHAPE, v * largest, np.float32) for v in (-0.9, 0.9, 0.9)]
    assert np.isinf(pulled(uses, "float32", SHAPE, nearly)[0].error).all()
    for two in (terms[1:], terms[:2]):
        assert np.isfinite(pulled(uses, "float16", SHAPE, two)[0].error).all()


def less(t: Any, x: Any, f: Any, g: Any) -> Any:
    """Its backward takes the sum of the cotangents from a number."""

    class Less(t.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return (2.0**24 - 1) - g

    y = Less.apply(x)
    return y * f, y * g


def test_what_is_taken_from_a_number_is_the_sum() -> None:
    """2^24 - 1 + 2^23 + 2^22 is no number of float32."""
    factors = [np.full(SHAPE, -(2.0**k), np.float32) for k in (23, 22)]
    assert (pulled(less, "float32", SHAPE, factors)[0].error >= 0.5).all()


def test_what_is_written_into_a_sum_forgets_its_parts() -> None:
    context = reference.Context(format_of("float32"))
    x = reference.Bounded(torch.ones(3, dtype=torch.float64), torch.zeros(3), context)
    x.added = Added(x.elem, x.err, x.elem)
    x.zero_()
    assert x.added is None
