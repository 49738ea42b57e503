"""Functions and activations beyond what needle-verify samples: tails, special values, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import needle as ndl

mpmath.mp.prec = 120
TAILS = [
    -1e4,
    -800.0,
    -700.0,
    -90.0,
    -38.0,
    -12.0,
    -1.0,
    -1e-30,
    1e-30,
    1.0,
    12.0,
    38.0,
    800.0,
    1e4,
]


def distribution(x: Any, t: Any) -> Any:
    """x F(x) from t = F(-|x|)."""
    return x - x * t if x > 0 else x * t


def sigmoid(x: Any) -> Any:
    return mpmath.exp(min(x, 0)) / (1 + mpmath.exp(-abs(x)))


def gelu_tanh(x: Any) -> Any:
    cubic = abs(x) + mpmath.mpf("0.044715") * abs(x) ** 3
    return distribution(x, sigmoid(-2 * mpmath.sqrt(2 / mpmath.pi) * cubic))


EXACT: dict[str, Callable[[Any], Any]] = {
    "sigmoid": sigmoid,
    "softplus": lambda x: max(x, 0) + mpmath.log1p(mpmath.exp(-abs(x))),
    "silu": lambda x: distribution(x, sigmoid(-abs(x))),
    "gelu": lambda x: distribution(x, mpmath.erfc(abs(x) / mpmath.sqrt(2)) / 2),
    "gelu_tanh": gelu_tanh,
    "erf": mpmath.erf,
    "erfc": mpmath.erfc,
}
OPS: dict[str, Callable[[ndl.Tensor], ndl.Tensor]] = {
    "gelu_tanh": lambda a: ndl.gelu(a, approximate="tanh")
}


def op(name: str) -> Callable[[ndl.Tensor], ndl.Tensor]:
    found: Callable[[ndl.Tensor], ndl.Tensor] = OPS.get(name) or getattr(ndl, name)
    return found


def tensor(values: Any, device: Any, dtype: str = "float64", **how: Any) -> ndl.Tensor:
    return ndl.Tensor(np.asarray(values, dtype), device=device, dtype=dtype, **how)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EXACT)
def test_tails_are_accurate_to_a_few_ulp(device: Any, name: str, dtype: str) -> None:
    x = np.asarray(TAILS, dtype)
    got = op(name)(tensor(x, device, dtype)).numpy()
    for v, y in zip(x, got, strict=True):
        want = EXACT[name](mpmath.mpf(float(v)))
        unit = float(np.spacing(np.abs(np.asarray(float(want), dtype))))
        assert abs(mpmath.mpf(float(y)) - want) <= 12 * unit, (v, y, want)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "slopes"),
    [
        ("sigmoid", (0, 0)),
        ("softplus", (0, 1)),
        ("silu", (0, 1)),
        ("gelu", (0, 1)),
        ("gelu_tanh", (0, 1)),
        ("erf", (0, 0)),
    ],
)
def test_slopes_far_out_are_their_limits(
    device: Any, name: str, slopes: tuple[float, float], dtype: str
) -> None:
    largest = float(np.finfo(dtype).max)
    for far in (1e4, 1e20, largest, math.inf):
        x = tensor([-far, far], device, dtype, requires_grad=True)
        op(name)(x).sum().backward()
        assert x.grad is not None
        assert np.array_equal(x.grad.numpy(), slopes), far


LIMITS = {
    "abs": [math.inf, math.inf],
    "sign": [-1, 1],
    "sqrt": [math.nan, math.inf],
    "rsqrt": [math.nan, 0],
    "sin": [math.nan, math.nan],
    "cos": [math.nan, math.nan],
    "log1p": [math.nan, math.inf],
    "expm1": [-1, math.inf],
    "erf": [-1, 1],
    "erfc": [2, 0],
    "sigmoid": [0, 1],
    "softplus": [0, math.inf],
    "silu": [-0.0, math.inf],
    "gelu": [-0.0, math.inf],
    "gelu_tanh": [-0.0, math.inf],
    "leaky_relu": [-math.inf, math.inf],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LIMITS)
def test_infinities_and_nan(device: Any, name: str, dtype: str) -> None:
    got = op(name)(tensor([-math.inf, math.inf, math.nan], device, dtype)).numpy()
    np.testing.assert_array_equal(got, np.asarray([*LIMITS[name], math.nan], dtype))
    assert math.copysign(1, got[0]) == math.copysign(1, LIMITS[name][0]) or math.isnan(got[0])


ODD = ["sign", "sqrt", "sin", "log1p", "expm1", "erf", "silu", "gelu", "gelu_tanh", "leaky_relu"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ODD)
def test_zero_keeps_its_sign(device: Any, name: str, dtype: str) -> None:
    got = op(name)(tensor([0.0, -0.0], device, dtype)).numpy()
    assert not got.any()
    assert list(np.signbit(got)) == [False, True]


def test_sin_and_cos_of_any_size(device: Any) -> None:
    sizes = [1.5707963267948966, 3.141592653589793, 1e5, 355.0, -1e22, 1e300]
    for name, exact in (("sin", mpmath.sin), ("cos", mpmath.cos)):
        got = op(name)(tensor(sizes, device)).numpy()
        with mpmath.workprec(1400):
            want = np.array([float(exact(mpmath.mpf(x))) for x in sizes])
        assert np.all(np.abs(got - want) <= 2 * np.spacing(np.abs(want)))


def test_gradients_at_kinks(device: Any) -> None:
    def slope(f: Callable[[ndl.Tensor], ndl.Tensor], at: float) -> float:
        x = tensor([at], device, requires_grad=True)
        f(x).sum().backward()
        assert x.grad is not None
        return float(x.grad.numpy()[0])

    assert slope(ndl.abs, 0.0) == slope(ndl.abs, -0.0) == 0
    assert slope(ndl.sign, 2.0) == 0
    assert slope(ndl.leaky_relu, 0.0) == 0.01
    assert (
        slope(lambda a: ndl.clip(a, -1, 1), 1.0) == slope(lambda a: ndl.clip(a, -1, 1), -1.0) == 1
    )
    assert slope(lambda a: ndl.clip(a, -1, 1), 1.5) == 0
    assert slope(lambda a: ndl.clip(a, 1, 1), 1.0) == 1, "as torch's"
    assert slope(lambda a: ndl.minimum(a, tensor([2.0], device)), 2.0) == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: ndl.clip(a), r"\[clip\] at least one bound"),
        (lambda a: ndl.clip(a, math.nan), r"\[clip\] low must be finite, got low=nan"),
        (lambda a: ndl.clip(a, high=math.inf), r"\[clip\] high must be finite, got high=inf"),
        (lambda a: ndl.clip(a, 2, 1), r"\[clip\] low may not exceed high, got low=2, high=1"),
        (lambda a: ndl.leaky_relu(a, math.nan), r"\[leaky_relu\] slope must be finite"),
        (lambda a: ndl.gelu(a, "erf"), r"\[gelu\] approximate is 'none' or 'tanh', got .*'erf'"),
    ],
)
def test_bad_arguments(call: Callable[[ndl.Tensor], ndl.Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(ndl.Tensor([1.0]))


@pytest.mark.parametrize("name", ["sqrt", "sigmoid", "gelu", "erf"])
def test_integers_are_not_computed_with(device: Any, name: str) -> None:
    with pytest.raises(TypeError, match=rf"\[{name}\]"):
        op(name)(ndl.Tensor(np.arange(3), device=device, dtype="int32"))
