"""What holds for memory whatever is computed: nothing beyond an array is read, threads share none
of what they write, repeats are not written out, nothing stays, results lie as their operands do."""

from __future__ import annotations

import functools
from typing import Any

from verify.registry import conv, elementwise, indexing, layout, matmul, reduction, softmax
from verify.registry.planning import sample
from verify.spec import Row

_ROWS = {
    row.name: row
    for family in (conv, elementwise, indexing, layout, matmul, reduction, softmax)
    for row in family.ROWS
}


def _in_order(t: Any, *tensors: Any, call: str, orders: Any) -> Any:
    turned = (a.permute(order) for a, order in zip(tensors, orders, strict=True))
    return _ROWS[call].reference(t, *turned)


def _reference(
    t: Any,
    *tensors: Any,
    call: str,
    memory: Any = (),
    seen: Any = None,
    threads: Any = None,
    emptied: Any = None,
    times: Any = None,
    **arguments: Any,
) -> Any:
    if seen is not None:
        tensors = tuple(a.contiguous().as_strided(*seen) for a in tensors)
    return _ROWS[call].reference(t, *tensors, **arguments)


def _called(
    op: Any,
    tensors: Any,
    where: Any,
    *,
    call: str,
    memory: Any = (),
    seen: Any = None,
    **given: Any,
) -> Any:
    """As the row of the op calls it: an index is given in digits."""
    asked, own = functools.partial(op, call=call, memory=memory, seen=seen), _ROWS[call].call
    return asked(*tensors, **given) if own is None else own(asked, tensors, where, **given)


def _arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """As the row of the op that is called changes them."""
    changed: dict[str, Any] = _ROWS[arguments["call"]].arguments(arguments)
    return changed


PLAIN: dict[str, Any] = {
    "family": "memory",
    "regions": (),
    "layouts": ("compact",),
    "mixtures": (),
    "differentiable": False,
    "signed_zero": False,
}

ROWS = (
    Row(
        name="memory.at_the_end",
        call=_called,
        samples=(
            sample((7,), (7,), call="add"),
            sample((1_048_583,), (1_048_583,), call="add"),  # one wrong in a million is seen
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
            # parts of lanes; then lanes beside an axis of one element, whose parts, were they cut
            # otherwise, would be those that the first ones left in memory
            sample((600, 6), call="argmax", axis=0),
            sample((3600,), call="argmax", axis=2, seen=((1, 3, 600, 2), (6, 2, 6, 1))),
            sample((1, 8, 8, 33), (3, 3, 33, 32), call="conv"),  # by Winograd's transforms
            # in float64 past the caches of the cpu (csrc/cpu/loops.h), in rows of a unit of work
            # and one element more, and as bytes
            sample((66, 16385), (16385,), call="add"),
            sample((1_048_583,), call="pad", padding=((0, 1),)),
        ),
        reference=_reference,
        **PLAIN,
    ),
    Row(
        name="memory.on_threads",
        # a row of results that is folded first, in each of many units of work
        samples=(sample((4001, 16, 4), call="summation", axes=1),),
        reference=_reference,
        **PLAIN,
    ),
    Row(
        name="memory.needs",
        arguments=_arguments,
        samples=(
            sample((3, 40_003), call="take", indices=((2,), 3), axis=0, times=1.25),
            sample((700, 1), (701,), call="add", times=1.25),
            sample((1500, 9, 9), (9, 9), call="matmul", times=1.25),
        ),
        reference=_reference,
        **PLAIN,
    ),
    Row(
        name="memory.leaves_nothing",
        samples=(
            sample((3, 20011), call="summation", axes=1, threads=False),
            sample((3, 20011), call="summation", axes=1, threads=False, emptied=True),
            sample((32, 20), (20, 33), call="matmul", threads=True),
        ),
        reference=_reference,
        **PLAIN,
    ),
    Row(
        name="memory.short",
        # Winograd's transforms take some megabytes; without them the taps are summed. Of whole
        # numbers both are exact: which of them there was memory for does not show
        samples=(
            sample((1, 4, 4, 2), (3, 3, 2, 5), call="conv"),
            sample((1, 8, 8, 640), (3, 3, 640, 32), call="conv", region="integer"),
        ),
        reference=_reference,
        **PLAIN,
    ),
    Row(
        name="memory.in_order",
        reference=_in_order,
        # channels last in memory and first in the shape, beside what repeats along some axes, or
        # along the last
        samples=(
            sample((2, 5, 3, 4), call="negate", orders=((0, 3, 1, 2),)),
            sample((2, 5, 3, 4), (4, 1, 1), call="add", orders=((0, 3, 1, 2), (0, 1, 2))),
            sample(
                (2, 5, 3, 4), (2, 4, 5, 1), call="multiply", orders=((0, 3, 1, 2), (0, 1, 2, 3))
            ),
        ),
        **PLAIN,
    ),
)
