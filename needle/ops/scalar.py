"""Elementwise ops of a Tensor and a Python number.

The number is rounded to the Tensor's dtype, beside 16-bit floats to float32.
"""

from __future__ import annotations

import math

from needle.autograd import Number, Tensor, TensorOp, TensorTuple, TensorTupleOp
from needle.backend_ndarray import NDArray, zeros
from needle.backend_ndarray.checks import real

__all__ = [
    "AddScalar",
    "DivScalar",
    "FusedAddScalars",
    "MulScalar",
    "PowerScalar",
    "ScalarDiv",
    "ScalarPower",
    "add_scalar",
    "divide_scalar",
    "fused_add_scalars",
    "mul_scalar",
    "power_scalar",
]


class _ScalarOp(TensorOp):
    __slots__ = ("scalar",)

    def __init__(self, scalar: Number) -> None:
        if type(scalar) is not float and type(scalar) is not int:  # these two need no look
            real(type(self).__name__, "scalar", scalar)
        self.scalar = scalar

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.scalar})"


class AddScalar(_ScalarOp):
    """a + scalar.

    Gradient: g.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a + self.scalar

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return out_grad


class MulScalar(_ScalarOp):
    """a * scalar.

    Gradient: g scalar.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a * self.scalar

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return mul_scalar(out_grad, self.scalar)


class DivScalar(_ScalarOp):
    """a / scalar.

    Gradient: g / scalar.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a / self.scalar

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return divide_scalar(out_grad, self.scalar)


class ScalarDiv(_ScalarOp):
    """scalar / a.

    Gradient: -g (scalar / a) / a.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return self.scalar / a

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        a: Tensor = node.inputs[0]
        return -(out_grad * node / a)


class PowerScalar(_ScalarOp):
    """a ** scalar.

    Domain: a > 0, or a whole scalar.
    Gradient: g scalar a^(scalar - 1); 0 for scalar = 0.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a**self.scalar

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        (a,) = node.inputs
        if self.scalar == 0:
            return Tensor.make_const(zeros(a.shape, dtype=a.dtype, device=a.device))
        rest = a if self.scalar == 2 else power_scalar(a, self.scalar - 1)
        return out_grad * mul_scalar(rest, self.scalar)


class ScalarPower(_ScalarOp):
    """scalar ** a.

    Domain: scalar > 0, or a whole a.
    Gradient: g scalar^a log(scalar).
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return self.scalar**a

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        if self.scalar == 0:  # a step at a = 0, flat on both sides
            a: Tensor = node.inputs[0]
            return Tensor.make_const(zeros(a.shape, dtype=a.dtype, device=a.device))
        slope = math.log(self.scalar) if self.scalar > 0 else math.nan
        return out_grad * mul_scalar(node, slope)


class FusedAddScalars(TensorTupleOp):
    """The pair (a + c0, a + c1).

    Gradient: the sum of both cotangents.
    """

    __slots__ = ("c0", "c1")

    def __init__(self, c0: Number, c1: Number) -> None:
        real("FusedAddScalars", "c0", c0)
        real("FusedAddScalars", "c1", c1)
        self.c0 = c0
        self.c1 = c1

    def compute(self, a: NDArray) -> tuple[NDArray, NDArray]:
        return a + self.c0, a + self.c1

    def gradient(self, out_grad: TensorTuple, node: TensorTuple) -> Tensor:
        return out_grad[0] + out_grad[1]


def add_scalar(a: Tensor, scalar: Number) -> Tensor:
    """a + scalar."""
    return Tensor.make_from_op(AddScalar(scalar), (a,))


def mul_scalar(a: Tensor, scalar: Number) -> Tensor:
    """a * scalar."""
    return Tensor.make_from_op(MulScalar(scalar), (a,))


def divide_scalar(a: Tensor, scalar: Number) -> Tensor:
    """a / scalar."""
    return Tensor.make_from_op(DivScalar(scalar), (a,))


def power_scalar(a: Tensor, scalar: Number) -> Tensor:
    """a ** scalar. See PowerScalar for its domain."""
    return Tensor.make_from_op(PowerScalar(scalar), (a,))


def fused_add_scalars(a: Tensor, c0: Number, c1: Number) -> TensorTuple:
    """The pair (a + c0, a + c1)."""
    return FusedAddScalars(c0, c1)(a)
