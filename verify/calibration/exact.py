"""The unary functions in 50 digits, from their definitions: what float64 results are held against.

Also what the oracle itself is measured by. Finite arguments that are not 0; the rest is a matter of
special values.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

from verify.budget import Array

DIGITS = 50


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


def _nearly_normal(x: Any) -> Any:
    return _sigmoid(2 * mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3))


def _erfc(x: Any) -> Any:
    return mpmath.erfc(max(min(x, 1000), -1000))  # mpmath's own fails from 1e154 on


def _gelu(x: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        return x * _nearly_normal(x)
    return x * _erfc(-x / mpmath.sqrt(2)) / 2


_SAME = ("exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "sqrt", "erf", "sign")
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(mpmath, name) for name in _SAME},
    "erfc": _erfc,
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "abs": abs,
    "negate": lambda x: -x,
    "relu": lambda x: max(x, mpmath.mpf(0)),
    "sigmoid": _sigmoid,
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "silu": lambda x: x * _sigmoid(x),
    "gelu": _gelu,
}


def values(name: str, x: npt.NDArray[Any], arguments: dict[str, Any]) -> tuple[Array, Array]:
    """The exact values at x as high + low, both float64; NaN outside the function's domain."""
    function = functools.partial(FUNCTIONS[name], **arguments)
    high, low = np.empty(x.size), np.zeros(x.size)
    with mpmath.workdps(DIGITS):
        for i, v in enumerate(x):
            y = function(mpmath.mpf(float(v)))
            high[i] = math.nan if isinstance(y, mpmath.mpc) else _rounded(y)
            if math.isfinite(high[i]):
                low[i] = float(y - mpmath.mpf(high[i]))
    return high, low


def _rounded(y: Any) -> float:
    """To float64, as IEEE 754 rounds."""
    try:
        return float(y)
    except OverflowError:
        return math.copysign(math.inf, y)
