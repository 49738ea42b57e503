"""Reductions over axes and running sums, beside the sum (broadcast.py)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

from needle.autograd import Tensor, TensorOp
from needle.backend_ndarray import NDArray, full
from needle.backend_ndarray.checks import finite
from needle.backend_ndarray.halves import narrowed, widened
from needle.ops.broadcast import (
    Axes,
    broadcast_to,
    check_tensors,
    fixed,
    kept_shape,
    normalized,
    normalized_axis,
    reshape,
    summation,
)
from needle.ops.elementwise import add, divide, multiply, negate
from needle.ops.indexing import chosen, getitem
from needle.ops.joining import concatenate
from needle.ops.layout import permute
from needle.ops.scalar import divide_scalar, mul_scalar

__all__ = [
    "ArgMax",
    "ArgMin",
    "CumSum",
    "Max",
    "Mean",
    "Min",
    "Prod",
    "Var",
    "argmax",
    "argmin",
    "cumsum",
    "max",
    "mean",
    "min",
    "prod",
    "var",
]


class _Reduction(TensorOp):
    __slots__ = ("axes", "keepdims")

    def __init__(self, axes: Axes | None = None, keepdims: bool = False) -> None:
        self.axes = fixed(axes)
        self.keepdims = keepdims


def extreme_share(a: NDArray, extreme: NDArray, out_grad: Tensor, axes: Axes | None) -> Tensor:
    """The gradient of an extreme: in equal parts to the elements of a that are it.

    extreme and out_grad have size 1 along axes. Where NaN won, the NaNs are the extreme.
    """
    # Who is largest is constant almost everywhere, so the mask needs no graph.
    mask = a.equal(extreme) + a.not_equal(a)
    count = Tensor.make_const(mask.sum(axis=axes, keepdims=True))
    return chosen(mask, divide(out_grad, count), 0.0)


class Max(_Reduction):
    """The largest element over axes (None: all); NaN wins.

    Shape: axes dropped, or of size 1 with keepdims.
    Domain: at least one element along the axes.
    Gradient: to the largest element; ties share it in equal parts.
    Raises: IndexError when an axis is out of range, ValueError when one is repeated or empty.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.max(axis=self.axes, keepdims=self.keepdims)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        a = node.inputs[0].realize_cached_data()
        kept = kept_shape(a.shape, self.axes)
        extreme = node.realize_cached_data().reshape(kept)
        return extreme_share(a, extreme, reshape(out_grad, kept), self.axes)


class Min(Max):
    """The smallest element over axes (None: all); NaN wins.

    Shape: axes dropped, or of size 1 with keepdims.
    Domain: at least one element along the axes.
    Gradient: to the smallest element; ties share it in equal parts.
    Raises: IndexError when an axis is out of range, ValueError when one is repeated or empty.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.min(axis=self.axes, keepdims=self.keepdims)


class Prod(_Reduction):
    """The product over axes (None: all); over no elements it is 1.

    Shape: axes dropped, or of size 1 with keepdims.
    Gradient: g times the product of the other elements, zeros included.
    Raises: IndexError when an axis is out of range, ValueError when one is repeated.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.prod(axis=self.axes, keepdims=self.keepdims)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        a = node.inputs[0]
        axes = normalized("prod", self.axes, a.ndim)
        # The reduced axes as one, at the end, and back.
        order = [*(d for d in range(a.ndim) if d not in axes), *axes]
        moved = permute(a, order)
        lanes = (*moved.shape[: a.ndim - len(axes)], math.prod(a.shape[d] for d in axes))
        others = reshape(_products_of_others(reshape(moved, lanes)), moved.shape)
        others = permute(others, sorted(range(a.ndim), key=order.__getitem__))
        return multiply(reshape(out_grad, kept_shape(a.shape, axes)), others)


class Mean(_Reduction):
    """The mean over axes (None: all); over no elements it is NaN.

    Shape: axes dropped, or of size 1 with keepdims.
    Gradient: g / n for each of n elements.
    Raises: IndexError when an axis is out of range, ValueError when one is repeated.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        total = widened(a).sum(axis=self.axes, keepdims=self.keepdims)
        return narrowed(total / _each(a, total), a.dtype)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        a = node.inputs[0]
        n = _each(a.realize_cached_data(), node.realize_cached_data())
        share = reshape(divide_scalar(out_grad, n), kept_shape(a.shape, self.axes))
        return broadcast_to(share, a.shape)


class Var(_Reduction):
    """The sum of squared distances from the mean over axes (None: all), by n - correction.

    Shape: axes dropped, or of size 1 with keepdims. NaN or infinite where n <= correction.
    Gradient: 2 g (a - mean(a)) / (n - correction).
    Raises: IndexError when an axis is out of range, ValueError when one is repeated.
    """

    __slots__ = ("correction",)

    def __init__(
        self, axes: Axes | None = None, keepdims: bool = False, correction: float = 0
    ) -> None:
        super().__init__(axes, keepdims)
        self.correction = correction

    def compute(self, a: NDArray) -> NDArray:
        x = widened(a)
        total = x.sum(axis=self.axes, keepdims=True)
        n = _each(x, total)
        centred = x - total / n
        squares = (centred * centred).sum(axis=self.axes, keepdims=self.keepdims)
        return narrowed(squares / self._divisor(n), a.dtype)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        a = node.inputs[0]
        n = self._divisor(_each(a.realize_cached_data(), node.realize_cached_data()))
        share = divide_scalar(mul_scalar(out_grad, 2), n)
        centred = add(a, negate(mean(a, self.axes, keepdims=True)))
        return multiply(reshape(share, kept_shape(a.shape, self.axes)), centred)

    def composed(self, a: Tensor) -> Tensor:
        """The same of other ops."""
        centred = add(a, negate(mean(a, self.axes, keepdims=True)))
        squares = summation(multiply(centred, centred), self.axes, self.keepdims)
        n = _length("var", a, self.axes)
        return divide_scalar(squares, self._divisor(n))

    def _divisor(self, n: int) -> float:
        return n - self.correction if n > self.correction else 0


def _each(a: NDArray, reduced: NDArray) -> int:
    """The number of a's elements that go into one of `reduced`."""
    return a.size // reduced.size if reduced.size else 1


def _products_of_others(a: Tensor) -> Tensor:
    """Along the last axis: at each place the product of the elements at all other places.

    Not the product over the element, which may be 0. Elements meet in pairs, whose products are
    multiplied by each other's others in turn: O(n) products, of any order of differentiation.
    """
    n = a.shape[-1]
    if n < 2:
        return Tensor.make_const(full(a.shape, 1, dtype=a.dtype, device=a.device))
    half = n // 2
    left, right, rest = (
        getitem(a, (..., part))
        for part in (slice(half), slice(half, 2 * half), slice(2 * half, None))
    )
    others = _products_of_others(concatenate((multiply(left, right), rest), -1))
    outside = getitem(others, (..., slice(half)))
    return concatenate(
        (
            multiply(outside, right),
            multiply(outside, left),
            getitem(others, (..., slice(half, None))),
        ),
        -1,
    )


class CumSum(TensorOp):
    """The sums of the first 1, 2, ... elements along an axis; of the last ones when reversed.

    Gradient: the same from the other end.
    Raises: IndexError when the axis is out of range.
    """

    __slots__ = ("axis", "reverse")

    def __init__(self, axis: int, reverse: bool = False) -> None:
        self.axis = axis
        self.reverse = reverse

    def compute(self, a: NDArray) -> NDArray:
        return a.cumsum(normalized_axis("cumsum", self.axis, a.ndim), self.reverse)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return cumsum(out_grad, self.axis, not self.reverse)


class _ArgReduction(TensorOp):
    __slots__ = ("axis", "keepdims")
    differentiable = False
    name: ClassVar[str]
    place: ClassVar[Callable[..., NDArray]]

    def __init__(self, axis: int | None = None, keepdims: bool = False) -> None:
        self.axis = axis
        self.keepdims = keepdims

    def compute(self, a: NDArray) -> NDArray:
        axis = self.axis
        if axis is not None:
            axis = normalized_axis(self.name, axis, a.ndim)
        return type(self).place(a, axis, self.keepdims)


class ArgMax(_ArgReduction):
    """Where the largest element along an axis is (None: in row-major order); the first of equals.

    dtype: int64.
    Domain: at least one element along the axis; the first NaN wins.
    Gradient: none.
    Raises: IndexError when the axis is out of range, ValueError when it is empty.
    """

    __slots__ = ()
    name = "argmax"
    place = NDArray.argmax


class ArgMin(_ArgReduction):
    """Where the smallest element along an axis is (None: in row-major order); the first of equals.

    dtype: int64.
    Domain: at least one element along the axis; the first NaN wins.
    Gradient: none.
    Raises: IndexError when the axis is out of range, ValueError when it is empty.
    """

    __slots__ = ()
    name = "argmin"
    place = NDArray.argmin


def max(a: Tensor, axes: Axes | None = None, keepdims: bool = False) -> Tensor:
    """The largest element over axes. See Max."""
    return Tensor.make_from_op(Max(axes, keepdims), (a,))


def min(a: Tensor, axes: Axes | None = None, keepdims: bool = False) -> Tensor:
    """The smallest element over axes. See Min."""
    return Tensor.make_from_op(Min(axes, keepdims), (a,))


def prod(a: Tensor, axes: Axes | None = None, keepdims: bool = False) -> Tensor:
    """The product over axes. See Prod."""
    return Prod(axes, keepdims)(a)


def mean(a: Tensor, axes: Axes | None = None, keepdims: bool = False) -> Tensor:
    """The mean over axes. See Mean."""
    check_tensors("mean", a=a)
    return Tensor.make_from_op(Mean(axes, keepdims), (a,))


def var(
    a: Tensor, axes: Axes | None = None, keepdims: bool = False, correction: float = 0
) -> Tensor:
    """The squared distance from the mean over axes. See Var.

    Raises: ValueError when correction is not finite.
    """
    check_tensors("var", a=a)
    finite("var", correction=correction)
    return Tensor.make_from_op(Var(axes, keepdims, correction), (a,))


def _length(op: str, a: Tensor, axes: Axes | None) -> int:
    return math.prod(a.shape[d] for d in normalized(op, axes, a.ndim))


def cumsum(a: Tensor, axis: int, reverse: bool = False) -> Tensor:
    """The sums of the first (reverse: last) elements along axis. See CumSum."""
    return CumSum(axis, reverse)(a)


def argmax(a: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the largest element along axis is. See ArgMax."""
    return ArgMax(axis, keepdims)(a)


def argmin(a: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Where the smallest element along axis is. See ArgMin."""
    return ArgMin(axis, keepdims)(a)
