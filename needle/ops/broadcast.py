"""Reshape, BroadcastTo and Summation, which are in each other's gradients, and sum_to_shape."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any, TypeAlias

import numpy as np

from needle.autograd import Tensor, TensorOp
from needle.backend_ndarray import NDArray

__all__ = ["BroadcastTo", "Reshape", "Summation", "broadcast_to", "reshape", "summation"]

Axes: TypeAlias = int | Sequence[int]
Shape: TypeAlias = int | Sequence[int]


def check_tensors(op: str, **values: Any) -> None:
    """Raises: TypeError unless all values are Tensors."""
    for name, value in values.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"[{op}] {name} is a Tensor, got type={type(value).__name__}")


def normalized(op: str, axes: Axes | None, ndim: int) -> tuple[int, ...]:
    """Distinct axes in [0, ndim), all of them for None.

    Raises: IndexError when an axis is out of range, ValueError when one is repeated, TypeError
    when one is no int.
    """
    if axes is None:
        return tuple(range(ndim))
    many: Any = axes
    if hasattr(axes, "__index__") and not isinstance(axes, np.ndarray):
        many = (axes,)
    try:
        given = tuple(index(axis) for axis in many)
    except TypeError:
        raise TypeError(f"[{op}] axes are ints, got axes={axes!r}") from None
    for axis in given:
        if not -ndim <= axis < ndim:
            raise IndexError(f"[{op}] axis lies in [-ndim, ndim), got axis={axis}, ndim={ndim}")
    positive = tuple(axis % ndim for axis in given)
    if len(set(positive)) != len(positive):
        raise ValueError(f"[{op}] axes must be distinct, got axes={given}, ndim={ndim}")
    return positive


def normalized_axis(op: str, axis: int, ndim: int) -> int:
    """One axis in [0, ndim). Raises: as normalized."""
    if type(axis) is int and -ndim <= axis < ndim:
        return axis % ndim
    if not hasattr(axis, "__index__") or isinstance(axis, np.ndarray):
        raise TypeError(f"[{op}] axis is an int, got axis={axis!r}")
    return normalized(op, axis, ndim)[0]


def native(op: str, axes: Axes | None, ndim: int) -> Any:
    """Axes for a kernel of NDArray, which checks an int itself and takes None for all."""
    return axes if axes is None or type(axes) is int else normalized(op, axes, ndim)


def kept_shape(shape: tuple[int, ...], axes: Axes | None) -> tuple[int, ...]:
    """shape with size 1 at axes: what a reduction with keepdims gives."""
    reduced = normalized("reduction", axes, len(shape))
    return tuple(1 if d in reduced else n for d, n in enumerate(shape))


def sum_to_shape(a: Tensor, shape: tuple[int, ...]) -> Tensor:
    """a summed over the axes along which `shape` was broadcast to a.shape."""
    wide = a.shape
    if wide == shape:
        return a
    added = len(wide) - len(shape)
    axes = [d for d, n in enumerate(wide) if d < added or (shape[d - added] == 1 and n != 1)]
    return reshape(summation(a, axes) if axes else a, shape)


def sum_to(a: Tensor, like: Tensor) -> Tensor:
    """a summed over the axes along which `like` was broadcast to a.shape."""
    data = a.cached_data
    if data is not None and data.is_like(like.cached_data):  # the usual case, quickly seen
        return a
    return sum_to_shape(a, like.shape)


def fixed(argument: Any) -> Any:
    """A list (sequence, array) as a tuple: whoever changes theirs later leaves the op's alone."""
    if argument is None or isinstance(argument, (int, tuple, str)):
        return argument
    if isinstance(argument, np.ndarray):
        argument = argument.tolist()  # an int of a 0-d one
    return tuple(argument) if isinstance(argument, Sequence) else argument


class Reshape(TensorOp):
    """The same elements, in row-major order, in another shape; a view where one can express it.

    Shape: one size may be -1.
    Gradient: reshaped back.
    Raises: ValueError when the number of elements changes.
    """

    __slots__ = ("shape",)

    def __init__(self, shape: Shape) -> None:
        self.shape = fixed(shape)

    def compute(self, a: NDArray) -> NDArray:
        return a.reshape(self.shape)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return reshape(out_grad, node.inputs[0].shape)


class BroadcastTo(TensorOp):
    """A view in a larger shape, by numpy's rules: axes of size 1 and new leading axes repeat.

    Gradient: summed over the axes that repeat.
    Raises: ValueError when the shapes do not fit.
    """

    __slots__ = ("shape",)

    def __init__(self, shape: Shape) -> None:
        self.shape = fixed(shape)

    def compute(self, a: NDArray) -> NDArray:
        return a.broadcast_to(self.shape)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return sum_to_shape(out_grad, node.inputs[0].shape)


class Summation(TensorOp):
    """The sum over axes (None: all); over no elements it is 0.

    Shape: axes dropped, or of size 1 with keepdims.
    Gradient: broadcast back.
    Raises: IndexError when an axis is out of range, ValueError when one is repeated.
    """

    __slots__ = ("axes", "keepdims")

    def __init__(self, axes: Axes | None = None, keepdims: bool = False) -> None:
        self.axes = fixed(axes)
        self.keepdims = keepdims

    def compute(self, a: NDArray) -> NDArray:
        return a.sum(axis=self.axes, keepdims=self.keepdims)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        shape = node.inputs[0].shape
        return broadcast_to(reshape(out_grad, kept_shape(shape, self.axes)), shape)


def reshape(a: Tensor, shape: Shape) -> Tensor:
    """a in another shape. See Reshape."""
    return Tensor.make_from_op(Reshape(shape), (a,))


def broadcast_to(a: Tensor, shape: Shape) -> Tensor:
    """a in a larger shape. See BroadcastTo."""
    return Tensor.make_from_op(BroadcastTo(shape), (a,))


def summation(a: Tensor, axes: Axes | None = None, keepdims: bool = False) -> Tensor:
    """The sum over axes. See Summation."""
    return Tensor.make_from_op(Summation(axes, keepdims), (a,))
