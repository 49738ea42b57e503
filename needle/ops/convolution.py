"""Convolution and its two gradients: three bilinear ops that are closed under differentiation."""

from __future__ import annotations

from typing import Any, TypeAlias

from needle.autograd import Tensor, TensorOp
from needle.backend_ndarray import NDArray
from needle.backend_ndarray.checks import integers
from needle.ops.broadcast import fixed

__all__ = ["Conv", "ConvInputGrad", "ConvWeightGrad", "conv"]

Pair: TypeAlias = int | tuple[int, int]


class Conv(TensorOp):
    """Cross-correlation of images x with kernels w.

    Shape: x (N, H, W, C), w (KH, KW, C / groups, O) give (N, OH, OW, O) with
    OH = (H + 2 padding - dilation (KH - 1) - 1) // stride + 1, OW alike. stride, padding and
    dilation are an int or a pair (height, width).
    Gradient: dx is ConvInputGrad of (g, w), dw is ConvWeightGrad of (x, g).
    Raises: ValueError when shapes do not fit, the kernel is larger than the padded image, or a
    parameter is out of range; TypeError when one is no int or pair of ints.
    """

    __slots__ = ("dilation", "groups", "padding", "stride")

    def __init__(
        self, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1, groups: int = 1
    ) -> None:
        self.stride = fixed(stride)
        self.padding = fixed(padding)
        self.dilation = fixed(dilation)
        self.groups = groups

    @property
    def geometry(self) -> tuple[Any, ...]:
        """stride, padding, dilation, groups."""
        return self.stride, self.padding, self.dilation, self.groups

    def compute(self, x: NDArray, w: NDArray) -> NDArray:
        return x.conv2d(w, *self.geometry)

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, w = node.inputs
        return (
            ConvInputGrad(x.shape, *self.geometry)(out_grad, w) if x.requires_grad else None,
            ConvWeightGrad(w.shape, *self.geometry)(x, out_grad) if w.requires_grad else None,
        )


class ConvInputGrad(Conv):
    """The cotangent of conv's x from that of its result and w (a transposed convolution).

    Shape: dy (N, OH, OW, O), w (KH, KW, C / groups, O) give x_shape; a stride that does not divide
    leaves it open, so it is told.
    Gradient: ddy = conv(g, w), dw is ConvWeightGrad of (g, dy).
    Raises: ValueError when shapes do not fit.
    """

    __slots__ = ("x_shape",)

    def __init__(self, x_shape: tuple[int, ...], *geometry: Any) -> None:
        super().__init__(*geometry)
        self.x_shape = fixed(x_shape)

    def compute(self, dy: NDArray, w: NDArray) -> NDArray:
        return dy.conv2d_grad_input(w, self.x_shape, *self.geometry)

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        dy, w = node.inputs
        return (
            Conv(*self.geometry)(out_grad, w) if dy.requires_grad else None,
            ConvWeightGrad(w.shape, *self.geometry)(out_grad, dy) if w.requires_grad else None,
        )


class ConvWeightGrad(Conv):
    """The cotangent of conv's w from x and that of its result.

    Shape: x (N, H, W, C), dy (N, OH, OW, O) give w_shape.
    Gradient: dx is ConvInputGrad of (dy, g), ddy = conv(x, g).
    Raises: ValueError when shapes do not fit.
    """

    __slots__ = ("w_shape",)

    def __init__(self, w_shape: tuple[int, ...], *geometry: Any) -> None:
        super().__init__(*geometry)
        self.w_shape = fixed(w_shape)

    def compute(self, x: NDArray, dy: NDArray) -> NDArray:
        return x.conv2d_grad_weight(dy, self.w_shape, *self.geometry)

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, dy = node.inputs
        return (
            ConvInputGrad(x.shape, *self.geometry)(dy, out_grad) if x.requires_grad else None,
            Conv(*self.geometry)(x, out_grad) if dy.requires_grad else None,
        )


def conv(
    a: Tensor,
    b: Tensor,
    stride: Pair = 1,
    padding: Pair = 1,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Images a (N, H, W, C) convolved with kernels b (KH, KW, C / groups, O). See Conv."""
    integers("conv", groups=groups)
    value: Any
    for name, value in (("stride", stride), ("padding", padding), ("dilation", dilation)):
        several = isinstance(value, tuple | list) or getattr(value, "ndim", 0) == 1
        for n in value if several else (value,):
            integers("conv", **{name: n})
    return Conv(stride, padding, dilation, groups)(a, b)
