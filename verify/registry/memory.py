"""What holds for memory whatever is computed: nothing beyond an array is read, threads share none
of what they write, nothing stays."""

from __future__ import annotations

from typing import Any

from verify.registry import conv, elementwise, layout, matmul, reduction, softmax
from verify.registry.planning import sample
from verify.spec import Row

_ROWS = {
    row.name: row
    for family in (conv, elementwise, layout, matmul, reduction, softmax)
    for row in family.ROWS
}


def _reference(
    t: Any,
    *tensors: Any,
    call: str,
    memory: Any = (),
    seen: Any = None,
    threads: Any = None,
    **arguments: Any,
) -> Any:
    if seen is not None:
        tensors = tuple(a.contiguous().as_strided(*seen) for a in tensors)
    return _ROWS[call].reference(t, *tensors, **arguments)


_PLAIN: dict[str, Any] = {
    "family": "memory",
    "reference": _reference,
    "regions": (),
    "layouts": ("compact",),
    "mixtures": (),
    "differentiable": False,
    "signed_zero": False,
}

ROWS = (
    Row(
        name="memory.at_the_end",
        samples=(
            sample((7,), (7,), call="add"),
            sample((5, 13), call="exp", memory=("spread",)),
            sample((5, 13), call="exp", memory=("sparse",)),
            sample((5, 13), (13, 17), call="matmul"),
            sample((6, 9), (9, 40), call="matmul", memory=("turned", "plain")),
            sample((5, 9), (9, 7), call="matmul", memory=("spread", "turned")),
            sample((5, 9), (9, 7), call="matmul", memory=("plain", "spread")),
            sample((5,), (5, 11), call="matmul"),
            sample((7, 5), (5,), call="matmul"),
            sample((3, 5), call="summation", axes=1),
            sample((5, 3), call="summation", axes=0),
            sample((3, 5), call="softmax", axis=1),
            sample((1, 4, 4, 2), (3, 3, 2, 5), call="conv"),
            # repeated windows that overlap, so that axes of one span follow each other
            sample((29,), call="summation", seen=((3, 3, 2, 2, 6), (0, 0, 12, 6, 2))),
            # in float64 past the caches of the cpu (csrc/cpu/loops.h), in rows of a unit of work
            # and one element more, and as bytes
            sample((66, 16385), (16385,), call="add"),
            sample((1_048_583,), call="pad", padding=((0, 1),)),
        ),
        **_PLAIN,
    ),
    Row(
        name="memory.on_threads",
        # a row of results that is folded first, in each of many units of work
        samples=(sample((4001, 16, 4), call="summation", axes=1),),
        **_PLAIN,
    ),
    Row(
        name="memory.leaves_nothing",
        samples=(
            sample((3, 20011), call="summation", axes=1, threads=False),
            sample((32, 20), (20, 33), call="matmul", threads=True),
        ),
        **_PLAIN,
    ),
)
