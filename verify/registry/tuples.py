"""Tuples of Tensors as one value: items with several uses each, sums of tuples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from verify.registry.planning import refuses, sample
from verify.registry.promises import Where, kept, package
from verify.spec import Broken, Row


def _tuple_call(found: Any, tensors: Sequence[Any], where: Where, ask: str = "items") -> Any:
    """Items made by make_tuple and by an op, or what is refused."""
    needle = package(found)
    (x,) = tensors
    autograd, parts = needle.autograd, needle.ops.split(x, 0)
    item = autograd.tuple_get_item
    if ask == "index":
        return item(parts, len(parts))
    if ask == "tensor":
        return item(x, 0)
    if ask == "lengths":
        return (parts + autograd.make_tuple(x))[0]
    made = autograd.make_tuple(parts[0], parts[1])
    kept(len(parts) == x.shape[0] and len(made) == 2, "a tuple has its length")
    if x.requires_grad:  # without a graph nothing knows them
        kept(
            item(made, 0) is item(made, -2), "make_tuple's items are the Tensors that it was given"
        )
    try:
        parts + parts.tuple()
    except TypeError:
        pass
    else:
        raise Broken("a TensorTuple was added to a tuple, as if it were one")
    both = parts + parts
    detached = parts.detach()
    kept(not detached[0].requires_grad and len(detached) == len(parts), "detach leaves no graph")
    first, second = item(parts, 0), item(parts, 1)
    return [first * second + item(parts, 0), item(both, -1), item(made, 1) * 2.0]


def _tuple(t: Any, x: Any, ask: str = "items") -> Any:
    first, second, last = x[0], x[1], x[-1]
    return first * second + first, last + last, second * 2.0


ROWS = (
    Row(
        name="autograd.TensorTuple",
        family="autograd",
        reference=_tuple,
        # of two items, the last one has four uses
        samples=(sample((2, 3)), sample((3, 5)), sample((4, 2, 3)), sample((2, 7))),
        regions=("integer",),
        call=_tuple_call,
        errors=(
            refuses((2, 3), ask="index", raises="IndexError", says="index=2, n=2"),
            refuses(
                (2, 3), ask="tensor", raises="TypeError", says="a TensorTuple, got type=Tensor"
            ),
            refuses((2, 3), ask="lengths", says=r"lengths=\(2, 1\)"),
        ),
        layouts=("compact",),
        mixtures=(),
        signed_zero=False,
    ),
)
