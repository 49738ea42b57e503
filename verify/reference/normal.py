"""Phi, the distribution function of the standard normal, and what the tanh form of gelu has in its
place, as operations of torch.

torch's own (special.ndtr) cancels below 0, and erfc(-a / sqrt(2)) / 2 multiplies the rounding of
its argument by a^2 in the tail: 1,700 ULP. Here that rounding is carried along, as accurate kernels
do. So it is in sigmoid(w(a)), where it comes out multiplied by w, 160 in float32: w is computed in
numpy's longest format.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from verify.budget import Array, Format
from verify.reference.bounded import RULES, elementwise

# sqrt(1 / 2) = high + low: products of `high` with 29 bits are exact
_HIGH, _LOW = 0.7071067690849304, 1.210161710447897e-08
_DENSITY = 1 / math.sqrt(2 * math.pi)
# w = a (_LINEAR + _CUBIC a^2) = 2 sqrt(2 / pi) (a + 0.044715 a^3)
_LINEAR, _CUBIC = "1.59576912160573071175978", "0.0713548162726002487763388"


def _value(a: torch.Tensor) -> torch.Tensor:
    """erfc(t + d) / 2 = (erfc(t) - 2 d / sqrt(pi) exp(-t^2)) / 2 for a tiny d."""
    x = a.to(torch.float64).clamp(-50.0, 50.0)  # 0 and 1 there
    near = x.to(torch.float32).to(torch.float64)
    t = x * -math.sqrt(0.5)
    d = ((near * -_HIGH - t) + (x - near) * -_HIGH) - x * _LOW
    upper: torch.Tensor = torch.special.erfc(t) - d * (2 / math.sqrt(math.pi)) * torch.exp(-t * t)
    return (upper * 0.5).to(a.dtype)


def _save(ctx: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _pull(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
    (a,) = ctx.saved_tensors
    return grad * (torch.exp(a * a * -0.5) * _DENSITY)


def normal_cdf(fmt: Format, y: Array, a: Array, ea: Array) -> Array:
    """|Phi(a + d) - Phi(a)| <= |d| times the largest density within ea of a.

    As accurate as the device's erfc: k ULP, at most 2 k u relative; eta where it is subnormal.
    """
    nearest = np.maximum(np.abs(a) - ea, 0.0)
    e = np.where(ea == 0, 0.0, np.minimum(1.0, ea * _DENSITY * np.exp(-0.5 * nearest * nearest)))
    return e + 2 * fmt.k_ulp["erfc"] * fmt.u * (y + e) + fmt.eta


# references, which import no torch, find it as t.ops.needle_verify.normal_cdf
_LIBRARY: Any = torch.library.Library("needle_verify", "DEF")  # type: ignore[no-untyped-call]
_LIBRARY.define("normal_cdf(Tensor a) -> Tensor")
_LIBRARY.impl("normal_cdf", _value, "CPU")
torch.library.register_autograd(
    "needle_verify::normal_cdf", _pull, setup_context=_save, lib=_LIBRARY
)
RULES["normal_cdf"] = elementwise("normal_cdf", normal_cdf)


def _nearly(a: torch.Tensor) -> torch.Tensor:
    given: Array = a.detach().numpy()
    x = np.clip(given.astype(np.longdouble), -50.0, 50.0)  # 0 and 1 there
    w = x * (np.longdouble(_LINEAR) + np.longdouble(_CUBIC) * x * x)
    e = np.exp(-np.abs(w))
    y = np.where(w < 0, e, np.longdouble(1.0)) / (1 + e)
    return torch.from_numpy(np.asarray(y, given.dtype))


def _nearly_pull(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
    """By single ops: of a gradient nobody claims that it carries the rounding of w."""
    (a,) = ctx.saved_tensors
    linear, cubic = float(_LINEAR), float(_CUBIC)
    w = a * (a * a * cubic + linear)
    e = torch.exp(torch.where(w < 0, w, -w))
    slope: torch.Tensor = e / ((1 + e) * (1 + e)) * (a * a * (3 * cubic) + linear)
    return grad * slope


def nearly_normal(fmt: Format, y: Array, a: Array, ea: Array) -> Array:
    """|s(a + d) - s(a)| <= |d| times the slope of s = sigmoid(w) at the nearest place to 0.

    Its own: e^-|w| is the square of a root, whose k ULP count twice, and which is corrected for the
    rounding of w; the square, the sum with 1, the quotient, two products and a difference round,
    and what the corrections leave is less than two roundings more. eta where it is subnormal.
    """
    linear, cubic = float(_LINEAR), float(_CUBIC)
    nearest = np.clip(np.abs(a) - ea, 0.0, 50.0)
    power = np.exp(-nearest * (linear + cubic * nearest * nearest))
    slope = power / (1 + power) ** 2 * (linear + 3 * cubic * nearest * nearest)
    e = np.where(ea == 0, 0.0, np.minimum(1.0, ea * slope))
    return (4 * fmt.k_ulp["exp"] + 8) * fmt.u * (y + e) + e + fmt.eta


_LIBRARY.define("nearly_normal(Tensor a) -> Tensor")
_LIBRARY.impl("nearly_normal", _nearly, "CPU")
torch.library.register_autograd(
    "needle_verify::nearly_normal", _nearly_pull, setup_context=_save, lib=_LIBRARY
)
RULES["nearly_normal"] = elementwise("nearly_normal", nearly_normal)
