"""Ops that choose elements by an array: of places along an axis, or a mask."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from verify.registry.planning import sample
from verify.spec import Domain, Row, Shape

_REGIONS = ("special", "zeros", "denormal", "integer")


def _places(shape: Shape, n: int) -> Any:
    """Places of n in this shape: repeated ones, negative ones and both ends among them."""
    count = math.prod(shape)
    return (np.arange(count) * 7 % (2 * n) - n).reshape(shape) if count else np.zeros(shape, int)


def _indexed(arguments: dict[str, Any]) -> dict[str, Any]:
    """A sample holds shape and range of the index: in full it would be as long as the data."""
    name = "indices" if "indices" in arguments else "index"
    return {**arguments, name: _places(*arguments[name])}


def _from_start(t: Any, index: Any, n: int) -> Any:
    return t.from_numpy(np.where(index < 0, index + n, index))


def _gather(t: Any, a: Any, index: Any, axis: int) -> Any:
    return t.take_along_dim(a, _from_start(t, index, a.shape[axis]), axis)


def _take(t: Any, a: Any, indices: Any, axis: int) -> Any:
    axis %= a.dim()
    before, after = a.shape[:axis], a.shape[axis + 1 :]
    flat = _from_start(t, indices, a.shape[axis]).reshape(
        [*(1 for _ in before), -1, *(1 for _ in after)]
    )
    slices = t.gather(a, axis, flat.expand(*before, indices.size, *after))
    return slices.reshape([*before, *indices.shape, *after])


def _scatter_add(t: Any, a: Any, index: Any, axis: int, n: int) -> Any:
    shape = list(a.shape)
    shape[axis] = n
    places = _from_start(t, np.broadcast_to(index, a.shape), n)
    return t.scatter_add(t.zeros(shape, dtype=a.dtype), axis, places, a)


def _mask(shape: Shape, signed: bool) -> Any:
    """Every third; signed: numbers, where all but a zero choose."""
    count = math.prod(shape)
    numbers = np.resize([-1.0, 0.0, 2.0, -0.0, np.nan], count)
    return (numbers if signed else np.arange(count) % 3 == 0).reshape(shape)


def _where_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    others = {k: v for k, v in arguments.items() if k != "signed"}
    return others | {"mask": _mask(arguments["mask"], arguments.get("signed", False))}


def _where(op: Any, tensors: Any, where: Any, mask: Any, numbers: Any = ()) -> Any:
    if mask.dtype == np.float64:
        mask = type(tensors[0])(mask, **where, requires_grad=False)
    return op(mask, *tensors, *numbers)


def _row(name: str, reference: Any, *samples: Any, **more: Any) -> Row:
    return Row(
        **{
            "name": name,
            "family": "indexing",
            "reference": reference,
            "samples": samples,
            "regions": _REGIONS,
            "arguments": _indexed,
            "linear": True,
            **more,
        }
    )


ROWS = (
    _row(
        "gather",
        _gather,
        sample((1,), index=((1,), 1), axis=0),
        sample((7,), index=((3,), 7), axis=0),
        sample((2, 4, 5), index=((2, 1, 3), 5), axis=-1),
        sample((5, 3, 4), index=((2, 3, 4), 5), axis=-3),
        sample((5, 13), index=((5, 20), 13), axis=-1),
        sample((5, 13), index=((5, 1), 13), axis=1),
        sample((5, 13), index=((1, 9), 13), axis=1),
        sample((1, 13), index=((4, 9), 13), axis=1),
        sample((2, 3, 4), index=((2, 6, 4), 3), axis=-2),
        sample((2, 3, 4), index=((2, 0, 4), 3), axis=1),
        sample((300, 70), index=((1000, 70), 300), axis=0),
    ),
    _row(
        "take",
        _take,
        sample((1,), indices=((), 1), axis=0),
        sample((7,), indices=((2, 3), 7), axis=0),
        sample((2, 4, 5), indices=((3,), 5), axis=-1),
        sample((5, 3, 4), indices=((4,), 5), axis=-3),
        sample((5, 13), indices=((), 13), axis=-1),
        sample((30, 16), indices=((7, 5), 30), axis=0),
        sample((2, 3, 4), indices=((2, 2), 3), axis=-2),
        sample((2, 3, 4), indices=((0,), 4), axis=2),
        sample((2, 65), indices=((3, 1, 33), 65), axis=1),
        sample((500, 64), indices=((1100,), 500), axis=0),
    ),
    _row(
        "scatter_add",
        _scatter_add,
        sample((1,), index=((1,), 1), axis=0, n=1),
        sample((7,), index=((7,), 3), axis=0, n=3),
        sample((2, 4, 5), index=((2, 4, 5), 3), axis=-1, n=3),
        sample((5, 3, 4), index=((5, 3, 4), 4), axis=-3, n=4),
        sample((5, 13), index=((1, 13), 20), axis=-1, n=20),
        sample((5, 13), index=((5, 1), 2), axis=0, n=2),
        sample((5, 13), index=((1, 13), 4), axis=0, n=4),
        sample((2, 3, 4), index=((2, 3, 4), 3), axis=-2, n=3),
        sample((0, 3), index=((0, 3), 2), axis=0, n=2),
        sample((1100, 64), index=((1100, 1), 500), axis=0, n=500),
        signed_zero=False,  # a sum starts from 0
    ),
    _row(
        "where",
        lambda t, a, b=None, *, mask, numbers=(): t.where(
            t.from_numpy(np.asarray(mask != 0)), a, t.full_like(a, numbers[0]) if b is None else b
        ),
        sample((), (), mask=()),
        sample((7,), (7,), mask=(7,)),
        sample((5, 13), (5, 13), mask=(5, 13)),
        sample((5, 13), (), mask=(5, 13)),
        sample((1, 13), (5, 1), mask=(5, 13)),
        sample((13,), (5, 13), mask=(5, 1)),
        sample((3,), (3,), mask=(4, 2, 3)),
        sample((0, 3), (1, 3), mask=(3,)),
        sample((3, 4), mask=(3, 4), numbers=(-0.75,)),
        sample((65,), (65,), mask=()),
        sample((300, 250), (300, 250), mask=(300, 250)),
        sample((13,), (13,), mask=(13,), signed=True),
        arguments=_where_arguments,
        call=_where,
    ),
    _row(
        "one_hot",
        lambda t, labels, n: (labels.unsqueeze(-1) == t.arange(n)).to(t.float64),
        sample((0,), n=3),
        *(  # labels from 1 to 4
            sample(shape, n=n, region="integer")
            for shape, n in (((), 5), ((1,), 7), ((7,), 5), ((5, 13), 129), ((2, 0, 3), 5))
        ),
        domains=(Domain(low=0),),
        regions=(),
        layouts=("compact",),
        arguments=dict,
        call=lambda op, tensors, where, n: op(tensors[0], n, dtype=where["dtype"]),
        linear=False,
        differentiable=False,
        mixtures=(),  # indices may be an array
    ),
)
