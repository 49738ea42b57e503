"""Functions of the op table that numpy has not, or not to the last place, as the numpy backend's.

float32 is computed in float64. Where an exponential would magnify the rounding of its argument, the
rounding error is carried along: `_product` and `_sum` give a rounded result and what it lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Exact: TypeAlias = tuple[Any, Any]  # a value as the unevaluated sum of two numbers

_SQRT_HALF = (0.7071067811865476, -4.833646656726457e-17)
# w = 2 sqrt(2 / pi) (x + 0.044715 x^3): gelu_tanh is x sigmoid(w)
_LINEAR = (1.5957691216057308, -9.96930880911092e-17)
_CUBIC = (0.07135481627260025, -6.175149918155315e-19)


def in_double(f: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """f computed in float64, rounded to the dtype of its argument."""

    def rounded(x: Array) -> Array:
        return np.asarray(f(x.astype(np.float64)), x.dtype)

    return rounded


def times(slope: Callable[[Array], Array]) -> Callable[[Array, Array], Array]:
    """(g, x) to g slope(x), computed in float64, rounded to the dtype of g."""

    def product(g: Any, x: Any) -> Array:
        return np.asarray(np.float64(g) * slope(np.asarray(x, np.float64)), np.asarray(g).dtype)

    return product


def _sum(a: Any, b: Any) -> Exact:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _product(a: Any, b: Any) -> Exact:
    def halves(x: Any) -> Exact:
        scaled = x * 134217729.0  # 2^27 + 1
        high = scaled - (scaled - x)
        return high, x - high

    product = a * b
    (a_high, a_low), (b_high, b_low) = halves(a), halves(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _times(a: Exact, b: Exact) -> Exact:
    high, low = _product(a[0], b[0])
    return high, low + (a[0] * b[1] + a[1] * b[0])


def _size(x: Array) -> Array:
    """|x|, at most 1000: sigmoid(-1000) is 0."""
    return np.minimum(np.abs(x), 1000.0)


def _above(x: Array, tail: Array) -> Array:
    """max(x, 0) - tail; a tail of 0 leaves the sign of x."""
    return np.asarray(np.where(x < 0, -0.0, x) - tail)


def _sigmoid_tail(size: Array, w: Array, low: Any = 0.0) -> Array:
    """size sigmoid(-(w + low)) for w >= 0; the root of e^-w does not underflow."""
    root = np.exp(-w / 2) * (1 - low / 2)
    return np.asarray((size * root) * (root / (1 + root * root)))


def sign(x: Array) -> Array:
    """1, -1; zeros and NaN as they are."""
    return np.where(x == 0, x, np.sign(x))


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x)."""
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, e, 1.0) / (1 + e))


def softplus(x: Array) -> Array:
    """log(1 + e^x)."""
    return np.asarray(np.where(x < 0, -0.0, x) + np.log1p(np.exp(-np.abs(x))))


def silu(x: Array) -> Array:
    """x sigmoid(x)."""
    return _above(x, _sigmoid_tail(_size(x), _size(x)))


def gelu(x: Array) -> Array:
    """x erfc(-x / sqrt(2)) / 2: for t = |x| / sqrt(2) rounded, erfc changes by the slope at t."""
    size = _size(x)
    t, low = _times((size, 0.0), _SQRT_HALF)
    upper = erfc(t) - low * (2 / math.sqrt(math.pi)) * np.exp(-t * t)
    return _above(x, size / 2 * upper)


def gelu_tanh(x: Array) -> Array:
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2."""
    size = _size(x)
    cubic, cubic_low = _times(_product(size, size), _CUBIC)
    slope, slope_low = _sum(_LINEAR[0], cubic)
    w, low = _times((size, 0.0), (slope, slope_low + (cubic_low + _LINEAR[1])))
    return _above(x, _sigmoid_tail(size, w, low))


def _either(x: Array, tail: Array) -> Array:
    """tail, a slope at -|x|, or for positive x what it lacks to 1."""
    return np.asarray(np.where(x < 0, tail, 1 - tail))


def sigmoid_slope(x: Array) -> Array:
    """sigmoid(x) sigmoid(-x)."""
    e = np.exp(-np.abs(x))
    return np.asarray(e / (1 + e) / (1 + e))


def silu_slope(x: Array) -> Array:
    """sigmoid(x) (1 + x sigmoid(-x)); the root of e^-|x| does not underflow."""
    size = _size(x)
    root = np.exp(-size / 2)
    share = 1 / (1 + root * root)
    return _either(x, (root * share) * (root * (1 - size * share)))


def gelu_slope(x: Array) -> Array:
    """Phi(x) + x phi(x) with the distribution function and density of the standard normal."""
    size = _size(x)
    t, low = _times((size, 0.0), _SQRT_HALF)
    upper = erfc(t) - low * (2 / math.sqrt(math.pi)) * np.exp(-t * t)
    square, lost = _product(size, size / 2)
    density = np.exp(-square) * (1 - lost) / math.sqrt(2 * math.pi)
    return _either(x, upper / 2 - size * density)


erf = np.vectorize(math.erf, otypes=[np.float64])
erfc = np.vectorize(math.erfc, otypes=[np.float64])


def converted(a: Array, dtype: np.dtype[Any]) -> Array:
    """As astype, rounded once: ml_dtypes takes float64 and integers to bfloat16 through float32."""
    if dtype.name != "bfloat16" or a.dtype.kind not in "fi" or a.dtype.itemsize < 4:
        return a.astype(dtype)
    exact = a.astype(np.float64)
    near = exact.astype(np.float32)
    # to odd where that was inexact: a further rounding is then that of the exact number
    inexact = (near != exact) & ~np.isnan(exact)
    bits = near.view(np.uint32) - (inexact & (np.abs(near) > np.abs(exact)))
    return np.asarray((bits | inexact).astype(np.uint32).view(np.float32).astype(dtype))
