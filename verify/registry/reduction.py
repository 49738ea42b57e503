"""Reductions over all axes, one axis or several, with and without keepdims."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from verify.registry.planning import MANY, sample
from verify.spec import Domain, Row, Shape


def reduced_axes(axes: Any, ndim: int) -> tuple[int, ...]:
    """axes=None means all of them; torch reads an empty tuple the same way, numpy does not.

    Raises: IndexError for an axis outside of [-ndim, ndim), ValueError for one that comes twice.
    """
    return tuple(range(ndim)) if axes is None else normalize_axis_tuple(axes, ndim)


def _sum(t: Any, a: Any, axes: Any = None, keepdims: bool = False) -> Any:
    over = reduced_axes(axes, a.dim())
    return a.sum(over, keepdim=keepdims) if over else a.clone()


def extreme(
    t: Any, a: Any, over: tuple[int, ...], keepdims: bool = False, smallest: bool = False
) -> Any:
    """torch's amax or amin, whose gradient is 0 / 0 where NaN wins: NaNs share it, as ties do."""
    found, last = (t.amin, math.inf) if smallest else (t.amax, -math.inf)
    odd = t.isnan(a)
    if not odd.any():
        return found(a, over, keepdim=keepdims)
    count = odd.sum(over, keepdim=keepdims)
    shared = t.where(odd, a, 0.0).sum(over, keepdim=keepdims) / count.clamp(min=1)
    return t.where(count > 0, shared, found(t.where(odd, last, a), over, keepdim=keepdims))


def _max(t: Any, a: Any, axes: Any = None, keepdims: bool = False) -> Any:
    over = reduced_axes(axes, a.dim())
    return extreme(t, a, over, keepdims) if over else a.clone()


def _min(t: Any, a: Any, axes: Any = None, keepdims: bool = False) -> Any:
    over = reduced_axes(axes, a.dim())
    return extreme(t, a, over, keepdims, smallest=True) if over else a.clone()


def _prod(t: Any, a: Any, axes: Any = None, keepdims: bool = False) -> Any:
    """One factor after another: torch's own gradient divides by the element."""
    over = reduced_axes(axes, a.dim())
    kept = [d for d in range(a.dim()) if d not in over]
    lanes = a.permute([*kept, *over]).reshape([*(a.shape[d] for d in kept), _length(a.shape, over)])
    y = t.ones([a.shape[d] for d in kept], dtype=a.dtype)
    for i, factor in enumerate(lanes.unbind(-1)):
        y = factor.clone() if i == 0 else y * factor
    return y.reshape([1 if d in over else n for d, n in enumerate(a.shape)]) if keepdims else y


def _mean(t: Any, a: Any, axes: Any = None, keepdims: bool = False) -> Any:
    over = reduced_axes(axes, a.dim())
    return _sum(t, a, axes, keepdims) / _length(a.shape, over)


def _var(t: Any, a: Any, axes: Any = None, keepdims: bool = False, correction: float = 0) -> Any:
    centred = a - _mean(t, a, axes, True)
    n = _length(a.shape, reduced_axes(axes, a.dim())) - correction
    return _sum(t, centred * centred, axes, keepdims) / max(n, 0)


def _cumsum(t: Any, a: Any, axis: int, reverse: bool = False) -> Any:
    if reverse:
        return _cumsum(t, a.flip(axis), axis).flip(axis)
    first, sums = a.select(axis, 0) if a.numel() else a, a.cumsum(axis)
    if not ((first == 0) & t.signbit(first)).any():
        return sums
    steps: list[Any] = []  # from the first element: torch starts from 0, which loses a -0
    for term in a.unbind(axis):
        steps.append(steps[-1] + term if steps else term.clone())
    # the bound of these is of their order; other orders are as right
    ordered = t.stack(steps, axis)
    return t.where((ordered == 0) & t.signbit(ordered), ordered, sums)


def _length(shape: Shape, over: tuple[int, ...]) -> int:
    return math.prod(shape[d] for d in over)


def _place(reference: str) -> Any:
    """An index as two digits to the base 256, which every dtype holds: cases have one dtype."""

    def call(op: Any, tensors: Any, where: Any, **arguments: Any) -> Any:
        place = op(*tensors, **arguments)
        make, index = type(place), place.numpy()
        return tuple(
            make(digit, device=place.device, dtype=where["dtype"])
            for digit in (index // 256, index % 256)
        )

    def found(t: Any, a: Any, axis: Any = None, keepdims: bool = False) -> Any:
        index = getattr(t, reference)(a, axis, keepdims)
        return index // 256, index % 256

    return {"reference": found, "call": call}


def _gap(a: Any, axes: Any = None, keepdims: bool = False) -> Any:
    """How far each value is below the largest of its lane: max has its kinks where two tie."""
    over = reduced_axes(axes, a.ndim)
    kept = [d for d in range(a.ndim) if d not in over]
    if a.size == 0:
        return np.zeros(0)
    lanes = a.transpose([*kept, *over]).reshape(math.prod(a.shape[d] for d in kept), -1)
    ordered = np.sort(lanes, axis=1)
    return ordered[:, -1:] - ordered[:, :-1]


def _gap_below(a: Any, **over: Any) -> Any:
    """The same from the smallest, for min."""
    return _gap(-a, **over)


def _elements(shapes: tuple[Shape, ...], **_: Any) -> float:
    return float(math.prod(shapes[0]))


_SAMPLES = (
    sample(()),
    sample((1,)),
    sample((7,)),
    sample((16,)),
    sample((65,)),
    sample((1023,), axes=0),
    sample((2, 4, 5), axes=-1),
    sample((5, 3, 4), axes=-3),
    sample((5, 13), axes=-1, keepdims=True),
    sample((5, 13), keepdims=True),
    sample((31, 33), axes=(0, 1)),
    sample((2, 3, 4), axes=1),
    sample((2, 3, 4), axes=(0, -1)),
    sample((2, 3, 4), axes=(-1, 0), keepdims=True),
    sample((3, 1, 17, 2), axes=(1, 2)),
    sample((4, 9, 8), axes=-2),
    sample((2, 257), axes=1),
    sample((129, 3), axes=0),
    sample((2, 0, 3), axes=2),
)
_LONG = (sample((40000,)), sample((3, 20011), axes=1))  # in parts
_MANY = (sample(MANY, axes=0), sample(MANY, axes=1), sample(MANY))
_REGIONS = ("tiny", "huge", "zeros", "special", "integer", "ties", "denormal")

ROWS = (
    Row(
        name="summation",
        family="reduction",
        reference=_sum,
        samples=(*_SAMPLES, sample((0,)), sample((2, 0, 3), axes=1), *_LONG, *_MANY),
        regions=_REGIONS,
        linear=True,
        signed_zero=False,  # a sum starts from 0
        flops=_elements,
    ),
    Row(
        name="max",
        family="reduction",
        reference=_max,
        samples=(
            *(*_SAMPLES, *_MANY),
            *(sample((3, 13000), axes=1), sample((2100, 16), axes=0)),  # a few results, in parts
        ),
        regions=_REGIONS,
        kinks=_gap,
        decided=("special",),
        signed_zero=False,
        flops=_elements,
    ),
    Row(
        name="min",
        family="reduction",
        reference=_min,
        samples=_SAMPLES,
        regions=_REGIONS,
        kinks=_gap_below,
        decided=("special",),
        signed_zero=False,
        flops=_elements,
    ),
    Row(
        name="prod",
        family="reduction",
        reference=_prod,
        samples=(
            *(s for s in _SAMPLES if math.prod(s.shapes[0]) < 500),  # a step each, in the reference
            sample((0,)),
            sample((2, 0, 3), axes=1),
            sample((3, 30000), axes=0),
        ),
        # about 1: products of the factors that happen to meet first stay in range
        domains=(Domain(nonzero=True, spread=0.3),),
        regions=("zeros", "ties"),
        signed_zero=False,
        flops=_elements,
    ),
    Row(
        name="mean",
        family="reduction",
        reference=_mean,
        samples=_SAMPLES,
        regions=_REGIONS,
        linear=True,
        signed_zero=False,
        flops=_elements,
    ),
    Row(
        name="var",
        family="reduction",
        reference=_var,
        samples=(
            sample((2,)),
            sample((7,)),
            sample((65,), axes=0, correction=1),
            sample((1023,), axes=-1, correction=1),
            sample((2, 4, 5), axes=-1),
            sample((5, 3, 4), axes=-3),
            sample((5, 13), axes=-1, keepdims=True, correction=1),
            sample((5, 13), keepdims=True),
            sample((2, 3, 4), axes=(0, -1)),
            sample((2, 3, 4), axes=(-1, 0), correction=2),
            sample((3, 1, 17, 2), axes=(1, 2)),
            sample((4, 9, 8), axes=-2),
            sample((1,)),
            sample((5, 1), axes=1, correction=0.5),
        ),
        regions=(*_REGIONS, "shifted"),
        signed_zero=False,
        flops=_elements,
    ),
    Row(
        name="cumsum",
        family="reduction",
        reference=_cumsum,
        samples=(
            sample((1,), axis=0),
            sample((7,), axis=0),
            sample((65,), axis=-1),
            sample((1023,), axis=0, reverse=True),
            sample(MANY, axis=0),
            sample(MANY, axis=1),
            sample((2, 4, 5), axis=-1),
            sample((5, 3, 4), axis=-3),
            sample((2, 3, 4), axis=-2, reverse=True),
            sample((3, 1, 17, 2), axis=2),
            sample((2, 0, 3), axis=1),
            sample((0, 5), axis=-1),
            sample((4, 9, 8), axis=1, region="zeros"),  # of many lanes, some begin with -0
            sample((129, 70), axis=0, reverse=True),
            sample((700, 120), axis=1),
            sample((*(1,) * 7, 6200), axis=-1),  # in parts, where no further axis is to be had
        ),
        regions=_REGIONS,
        linear=True,
        flops=_elements,
    ),
    *(
        Row(
            name=name,
            family="reduction",
            **_place(name),
            samples=(
                sample((7,)),
                sample((65,), axis=0),
                sample((1023,), axis=-1),
                sample((5, 11)),
                sample((5, 13), keepdims=True),
                sample((2, 4, 5), axis=-1),
                sample((5, 3, 4), axis=-3),
                sample((5, 13), axis=-1, keepdims=True),
                sample((2, 3, 4), axis=1),
                sample((2, 3, 4), axis=-3, keepdims=True),
                sample((4, 9, 8), axis=-2),
                sample((0, 3), axis=1),
                sample((3, 30000), axis=1),
            ),
            regions=("tiny", "huge", "special", "integer", "ties", "denormal"),
            differentiable=False,
            flops=_elements,
        )
        for name in ("argmax", "argmin")
    ),
)
