"""Elementary and special functions of Tensors, elementwise."""

from __future__ import annotations

import math

from needle.autograd import Tensor, TensorOp
from needle.backend_ndarray import NDArray, zeros
from needle.ops.elementwise import divide, exp, multiply, negate
from needle.ops.scalar import add_scalar, mul_scalar

__all__ = [
    "Abs",
    "Cos",
    "Erf",
    "Erfc",
    "Expm1",
    "Log1p",
    "Rsqrt",
    "Sign",
    "Sin",
    "Sqrt",
    "abs",
    "cos",
    "erf",
    "erfc",
    "expm1",
    "log1p",
    "rsqrt",
    "sign",
    "sin",
    "sqrt",
]


class Abs(TensorOp):
    """|a|.

    Gradient: g sign(a): 0 at 0.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.abs()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        signs = node.inputs[0].realize_cached_data().sign()
        return multiply(out_grad, Tensor.make_const(signs))


class Sign(TensorOp):
    """1 where a > 0, -1 where a < 0; zeros (of either sign) and NaN stay.

    Gradient: 0.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.sign()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return Tensor.make_const(zeros(node.shape, dtype=node.dtype, device=node.device))


class Sqrt(TensorOp):
    """The square root.

    Domain: a >= 0; NaN below.
    Gradient: g / (2 sqrt(a)).
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.sqrt()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return mul_scalar(divide(out_grad, node), 0.5)


class Rsqrt(TensorOp):
    """1 / sqrt(a).

    Domain: a > 0; infinite at 0, NaN below.
    Gradient: -g / (2 sqrt(a) a).
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.rsqrt()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        # The cube of the result could leave the range where the product with g does not.
        return mul_scalar(divide(multiply(out_grad, node), node.inputs[0]), -0.5)


class Sin(TensorOp):
    """The sine of a in radians; NaN at infinity.

    Gradient: g cos(a).
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.sin()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return multiply(out_grad, cos(node.inputs[0]))


class Cos(TensorOp):
    """The cosine of a in radians; NaN at infinity.

    Gradient: -g sin(a).
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.cos()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return negate(multiply(out_grad, sin(node.inputs[0])))


class Log1p(TensorOp):
    """log(1 + a), accurate for small a.

    Domain: a > -1; -inf at -1, NaN below.
    Gradient: g / (1 + a).
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.log1p()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return divide(out_grad, add_scalar(node.inputs[0], 1))


class Expm1(TensorOp):
    """exp(a) - 1, accurate for small a.

    Gradient: g exp(a), which the result plus 1 would give with cancellation.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.expm1()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return multiply(out_grad, exp(node.inputs[0]))


class Erf(TensorOp):
    """The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to a.

    Gradient: g 2 / sqrt(pi) exp(-a^2).
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.erf()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return mul_scalar(_times_bell(out_grad, node.inputs[0]), 2 / math.sqrt(math.pi))


class Erfc(TensorOp):
    """1 - erf(a), accurate for large a.

    Gradient: -g 2 / sqrt(pi) exp(-a^2).
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.erfc()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return mul_scalar(_times_bell(out_grad, node.inputs[0]), -2 / math.sqrt(math.pi))


def _times_bell(g: Tensor, a: Tensor) -> Tensor:
    return multiply(g, exp(negate(multiply(a, a))))


_ABS, _SIGN, _SQRT, _RSQRT, _SIN, _COS = Abs(), Sign(), Sqrt(), Rsqrt(), Sin(), Cos()
_LOG1P, _EXPM1, _ERF, _ERFC = Log1p(), Expm1(), Erf(), Erfc()
_node = Tensor.make_from_op


def abs(a: Tensor) -> Tensor:
    """|a|. See Abs for its gradient at 0."""
    return _node(_ABS, (a,))


def sign(a: Tensor) -> Tensor:
    """1, -1 or 0. See Sign for zeros and NaN."""
    return _node(_SIGN, (a,))


def sqrt(a: Tensor) -> Tensor:
    """The square root."""
    return _node(_SQRT, (a,))


def rsqrt(a: Tensor) -> Tensor:
    """1 / sqrt(a)."""
    return _node(_RSQRT, (a,))


def sin(a: Tensor) -> Tensor:
    """The sine of a in radians."""
    return _node(_SIN, (a,))


def cos(a: Tensor) -> Tensor:
    """The cosine of a in radians."""
    return _node(_COS, (a,))


def log1p(a: Tensor) -> Tensor:
    """log(1 + a), accurate for small a."""
    return _node(_LOG1P, (a,))


def expm1(a: Tensor) -> Tensor:
    """exp(a) - 1, accurate for small a."""
    return _node(_EXPM1, (a,))


def erf(a: Tensor) -> Tensor:
    """The error function."""
    return _node(_ERF, (a,))


def erfc(a: Tensor) -> Tensor:
    """1 - erf(a), accurate for large a."""
    return _node(_ERFC, (a,))
