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
from needle.backend_ndarray import NDArray
from needle.backend_ndarray import concatenate as concatenate_arrays
from needle.backend_ndarray import stack as stack_arrays
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


class _Joining(TensorOp):
    """Of Tensors, or of one TensorTuple."""

    __slots__ = ("axis",)

    def __init__(self, axis: int = 0) -> None:
        self.axis = axis

    def parts(self, out_grad: Tensor, items: Sequence[NDArray]) -> list[Tensor]:
        """The cotangents of the items."""
        raise NotImplementedError

    def gradient(self, out_grad: Tensor, node: Tensor) -> TensorTuple | tuple[Tensor, ...]:
        given = [x.realize_cached_data() for x in node.inputs]
        if isinstance(node.inputs[0], TensorTuple):
            return make_tuple(*self.parts(out_grad, given[0]))
        return tuple(self.parts(out_grad, given))


class Stack(_Joining):
    """Tensors of one shape, or those of a TensorTuple, side by side along a new axis.

    Shape: n times (...) gives (..., n, ...); axis counts in the result's axes.
    Gradient: the cotangent's slices along the axis.
    Raises: ValueError when there is no Tensor or shapes differ, IndexError when axis is out of
    range.
    """

    __slots__ = ()

    def compute(self, *items: Any) -> NDArray:
        return stack_arrays(_listed(items), self.axis)

    def parts(self, out_grad: Tensor, items: Sequence[NDArray]) -> list[Tensor]:
        before = (slice(None),) * normalized_axis("stack", self.axis, out_grad.ndim)
        return [getitem(out_grad, (*before, i)) for i in range(len(items))]


class Concatenate(_Joining):
    """Tensors, or those of a TensorTuple, one after another along an axis.

    Shape: sizes add up along the axis and agree elsewhere.
    Gradient: the cotangent's slices.
    Raises: ValueError when there is no Tensor or shapes do not fit, IndexError when axis is out of
    range.
    """

    __slots__ = ()

    def compute(self, *items: Any) -> NDArray:
        return concatenate_arrays(_listed(items), self.axis)

    def parts(self, out_grad: Tensor, items: Sequence[NDArray]) -> list[Tensor]:
        axis = normalized_axis("concatenate", self.axis, out_grad.ndim)
        before = (slice(None),) * axis
        ends = pairwise(accumulate((item.shape[axis] for item in items), initial=0))
        return [getitem(out_grad, (*before, slice(*limits))) for limits in ends]


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


def _listed(items: tuple[Any, ...]) -> Sequence[NDArray]:
    """The arrays of what compute is given: one of each Tensor, or the tuple of a TensorTuple."""
    return items[0] if len(items) == 1 and type(items[0]) is tuple else items


def _joined(op: _Joining, args: Any) -> Tensor:
    if type(args) is list or type(args) is tuple:  # what is usual is told at once
        return Tensor.make_from_op(op, args)
    if isinstance(args, TensorTuple):
        return op(args)
    if not isinstance(args, Iterable):
        name = type(op).__name__.lower()
        raise TypeError(f"[{name}] args are Tensors, got type={type(args).__name__}")
    return op(*args)


def stack(args: Sequence[Tensor] | TensorTuple, axis: int) -> Tensor:
    """Tensors of one shape side by side along a new axis. See Stack."""
    return _joined(Stack(axis), args)


def concatenate(args: Sequence[Tensor] | TensorTuple, axis: int = 0) -> Tensor:
    """Tensors one after another along axis. See Concatenate."""
    return _joined(Concatenate(axis), args)


def split(a: Tensor, axis: int) -> TensorTuple:
    """The slices of a along axis. See Split."""
    return Split(axis)(a)
