"""What an array does and no op of needle: assignment to parts, other dtypes."""

from __future__ import annotations

from typing import Any

from verify.registry.layout import indexed, row, select
from verify.registry.planning import sample
from verify.sampling import OF_TENSORS
from verify.spec import Domain


def _assign(t: Any, a: Any, b: Any = None, *, index: Any, source: Any = None) -> Any:
    """The array after a[index] = b, or = a[source]."""
    b = select(t, a, source) if b is None else b
    # where the value lands: positions pushed through the same index
    places = select(t, t.arange(a.numel()).reshape(a.shape), index)
    values = b.expand(places.shape).reshape(-1)
    flat = a.reshape(-1).clone()
    for place, k in zip(places.reshape(-1).tolist(), range(values.numel()), strict=True):
        flat[place] = values[k]
    return flat.reshape(a.shape)


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
            # parts of one array that overlap: from below, from above, turned, by one element
            sample((67,), index="1:", source=":-1"),
            sample((67,), index=":-9", source="9:"),
            sample((33,), index="::", source="::-1"),
            sample((9,), index="4:", source=":5"),
            sample((7, 5), index="1:,1:", source=":-1,:-1"),
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
        tuple(
            sample(shape, dtype=dtype, negative=negative)
            for dtype in ("float16", "bfloat16", "bool")
            for shape, negative in (
                ((1023,), False),
                ((7, 33), True),
                ((), True),
                ((0, 3), False),
            )
        ),
        domains=(Domain(low=0, spread=8),),  # from the denormal numbers of float16 to its infinity
        linear=False,
        differentiable=False,
        mixtures=OF_TENSORS,  # it is an NDArray's own
    ),
)
