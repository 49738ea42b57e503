"""Reductions over all axes, one axis or several, with and without keepdims."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from verify.registry.planning import sample
from verify.spec import Row, Shape


def reduced_axes(axes: Any, ndim: int) -> tuple[int, ...]:
    """axes=None means all of them; torch reads an empty tuple the same way, numpy does not."""
    if axes is None:
        return tuple(range(ndim))
    return tuple(a % ndim for a in (axes if isinstance(axes, tuple) else (axes,)))


def _sum(t: Any, a: Any, axes: Any = None, keepdims: bool = False) -> Any:
    over = reduced_axes(axes, a.dim())
    return a.sum(over, keepdim=keepdims) if over else a.clone()


def _max(t: Any, a: Any, axes: Any = None, keepdims: bool = False) -> Any:
    over = reduced_axes(axes, a.dim())
    return t.amax(a, over, keepdim=keepdims) if over else a.clone()


def _gap(a: Any, axes: Any = None, keepdims: bool = False) -> Any:
    """How far each value is below the largest of its lane: max has its kinks where two tie."""
    over = reduced_axes(axes, a.ndim)
    kept = [d for d in range(a.ndim) if d not in over]
    if a.size == 0:
        return np.zeros(0)
    lanes = a.transpose([*kept, *over]).reshape(math.prod(a.shape[d] for d in kept), -1)
    ordered = np.sort(lanes, axis=1)
    return ordered[:, -1:] - ordered[:, :-1]


def _elements(shapes: tuple[Shape, ...], **_: Any) -> float:
    return float(math.prod(shapes[0]))


_SAMPLES = (
    sample(()),
    sample((1,)),
    sample((7,)),
    sample((16,)),
    sample((65,)),
    sample((1023,), axes=0),
    sample((5, 13), axes=0),
    sample((5, 13), axes=1),
    sample((5, 13), axes=-1, keepdims=True),
    sample((5, 13), keepdims=True),
    sample((31, 33), axes=(0, 1)),
    sample((2, 3, 4), axes=1),
    sample((2, 3, 4), axes=(0, 2)),
    sample((2, 3, 4), axes=(-1, 0), keepdims=True),
    sample((3, 1, 17, 2), axes=(1, 2)),
    sample((4, 9, 8), axes=-2),
    sample((2, 257), axes=1),
    sample((129, 3), axes=0),
    sample((2, 0, 3), axes=2),
)
_REGIONS = ("tiny", "huge", "zeros", "special", "integer", "ties", "denormal")

ROWS = (
    Row(
        name="summation",
        family="reduction",
        reference=_sum,
        samples=(*_SAMPLES, sample((0,)), sample((2, 0, 3), axes=1), sample((40000,))),
        regions=_REGIONS,
        linear=True,
        signed_zero=False,  # a sum starts from 0
        flops=_elements,
    ),
    Row(
        name="max",
        family="reduction",
        reference=_max,
        samples=_SAMPLES,
        regions=_REGIONS,
        kinks=_gap,
        signed_zero=False,
        flops=_elements,
    ),
)
