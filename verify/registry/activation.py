"""Activation functions. References are written so that nothing cancels or overflows in their tails:
torch's own sigmoid is 0 below -709 and its gelu below -8.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from verify.registry.elementwise import REGIONS, UNARY, row
from verify.registry.planning import sample
from verify.spec import Domain

# To the ends of the tails: e^-a is a subnormal number there, and so is erfc(a / sqrt(2)).
_WIDE = (Domain(spread=8.0, huge=lambda largest: 1.05 * math.log(largest)),)
# e^-a stays a normal number: below, a multiplies its rounding or the root's, which differ.
_NORMAL = (Domain(spread=8.0, huge=lambda largest: 0.95 * math.log(largest)),)
_STEEP = (Domain(spread=4.0, huge=lambda largest: 1.05 * math.sqrt(2 * math.log(largest))),)
_TAILED = (*REGIONS, "ties")


def decay(t: Any, a: Any) -> Any:
    """exp(-|a|), with a slope at 0."""
    return t.exp(t.where(a < 0, a, -a))


def sigmoid(t: Any, a: Any) -> Any:
    e = decay(t, a)
    return t.where(a < 0, e, 1.0) / (1 + e)


def _silu(t: Any, a: Any) -> Any:
    # e^-|a| as the square of a root, as kernels have it: the root's error counts twice
    root = t.exp(t.where(a < 0, a, -a) * 0.5)
    e = root * root
    return t.where(a == -math.inf, -0.0, a * (t.where(a < 0, e, 1.0) / (1 + e)))


def _softplus(t: Any, a: Any) -> Any:
    # the threshold is where float64 has nothing left of e^-a; torch's own, 20, is for float32
    return t.nn.functional.softplus(a, 1.0, 700.0)


def _gated(gate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """a gate(a), which tends to -0 for a to -infinity."""
    return lambda t, a: t.where(a == -math.inf, -0.0, a * gate(t, a))


def _normal(t: Any, a: Any) -> Any:
    return t.ops.needle_verify.normal_cdf(a)  # verify/reference/normal.py


def _nearly_normal(t: Any, a: Any) -> Any:
    return t.ops.needle_verify.nearly_normal(a)


def _gelu(t: Any, a: Any, approximate: str = "none") -> Any:
    return _gated(_nearly_normal if approximate == "tanh" else _normal)(t, a)


def _clip(t: Any, a: Any, low: Any = None, high: Any = None) -> Any:
    """NaN passes its cotangent on, which torch drops."""
    return t.where(t.isnan(a), a, t.clamp(a, low, high))


def _bounds(a: Any, low: Any = None, high: Any = None) -> Any:
    """Distances to the bounds that there are."""
    return np.minimum.reduce([np.abs(a - b) for b in (low, high) if b is not None])


def _leaky_relu(found: Any, tensors: Any, where: Any, slope: float, said: bool = True) -> Any:
    """leaky_relu with a slope, or with the one that it has unless told."""
    return found(*tensors, slope) if said else found(*tensors)


# Enough elements for all of both tails, whichever samples the plan picks for the region.
_TAILS = sample((65,), region="huge")
_FORMS = ("none", "tanh")
_SLOPES = (0.01, 0.25, -1.5, 2.0, 0.0)
# Equal bounds that no sample meets: there the gradient is g, and differences would find 0.
_BOUNDS: tuple[dict[str, Any], ...] = (
    {"low": -0.5},
    {"high": -0.25},
    {"low": -1, "high": 0.1},
    {"low": 0.87, "high": 0.87},
)

# Of several operations in torch, and one kernel here: rows of csrc/core/ops.def.
WHOLE = frozenset(("sigmoid", "softplus", "silu", "gelu"))

ROWS = (
    row(
        "relu",
        # x where x is not negative, so that -0 and NaN pass; the gradient at 0 is 0
        lambda t, a: t.where(a == 0, a.detach(), t.relu(a)),
        UNARY,
        regions=_TAILED,
        kinks=lambda a: np.abs(a),
        decided=("special",),
    ),
    row(
        "leaky_relu",
        lambda t, a, slope, said=True: t.where(a > 0, a, a * slope),
        (
            *(sample(*s.shapes, slope=_SLOPES[i % len(_SLOPES)]) for i, s in enumerate(UNARY)),
            sample((40,), slope=0.01, said=False),
        ),
        regions=_TAILED,
        kinks=lambda a, slope, said=True: np.abs(a),
        decided=("special",),
        call=_leaky_relu,
    ),
    row(
        "clip",
        _clip,
        (
            *(sample(*s.shapes, **_BOUNDS[i % len(_BOUNDS)]) for i, s in enumerate(UNARY)),
            # a zero of the other sign is as large as the bound, and stays
            *(sample((40,), region="zeros", low=low, high=low + 1.0) for low in (0.0, -1.0)),
        ),
        regions=_TAILED,
        kinks=_bounds,
        chosen=("low", "high"),
        decided=("special",),
    ),
    row("sigmoid", sigmoid, (*UNARY, _TAILS), domains=_WIDE, regions=_TAILED),
    row("softplus", _softplus, (*UNARY, _TAILS), domains=_WIDE, regions=_TAILED),
    row("silu", _silu, (*UNARY, _TAILS), domains=_NORMAL, regions=_TAILED),
    row(
        "gelu",
        _gelu,
        (
            *(sample(*s.shapes, approximate=_FORMS[i % 2]) for i, s in enumerate(UNARY)),
            *(sample(*_TAILS.shapes, region=_TAILS.region, approximate=f) for f in _FORMS),
        ),
        domains=_STEEP,
        regions=_TAILED,
    ),
)
