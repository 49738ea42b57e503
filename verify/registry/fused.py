"""What a fused kernel has in common with the ops that it stands for, each with its bound from both
sides' roundings.

k is an elementary function's error in ULP (verify/accuracy.py), at most 2 k u relative to the
result; 1.1 covers products of such terms.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from verify import budget
from verify.budget import Array, Format
from verify.registry.reduction import reduced_axes


def _terms(x: Array, over: Any) -> int:
    return math.prod(x.shape[d] for d in reduced_axes(over, x.ndim))


def of_powers(f: Any, o: Any, x: Any, axis: Any = -1) -> Any:
    """softmax by ops that are no kernel over rows; of no elements there is no largest."""
    if 0 in x.shape:
        return None
    powers = o.exp(_below(o, x, axis))
    return f(x, axis=axis), o.divide(powers, o.summation(powers, axis, keepdims=True))


def _below(o: Any, x: Any, axis: Any) -> Any:
    return o.add(x, o.negate(o.max(x, axis, keepdims=True)))


def _of_total(fmt: Format, x: Array, over: Any) -> Array:
    """In u, the relative error of s = sum exp(d), d = x - max x: d rounds, |d| at most, exp has
    2 k, and the sum of n terms n - 1. exp(e) - 1 <= 1.1 e for these sizes.
    """
    axes = reduced_axes(over, x.ndim)
    far = np.max(x, axis=axes, keepdims=True) - np.min(x, axis=axes, keepdims=True)
    return np.asarray(1.1 * (far + 2.0 * fmt.k_ulp["exp"] + _terms(x, over)))


def of_powers_bound(fmt: Format, left: Array, x: Array, axis: Any = -1) -> Array:
    """Both sides are exp(d) / s: the error of s, one of exp(d) that is no larger, a quotient."""
    return np.asarray(2.0 * fmt.u * (2.0 * _of_total(fmt, x, axis) + 2.0) * np.abs(left) + fmt.eta)


def log_of_powers(f: Any, o: Any, x: Any, axis: int = -1) -> Any:
    if 0 in x.shape:
        return None
    below = _below(o, x, axis)
    total = o.summation(o.exp(below), axis, keepdims=True)
    return f(x, axis=axis), o.add(below, o.negate(o.log(total)))


def log_of_powers_bound(fmt: Format, left: Array, x: Array, axis: int = -1) -> Array:
    """Both sides are d - log s, |d| <= |left|: what s is off by, 2 k log n of the log, which is
    at most log n, and the roundings of d and the difference.
    """
    own = 2.0 * fmt.k_ulp["log"] * math.log(_terms(x, axis)) + 3.0 * np.abs(left)
    return np.asarray(2.0 * fmt.u * (_of_total(fmt, x, axis) + 1.1 * own) + fmt.eta)


def log_of_total(f: Any, o: Any, x: Any, axes: Any = None, keepdims: bool = False) -> Any:
    if 0 in x.shape:
        return None
    total = o.summation(o.exp(_below(o, x, axes)), axes, keepdims)
    top = o.max(x, axes, keepdims)
    return f(x, axes=axes, keepdims=keepdims), o.add(o.log(total), top)


def log_of_total_bound(
    fmt: Format, left: Array, x: Array, axes: Any = None, keepdims: bool = False
) -> Array:
    """Both sides are log s + max x: as log_of_powers_bound, and the rounding of the sum."""
    own = 2.0 * fmt.k_ulp["log"] * math.log(_terms(x, axes)) + np.abs(left)
    of_total = _of_total(fmt, x, axes).reshape(np.shape(left))
    return np.asarray(2.0 * fmt.u * (of_total + 1.1 * own) + fmt.eta)


def centred(f: Any, o: Any, x: Any, axes: Any = -1, eps: float = 1e-5) -> Any:
    """standardize by ops that are no kernel over rows."""
    if 0 in x.shape:
        return None
    over = reduced_axes(axes, len(x.shape))
    below = o.add(x, o.negate(o.mean(x, over, keepdims=True)))
    variance = o.mean(o.multiply(below, below), over, keepdims=True)
    return f(x, axes=axes, eps=eps), o.multiply(below, o.rsqrt(o.add_scalar(variance, eps)))


def centred_bound(fmt: Format, left: Array, x: Array, axes: Any = -1, eps: float = 1e-5) -> Array:
    """Both sides as in spread_bound: a centred value is off by m + u |x - mean|, the root, relative
    to itself, by m / s + gamma / 2.
    """
    over = reduced_axes(axes, x.ndim)
    gamma = budget.growth(fmt, _terms(x, axes), False, 8)
    deviation = np.sqrt(np.var(x, axis=over, keepdims=True) + eps)
    off = gamma * np.mean(np.abs(x), axis=over, keepdims=True) / deviation
    return np.asarray(2.2 * (off * (1.0 + np.abs(left)) + gamma * np.abs(left)) + fmt.eta)


def affine(f: Any, o: Any, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    y = o.standardize(x, -1, eps)
    return f(x, weight, bias, eps=eps), o.add(o.multiply(y, weight), bias)


def affine_bound(
    fmt: Format, left: Array, x: Array, weight: Array, bias: Array, eps: float = 1e-5
) -> Array:
    """Both sides are y weight + bias, y off by half of centred_bound; a product and a sum round."""
    y = (np.abs(left) + np.abs(bias)) / np.where(weight == 0, 1.0, np.abs(weight))
    size = np.abs(left) + np.abs(bias)
    return np.asarray(
        1.1 * centred_bound(fmt, y, x, -1, eps) * np.abs(weight) + 4.4 * fmt.u * size + fmt.eta
    )


def cell(f: Any, o: Any, gates: Any, c: Any) -> Any:
    rows, n = c.shape
    i, fade, g, out = o.split(o.reshape(gates, (rows, 4, n)), 1)
    fresh = o.multiply(o.sigmoid(i), o.tanh(g))
    after = o.add(o.multiply(o.sigmoid(fade), c), fresh)
    return list(f(gates, c)), [o.multiply(o.sigmoid(out), o.tanh(after)), after]


def cell_bound(fmt: Format, left: Array, gates: Array, c: Array) -> Array:
    """c' has terms up to |c| and 1, with the errors of one function or two, a product and the sum;
    h' has those of c', its own two functions and a product. Both sides. A sigmoid is of exp, a sum
    and a quotient, in any of its forms twice as many.
    """
    own = 2.0 * (4.0 * fmt.k_ulp["exp"] + 4.0) + 4.0 * fmt.k_ulp["tanh"] + 3.0
    return np.asarray(2.2 * fmt.u * own * (np.abs(c) + 1.0))
