"""Equations between ops that hold up to rounding, each with its bound from both sides' roundings.

k is an elementary function's error in ULP (verify/accuracy.py), at most 2 k u relative to the
result; 1.1 covers products of such terms. In 16 bits sums add up in more, and what they come to is
stored: see `_stored`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from verify import budget
from verify.accuracy import WHOLE_ULP
from verify.budget import Array, Format
from verify.precision import PRECISIONS
from verify.registry.reduction import reduced_axes


def relative(roundings: Callable[[Format], float]) -> Callable[..., Array]:
    """Both sides are one exact value with so many relative errors of u together."""

    def bound(fmt: Format, left: Array, *inputs: Array, **arguments: Any) -> Array:
        own = budget.growth(fmt, 0, False, math.ceil(roundings(fmt)))
        return np.asarray(own * np.abs(left))

    return bound


def in_float64(f: Any, o: Any, x: Any, **arguments: Any) -> Any:
    """A function beside itself in float64: the bound of its formula is wide in its tails."""
    if str(x.dtype) == "float64":
        return None
    wide = type(x)(x.numpy().astype(np.float64), device=x.device, dtype="float64")
    return f(x, **arguments), o.gelu(wide, **arguments).numpy()


def in_float64_bound(fmt: Format, left: Array, x: Array, **_: Any) -> Array:
    """The ULP of the kernel, which are measured whole; a ULP is at most 2 u |y|. In 16 bits one
    more rounding.
    """
    inner = fmt if fmt.inner is None else fmt.sums
    own = 2.0 * WHOLE_ULP["gelu"] * inner.u + (0.0 if fmt.inner is None else 2.0 * fmt.u)
    return np.asarray(1.1 * own * np.abs(left) + (WHOLE_ULP["gelu"] + 1.0) * fmt.eta)


def averaged(terms: Callable[..., int]) -> Callable[..., Array]:
    """Averages of so many integers, summed or divided first: sums are exact in one order of the
    two, and in the other each term has a rounding of its own.
    """

    def bound(fmt: Format, left: Array, x: Array, **arguments: Any) -> Array:
        n = terms(x, **arguments)
        return np.asarray(budget.growth(fmt, n, False, 3) * np.max(np.abs(x)))

    return bound


def _stored(fmt: Format, sums: int) -> int:
    """Roundings of so many sums to fewer bits."""
    return 0 if fmt.inner is None else sums


def _terms(x: Array, over: Any) -> int:
    return math.prod(x.shape[d] for d in reduced_axes(over, x.ndim))


def share_bound(fmt: Format, left: Array, *inputs: Array, axis: Any = -1, **_: Any) -> Array:
    """The quotients of n powers by their own sum: one division each, n - 1 roundings in the sum
    and n - 1 in the sum of the quotients. A quotient may be a product with the reciprocal: one
    more. How accurate the powers are does not matter.
    """
    return _of_shares(fmt, _terms(inputs[0], axis))


def _of_shares(fmt: Format, n: int) -> Array:
    own = budget.growth(fmt, 2 * n - 2, False, 2 + _stored(fmt, 2))
    return np.asarray(own + n * fmt.eta)


def shares(f: Any, o: Any, x: Any, axis: Any = -1) -> Any:
    return o.summation(f(x, axis=axis), axis), np.ones(())


def weights(f: Any, o: Any, q: Any, k: Any, **how: Any) -> Any:
    return o.summation(f(q, k, **how), -1), np.ones(())


def weights_bound(fmt: Format, left: Array, q: Array, k: Array, **_: Any) -> Array:
    return _of_shares(fmt, k.shape[-2])


def logs(f: Any, o: Any, x: Any, axis: int = -1) -> Any:
    return o.summation(o.exp(f(x, axis=axis)), axis), np.ones(())


def logs_bound(fmt: Format, left: Array, x: Array, axis: int = -1) -> Array:
    """sum exp(y) = 1 where y = d - log s, d = x - max x and s = sum exp(d), n terms.

    d rounds: u |d|; exp: 2 k u; s: n - 1 roundings; its log: 2 k u log n and the error of s; y: u
    |y|, |y| <= |d| + log n. So y is off by e, alike in all terms or not; exp and the sum here
    add 2 k u + (n - 1) u.
    """
    n = _terms(x, axis)
    far = np.max(x, axis=axis) - np.min(x, axis=axis)
    k = 4.0 * fmt.k_ulp["exp"] + 2.0 * fmt.k_ulp["log"] * (1 + math.log(n))
    e = fmt.u * (3.0 * far + k + 2.0 * math.log(n) + 2.0 + _stored(fmt, 2)) + 2.0 * n * fmt.sums.u
    return np.asarray(np.expm1(1.1 * e))


def total(f: Any, o: Any, x: Any, axes: Any = None, keepdims: bool = False) -> Any:
    return o.exp(f(x, axes=axes, keepdims=keepdims)), o.summation(o.exp(x), axes, keepdims)


def total_bound(
    fmt: Format, left: Array, x: Array, axes: Any = None, keepdims: bool = False
) -> Array:
    """Relative, as logs_bound: both sums, their exp, the log, and the exp of it: its argument y
    is off by u |y| more.
    """
    n, reach = _terms(x, axes), 2.0 * float(np.max(np.abs(x))) + math.log(_terms(x, axes))
    k = 6.0 * fmt.k_ulp["exp"] + 2.0 * fmt.k_ulp["log"] * (1 + math.log(n))
    e = fmt.u * (3.0 * reach + k + _stored(fmt, 2)) + 2.0 * n * fmt.sums.u
    return np.asarray(np.expm1(1.1 * e) * np.abs(left))


def inverse(other: str) -> Callable[..., Any]:
    """other(f(x)) = x, for |x| <= 2: beyond, the inverse is flat."""

    def sides(f: Any, o: Any, x: Any) -> Any:
        near = o.clip(x, -2.0, 2.0)
        return getattr(o, other)(f(near)), near

    return sides


def log_exp(fmt: Format, left: Array, x: Array) -> Array:
    """exp is off by 2 k u relative, which log turns into as much absolute; log adds its own."""
    k = fmt.k_ulp
    return np.asarray(1.1 * (2 * k["exp"] + k["log"] * 2 * np.abs(left)) * fmt.u + fmt.eta)


def exp_log(fmt: Format, left: Array, x: Array) -> Array:
    k = fmt.k_ulp
    own = 2 * k["exp"] + 2 * k["log"] * np.abs(np.log(np.abs(left)))
    return np.asarray(1.1 * own * fmt.u * np.abs(left))


def log1p_expm1(fmt: Format, left: Array, x: Array) -> Array:
    """log1p(y): relative condition y / ((1 + y) log1p y) <= exp(|x|) near x, |x| <= 2."""
    k = fmt.k_ulp
    own = 2 * k["expm1"] * np.exp(np.abs(left)) + 2 * k["log1p"]
    return np.asarray(1.1 * own * fmt.u * np.abs(left) + fmt.eta)


def expm1_log1p(f: Any, o: Any, x: Any) -> Any:
    near = o.clip(x, -0.5, 8.0)
    return o.expm1(f(near)), near


def expm1_log1p_bound(fmt: Format, left: Array, x: Array) -> Array:
    """expm1(y): relative condition y exp(y) / (exp(y) - 1) = (1 + x) log1p(x) / x <= 1 + |y|."""
    k = fmt.k_ulp
    own = 2 * k["log1p"] * (1 + np.abs(np.log1p(left))) + 2 * k["expm1"]
    return np.asarray(1.1 * own * fmt.u * np.abs(left) + fmt.eta)


def one(first: str, combine: Callable[..., Any]) -> Callable[..., Any]:
    return lambda f, o, x: (combine(f(x), getattr(o, first)(x), o), np.ones(()))


def complements(fmt: Format, *names: str) -> Array:
    """Two numbers in [0, 1] (for erf: [-1, 1], [0, 2]) each off by 2 k u of itself, and a sum."""
    return np.asarray(1.1 * fmt.u * (sum(4 * fmt.k_ulp[name] for name in names) + 2))


def squares_are_one(fmt: Format, left: Array, x: Array) -> Array:
    """s s + c c: squares double the relative errors, a product and the sum round."""
    k = max(fmt.k_ulp["sin"], fmt.k_ulp["cos"])
    return np.asarray(1.1 * fmt.u * (4 * k + 2))


def logistic(f: Any, o: Any, x: Any) -> Any:
    reach = min(30.0, 0.8 * math.log(PRECISIONS[x.dtype].largest))
    near = o.clip(x, -reach, reach)
    return o.multiply(f(near), o.add_scalar(o.exp(o.negate(near)), 1.0)), np.ones(())


def logistic_bound(fmt: Format, left: Array, x: Array) -> Array:
    """f: exp, a sum and a quotient, in any of its forms twice as many; the other factor: exp and a
    sum; the product.
    """
    return np.asarray(1.1 * fmt.u * (6 * fmt.k_ulp["exp"] + 6))


def softplus_bound(fmt: Format, left: Array, x: Array) -> Array:
    """max(x, 0) + log1p(exp(-|x|)): of two values up to |x| + 1, each with the errors of exp,
    log1p and a sum; the difference rounds.
    """
    k = 2 * fmt.k_ulp["exp"] + 2 * max(fmt.k_ulp["log1p"], fmt.k_ulp["log"]) + 3
    return np.asarray(1.1 * fmt.u * (2 * k * (np.abs(x) + 1) + np.abs(x)))


def _pow_bound(fmt: Format, left: Array, x: Array, scalar: float) -> Array:
    return np.asarray(fmt.k_ulp["pow"] * budget.ulp(fmt, left))


def powers(f: Any, o: Any, x: Any, scalar: float) -> Any:
    known: dict[float, Callable[[], Any]] = {
        0: lambda: o.tensor(np.ones(x.shape)),
        1: lambda: x,
        2: lambda: o.multiply(x, x),
        3: lambda: o.multiply(o.multiply(x, x), x),
        -1: lambda: o.divide(o.tensor(np.ones(x.shape)), x),
        0.5: lambda: o.sqrt(x),
        -1.5: lambda: o.rsqrt(o.multiply(o.multiply(x, x), x)),
    }
    return (f(x, scalar=scalar), known[scalar]()) if scalar in known else None


def powers_bound(fmt: Format, left: Array, x: Array, scalar: float) -> Array:
    """pow's error, and up to four roundings on the other side (rsqrt: 1.5 ULP)."""
    return np.asarray((2 * fmt.k_ulp["pow"] + 7) * fmt.u * np.abs(left))


def spread_out(f: Any, o: Any, x: Any, axes: Any = -1, eps: float = 1e-5) -> Any:
    if 0 in x.shape:
        return None
    y = f(x, axes=axes, eps=eps)
    over = reduced_axes(axes, len(x.shape))
    exact = x.numpy().astype(np.longdouble)
    variance = np.var(exact, axis=over)
    return o.mean(o.multiply(y, y), over), np.asarray(variance / (variance + eps), np.float64)


def spread_bound(fmt: Format, left: Array, x: Array, axes: Any = -1, eps: float = 1e-5) -> Array:
    """Relative to 1: the mean is off by m = gamma mean|x|, a centred value by m + u |x - mean|,
    so the variance (divided by itself + eps) by 2 m / s + gamma, and y y by twice that of y.
    """
    over = reduced_axes(axes, x.ndim)
    n = _terms(x, axes)
    gamma = budget.growth(fmt, n, False, 8)
    deviation = np.sqrt(np.var(x, axis=over) + eps)
    return np.asarray(1.1 * gamma * (4.0 * np.mean(np.abs(x), axis=over) / deviation + 6.0))
