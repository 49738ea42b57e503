"""float16 and bfloat16: formats, inputs, bounds. Right kernels pass, planted roundings do not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from verify import budget, reference, registry, sampling
from verify.judges.question import Question
from verify.precision import PRECISIONS, rounded
from verify.spec import Case, Domain

HALVES = ("float16", "bfloat16")
REGIONS = sorted(sampling.KNOWN - {"special", "edge"})


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_a_precision_is_that_of_its_dtype(dtype: str) -> None:
    info, of = ml_dtypes.finfo(dtype), PRECISIONS[dtype]
    assert (of.eps, of.normal, of.eta, of.largest) == tuple(
        float(v) for v in (info.eps, info.smallest_normal, info.smallest_subnormal, info.max)
    )
    assert rounded(of.largest, dtype) == of.largest
    assert rounded(of.eta, dtype) == of.eta
    assert rounded(1.0 + of.u, dtype) == 1.0  # a tie goes to even


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("region", REGIONS)
def test_inputs_are_finite_numbers_of_the_dtype(dtype: str, region: str) -> None:
    for domain in (Domain(), Domain(low=0.0)):
        drawn = sampling.values(np.random.default_rng(0), domain, region, (4000,), dtype)
        assert drawn.dtype == dtype
        assert np.all(np.isfinite(drawn.astype(np.float64)))
        if region == "denormal":
            size = np.abs(drawn.astype(np.float64))
            assert np.all((size > 0) & (size < PRECISIONS[dtype].normal))


def _question(dtype: str, op: str, *shapes: tuple[int, ...], judge: str, **how: Any) -> Question:
    kwargs = tuple((k, v) for k, v in how.items() if k != "region")
    case = Case(op, judge, "cuda_sim", dtype, shapes, kwargs, region=how.get("region", "interior"))
    return Question(case, registry.rows()[op])


def _torchs(question: Question) -> list[np.ndarray[Any, Any]]:
    """torch's own kernels of 16 bits: float32 inside, every result rounded."""
    own = getattr(torch, question.case.dtype)

    def made(a: Any) -> torch.Tensor:
        return torch.tensor(np.asarray(a, np.float64)).to(own).requires_grad_(True)

    inputs = [made(v) for v in question.values]
    outputs = reference._listed(question.row.reference(torch, *inputs, **question.arguments))
    if question.case.judge == "vjp":
        seeds = [made(c).detach() for c in question.cotangents]
        outputs = list(torch.autograd.grad(outputs, inputs, seeds))
    return [y.detach().double().numpy() for y in outputs]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("judge", ["forward", "vjp"])
@pytest.mark.parametrize(
    ("op", "shapes", "how"),
    [
        ("add", ((33,), (33,)), {}),
        ("multiply", ((65,), (65,)), {"region": "tiny"}),
        ("divide", ((65,), (65,)), {"region": "huge"}),
        ("multiply", ((65,), (65,)), {"region": "denormal"}),
        ("exp", ((1023,),), {}),
        ("tanh", ((1023,),), {}),
        ("summation", ((9, 257),), {"axes": 1}),
        ("mean", ((257, 9),), {"axes": 0}),
        ("var", ((5, 129),), {"axes": 1}),
        ("softmax", ((5, 129),), {"axis": -1}),
        ("logsoftmax", ((5, 129),), {"axis": -1}),
        ("logsumexp", ((5, 129),), {"axes": -1}),
        ("matmul", ((17, 300), (300, 5)), {}),
        ("layer_norm", ((6, 65), (65,), (65,)), {}),
    ],
)  # fmt: skip
def test_right_kernels_lie_within_the_bounds(
    dtype: str, judge: str, op: str, shapes: Any, how: dict[str, Any]
) -> None:
    question = _question(dtype, op, *shapes, judge=judge, **how)
    for got, want in zip(_torchs(question), question.expected(), strict=True):
        found = budget.compare(question.fmt, got, want.value, want.error)
        assert found.ok, found
        assert found.checked == got.size


def _held(dtype: str, op: str, a: np.ndarray[Any, Any]) -> budget.Held:
    row, fmt = registry.rows()[op], budget.format_of(dtype, "cuda_sim", own_kernels=True)
    (want,) = reference.forward(row, [a], {}, fmt)
    return budget.Held(fmt, want.value, want.error)


def _in_turn(a: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, Any]:
    total = np.zeros((), dtype)
    for x in a:
        total = (total.astype(np.float32) + x.astype(np.float32)).astype(dtype)
    return total


def _truncated(y: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, Any]:
    nearest = y.astype(dtype)
    beyond = np.abs(nearest.astype(np.float64)) > np.abs(y)
    return np.where(beyond, np.nextafter(nearest, np.zeros((), dtype)), nearest)


@pytest.mark.parametrize("dtype", HALVES)
def test_a_sum_in_float32_passes_and_one_in_sixteen_bits_does_not(dtype: str) -> None:
    a = np.random.default_rng(1).uniform(0.9, 1.1, 1000).astype(dtype)
    held = _held(dtype, "summation", a)
    assert held.allows(np.sum(a.astype(np.float32)[::-1]).astype(dtype))
    assert held.allows(np.cumsum(a.astype(np.float32))[-1].astype(dtype))
    assert not held.allows(_in_turn(a, dtype))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("op", ["exp", "sqrt", "sigmoid", "gelu"])
def test_truncating_is_no_rounding(dtype: str, op: str) -> None:
    a = np.random.default_rng(2).uniform(0.5, 2.0, 200).astype(dtype)
    held = _held(dtype, op, a)
    assert held.allows(held.want.astype(dtype))
    assert not held.allows(_truncated(held.want, dtype))


@pytest.mark.parametrize("dtype", HALVES)
def test_denormal_numbers_are_not_flushed(dtype: str) -> None:
    of = PRECISIONS[dtype]
    a = (np.arange(1, 100) * of.eta).astype(dtype)
    held = _held(dtype, "tanh", a)
    assert held.allows(a)
    assert not held.allows(np.where(np.abs(held.want) < of.normal, 0.0, held.want).astype(dtype))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(("steps", "overflows"), [(0.25, False), (0.4999, False), (0.5, True)])
def test_a_sum_beyond_the_largest_number_is_rounded_first(
    dtype: str, steps: float, overflows: bool
) -> None:
    """A sum of the largest number and a part of its ULP; half of it goes to even: infinity."""
    of, fmt = PRECISIONS[dtype], budget.format_of(dtype, "cuda_sim", own_kernels=True)
    value = np.array([of.largest + steps * float(budget.ulp(fmt, of.largest))])
    error = budget.rounding(fmt, value)
    assert budget.compare(fmt, np.array([np.inf]), value, error).ok == overflows
    assert budget.compare(fmt, np.array([of.largest]), value, error).ok


def _twice(f: Callable[[Any, Any], Any], a: Any, b: Any, dtype: str) -> Any:
    with np.errstate(all="ignore"):
        return f(a.astype(np.float32), b.astype(np.float32)).astype(dtype)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    ("f", "rule"),
    [(np.add, budget.add), (np.multiply, budget.multiply), (np.divide, budget.divide)],
)
def test_rounding_twice_stays_within_one_rule(dtype: str, f: Any, rule: Any) -> None:
    """Over all exponents: of random bit patterns."""
    bits = np.random.default_rng(3).integers(0, 1 << 16, (2, 200_000), np.uint16)
    a, b = bits.view(dtype)
    fmt, none = budget.format_of(dtype), np.zeros(())
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        want = f(x, y)
        error = rule(fmt, want, x, none, y, none)
        found = budget.compare(fmt, _twice(f, a, b, dtype), want, error)
    assert found.ok, found
    assert found.rho is not None
    assert found.rho > 0.99


def test_two_formats_enter_a_sum() -> None:
    """n u32 sum |x| inside, and u16 of what it adds up to."""
    fmt = budget.format_of("bfloat16")
    magnitude, zero = np.array(1000.0), np.zeros(())
    bound = float(budget.total(fmt, np.array(1.0), magnitude, zero, 999, False, False))
    inside = 999 * 2.0**-24 * 1000.0
    assert math.isclose(bound, inside + 2.0**-8, rel_tol=0.02)
