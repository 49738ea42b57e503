"""Error rules of torch's special functions and activations.

A rule bounds |f(a + d) - f(a)| for |d| <= ea, in mean value forms, and adds the function's own
error (verify/accuracy.py). Where f(0) is 0, it is exactly that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from verify.budget import Array, Format, rounding, ulp
from verify.reference.bounded import RULES, Bounded, Context, elementwise, pair, rule


def _own(fmt: Format, name: str, y: Array, e: Array) -> Array:
    return e + fmt.k_ulp[name] * ulp(fmt, np.abs(y) + e)


def _zero_at_zero(fmt: Format, name: str, y: Array, a: Array, ea: Array, e: Array) -> Array:
    return np.where((a == 0) & (ea == 0), 0.0, _own(fmt, name, y, e))


def sqrt(fmt: Format, y: Array, a: Array, ea: Array) -> Array:
    """sqrt(a) - sqrt(a - ea) = ea / (sqrt(a) + sqrt(a - ea)); IEEE rounds the root correctly.

    torch's own root is not always rounded correctly: as the oracle's, it makes the bound one ULP in
    float64; as the subject's, it has a constant.
    """
    e = np.where(ea <= a, ea / (y + np.sqrt(np.maximum(a - ea, 0.0))), np.inf)
    e = np.where(ea == 0, 0.0, e)
    own = np.maximum(rounding(fmt, y, e), fmt.k_ulp.get("sqrt", 0.0) * ulp(fmt, y + e))
    return np.where((a == 0) & (ea == 0), 0.0, e + own)


def rsqrt(fmt: Format, y: Array, a: Array, ea: Array) -> Array:
    """(a - ea)^(-1/2) - a^(-1/2) = y (exp(-log(1 - ea / a) / 2) - 1)."""
    e = np.where(ea < a, y * np.expm1(-0.5 * np.log1p(-ea / a)), np.inf)
    return _own(fmt, "rsqrt", y, np.where(ea == 0, 0.0, e))


def _wave(a: Array, ea: Array, slope: Array) -> Array:
    """|sin(a + d) - sin(a)| <= |d| |cos(a)| + d^2 / 2, <= |d| and <= 2; cos alike."""
    return np.where(ea == 0, 0.0, np.minimum(2.0, ea * np.minimum(1.0, np.abs(slope) + ea / 2)))


def sin(fmt: Format, y: Array, a: Array, ea: Array) -> Array:
    """See _wave."""
    return _zero_at_zero(fmt, "sin", y, a, ea, _wave(a, ea, np.cos(a)))


def cos(fmt: Format, y: Array, a: Array, ea: Array) -> Array:
    """See _wave."""
    return _own(fmt, "cos", y, _wave(a, ea, np.sin(a)))


def log1p(fmt: Format, y: Array, a: Array, ea: Array) -> Array:
    """|log(1 + a + d) - log(1 + a)| <= -log(1 - ea / (1 + a))."""
    e = np.where(ea < 1 + a, -np.log1p(-ea / (1 + a)), np.inf)
    return _zero_at_zero(fmt, "log1p", y, a, ea, np.where(ea == 0, 0.0, e))


def expm1(fmt: Format, y: Array, a: Array, ea: Array) -> Array:
    """exp(a + d) - exp(a) <= exp(a) (exp(ea) - 1) <= exp(a + ea): no 0 times infinity."""
    e = np.where(ea < 1, np.exp(a) * np.expm1(np.minimum(ea, 1.0)), np.exp(a + ea))
    return _zero_at_zero(fmt, "expm1", y, a, ea, np.where(ea == 0, 0.0, e))


def _bell(a: Array, ea: Array) -> Array:
    """ea times the largest slope 2 / sqrt(pi) exp(-t^2) within ea of a; erf and erfc span 2."""
    nearest = np.maximum(np.abs(a) - ea, 0.0)
    slope = 2 / np.sqrt(np.pi) * np.exp(-nearest * nearest)
    return np.where(ea == 0, 0.0, np.minimum(2.0, ea * slope))


def erf(fmt: Format, y: Array, a: Array, ea: Array) -> Array:
    """See _bell."""
    return _zero_at_zero(fmt, "erf", y, a, ea, _bell(a, ea))


def erfc(fmt: Format, y: Array, a: Array, ea: Array) -> Array:
    """See _bell."""
    return _own(fmt, "erfc", y, _bell(a, ea))


FUNCTIONS = (sqrt, rsqrt, sin, cos, log1p, expm1, erf, erfc)
for _function in FUNCTIONS:
    RULES[_function.__name__] = elementwise(_function.__name__, _function)


@rule("clamp")
def _clamp(context: Context, y: Any, a: Bounded, low: Any = None, high: Any = None) -> torch.Tensor:
    """Moving a by d moves the result by at most |d|."""
    return torch.as_tensor(pair(a)[1]).expand(y.shape)


# Below, the bound of the plain formula from other operations; kernels may do better.


def _gate(a: Any) -> Any:
    e = torch.exp(-torch.abs(a))
    return torch.where(a < 0, e, 1.0) / (e + 1)


@rule("sigmoid")
def _sigmoid(context: Context, y: Any, a: Bounded) -> Any:
    """Below -709 torch's own exp(-a) overflows and its result is 0: that much is allowed."""
    return _gate(a).err + torch.where(a.elem < -709, 2.0**-1022, 0.0)


@rule("sigmoid_backward")
def _sigmoid_backward(context: Context, y: Any, grad: Bounded, out: Bounded) -> Any:
    bound: Any = grad * (1 - out) * out
    return bound.err


@rule("softplus")
def _softplus(context: Context, y: Any, a: Bounded, beta: float = 1, most: float = 20) -> Any:
    """Where a is returned as it is, e^-most is left out."""
    if beta != 1:
        raise NotImplementedError(f"[bounded] softplus has beta=1 only, got beta={beta}")
    bound: Any = torch.where(a < 0, 0.0, a) + torch.log1p(torch.exp(-torch.abs(a)))
    return bound.err + torch.where(a.elem > most, float(np.exp(-most)), 0.0)


@rule("softplus_backward")
def _softplus_backward(
    context: Context, y: Any, grad: Bounded, a: Bounded, beta: float, most: float
) -> Any:
    bound: Any = grad * _gate(a)
    return bound.err + torch.where(a.elem > most, float(np.exp(-most)) * grad.elem.abs(), 0.0)


@rule("silu")
def _silu(context: Context, y: Any, a: Bounded) -> Any:
    bound: Any = a * torch.sigmoid(a)
    return bound.err


@rule("silu_backward")
def _silu_backward(context: Context, y: Any, grad: Bounded, a: Bounded) -> Any:
    gate = torch.sigmoid(a)
    bound: Any = grad * gate * (a * (1 - gate) + 1)
    return bound.err
