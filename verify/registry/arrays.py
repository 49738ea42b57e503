"""What an array does and no op of needle: assignment to parts, other dtypes."""

from __future__ import annotations

import math
from typing import Any

from verify.registry.layout import indexed, row, select
from verify.registry.planning import MANY, sample
from verify.sampling import OF_TENSORS
from verify.spec import Domain


def _assign(
    t: Any, a: Any, b: Any = None, *, index: Any, source: Any = None, turned: bool = False
) -> Any:
    """The array after a[index] = b, or = a[source]; turned: of a.mT."""
    if turned:
        return _assign(t, a.transpose(0, 1), b, index=index, source=source).transpose(0, 1)
    b = select(t, a, source) if b is None else b
    # where the value lands: positions pushed through the same index
    places = select(t, t.arange(a.numel()).reshape(a.shape), index)
    values = b.expand(places.shape).reshape(-1)
    flat = a.reshape(-1).clone()
    for place, k in zip(places.reshape(-1).tolist(), range(values.numel()), strict=True):
        flat[place] = values[k]
    return flat.reshape(a.shape)


def _fill(t: Any, a: Any, *, value: float, index: Any = (), **_: Any) -> Any:
    inside = t.zeros(a.numel(), dtype=t.bool)
    inside[select(t, t.arange(a.numel()).reshape(a.shape), index).reshape(-1)] = True
    return t.where(inside.reshape(a.shape), t.full_like(a, value), a)


def _negated(t: Any, a: Any, odd: bool = False) -> Any:
    return -a


def _taken(t: Any, a: Any, *, places: Any, axis: int) -> tuple[Any, Any]:
    index = t.tensor(places)
    shape = list(a.shape)
    shape[axis] = index.shape[axis]
    picked = a.gather(axis, (index % a.shape[axis]).expand(shape))
    return picked, index.to(a.dtype)


def _beside(t: Any, a: Any, dtype: str, beside: str) -> Any:
    """Of 1, 2 and 4 the middle decides; 3 lies near enough to the next."""
    return -a if beside != "below" else t.where(a.abs() == 3, -a, 0.0)


def _accumulated(t: Any, a: Any, b: Any = None, *, memory: str) -> Any:
    return (a[:1] if memory == "spread" else a) + (a.flip(0) if b is None else b)


def _called(t: Any, a: Any, *, call: str, axes: Any = (), dtype: str = "") -> Any:
    if call == "negate":
        return (-a.to(getattr(t, dtype))).to(a.dtype)
    return a.reshape([n for i, n in enumerate(a.shape) if i not in [d % a.dim() for d in axes]])


_SHAPES = (sample((7,)), sample(()), sample((5, 13)), sample((2, 3, 4)), sample((0, 3)))
OF_ARRAYS = {
    "mixtures": OF_TENSORS,
    "differentiable": False,
}  # an NDArray's own, no op of the graph

ROWS = (
    row(
        "setitem",
        _assign,
        (
            sample((7,), (), index="3"),
            sample((7,), (2,), index="-2:"),
            sample((7,), (7,), index="::-1"),
            sample((33,), (10,), index="30:2:-3"),
            sample((5, 13), (13,), index="1"),
            sample((5, 13), (5,), index=":,-3"),
            sample((5, 13), (7,), index="1:4,::2"),
            sample((2, 3, 4), (3, 1), index="0,...,::-2"),
            sample((2, 3, 4), (), index="1,2,3"),
            sample((13,), index="12:3:-1", source=":9"),
            sample((17,), index="8::2", source=":9:2"),
            # parts of one array that overlap: from below, from above, turned, by one element
            sample((67,), index="1:", source=":-1"),
            sample((67,), index=":-9", source="9:"),
            sample((33,), index="::", source="::-1"),
            sample((9,), index="4:", source=":5"),
            sample((7, 5), index="1:,1:", source=":-1,:-1"),
            sample((5, 13), (13, 5), index="...", turned=True),
            sample((5, 13), (5,), index="1::2", turned=True),
        ),
        arguments=indexed,
        in_place=True,
        mixtures=OF_TENSORS,  # it is an NDArray's own
        differentiable=False,  # it writes into an array: no op of the graph
        # no writes to broadcast views
        layouts=("compact", "strided", "offset", "transposed", "reversed"),
    ),
    row(
        "cast",
        lambda t, a, dtype, negative=False: (
            (-a if negative else a).to(getattr(t, dtype)).to(a.dtype)
        ),
        (
            *(
                sample(shape, dtype=dtype, negative=negative)
                for dtype in ("float16", "bfloat16", "bool")
                for shape, negative in (
                    ((1023,), False),
                    ((7, 33), True),
                    ((), False),
                    ((0, 3), False),
                )
            ),
            sample((65,), dtype="int64", negative=True, region="ties"),
            sample((5, 13), dtype="int32", region="integer"),
        ),
        # from the denormal numbers of float16 to its infinity
        domains=(Domain(nonzero=True, spread=8),),
        linear=False,
        differentiable=False,
        mixtures=OF_TENSORS,  # it is an NDArray's own
    ),
    row(
        "cast_beside",
        _beside,
        (
            sample((0, 3), dtype="float16", beside="above"),
            *(
                sample((33,), region="integer", dtype=dtype, beside=beside)
                for dtype in ("float16", "bfloat16")
                for beside in ("above", "below", "nan")
            ),
        ),
        regions=(),
        layouts=("compact",),
        linear=False,
        differentiable=False,
        mixtures=(),
    ),
    row(
        "fill",
        _fill,
        (
            sample((), value=-0.0),
            sample((7,), value=0.125, index="::2"),
            sample((5, 13), value=3, index="1:4,::-3"),
            sample((2, 3, 4), value=2.5, index="1"),
            sample((0, 3), value=1),
            sample(MANY, value=-7.25),
        ),
        arguments=indexed,
        in_place=True,
        layouts=("compact", "strided", "offset", "transposed", "reversed"),
        **OF_ARRAYS,
    ),
    row("to", _negated, _SHAPES, **OF_ARRAYS),
    row(
        "from_dlpack",
        _negated,
        (*_SHAPES, sample((1, 9, 1)), sample((5, 13), odd=True), sample((0, 3), odd=True)),
        layouts=("compact", "strided", "offset", "transposed", "broadcast"),  # no negative strides
        **OF_ARRAYS,
    ),
    row(
        "take_along_axis",
        _taken,
        (
            sample((7,), places=(6, 0, -1, -7, 3), axis=0),
            sample((5, 13), places=((2,), (-5,)), axis=0),
            sample((3, 4), places=((3, -1), (0, -4), (1, 1)), axis=-1),
            sample((2, 4, 5), places=(((4, -1, 0),),), axis=-1),
            sample((5, 3, 4), places=(((2,),), ((-5,),)), axis=-3),
            sample((2, 3, 1), places=(((-1,), (0,), (2,), (1,)),), axis=1),
            sample((1, 3, 2), places=(((-3, 2),),), axis=-2),
        ),
        **OF_ARRAYS,
    ),
    row(
        "accumulate",
        _accumulated,
        (
            sample((5, 13), (5, 13), memory="own"),
            sample((5, 13), (5, 13), memory="spread"),
            sample((67, 3), memory="shared"),
        ),
        flops=lambda shapes, **_: float(math.prod(shapes[0])),
        **OF_ARRAYS,
    ),
    row(
        "member",
        _called,
        (
            sample((5, 1, 13), call="squeeze", axes=(1,)),
            sample((1, 7, 1), call="squeeze", axes=(0, -1)),
            sample((3, 1, 5), call="squeeze", axes=(-2,)),
            sample((4, 10, 1), call="squeeze", axes=(-1,)),
            sample((1, 4, 10), call="squeeze", axes=(-3,)),
            sample((1, 1), call="squeeze", axes=()),
        ),
        captured=tuple(  # where kernels compute in 16 bits
            sample((7, 33), call="negate", dtype=dtype) for dtype in ("float16", "bfloat16")
        ),
        view=True,
        **OF_ARRAYS,
    ),
)
