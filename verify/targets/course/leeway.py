"""What the course leaves to an implementation, made one form: shapes of full sums, shares of ties.

Nothing wrong passes through here: a full sum of shape (1,) is as right as one of shape (), and of
values that tie for the largest any shares are right that add up to the cotangent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from verify.sampling import Array
from verify.spec import Shape

_SUMS = ("summation", "logsumexp", "max", "nn.SoftmaxLoss")


def results(name: str, found: list[Array], shapes: Sequence[Shape], axes: Any) -> list[Array]:
    """A full sum of shape (1,) as one of shape (), running statistics without an axis of 1."""
    whole = axes is None or len({a % len(shapes[0]) for a in _tuple(axes)}) == len(shapes[0])
    if name in _SUMS and whole and len(found) == 1 and found[0].shape == (1,):
        return [found[0].reshape(())]
    if name in ("nn.BatchNorm1d", "nn.BatchNorm2d"):  # running statistics: (dim,) or (1, dim)
        channels = shapes[1]
        statistics = [y.reshape(channels) if y.shape == (1, *channels) else y for y in found[1:]]
        return [*found[:1], *statistics]
    return found


def seed(value: Array, shape: Shape) -> Array:
    """A cotangent in the shape of the result it belongs to."""
    return value.reshape(shape) if value.size == math.prod(shape) == 1 else value


def gradients(
    name: str,
    found: list[Array],
    inputs: Sequence[Array],
    cotangents: Sequence[Array],
    axes: Any,
) -> list[Array]:
    """Any shares of ties as equal ones, any slope of relu at 0 as 0."""
    if any(g.shape != x.shape for g, x in zip(found, inputs, strict=True)):
        return found
    if name in ("relu", "nn.ReLU"):
        ratio = found[0] * cotangents[0]
        allowed = (ratio >= 0) & (np.abs(found[0]) <= np.abs(cotangents[0]))
        return [np.where((inputs[0] == 0) & allowed, np.zeros_like(found[0]), found[0])]
    if name == "max" and inputs[0].size:
        return [_equal_shares(found[0], inputs[0], axes)]
    return found


def _equal_shares(g: Array, x: Array, axes: Any) -> Array:
    """Ties get the mean of what they got together, where each got a share of one sign."""
    over = tuple(range(x.ndim)) if axes is None else tuple(a % x.ndim for a in _tuple(axes))
    top = x == x.max(axis=over, keepdims=True)
    of_one_sign = np.all(np.where(top, g, 0) >= 0, axis=over, keepdims=True)
    of_one_sign |= np.all(np.where(top, g, 0) <= 0, axis=over, keepdims=True)
    total = np.sum(np.where(top, g, 0), axis=over, keepdims=True, dtype=np.float64)
    mean = (total / np.sum(top, axis=over, keepdims=True)).astype(g.dtype)
    return np.where(top & of_one_sign, mean, g)


def _tuple(axes: Any) -> tuple[int, ...]:
    return axes if isinstance(axes, tuple) else (axes,)
