"""Error rules of torch's means, variances, norms, products and extremes.

As in composed.py, the bound is that of the formula, and of every other that is as right.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from verify import budget
from verify.budget import Format
from verify.reference.bounded import Bounded, Context, _err, constant, rule


def reduced(a: Any, dim: Any) -> list[int]:
    """The axes that `dim` names, counted from 0: all of them for None."""
    given = [dim] if isinstance(dim, int) else dim
    return [d % max(a.dim(), 1) for d in given] if given else list(range(a.dim()))


def mean_of(context: Context, a: Any, axes: list[int], keepdim: bool, less: float = 0) -> Any:
    """sum / n, or sum times 1 / n: the latter has a rounding more."""
    n = math.prod(a.shape[d] for d in axes) - less
    total = torch.sum(a, axes, keepdim) if axes else a
    return total * constant(context, 1 / n if n > 0 else math.nan)


@rule("mean")
def _mean(
    context: Context, y: Any, a: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Any:
    """See mean_of."""
    return _err(mean_of(context, a, reduced(a, dim), keepdim))


def one_pass(fmt: Format, n: int, variance: Any, mean: Any, less: float = 0.0) -> Any:
    """What Welford's way to a variance S / (n - less) loses beside the roundings of its sum S.

    M_k = M_{k-1} + d_k / k, S_k = S_{k-1} + d_k (x_k - M_k), d_k = x_k - M_{k-1}. A running mean is
    off by e_k, |e_k| <= A_k = u / k sum_{2 <= j <= k} (j |M_j| + 2 |d_j|), so S by at most
    2 sum |d_k| A_k, where S = sum d_k^2 (k - 1) / k. With P = sum x^2, j |M_j| <= sqrt(j P), and by
    Cauchy-Schwarz those terms give at most 0.97 (n + 2) u sqrt(P S); those of |d_j| give less than
    8 u S (Hardy's inequality). P >= S. Chan, Golub and LeVeque (1983) have n u sqrt(P / S).
    """
    whole = n / (n - less) if n > less else math.inf
    size = torch.sqrt(variance * (variance + whole * mean**2))
    return budget.growth(fmt.sums, n + 10, False) * size


def _variance(
    context: Context,
    a: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Any, Any]:
    """The mean square of a less its mean, and the mean. One pass over the data is as right."""
    if isinstance(dim, bool):  # var(a, unbiased)
        dim, unbiased = None, dim
    axes = reduced(a, dim)
    mean = mean_of(context, a, axes, True)
    centred = a - mean
    less = float(unbiased is not False) if correction is None else correction
    made = mean_of(context, centred * centred, axes, True, less)
    n = math.prod(a.shape[d] for d in axes)
    error = made.err + one_pass(context.fmt, n, made.elem, mean.elem, less)
    found = Bounded(made.elem, error, context), mean
    if keepdim or not axes:
        return found
    return found[0].squeeze(axes), found[1].squeeze(axes)


@rule("var")
def _var(context: Context, y: Any, *how: Any, **more: Any) -> Any:
    return _err(_variance(context, *how, **more)[0])


@rule("var_mean")
def _var_mean(context: Context, y: Any, *how: Any, **more: Any) -> Any:
    variance, mean = _variance(context, *how, **more)
    return variance.err, mean.err


@rule("std")
def _std(context: Context, y: Any, *how: Any, **more: Any) -> Any:
    return _err(torch.sqrt(_variance(context, *how, **more)[0]))


@rule("linalg_vector_norm")
def _norm(
    context: Context,
    y: Any,
    a: Any,
    ord: float = 2,
    dim: Any = None,
    keepdim: Any = False,
    **_: Any,
) -> Any:
    """The definition; the exponent 1 / ord is rounded."""
    axes, size = reduced(a, dim), torch.abs(a)
    if ord in (math.inf, -math.inf):
        return torch.amax(a.err, axes, keepdim)
    if ord == 2:
        return _err(torch.sqrt(torch.sum(a * a, axes, keepdim)))
    if ord == 1:
        return _err(torch.sum(size, axes, keepdim))
    if ord == 0:
        raise NotImplementedError("[bounded] a norm counts no elements, got ord=0")
    powers = torch.sum(torch.pow(size, ord), axes, keepdim)
    return _err(torch.pow(powers, constant(context, 1 / ord)))


@rule("max", "min")
def _largest(context: Context, y: Any, a: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """It moves by at most the largest error; another element may be the one."""
    if isinstance(dim, Bounded):
        return torch.maximum(a.err, dim.err)
    if dim is None:
        return torch.amax(a.err, list(range(a.dim())))
    return torch.amax(a.err, [dim], keepdim), y[1]


@rule("prod")
def _prod(
    context: Context, y: Any, a: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Any:
    """n factors in any order: n - 1 roundings.

    A partial product that underflows is off by eta times what is left, at most P, the product of
    all that are above 1; where P is beyond the range, a partial one may be.
    """
    axes = reduced(a, dim)
    fmt = context.fmt
    size, most = a.elem.abs(), a.elem.abs() + a.err
    context.seen["prod"] = context.seen.get("prod", 0) + 2  # any order
    lanes = [t.movedim(axes, tuple(range(-len(axes), 0))) if axes else t for t in (size, most)]
    flat = [t.flatten(t.dim() - len(axes)) if axes else t.unsqueeze(-1) for t in lanes]
    n = flat[0].shape[-1]
    low, high = (t.prod(-1) for t in flat)
    above = flat[1].clamp(min=1.0).prod(-1)
    # the lower product misses what float64 rounds
    moved = high - low + torch.where(high > low, n * 2.0**-50 * high, 0.0)
    sums = fmt.sums
    error = moved + budget.growth(sums, max(n - 1, 0), False) * high + n * sums.eta * above
    error = torch.where(above > sums.largest, torch.inf, error)
    return torch.from_numpy(budget.stored(fmt, low.numpy(), error.numpy())).reshape(y.shape)
