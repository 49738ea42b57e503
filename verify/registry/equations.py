"""Equations between ops that are exact on small integers: a side is an op's, or numpy's own answer.

Each is (the row's op, other ops by name, *tensors, **arguments) -> its two sides, None where it
does not apply.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from verify.budget import Array
from verify.registry.reduction import reduced_axes

_LONGEST = 40  # steps that are worth taking one by one


def one_by_one(combine: str, longest: int = _LONGEST) -> Callable[..., Any]:
    """A reduction as its op of two operands, one slice after another."""

    def sides(f: Any, o: Any, x: Any, axes: Any = None, keepdims: bool = False) -> Any:
        over = reduced_axes(axes, len(x.shape))
        if not 1 < math.prod(x.shape[d] for d in over) <= longest:
            return None
        y = x
        for axis in over:
            first, *rest = o.split(y, axis)
            for part in rest:
                first = getattr(o, combine)(first, part)
            y = o.unsqueeze(first, axis)
        got = f(x, axes=axes, keepdims=keepdims)
        kept = [n for d, n in enumerate(x.shape) if d not in over]
        return got, y if keepdims else o.reshape(y, tuple(kept))

    return sides


def running(f: Any, o: Any, x: Any, axis: int, reverse: bool = False) -> Any:
    if not 1 < x.shape[axis] <= _LONGEST:
        return None
    parts = list(o.split(x, axis))[:: -1 if reverse else 1]
    for i in range(1, len(parts)):
        parts[i] = o.add(parts[i - 1], parts[i])
    return f(x, axis=axis, reverse=reverse), o.stack(parts[:: -1 if reverse else 1], axis)


def products(f: Any, o: Any, a: Any, b: Any) -> Any:
    if min(len(a.shape), len(b.shape)) < 2:
        return None
    terms = o.multiply(o.unsqueeze(a, -1), o.unsqueeze(b, -3))
    return f(a, b), o.summation(terms, -2)


def einsum(f: Any, o: Any, *tensors: Any, spec: str) -> Any:
    same: dict[str, Callable[..., Any]] = {
        **dict.fromkeys(("ij,jk->ik", "ij,jk", "bij,bjk->bik", "...ij,...jk"), o.matmul),
        "ij->ji": o.transpose,
        "ij->": o.summation,
        "i,i->i": o.multiply,
        "i,j": lambda a, b: o.multiply(o.unsqueeze(a, -1), b),
        "bhqd,bhkd->bhqk": lambda q, k: o.matmul(q, o.transpose(k)),
        "ab,bc,cd->ad": lambda a, b, c: o.matmul(o.matmul(a, b), c),
        "...i,ji->j...": lambda a, b: o.permute(o.matmul(a, o.transpose(b)), (2, 0, 1)),
    }
    return None if spec not in same else (f(*tensors, spec=spec), same[spec](*tensors))


def pair(v: Any) -> tuple[int, int]:
    return v if isinstance(v, tuple) else (v, v)


def _taps(o: Any, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """For each tap of a kernel what it sees of the NHWC images, padded with zeros."""
    (kh, kw), s, p, d = pair(kernel), pair(stride), pair(padding), pair(dilation)
    if any(p):
        x = o.pad(x, ((0, 0), (p[0], p[0]), (p[1], p[1]), (0, 0)))
    rows, columns = (
        (n - d[i] * (k - 1) - 1) // s[i]
        for i, (n, k) in enumerate(zip(x.shape[1:3], (kh, kw), strict=True))
    )
    for i in range(kh):
        for j in range(kw):
            top, left = i * d[0], j * d[1]
            yield (
                (i, j),
                o.getitem(
                    x,
                    (
                        slice(None),
                        slice(top, top + rows * s[0] + 1, s[0]),
                        slice(left, left + columns * s[1] + 1, s[1]),
                    ),
                ),
            )


def conv(
    f: Any,
    o: Any,
    x: Any,
    w: Any,
    stride: Any = 1,
    padding: Any = 1,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """The sum over the taps of matmuls, each group of channels for itself."""
    inputs, outputs = w.shape[2], w.shape[3] // groups
    parts = []
    for g in range(groups):
        total = None
        channels = o.getitem(x, (..., slice(g * inputs, (g + 1) * inputs)))
        for tap, seen in _taps(o, channels, w.shape[:2], stride, padding, dilation):
            weights = o.getitem(w, (*tap, ..., slice(g * outputs, (g + 1) * outputs)))
            term = o.matmul(seen, weights)
            total = term if total is None else o.add(total, term)
        parts.append(total)
    whole = f(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return whole, parts[0] if groups == 1 else o.concatenate(parts, -1)


def max_pool(f: Any, o: Any, x: Any, kernel: Any, stride: Any = None, padding: Any = 0) -> Any:
    if any(pair(padding)):
        return None
    seen = [part for _, part in _taps(o, x, kernel, stride or kernel, 0, 1)]
    largest = seen[0]
    for part in seen[1:]:
        largest = o.maximum(largest, part)
    return f(x, kernel=kernel, stride=stride, padding=padding), largest


def avg_pool(
    f: Any, o: Any, x: Any, kernel: Any, stride: Any = None, padding: Any = 0, **inside: Any
) -> Any:
    if not inside.get("count_include_pad", True):
        return None
    total = None
    for _, part in _taps(o, x, kernel, stride or kernel, padding, 1):
        total = part if total is None else o.add(total, part)
    whole = f(x, kernel=kernel, stride=stride, padding=padding, **inside)
    return whole, o.divide_scalar(total, float(math.prod(pair(kernel))))


def mean(f: Any, o: Any, x: Any, axes: Any = None, keepdims: bool = False) -> Any:
    n = math.prod(x.shape[d] for d in reduced_axes(axes, len(x.shape)))
    total = o.summation(x, axes, keepdims=keepdims)
    return f(x, axes=axes, keepdims=keepdims), o.divide_scalar(total, float(n))


def no_freedom(
    f: Any, o: Any, x: Any, axes: Any = None, keepdims: bool = False, correction: float = 0
) -> Any:
    """With as many corrections as elements, what is not 0 is infinite: above all variances here."""
    n = math.prod(x.shape[d] for d in reduced_axes(axes, len(x.shape)))
    got = f(x, axes=axes, keepdims=keepdims, correction=n)
    largest, smallest = (of(x, axes, keepdims=keepdims) for of in (o.max, o.min))
    return o.greater(got, o.tensor(np.full(got.shape, 1e4))), o.greater(largest, smallest)


def flip(f: Any, o: Any, x: Any, axes: Any) -> Any:
    over = reduced_axes(axes, len(x.shape))
    steps = tuple(slice(None, None, -1 if d in over else 1) for d in range(len(x.shape)))
    return f(x, axes=axes), o.getitem(x, steps)


def transpose(f: Any, o: Any, x: Any, axes: Any = None) -> Any:
    order = list(range(len(x.shape)))
    i, j = axes or (-1, -2)
    order[i], order[j] = order[j], order[i]
    return f(x, axes=axes), o.permute(x, tuple(order))


def undilate(f: Any, o: Any, x: Any, axes: Any, dilation: int) -> Any:
    over = reduced_axes(axes, len(x.shape))
    steps = tuple(slice(None, None, dilation + 1 if d in over else 1) for d in range(len(x.shape)))
    return f(x, axes=axes, dilation=dilation), o.getitem(x, steps)


def pad(f: Any, o: Any, x: Any, padding: Any) -> Any:
    inside = tuple(slice(a, a + n) for (a, _), n in zip(padding, x.shape, strict=True))
    return o.getitem(f(x, padding=padding), inside), x


def scattered(a: Array, index: Any, axis: int, n: int) -> Array:
    lanes = np.moveaxis(a, axis, 0)
    places = np.moveaxis(np.broadcast_to(index, a.shape), axis, 0)
    y = np.zeros((n, *lanes.shape[1:]), a.dtype)
    np.add.at(y, (places, *np.indices(lanes.shape)[1:]), lanes)
    return np.moveaxis(y, 0, axis)


def dropped(x: Array, p: float = 0.5, training: bool = True) -> Array:
    """The row's call seeds numpy's generator with 1."""
    if not training:
        return x
    np.random.seed(1)
    kept = np.random.rand(*x.shape) <= 1 - p
    return np.asarray(kept * x / (1 - p) if p < 1 else 0 * x, x.dtype)
