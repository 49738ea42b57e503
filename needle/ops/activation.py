"""Activation functions of Tensors, elementwise."""

from __future__ import annotations

import math
from collections.abc import Callable

from needle.autograd import Number, Tensor, TensorOp, composed_vjp
from needle.backend_ndarray import NDArray
from needle.backend_ndarray.checks import finite
from needle.backend_ndarray.halves import wide
from needle.ops.elementwise import add, exp, multiply, negate
from needle.ops.functions import erfc
from needle.ops.indexing import chosen
from needle.ops.scalar import add_scalar, mul_scalar

__all__ = [
    "GELU",
    "ActivationGrad",
    "Clip",
    "GELUTanh",
    "LeakyReLU",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "clip",
    "gelu",
    "leaky_relu",
    "relu",
    "sigmoid",
    "silu",
    "softplus",
]


class ReLU(TensorOp):
    """max(a, 0); NaN stays NaN.

    Gradient: g where a > 0 (or NaN), 0 elsewhere, at 0 too.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.relu()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        # The result is 0 exactly where nothing passes.
        return chosen(node.realize_cached_data(), out_grad, 0.0)


class LeakyReLU(TensorOp):
    """a where a > 0, slope a elsewhere.

    Gradient: g where a > 0, slope g elsewhere, at 0 too.
    """

    __slots__ = ("slope",)

    def __init__(self, slope: Number) -> None:
        self.slope = slope

    def compute(self, a: NDArray) -> NDArray:
        return a.leaky_relu(self.slope)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        a = node.inputs[0].realize_cached_data()
        if a.dtype == wide(a.dtype):
            return multiply(out_grad, Tensor.make_const(a.leaky_slope(self.slope)))
        # An array of slopes would round them to 16 bits.
        return chosen(a.greater(0), out_grad, mul_scalar(out_grad, self.slope))


class Clip(TensorOp):
    """The nearest number to a in [low, high]; NaN stays NaN.

    Gradient: g where low <= a <= high (or NaN), 0 elsewhere.
    """

    __slots__ = ("high", "low")

    def __init__(self, low: Number | None, high: Number | None) -> None:
        self.low, self.high = low, high

    def compute(self, a: NDArray) -> NDArray:
        low, high = (None if b is None else float(b) for b in (self.low, self.high))
        return a.clip(low, high)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        a = node.inputs[0].realize_cached_data()
        outside = a.not_equal(node.realize_cached_data()) * a.equal(a)
        return chosen(outside, 0.0, out_grad)


class Sigmoid(TensorOp):
    """1 / (1 + exp(-a)).

    Gradient: g sigmoid(a) sigmoid(-a).
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.sigmoid()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return _node(_SIGMOID_GRAD, (out_grad, node.inputs[0]))


class Softplus(TensorOp):
    """log(1 + exp(a)), without overflow.

    Gradient: g sigmoid(a).
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.softplus()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return _node(_SOFTPLUS_GRAD, (out_grad, node.inputs[0]))


class SiLU(TensorOp):
    """a sigmoid(a); -0 at -inf.

    Gradient: g (sigmoid(a) + a sigmoid(a) sigmoid(-a)).
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.silu()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return _node(_SILU_GRAD, (out_grad, node.inputs[0]))


class GELU(TensorOp):
    """a Phi(a), Phi the distribution function of the standard normal; -0 at -inf.

    Gradient: g (Phi(a) + a phi(a)) with the density phi.
    Source: Hendrycks & Gimpel, arXiv 1606.08415.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.gelu()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return _node(_GELU_GRAD, (out_grad, node.inputs[0]))


class GELUTanh(TensorOp):
    """a (1 + tanh(sqrt(2 / pi) (a + 0.044715 a^3))) / 2, near GELU; -0 at -inf.

    Gradient: g (s(w) + a s(w) s(-w) w') with s = sigmoid and w = 2 sqrt(2 / pi) (a + 0.044715 a^3):
    the op is a s(w).
    Source: Hendrycks & Gimpel, arXiv 1606.08415.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a.gelu_tanh()

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        a = _saturated(node.inputs[0], 50)
        scale, square = 2 * math.sqrt(2 / math.pi), multiply(a, a)
        w = multiply(a, add_scalar(mul_scalar(square, 0.044715 * scale), scale))
        w_slope = add_scalar(mul_scalar(square, 3 * 0.044715 * scale), scale)
        gate = multiply(multiply(a, w_slope), sigmoid(negate(w)))
        return multiply(out_grad, multiply(sigmoid(w), add_scalar(gate, 1)))


class ActivationGrad(TensorOp):
    """g f'(a), of (g, a): the gradient of the activation f, in one kernel.

    Gradient: dg is ActivationGrad of (h, a), da = h g f''(a) of other ops.
    Raises: ValueError when there is no such kernel.
    """

    __slots__ = ("kernel", "slope")

    def __init__(self, activation: str) -> None:
        if activation not in _SLOPES:
            raise ValueError(
                f"[ActivationGrad] there are {sorted(_SLOPES)}, got activation={activation!r}"
            )
        self.kernel = f"{activation}_grad"
        self.slope = _SLOPES[activation]

    def compute(self, g: NDArray, a: NDArray) -> NDArray:
        return getattr(g, self.kernel)(a)  # type: ignore[no-any-return]

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        g, a = node.inputs
        dg = self(out_grad, a) if g.requires_grad else None
        (da,) = composed_vjp(self.slope, (a,), multiply(out_grad, g))
        return dg, da


def _sigmoid_slope(a: Tensor) -> Tensor:
    return multiply(sigmoid(a), sigmoid(negate(a)))  # 1 - sigmoid(a) cancels where it is small


def _silu_slope(a: Tensor) -> Tensor:
    # y has digits where sigmoid(a) is denormal; no infinity times 0
    return add(sigmoid(a), multiply(clip(silu(a), high=1000), sigmoid(negate(a))))


def _gelu_slope(a: Tensor) -> Tensor:
    a = _saturated(a, 50)
    below = mul_scalar(erfc(mul_scalar(a, -math.sqrt(0.5))), 0.5)
    density = mul_scalar(exp(mul_scalar(multiply(a, a), -0.5)), 1 / math.sqrt(2 * math.pi))
    return add(below, multiply(a, density))


def _saturated(a: Tensor, most: float) -> Tensor:
    """a kept to [-most, most], outside of which slopes are 0 or 1: no infinity times 0."""
    return clip(a, -most, most)


_SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": _sigmoid_slope,
    "softplus": lambda a: sigmoid(a),
    "silu": _silu_slope,
    "gelu": _gelu_slope,
}
_SIGMOID_GRAD, _SOFTPLUS_GRAD = ActivationGrad("sigmoid"), ActivationGrad("softplus")
_SILU_GRAD, _GELU_GRAD = ActivationGrad("silu"), ActivationGrad("gelu")

_RELU, _SIGMOID, _SOFTPLUS, _SILU = ReLU(), Sigmoid(), Softplus(), SiLU()
_GELU = {"none": GELU(), "tanh": GELUTanh()}
_node = Tensor.make_from_op


def relu(a: Tensor) -> Tensor:
    """max(a, 0)."""
    return _node(_RELU, (a,))


def leaky_relu(a: Tensor, slope: Number = 0.01) -> Tensor:
    """a where a > 0, slope a elsewhere. See LeakyReLU for its gradient at 0.

    Raises: ValueError when slope is not finite.
    """
    finite("leaky_relu", slope=slope)
    return _node(LeakyReLU(slope), (a,))


def clip(a: Tensor, low: Number | None = None, high: Number | None = None) -> Tensor:
    """The nearest number to a in [low, high]; None sets no bound. See Clip for its gradient.

    Raises: ValueError when a bound is not finite, low > high, or there is no bound.
    """
    bounds = {"low": low, "high": high}
    finite("clip", **{name: bound for name, bound in bounds.items() if bound is not None})
    if low is None and high is None:
        raise ValueError("[clip] at least one bound is needed, got low=None, high=None")
    if low is not None and high is not None and low > high:
        raise ValueError(f"[clip] low may not exceed high, got low={low}, high={high}")
    return _node(Clip(low, high), (a,))


def sigmoid(a: Tensor) -> Tensor:
    """1 / (1 + exp(-a))."""
    return _node(_SIGMOID, (a,))


def softplus(a: Tensor) -> Tensor:
    """log(1 + exp(a))."""
    return _node(_SOFTPLUS, (a,))


def silu(a: Tensor) -> Tensor:
    """a sigmoid(a)."""
    return _node(_SILU, (a,))


def gelu(a: Tensor, approximate: str = "none") -> Tensor:
    """a Phi(a), Phi the distribution function of the standard normal; "tanh": see GELUTanh.

    Raises: ValueError when approximate is neither "none" nor "tanh".
    """
    if not isinstance(approximate, str) or approximate not in _GELU:
        raise ValueError(f"[gelu] approximate is 'none' or 'tanh', got approximate={approximate!r}")
    return _node(_GELU[approximate], (a,))
