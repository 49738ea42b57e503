"""Tensors joined along an axis, new or old, and split along one; tuples of Tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any

from needle.autograd import (
    MakeTensorTuple,
    Tensor,
    TensorOp,
    TensorTuple,
    TensorTupleOp,
    TupleGetItem,
    make_tuple,
    tuple_get_item,
)
from needle.backend_ndarray import NDArray, empty
from needle.backend_ndarray import concatenate as concatenate_arrays
from needle.ops.broadcast import normalized_axis
from needle.ops.indexing import getitem

__all__ = [
    "Concatenate",
    "MakeTensorTuple",
    "Split",
    "Stack",
    "TupleGetItem",
    "concatenate",
    "make_tuple",
    "split",
    "stack",
    "tuple_get_item",
]


def _at(axis: int, i: int) -> tuple[int | slice, ...]:
    """The index of the i-th slice along axis."""
    return (*(slice(None),) * axis, i)


class Stack(TensorOp):
    """The Tensors of a TensorTuple side by side along a new axis.

    Shape: n times (...) gives (..., n, ...); axis counts in the result's axes.
    Gradient: split along the axis.
    Raises: ValueError when there is no Tensor or shapes differ, IndexError when axis is out of
    range.
    """

    __slots__ = ("axis",)

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def compute(self, items: tuple[NDArray, ...]) -> NDArray:
        if not items:
            raise ValueError("[stack] at least one Tensor is needed, got n=0")
        first = items[0]
        for name, error in (("shape", ValueError), ("dtype", TypeError), ("device", ValueError)):
            given = {getattr(item, name): None for item in items}
            if len(given) > 1:
                raise error(f"[stack] {name}s must be equal, got {name}s={list(given)}")
        axis = normalized_axis("stack", self.axis, first.ndim + 1)
        shape = (*first.shape[:axis], len(items), *first.shape[axis:])
        result = empty(shape, dtype=first.dtype, device=first.device)
        for i, item in enumerate(items):
            result[_at(axis, i)] = item
        return result

    def gradient(self, out_grad: Tensor, node: Tensor) -> TensorTuple:
        return split(out_grad, self.axis)


class Concatenate(TensorOp):
    """The Tensors of a TensorTuple one after another along an axis.

    Shape: sizes add up along the axis and agree elsewhere.
    Gradient: the cotangent's slices.
    Raises: ValueError when there is no Tensor or shapes do not fit, IndexError when axis is out of
    range.
    """

    __slots__ = ("axis",)

    def __init__(self, axis: int = 0) -> None:
        self.axis = axis

    def compute(self, items: tuple[NDArray, ...]) -> NDArray:
        axis = normalized_axis("concatenate", self.axis, items[0].ndim) if items else 0
        return concatenate_arrays(items, axis)

    def gradient(self, out_grad: Tensor, node: Tensor) -> TensorTuple:
        axis = normalized_axis("concatenate", self.axis, out_grad.ndim)
        sizes = (item.shape[axis] for item in node.inputs[0].realize_cached_data())
        slices = (slice(*ends) for ends in pairwise((0, *accumulate(sizes))))
        return make_tuple(*(getitem(out_grad, (*(slice(None),) * axis, s)) for s in slices))


class Split(TensorTupleOp):
    """The slices of a Tensor along an axis, which is dropped; views.

    Gradient: stacked along the axis.
    Raises: IndexError when axis is out of range.
    """

    __slots__ = ("axis",)

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def compute(self, a: NDArray) -> tuple[NDArray, ...]:
        axis = normalized_axis("split", self.axis, a.ndim)
        return tuple(a[_at(axis, i)] for i in range(a.shape[axis]))

    def gradient(self, out_grad: TensorTuple, node: TensorTuple) -> Tensor:
        return Stack(self.axis)(out_grad)


def _joined(op: str, args: Any) -> TensorTuple:
    if not isinstance(args, Iterable):
        raise TypeError(f"[{op}] args are Tensors, got type={type(args).__name__}")
    return args if isinstance(args, TensorTuple) else make_tuple(*args)


def stack(args: Sequence[Tensor] | TensorTuple, axis: int) -> Tensor:
    """Tensors of one shape side by side along a new axis. See Stack."""
    return Stack(axis)(_joined("stack", args))


def concatenate(args: Sequence[Tensor] | TensorTuple, axis: int = 0) -> Tensor:
    """Tensors one after another along axis. See Concatenate."""
    return Concatenate(axis)(_joined("concatenate", args))


def split(a: Tensor, axis: int) -> TensorTuple:
    """The slices of a along axis. See Split."""
    return Split(axis)(a)
