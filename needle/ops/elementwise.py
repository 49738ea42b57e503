"""Elementwise ops of Tensors, broadcasting as numpy does."""

from __future__ import annotations

from collections.abc import Callable

from needle.autograd import Tensor, TensorOp
from needle.backend_ndarray import NDArray
from needle.ops.broadcast import sum_to
from needle.ops.indexing import chosen
from needle.ops.scalar import add_scalar, mul_scalar

__all__ = [
    "EWiseAdd",
    "EWiseDiv",
    "EWiseMul",
    "EWisePow",
    "Exp",
    "Log",
    "Maximum",
    "Minimum",
    "Negate",
    "Tanh",
    "TanhGrad",
    "add",
    "divide",
    "exp",
    "log",
    "maximum",
    "minimum",
    "multiply",
    "negate",
    "power",
    "tanh",
]


class EWiseAdd(TensorOp):
    """a + b.

    Gradient: the cotangent for both.
    """

    __slots__ = ()

    def compute(self, a: NDArray, b: NDArray) -> NDArray:
        return a + b

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = node.inputs
        return (
            sum_to(out_grad, a) if a.requires_grad else None,
            sum_to(out_grad, b) if b.requires_grad else None,
        )


class EWiseMul(TensorOp):
    """a * b.

    Gradient: da = g b, db = g a.
    """

    __slots__ = ()

    def compute(self, a: NDArray, b: NDArray) -> NDArray:
        return a * b

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = node.inputs
        return (
            sum_to(multiply(out_grad, b), a) if a.requires_grad else None,
            sum_to(multiply(out_grad, a), b) if b.requires_grad else None,
        )


class EWiseDiv(TensorOp):
    """a / b.

    Gradient: da = g / b, db = -g (a / b) / b.
    """

    __slots__ = ()

    def compute(self, a: NDArray, b: NDArray) -> NDArray:
        return a / b

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = node.inputs
        share = divide(out_grad, b)
        # The quotient is divided once more: b * b could overflow or vanish.
        return (
            sum_to(share, a) if a.requires_grad else None,
            sum_to(negate(multiply(share, node)), b) if b.requires_grad else None,
        )


class EWisePow(TensorOp):
    """a ** b.

    Domain: a > 0, or a whole b.
    Gradient: da = g b a^(b - 1), 0 where b = 0; db = g a^b log(a), 0 where a = 0 and b >= 0.
    """

    __slots__ = ()

    def compute(self, a: NDArray, b: NDArray) -> NDArray:
        return a**b

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = node.inputs
        da = db = None
        a_is_zero = a.realize_cached_data().equal(0)
        if a.requires_grad:
            # 0 * 0^-1 is NaN: there the exponent is raised to 0.
            both_zero = Tensor.make_const(a_is_zero * b.realize_cached_data().equal(0))
            slope = multiply(b, power(a, add(add_scalar(b, -1), both_zero)))
            da = sum_to(multiply(out_grad, slope), a)
        if b.requires_grad:
            # 0^b * log(0) is NaN: there log(1) is taken.
            flat = Tensor.make_const(a_is_zero * b.realize_cached_data().greater_equal(0))
            slope = multiply(node, log(add(a, flat)))
            db = sum_to(multiply(out_grad, slope), b)
        return da, db


class Maximum(TensorOp):
    """The larger of a and b; NaN wins.

    Gradient: to the larger one; where they are equal, half to each.
    """

    __slots__ = ()

    def compute(self, a: NDArray, b: NDArray) -> NDArray:
        return a.maximum(b)

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return _shared(out_grad, node, NDArray.less)


class Minimum(TensorOp):
    """The smaller of a and b; NaN wins.

    Gradient: to the smaller one; where they are equal, half to each.
    """

    __slots__ = ()

    def compute(self, a: NDArray, b: NDArray) -> NDArray:
        return a.minimum(b)

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return _shared(out_grad, node, NDArray.greater)


def _shared(
    out_grad: Tensor, node: Tensor, loses: Callable[[NDArray, NDArray], NDArray]
) -> tuple[Tensor | None, Tensor | None]:
    """The cotangents of an op that chooses one of its two inputs."""
    a, b = node.inputs

    def share(x: NDArray, other: NDArray) -> Tensor:
        half = chosen(x.equal(other), mul_scalar(out_grad, 0.5), out_grad)
        # Where x loses, not where it does not win: a NaN passes the cotangent on.
        return chosen(loses(x, other), 0.0, half)

    x, y = a.realize_cached_data(), b.realize_cached_data()
    return (
        sum_to(share(x, y), a) if a.requires_grad else None,
        sum_to(share(y, x), b) if b.requires_grad else None,
    )


class Negate(TensorOp):
    """-a.

    Gradient: -g.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return -a

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return negate(out_grad)


class Log(TensorOp):
    """The natural logarithm.

    Domain: a > 0; -inf at 0, NaN below.
    Gradient: g / a.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.log()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return divide(out_grad, node.inputs[0])


class Exp(TensorOp):
    """e to the power of a.

    Gradient: g exp(a).
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.exp()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return multiply(out_grad, node)


class Tanh(TensorOp):
    """The hyperbolic tangent.

    Gradient: g (1 - tanh(a)^2).
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.tanh()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return _node(_TANH_GRAD, (out_grad, node))


class TanhGrad(TensorOp):
    """g (1 - y^2), of (g, y): the gradient of Tanh, whose result is y.

    Gradient: of cotangents h, dg = h (1 - y^2), dy = -2 h g y.
    """

    __slots__ = ()

    def compute(self, g: NDArray, y: NDArray) -> NDArray:
        return g.tanh_grad(y)

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        g, y = node.inputs
        dg = _node(_TANH_GRAD, (out_grad, y)) if g.requires_grad else None
        if not y.requires_grad:
            return dg, None
        return dg, mul_scalar(multiply(multiply(out_grad, g), y), -2)

    def composed(self, g: Tensor, y: Tensor) -> Tensor:
        """The same of other ops."""
        return multiply(g, add_scalar(negate(multiply(y, y)), 1))


_ADD, _MUL, _DIV, _POW = EWiseAdd(), EWiseMul(), EWiseDiv(), EWisePow()
_MAXIMUM, _MINIMUM = Maximum(), Minimum()
_NEGATE, _LOG, _EXP, _TANH, _TANH_GRAD = Negate(), Log(), Exp(), Tanh(), TanhGrad()
_node = Tensor.make_from_op


def add(a: Tensor, b: Tensor) -> Tensor:
    """a + b."""
    return _node(_ADD, (a, b))


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """a * b."""
    return _node(_MUL, (a, b))


def divide(a: Tensor, b: Tensor) -> Tensor:
    """a / b."""
    return _node(_DIV, (a, b))


def power(a: Tensor, b: Tensor) -> Tensor:
    """a ** b. See EWisePow for its domain."""
    return _node(_POW, (a, b))


def maximum(a: Tensor, b: Tensor) -> Tensor:
    """The larger of a and b. See Maximum for ties."""
    return _node(_MAXIMUM, (a, b))


def minimum(a: Tensor, b: Tensor) -> Tensor:
    """The smaller of a and b. See Minimum for ties."""
    return _node(_MINIMUM, (a, b))


def negate(a: Tensor) -> Tensor:
    """-a."""
    return _node(_NEGATE, (a,))


def log(a: Tensor) -> Tensor:
    """The natural logarithm."""
    return _node(_LOG, (a,))


def exp(a: Tensor) -> Tensor:
    """e to the power of a."""
    return _node(_EXP, (a,))


def tanh(a: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return _node(_TANH, (a,))
