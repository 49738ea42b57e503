"""Pooling of NHWC images: the largest element or the mean of every window.

Each is one node and one kernel, and so is its gradient (MaxPoolGrad, AvgPoolGrad). `composed` is
the same of other ops: windows as a strided view, and Fold, its adjoint, which puts cotangents back.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from needle.autograd import Tensor, TensorOp, composed_vjp
from needle.backend_ndarray import NDArray, zeros
from needle.backend_ndarray.checks import pair
from needle.backend_ndarray.graph import constant
from needle.backend_ndarray.halves import held, wide
from needle.ops.broadcast import broadcast_to, reshape, summation
from needle.ops.elementwise import divide
from needle.ops.reduction import extreme_share, max

__all__ = [
    "AvgPool",
    "AvgPoolGrad",
    "Fold",
    "MaxPool",
    "MaxPoolGrad",
    "Windows",
    "avg_pool",
    "max_pool",
]

Pair: TypeAlias = int | tuple[int, int]
_WINDOW = (3, 4)  # the axes of a window's elements among those of Windows' result


class Geometry(NamedTuple):
    """Kernel, stride and padding, each (height, width), of the op called `op`."""

    op: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    @classmethod
    def checked(cls, op: str, kernel: Pair, stride: Pair | None, padding: Pair) -> Geometry:
        """From what a user gives. Raises: ValueError when a size is out of range."""
        made = cls(
            op,
            pair(op, "kernel", kernel, 1),
            pair(op, "stride", kernel if stride is None else stride, 1),
            pair(op, "padding", padding, 0),
        )
        (kh, kw), (ph, pw) = made.kernel, made.padding
        if 2 * ph > kh or 2 * pw > kw:
            raise ValueError(
                f"[{op}] padding is at most half the kernel, so that no window is all padding, "
                f"got padding={made.padding}, kernel={made.kernel}"
            )
        return made

    def result(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width of the result for images of a shape.

        Raises: ValueError when they are no images, or smaller than the kernel.
        """
        if len(shape) != 4:
            raise ValueError(f"[{self.op}] images have 4 axes (N, H, W, C), got x.shape={shape}")
        padded = [n + 2 * p for n, p in zip(shape[1:3], self.padding, strict=True)]
        if any(n < k for n, k in zip(padded, self.kernel, strict=True)):
            raise ValueError(
                f"[{self.op}] the kernel fits into the padded image, "
                f"got kernel={self.kernel}, image={tuple(padded)}"
            )
        h, w = ((n - k) // s + 1 for n, k, s in zip(padded, self.kernel, self.stride, strict=True))
        return h, w

    def windows(self, x: NDArray, outside: float) -> NDArray:
        """(N, OH, OW, KH, KW, C): every window of x, with `outside` around the images."""
        shape = (x.shape[0], *self.result(x.shape), *self.kernel, x.shape[3])
        if any(self.padding):
            around = tuple((p, p) for p in self.padding)
            x = x.pad(((0, 0), *around, (0, 0)), outside)
        n, h, w, c = x.strides
        steps = (n, h * self.stride[0], w * self.stride[1], h, w, c)
        return x.as_strided(shape, steps)

    def divisors(self, like: Tensor, shape: tuple[int, ...], whole: bool) -> Tensor:
        """By what the sum of each window of images of a shape is divided: the elements of the
        kernel (whole), or those inside of the image, (OH, OW, 1).
        """
        sizes: npt.NDArray[np.float64] | np.float64 = np.float64(math.prod(self.kernel))
        if not whole:
            h, w = (self._inside(axis, shape) for axis in (0, 1))
            sizes = np.multiply.outer(h, w)[:, :, None]
        return Tensor.make_const(constant(np.asarray(sizes), like.realize_cached_data()))

    def _inside(self, axis: int, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """How many rows (axis 0) or columns (axis 1) of the image each window holds."""
        starts = np.arange(self.result(shape)[axis]) * self.stride[axis] - self.padding[axis]
        ends = np.minimum(starts + self.kernel[axis], shape[1 + axis])
        inside: npt.NDArray[np.float64] = (ends - np.maximum(starts, 0)).astype(np.float64)
        return inside


class _Pooling(TensorOp):
    __slots__ = ("geometry",)

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry


class Windows(_Pooling):
    """Every window of the images, zeros around them.

    Shape: (N, H, W, C) gives (N, OH, OW, KH, KW, C).
    Gradient: Fold.
    """

    __slots__ = ()

    def compute(self, x: NDArray) -> NDArray:
        return self.geometry.windows(x, 0.0)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return Fold(self.geometry, node.inputs[0].shape)(out_grad)


class Fold(_Pooling):
    """Images whose elements are the sums of the windows' elements that lie on them.

    Shape: (N, OH, OW, KH, KW, C) gives `shape` (N, H, W, C).
    Gradient: Windows.
    """

    __slots__ = ("shape",)

    def __init__(self, geometry: Geometry, shape: tuple[int, ...]) -> None:
        super().__init__(geometry)
        self.shape = shape

    def compute(self, parts: NDArray) -> NDArray:
        images, h, w, channels = self.shape
        (ph, pw), (sh, sw) = self.geometry.padding, self.geometry.stride
        padded = (images, h + 2 * ph, w + 2 * pw, channels)
        dtype = wide(parts.dtype)
        result = zeros(padded, dtype=dtype, device=parts.device)
        rows, columns = parts.shape[1:3]
        for i in range(self.geometry.kernel[0]):
            for j in range(self.geometry.kernel[1]):
                # The elements (i, j) of all windows lie on a grid of their own.
                grid = (
                    slice(None),
                    slice(i, i + sh * (rows - 1) + 1, sh),
                    slice(j, j + sw * (columns - 1) + 1, sw),
                )
                result[grid] = result[grid] + held(parts[:, :, :, i, j], dtype)
        return held(result[:, ph : ph + h, pw : pw + w], parts.dtype)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return Windows(self.geometry)(out_grad)


class MaxPool(_Pooling):
    """The largest element of every window; NaN wins. Padding is -inf: it never is the largest.

    Shape: (N, H, W, C) gives (N, OH, OW, C) with OH = (H + 2 padding - KH) // stride + 1.
    Gradient: to the largest element of each window; ties share it in equal parts.
    """

    __slots__ = ()

    def compute(self, x: NDArray) -> NDArray:
        return x.max_pool2d(*self.geometry[1:])

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return MaxPoolGrad(self.geometry)(out_grad, node.inputs[0].detach())

    def composed(self, x: Tensor) -> Tensor:
        """The same of other ops, without padding."""
        return max(Windows(self.geometry)(x), _WINDOW)


class MaxPoolGrad(_Pooling):
    """g in equal parts to the largest elements of each window of x, of (g, x): MaxPool's gradient.

    Shape: that of x.
    Gradient: for g, the mean of the cotangent over the largest elements; for x, zeros: who is
    largest is constant almost everywhere.
    Raises: ValueError when g has not the shape of the pooled images.
    """

    __slots__ = ()

    def compute(self, g: NDArray, x: NDArray) -> NDArray:
        return x.max_pool2d_grad(g, *self.geometry[1:])

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        g, x = node.inputs
        dg = dx = None
        if g.requires_grad:
            dg, _ = composed_vjp(self.composed, (g, x.detach()), out_grad)
        if x.requires_grad:
            dx = Tensor.make_const(zeros(x.shape, dtype=x.dtype, device=x.device))
        return dg, dx

    def composed(self, g: Tensor, x: Tensor) -> Tensor:
        """The same of other ops."""
        windows = self.geometry.windows(x.realize_cached_data(), -math.inf)
        largest = windows.max(axis=_WINDOW, keepdims=True)
        share = extreme_share(windows, largest, reshape(g, _kept(g.shape)), _WINDOW)
        return Fold(self.geometry, x.shape)(share)


class AvgPool(_Pooling):
    """The mean of every window; zeros around the images count, or do not (count_include_pad).

    Shape: (N, H, W, C) gives (N, OH, OW, C) with OH = (H + 2 padding - KH) // stride + 1.
    Gradient: every element of a window takes an equal part.
    """

    __slots__ = ("count_include_pad",)

    def __init__(self, geometry: Geometry, count_include_pad: bool = True) -> None:
        super().__init__(geometry)
        self.count_include_pad = count_include_pad

    def compute(self, x: NDArray) -> NDArray:
        return x.avg_pool2d(*self.geometry[1:], not self.count_include_pad)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return AvgPoolGrad(self.geometry, node.inputs[0].shape, self.count_include_pad)(out_grad)

    def composed(self, x: Tensor) -> Tensor:
        """The same of other ops."""
        sizes = self.geometry.divisors(x, x.shape, self.count_include_pad)
        return divide(summation(Windows(self.geometry)(x), _WINDOW), sizes)


class AvgPoolGrad(_Pooling):
    """g in equal parts to the elements of each window, of images of `shape`: AvgPool's gradient.

    Gradient: AvgPool; each is the other's adjoint.
    Raises: ValueError when g has not the shape of the pooled images.
    """

    __slots__ = ("count_include_pad", "shape")

    def __init__(
        self, geometry: Geometry, shape: tuple[int, ...], count_include_pad: bool = True
    ) -> None:
        super().__init__(geometry)
        self.shape = shape
        self.count_include_pad = count_include_pad

    def compute(self, g: NDArray) -> NDArray:
        return g.avg_pool2d_grad(self.shape, *self.geometry[1:], not self.count_include_pad)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return AvgPool(self.geometry, self.count_include_pad)(out_grad)

    def composed(self, g: Tensor) -> Tensor:
        """The same of other ops."""
        sizes = self.geometry.divisors(g, self.shape, self.count_include_pad)
        share = reshape(divide(g, sizes), _kept(g.shape))
        n, h, w, c = g.shape
        parts = broadcast_to(share, (n, h, w, *self.geometry.kernel, c))
        return Fold(self.geometry, self.shape)(parts)


def max_pool(x: Tensor, kernel: Pair, stride: Pair | None = None, padding: Pair = 0) -> Tensor:
    """The largest element of every window of NHWC images. See MaxPool.

    kernel, stride (that of kernel unless given) and padding are an int or a pair (height, width).
    Raises: ValueError when x is no batch of images, the kernel is larger than the padded image,
    padding exceeds half the kernel, or a size is out of range.
    """
    return MaxPool(Geometry.checked("max_pool", kernel, stride, padding))(x)


def avg_pool(
    x: Tensor,
    kernel: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of every window of NHWC images. See AvgPool.

    kernel, stride (that of kernel unless given) and padding are an int or a pair (height, width).
    Raises: ValueError when x is no batch of images, the kernel is larger than the padded image,
    padding exceeds half the kernel, or a size is out of range.
    """
    geometry = Geometry.checked("avg_pool", kernel, stride, padding)
    return AvgPool(geometry, count_include_pad)(x)


def _kept(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(N, OH, OW, C) with axes of size 1 for a window's elements."""
    n, h, w, c = shape
    return n, h, w, 1, 1, c
