"""Softmax and its logarithms, stable for any finite input: the largest element is subtracted first.

Each is one node and one kernel, and so is its gradient (SoftmaxGrad, LogSoftmaxGrad), whose own
gradient is composed. `composed` is the same function of ops that exist anyway; tests and verify
hold it against the node's compute and gradient.
"""

from __future__ import annotations

from needle.autograd import Tensor, TensorOp
from needle.backend_ndarray import NDArray
from needle.ops.broadcast import (
    Axes,
    fixed,
    kept_shape,
    native,
    normalized_axis,
    reshape,
    summation,
)
from needle.ops.elementwise import add, divide, exp, log, multiply, negate
from needle.ops.reduction import max

__all__ = [
    "LogSoftmax",
    "LogSoftmaxGrad",
    "LogSumExp",
    "Softmax",
    "SoftmaxGrad",
    "logsoftmax",
    "logsumexp",
    "softmax",
]


def _one(op: str, axis: int, ndim: int) -> int:
    """One axis for a kernel, which checks an int itself."""
    return axis if type(axis) is int else normalized_axis(op, axis, ndim)


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
        return a.logsumexp(native("logsumexp", self.axes, a.ndim), self.keepdims)

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
        return a.softmax(native("softmax", self.axes, a.ndim))

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return SoftmaxGrad(self.axes)(node, out_grad)

    def composed(self, a: Tensor) -> Tensor:
        """The same of other ops."""
        powers = exp(add(a, negate(max(a, self.axes, keepdims=True).detach())))
        return divide(powers, summation(powers, self.axes, keepdims=True))


class SoftmaxGrad(TensorOp):
    """y (g - sum(g y)) over axes, of (y, g): the gradient of Softmax, whose result is y.

    As a map of g it is its own adjoint.
    Gradient: of cotangents h, dg = y (h - sum(h y)), dy = h g - h sum(g y) - g sum(h y).
    """

    __slots__ = ("axes",)

    def __init__(self, axes: Axes | None) -> None:
        self.axes = axes

    def compute(self, y: NDArray, g: NDArray) -> NDArray:
        return y.softmax_grad(g, native("softmax", self.axes, y.ndim))

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        y, g = node.inputs
        dg = SoftmaxGrad(self.axes)(y, out_grad) if g.requires_grad else None
        if not y.requires_grad:
            return None, dg
        of_g, of_h = (summation(multiply(t, y), self.axes, keepdims=True) for t in (g, out_grad))
        centred = multiply(out_grad, add(g, negate(of_g)))
        return add(centred, negate(multiply(g, of_h))), dg

    def composed(self, y: Tensor, g: Tensor) -> Tensor:
        """The same of other ops."""
        mean = summation(multiply(g, y), self.axes, keepdims=True)
        return multiply(y, add(g, negate(mean)))


class LogSoftmaxGrad(TensorOp):
    """g - exp(y) sum(g) over one axis, of (y, g): the gradient of LogSoftmax, whose result is y.

    Gradient: of cotangents h, dg = h - sum(h exp(y)), dy = -h exp(y) sum(g).
    """

    __slots__ = ("axis",)

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def compute(self, y: NDArray, g: NDArray) -> NDArray:
        return y.logsoftmax_grad(g, _one("logsoftmax", self.axis, y.ndim))

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        y, g = node.inputs
        share = multiply(out_grad, exp(y))
        dy = dg = None
        if g.requires_grad:
            dg = add(out_grad, negate(summation(share, self.axis, keepdims=True)))
        if y.requires_grad:
            dy = negate(multiply(share, summation(g, self.axis, keepdims=True)))
        return dy, dg

    def composed(self, y: Tensor, g: Tensor) -> Tensor:
        """The same of other ops."""
        total = summation(g, self.axis, keepdims=True)
        return add(g, negate(multiply(exp(y), total)))


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
        return a.logsoftmax(_one("logsoftmax", self.axis, a.ndim))

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return LogSoftmaxGrad(self.axis)(node, out_grad)

    def composed(self, a: Tensor) -> Tensor:
        """The same of other ops."""
        below = add(a, negate(max(a, self.axis, keepdims=True).detach()))
        return add(below, negate(log(summation(exp(below), self.axis, keepdims=True))))


def logsumexp(a: Tensor, axes: Axes | None = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(a))) over axes. See LogSumExp."""
    return LogSumExp(axes, keepdims)(a)


def softmax(a: Tensor, axis: Axes | None = -1) -> Tensor:
    """exp(a), scaled to sum 1 along axis (one, several, or None for all). See Softmax."""
    return Tensor.make_from_op(Softmax(axis), (a,))


def logsoftmax(a: Tensor, axis: int = -1) -> Tensor:
    """The logarithm of softmax(a) along axis. See LogSoftmax."""
    return Tensor.make_from_op(LogSoftmax(axis), (a,))
