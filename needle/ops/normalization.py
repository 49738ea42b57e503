"""Layer and batch normalisation: values centred and scaled to variance 1, then weight and bias.

Standardize, its VJP and the inverse standard deviation are closed under differentiation, so that
gradients of any order need no further formula. Values with statistics are a kernel, with weight and
bias or without, and so is the VJP. Variances are biased (divided by n), and eps is inside the root.
"""

from __future__ import annotations

import math
from functools import partial

from needle.autograd import Tensor, TensorOp, TensorTuple, TensorTupleOp, composed_vjp, make_tuple
from needle.backend_ndarray import NDArray
from needle.backend_ndarray.checks import finite, real
from needle.backend_ndarray.graph import current_graph, stored
from needle.backend_ndarray.halves import held
from needle.ops.broadcast import (
    Axes,
    check_tensors,
    fixed,
    normalized,
    normalized_axis,
    reshape,
    sum_to_shape,
)
from needle.ops.elementwise import add, multiply, negate
from needle.ops.reduction import mean
from needle.ops.scalar import add_scalar, divide_scalar, power_scalar

__all__ = [
    "InverseDeviation",
    "Normalize",
    "NormalizeGrad",
    "NormalizeGrads",
    "Standardize",
    "StandardizeGrad",
    "batch_norm",
    "layer_norm",
    "standardize",
]


class Lanes:
    """Mean, variance and inverse deviation of x over axes, found once for forward and VJP.

    axes are those of the op that is called `name`; what is found keeps them with size 1, and is
    float32 of 16-bit floats.
    """

    __slots__ = ("axes", "eps", "inverse", "mean", "name", "variance", "x")

    mean: NDArray
    variance: NDArray
    inverse: NDArray  # 1 / sqrt(variance + eps)

    def __init__(self, name: str, axes: Axes | None, eps: float) -> None:
        real(name, "eps", eps)
        if not 0 <= eps < math.inf:
            raise ValueError(f"[{name}] eps must be finite and >= 0, got eps={eps}")
        self.name = name
        self.axes = fixed(axes)
        self.eps = eps

    def size(self, shape: tuple[int, ...]) -> int:
        """The number of elements in each lane; 1 where there is none, so that 0 / 0 is not met."""
        return math.prod(shape[d] for d in normalized(self.name, self.axes, len(shape))) or 1

    def find(
        self, x: NDArray, weight: NDArray | None = None, bias: NDArray | None = None
    ) -> NDArray:
        """x, standardized, times weight plus bias where these are given; finds the statistics."""
        y, self.mean, self.variance, self.inverse = x.standardize(self.axes, self.eps, weight, bias)
        self.x = x
        return y

    def _require(self, x: NDArray) -> None:
        """Finds the statistics of x unless they are those that were found last."""
        if getattr(self, "x", None) is not x:
            self.find(x)

    def pull_back(self, h: NDArray, x: NDArray, weight: NDArray | None = None) -> NDArray:
        """The cotangent of x from that of find(x, weight, ...)."""
        self._require(x)
        return x.standardize_grad(h, self.mean, self.inverse, self.axes, weight)

    def pull_back_all(self, g: NDArray, x: NDArray, weight: NDArray) -> tuple[NDArray, ...]:
        """The cotangents of x, weight and bias from that of find(x, weight, bias)."""
        self._require(x)
        return tuple(x.normalize_grad(g, self.mean, self.inverse, self.axes, weight))

    def mean_of(self, a: Tensor) -> Tensor:
        """The mean along each lane; of no elements it is what nobody asks for."""
        return mean(a, self.axes, keepdims=True)


class _OfLanes(TensorOp):
    __slots__ = ("lanes",)

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes


class Standardize(_OfLanes):
    """(x - mean) / sqrt(variance + eps), over the axes of `lanes`.

    Gradient: StandardizeGrad of (g, x).
    """

    __slots__ = ()

    def compute(self, x: NDArray) -> NDArray:
        return self.lanes.find(x)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return StandardizeGrad(self.lanes)(out_grad, node.inputs[0])


class StandardizeGrad(_OfLanes):
    """r (h - mean(h) - y mean(h y)) with y = Standardize(x) and r = InverseDeviation(x).

    It is linear in h and, as a map of h, its own adjoint.
    Gradient: dh is StandardizeGrad of (g, x); dx follows from the product rule, with
    dr = -r² y / n and dy = StandardizeGrad.
    """

    __slots__ = ()

    def compute(self, h: NDArray, x: NDArray) -> NDArray:
        return self.lanes.pull_back(h, x)

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        h, x = node.inputs
        g, lanes, mean = out_grad, self.lanes, self.lanes.mean_of
        dh = StandardizeGrad(lanes)(g, x) if h.requires_grad else None
        if not x.requires_grad:
            return dh, None
        y, r = Standardize(lanes)(x), InverseDeviation(lanes)(x)
        gy, hy = mean(multiply(g, y)), mean(multiply(h, y))
        means = add(multiply(mean(g), mean(h)), multiply(gy, hy))
        spread = add(mean(multiply(g, h)), negate(means))
        through_y = StandardizeGrad(lanes)(add(multiply(g, hy), multiply(h, gy)), x)
        through_r = multiply(multiply(r, spread), y)
        return dh, negate(multiply(r, add(through_r, through_y)))


class NormalizeGrad(_OfLanes):
    """StandardizeGrad of (g weight, x), of (g, x, weight).

    Gradient: that of StandardizeGrad and of the product.
    """

    __slots__ = ()

    def compute(self, g: NDArray, x: NDArray, weight: NDArray) -> NDArray:
        return self.lanes.pull_back(g, x, weight)

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, ...]:
        return composed_vjp(self.composed, node.inputs, out_grad)

    def composed(self, g: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """The same of other ops."""
        return StandardizeGrad(self.lanes)(multiply(g, weight), x)


class NormalizeGrads(TensorTupleOp):
    """The cotangents of x, weight and bias from (g, x, weight), found in one go.

    The first is NormalizeGrad; that of weight is g y, that of bias g, summed over the axes that
    weight broadcasts along.
    Gradient: that of the same of other ops.
    """

    __slots__ = ("lanes",)

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes

    def compute(self, g: NDArray, x: NDArray, weight: NDArray) -> tuple[NDArray, ...]:
        return self.lanes.pull_back_all(g, x, weight)

    def gradient(self, out_grad: TensorTuple, node: TensorTuple) -> tuple[Tensor | None, ...]:
        return composed_vjp(self.composed, node.inputs, out_grad)

    def composed(self, g: Tensor, x: Tensor, weight: Tensor) -> TensorTuple:
        """The same of other ops."""
        slope = multiply(g, Standardize(self.lanes)(x))
        sums = (sum_to_shape(a, weight.shape) for a in (slope, g))
        return make_tuple(NormalizeGrad(self.lanes)(g, x, weight), *sums)


class InverseDeviation(_OfLanes):
    """1 / sqrt(variance + eps), reduced axes kept with size 1.

    Gradient: -g r² y / n with y = Standardize(x).
    """

    __slots__ = ()

    def compute(self, x: NDArray) -> NDArray:
        self.lanes.find(x)
        return held(self.lanes.inverse, x.dtype)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        (x,) = node.inputs
        scale = multiply(negate(out_grad), multiply(node, node))
        return divide_scalar(multiply(scale, Standardize(self.lanes)(x)), self.lanes.size(x.shape))


class Normalize(_OfLanes):
    """Standardize(x) * weight + bias in one node; weight and bias broadcast to x.

    They have one element for each lane, or for each place in lanes of the last axes.
    Gradient: NormalizeGrads of (g, x, weight), or NormalizeGrad where dx alone is asked for.
    """

    __slots__ = ()

    def compute(self, x: NDArray, weight: NDArray, bias: NDArray) -> NDArray:
        return self.lanes.find(x, weight, bias)

    def gradient(
        self, out_grad: Tensor, node: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight, bias = node.inputs
        if not (weight.requires_grad or bias.requires_grad):
            return NormalizeGrad(self.lanes)(out_grad, x, weight), None, None
        # All three, though one may not be asked for: the same bits whatever else is.
        dx, dweight, dbias = NormalizeGrads(self.lanes)(out_grad, x, weight)
        return (
            dx if x.requires_grad else None,
            dweight if weight.requires_grad else None,
            dbias if bias.requires_grad else None,
        )

    def composed(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The same of other ops."""
        mean = self.lanes.mean_of
        centred = add(x, negate(mean(x)))
        variance = mean(multiply(centred, centred))
        inverse = power_scalar(add_scalar(variance, self.lanes.eps), -0.5)
        return add(multiply(multiply(centred, inverse), weight), bias)


def standardize(x: Tensor, axes: Axes | None = -1, eps: float = 1e-5) -> Tensor:
    """x with mean 0 and variance 1 over axes. See Standardize."""
    return Standardize(Lanes("standardize", axes, eps))(x)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """x with mean 0 and variance 1 over its last axis, times weight plus bias. See Normalize.

    Shape: x (..., d), weight and bias (d,).
    Raises: ValueError when the shapes do not fit or eps is negative or not finite.
    """
    check_tensors("layer_norm", x=x, weight=weight, bias=bias)
    if x.ndim == 0:
        raise ValueError("[layer_norm] x has at least one axis, got x.shape=()")
    _check_per_channel("layer_norm", x.shape[-1], weight=weight, bias=bias)
    return Normalize(Lanes("layer_norm", -1, eps))(x, weight, bias)


def batch_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    axis: int = 1,
) -> Tensor:
    """x with mean 0 and variance 1 in every channel, times weight plus bias. See Normalize.

    In training, mean and variance are those of x over all axes but `axis`, and the running ones,
    where given, get new data: (1 - momentum) old + momentum new, the variance biased as in the
    normalisation, without a graph. Otherwise the running ones are used.
    Shape: x (N, C, ...), or channels at another axis; the others (C,).
    Raises: ValueError when the shapes do not fit, a channel has no element in training, the running
    statistics are missing, or momentum or eps is out of range.
    """
    check_tensors("batch_norm", x=x)
    axis = normalized_axis("batch_norm", axis, x.ndim)
    given = {"running_mean": running_mean, "running_var": running_var}
    running = {name: t for name, t in given.items() if t is not None}
    if len(running) != 2 and (running or not training):
        raise ValueError(
            "[batch_norm] running_mean and running_var are given together, and outside training, "
            f"got training={training}, given={sorted(running)}"
        )
    check_tensors("batch_norm", weight=weight, bias=bias, **running)
    finite("batch_norm", momentum=momentum)
    if not 0 <= momentum <= 1:
        raise ValueError(f"[batch_norm] momentum lies in [0, 1], got momentum={momentum}")
    channels = x.shape[axis]
    _check_per_channel("batch_norm", channels, weight=weight, bias=bias, **running)
    shape = tuple(channels if d == axis else 1 for d in range(x.ndim))
    weight, bias = (t if axis == x.ndim - 1 else reshape(t, shape) for t in (weight, bias))
    lanes = Lanes("batch_norm", tuple(d for d in range(x.ndim) if d != axis), eps)
    if not training:
        for t in running.values():
            _captured(t)
        mean, variance = (reshape(t, shape) for t in running.values())
        inverse = power_scalar(add_scalar(variance, eps), -0.5)
        return add(multiply(add(x, negate(mean)), multiply(inverse, weight)), bias)
    if channels and 0 in x.shape:
        raise ValueError(f"[batch_norm] training needs elements, got x.shape={x.shape}")
    y = Normalize(lanes)(x, weight, bias)
    if running:
        y.realize_cached_data()  # a lazy value has found no statistics yet
        for t, found in zip(running.values(), (lanes.mean, lanes.variance), strict=True):
            old = _captured(t)
            if found.dtype != old.dtype:
                found = found.astype(old.dtype)
            new = old * (1 - momentum) + found.reshape(channels) * momentum
            t.data = Tensor.make_const(stored(old, new))
    return y


def _captured(running: Tensor) -> NDArray:
    """The array of running statistics, which the graph that is captured, if any, goes on from."""
    array: NDArray = running.realize_cached_data()
    graph = current_graph(array.device)
    if graph is not None:
        graph.before_replay(partial(_resume, running, array))
    return array


def _resume(running: Tensor, captured: NDArray) -> None:
    """A graph goes on from what eager steps or load_state_dict have made of running statistics."""
    now = running.realize_cached_data()
    if now is not captured:
        captured[...] = now
        running.data = Tensor.make_const(captured)


def _check_per_channel(op: str, channels: int, **tensors: Tensor) -> None:
    for name, t in tensors.items():
        if t.shape != (channels,):
            raise ValueError(
                f"[{op}] {name} has one element for each channel, "
                f"got {name}.shape={t.shape}, channels={channels}"
            )
