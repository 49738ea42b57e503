"""The rules of special functions and activations against 200 bits and against torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import torch

from verify import budget, reference, registry, targets
from verify.budget import compare, format_of
from verify.reference.functions import FUNCTIONS
from verify.reference.normal import nearly_normal, normal_cdf
from verify.spec import Row

F32 = format_of("float32")
mpmath.mp.prec = 200
LOW = {"sqrt": 0.01, "rsqrt": 0.01, "log1p": -0.95}
EXACT = {f.__name__: getattr(mpmath, f.__name__, None) for f in FUNCTIONS} | {
    "rsqrt": lambda x: 1 / mpmath.sqrt(x)
}
QUIET = budget.Format("test", 53, -1022, np.inf, dict.fromkeys(EXACT, 0.0))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def row(expression: Callable[..., Any]) -> Row:
    return Row(name="f", family="test", reference=expression, samples=())


@pytest.mark.parametrize("rule", FUNCTIONS, ids=lambda f: f.__name__)
def test_rules_propagate_errors(rule: Any) -> None:
    name = rule.__name__
    a = rng().uniform(LOW.get(name, -4.0), 4.0, 200)
    room = np.minimum(np.abs(a), 1 + a) if name == "log1p" else np.abs(a)
    e = room * np.exp2(rng(1).uniform(-40, -2, 200))
    bound = rule(QUIET, getattr(torch, name)(torch.from_numpy(a)).numpy(), a, e)
    for x, d, b in zip(a, e, bound, strict=True):
        at, y = mpmath.mpf(float(x)), EXACT[name](mpmath.mpf(float(x)))
        moved = max(abs(EXACT[name](at + s * mpmath.mpf(float(d))) - y) for s in (-1, 1))
        own = abs(y) * mpmath.mpf(2) ** -52  # of the square root, which rounds in any format
        assert moved <= mpmath.mpf(float(b)) * (1 + mpmath.mpf(2) ** -45)
        assert moved + own >= mpmath.mpf(float(b)) / 8  # and it is no wild overestimate


@pytest.mark.parametrize("name", ["sigmoid", "silu", "softplus", "gelu", "gelu_tanh"])
def test_references_are_torchs_functions(name: str) -> None:
    """The rows' own formulas, where torch's lose nothing."""
    x = torch.from_numpy(rng().uniform(-3, 3, 500))
    how = {"approximate": "tanh"} if name == "gelu_tanh" else {}
    own = registry.rows()[name.removesuffix("_tanh")].reference(torch, x, **how)
    theirs = getattr(torch.nn.functional, name.removesuffix("_tanh"))(x, **how)
    assert torch.allclose(own, theirs, rtol=1e-13, atol=0)


TORCH: dict[str, tuple[Callable[..., Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    # torch's own, the function and its derivative in numpy
    "sigmoid": (
        lambda t, a: t.sigmoid(a),
        lambda a: 1 / (1 + np.exp(-a)),
        lambda a: 1 / (1 + np.exp(-a)) * (1 / (1 + np.exp(a))),
    ),
    "silu": (
        lambda t, a: t.nn.functional.silu(a),
        lambda a: a / (1 + np.exp(-a)),
        lambda a: 1 / (1 + np.exp(-a)) * (1 + a * (1 / (1 + np.exp(a)))),
    ),
    "softplus": (
        lambda t, a: t.nn.functional.softplus(a),
        lambda a: np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a))),
        lambda a: 1 / (1 + np.exp(-a)),
    ),
    "clamp": (
        lambda t, a: t.clamp(a, -1, 0.5),
        lambda a: np.clip(a, -1, 0.5),
        lambda a: ((a >= -1) & (a <= 0.5)).astype(a.dtype),
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_no_correct_formula_alarms_and_a_wrong_one_does(name: str) -> None:
    theirs, function, derivative = TORCH[name]
    a, g = (rng(s).uniform(-12, 12, 20000).astype(np.float32) for s in (1, 2))
    [want] = reference.forward(row(theirs), [a], {}, F32)
    assert compare(F32, function(a), want.value, want.error).ok
    assert not compare(F32, function(a) * np.float32(1 + 3e-6), want.value, want.error).ok
    [want] = reference.vjp(row(theirs), [a], {}, [g], F32)
    assert compare(F32, g * derivative(a), want.value, want.error).ok
    assert not compare(F32, g * derivative(a) * np.float32(1.01), want.value, want.error).ok


def phi(x: Any) -> Any:
    return mpmath.erfc(-mpmath.mpf(x) / mpmath.sqrt(2)) / 2


def test_the_oracles_normal_distribution_is_accurate_in_its_tail() -> None:
    x = np.concatenate([rng().uniform(-38, 9, 1000), -np.exp(rng(1).uniform(-20, 3.6, 1000))])
    y = torch.ops.needle_verify.normal_cdf(torch.from_numpy(x)).numpy()
    errors = [abs(phi(v) - mpmath.mpf(float(got))) for v, got in zip(x, y, strict=True)]
    assert max(e / float(np.spacing(got)) for e, got in zip(errors, y, strict=True)) < 1.1
    odd = torch.tensor([-np.inf, np.inf, np.nan, -1e300, 1e300], dtype=torch.float64)
    assert str(torch.ops.needle_verify.normal_cdf(odd).tolist()) == "[0.0, 1.0, nan, 0.0, 1.0]"


def test_errors_of_the_argument_of_the_normal_distribution() -> None:
    a = rng().uniform(-30.0, 6.0, 300)
    e = np.abs(a) * np.exp2(rng(1).uniform(-40, -8, 300))
    quiet = budget.Format("test", 400, -1022, np.inf, {"erfc": 0.0})
    bound = normal_cdf(quiet, np.array([float(phi(v)) for v in a]), a, e)
    for x, d, b in zip(a, e, bound, strict=True):
        at, off = mpmath.mpf(float(x)), mpmath.mpf(float(d))
        moved = max(abs(phi(at + s * off) - phi(at)) for s in (-1, 1))
        assert moved <= b * (1 + 2.0**-40)
        assert moved >= b / 8


def nearly_phi(x: Any) -> Any:
    x = mpmath.mpf(x)
    w = 2 * mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf(44715) / 10**6 * x**3)
    return 1 / (1 + mpmath.exp(-w))


def test_the_oracles_tanh_form_is_accurate_in_its_tail() -> None:
    x = np.concatenate([rng().uniform(-20, 9, 1000), -np.exp(rng(1).uniform(-20, 3, 1000))])
    y = torch.ops.needle_verify.nearly_normal(torch.from_numpy(x)).numpy()
    errors = [abs(nearly_phi(v) - mpmath.mpf(float(got))) for v, got in zip(x, y, strict=True)]
    assert max(e / float(np.spacing(got)) for e, got in zip(errors, y, strict=True)) < 1.1
    odd = torch.tensor([-np.inf, np.inf, np.nan, -1e300, 1e300], dtype=torch.float64)
    assert str(torch.ops.needle_verify.nearly_normal(odd).tolist()) == "[0.0, 1.0, nan, 0.0, 1.0]"


def test_errors_of_the_argument_of_the_tanh_form() -> None:
    a = rng().uniform(-15.0, 6.0, 300)
    e = np.abs(a) * np.exp2(rng(1).uniform(-40, -8, 300))
    quiet = budget.Format("test", 400, -1022, np.inf, {"exp": 0.0})
    bound = nearly_normal(quiet, np.array([float(nearly_phi(v)) for v in a]), a, e)
    for x, d, b in zip(a, e, bound, strict=True):
        at, off = mpmath.mpf(float(x)), mpmath.mpf(float(d))
        moved = max(abs(nearly_phi(at + s * off) - nearly_phi(at)) for s in (-1, 1))
        assert moved <= b * (1 + 2.0**-40)
        assert moved >= b / 40


def test_the_gradient_of_the_tanh_form_is_its_slope() -> None:
    x = torch.linspace(-12.0, 6.0, 40, dtype=torch.float64).requires_grad_()
    torch.ops.needle_verify.nearly_normal(x).sum().backward()
    assert x.grad is not None
    for v, slope in zip(x.tolist(), x.grad.tolist(), strict=True):
        assert slope == pytest.approx(float(mpmath.diff(nearly_phi, v)), rel=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("device", ["cpu", "numpy"])
def test_a_tanh_gelu_wrong_in_its_tail_is_found_and_a_right_one_passes(
    dtype: str, device: str
) -> None:
    """A w that was rounded loses a hundred times more there than the kernels do."""
    fmt = format_of(dtype, device, own_kernels=True)
    x = rng().uniform(-9 if dtype == "float32" else -20, -3, 400).astype(dtype)
    row, how = registry.rows()["gelu"], {"approximate": "tanh"}
    [want] = reference.forward(row, [x], how, fmt)
    exact = np.array([float(mpmath.mpf(float(v)) * nearly_phi(float(v))) for v in x])
    assert compare(fmt, exact.astype(dtype), want.value, want.error).ok
    kernel = targets.unary(row, how, device, dtype)
    assert compare(fmt, kernel(x), want.value, want.error).ok
    for off in (34, -34):
        assert not compare(fmt, exact * (1 + off * fmt.u), want.value, want.error).ok
    scale = x.dtype.type(2 * math.sqrt(2 / math.pi))
    w = scale * (x + x.dtype.type(0.044715) * x * x * x)
    plain = x * torch.special.expit(torch.from_numpy(w)).numpy()
    assert not compare(fmt, plain, want.value, want.error).ok


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("device", ["cpu", "numpy"])
def test_a_gelu_wrong_in_its_tail_is_found_and_a_right_one_passes(dtype: str, device: str) -> None:
    """erfc(-a / sqrt(2)) as it stands loses a hundred times more there than the kernels do."""
    fmt = format_of(dtype, device, own_kernels=True)
    x = rng().uniform(-12.5 if dtype == "float32" else -37, -3, 400).astype(dtype)
    row = registry.rows()["gelu"]
    [want] = reference.forward(row, [x], {}, fmt)
    exact = np.array([float(mpmath.mpf(float(v)) * phi(float(v))) for v in x])
    assert compare(fmt, exact.astype(dtype), want.value, want.error).ok
    kernel = targets.unary(row, {}, device, dtype)
    assert compare(fmt, kernel(x), want.value, want.error).ok
    for off in (12, -12):
        assert not compare(fmt, exact * (1 + off * 2 * fmt.u), want.value, want.error).ok
    plain = x * torch.special.erfc(torch.from_numpy(x * x.dtype.type(-(0.5**0.5)))).numpy() / 2
    assert not compare(fmt, plain, want.value, want.error).ok
