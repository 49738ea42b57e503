"""Softmax and its logarithms, stable for any finite input: the largest element is subtracted first.

Each is one node. `composed` is the same function of ops that exist anyway; tests hold it against
the node's compute and gradient.
"""

from __future__ import annotations

from needle.autograd import Tensor, TensorOp
from needle.backend_ndarray import NDArray
from needle.ops.broadcast import (
    Axes,
    fixed,
    kept_shape,
    normalized,
    normalized_axis,
    reshape,
    summation,
)
from needle.ops.elementwise import add, divide, exp, log, multiply, negate
from needle.ops.reduction import max

__all__ = ["LogSoftmax", "LogSumExp", "Softmax", "logsoftmax", "logsumexp", "softmax"]


class LogSumExp(TensorOp):
    """log(sum(exp(a))) over axes (None: all); over no elements it is -inf.

    Shape: axes dropped, or of size 1 with keepdims.
    Gradient: g softmax(a).
    Raises: IndexError when an axis is out of range, ValueError when one is repeated.
    """

    __slots__ = ("axes", "keepdims")

    def __init__(self, axes: Axes | None = None, keepdims: bool = False) -> None:
        self.axes = fixed(axes)
        self.keepdims = keepdims

    def compute(self, a: NDArray) -> NDArray:
        axes = normalized("logsumexp", self.axes, a.ndim)
        if a.size == 0:
            return a.sum(axis=axes, keepdims=self.keepdims).log()
        top = a.max(axis=axes, keepdims=True)
        # Infinities are no shift: inf - inf would be NaN where the sum is inf or 0.
        from ml_dtypes import finfo

        largest = float(finfo(a.dtype).max)
        shift = top.maximum(-largest).negate().maximum(-largest)
        result = (a + shift).exp().sum(axis=axes, keepdims=True).log() - shift
        return result if self.keepdims else result.squeeze(axes)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        a = node.inputs[0]
        # Not exp(a - node): node's rounding is as large as a ULP of the largest element.
        share = Softmax(self.axes)(a)
        return multiply(reshape(out_grad, kept_shape(a.shape, self.axes)), share)

    def composed(self, a: Tensor) -> Tensor:
        """The same of other ops, for finite elements."""
        top = max(a, self.axes, keepdims=True).detach()
        total = summation(exp(add(a, negate(top))), self.axes, keepdims=True)
        result = add(log(total), top)
        return result if self.keepdims else summation(result, self.axes)


class Softmax(TensorOp):
    """exp(a) / sum(exp(a)) over axes (None: all).

    Domain: finite elements or -inf, not all of them -inf; elsewhere NaN.
    Gradient: y (g - sum(g y)).
    Raises: IndexError when an axis is out of range, ValueError when one is repeated.
    """

    __slots__ = ("axes",)

    def __init__(self, axes: Axes | None = -1) -> None:
        self.axes = fixed(axes)

    def compute(self, a: NDArray) -> NDArray:
        axes = normalized("softmax", self.axes, a.ndim)
        if a.size == 0:
            return a.copy()
        powers = (a - a.max(axis=axes, keepdims=True)).exp()
        return powers / powers.sum(axis=axes, keepdims=True)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        mean = summation(multiply(out_grad, node), self.axes, keepdims=True)
        return multiply(node, add(out_grad, negate(mean)))

    def composed(self, a: Tensor) -> Tensor:
        """The same of other ops."""
        powers = exp(add(a, negate(max(a, self.axes, keepdims=True).detach())))
        return divide(powers, summation(powers, self.axes, keepdims=True))


class LogSoftmax(TensorOp):
    """a - logsumexp(a) over one axis.

    Domain: finite elements or -inf, not all of them -inf; elsewhere NaN.
    Gradient: g - softmax(a) sum(g).
    Raises: IndexError when the axis is out of range.
    """

    __slots__ = ("axis",)

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def compute(self, a: NDArray) -> NDArray:
        axis = normalized_axis("logsoftmax", self.axis, a.ndim)
        if a.size == 0:
            return a.copy()
        # Both subtractions are small ones; a - (log(total) + top) would round at top's scale.
        below = a - a.max(axis=axis, keepdims=True)
        return below - below.exp().sum(axis=axis, keepdims=True).log()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        total = summation(out_grad, self.axis, keepdims=True)
        return add(out_grad, negate(multiply(exp(node), total)))

    def composed(self, a: Tensor) -> Tensor:
        """The same of other ops."""
        below = add(a, negate(max(a, self.axis, keepdims=True).detach()))
        return add(below, negate(log(summation(exp(below), self.axis, keepdims=True))))


def logsumexp(a: Tensor, axes: Axes | None = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(a))) over axes. See LogSumExp."""
    return LogSumExp(axes, keepdims)(a)


def softmax(a: Tensor, axis: Axes | None = -1) -> Tensor:
    """exp(a), scaled to sum 1 along axis (one, several, or None for all). See Softmax."""
    return Softmax(axis)(a)


def logsoftmax(a: Tensor, axis: int = -1) -> Tensor:
    """The logarithm of softmax(a) along axis. See LogSoftmax."""
    return LogSoftmax(axis)(a)
