"""Pooling of NHWC images: the largest element or the mean of every window.

Windows are a strided view; putting cotangents back is the adjoint of taking windows (Fold), and the
two are each other's gradients.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from needle.autograd import Tensor, TensorOp
from needle.backend_ndarray import NDArray, full, zeros
from needle.backend_ndarray.checks import pair
from needle.backend_ndarray.graph import constant
from needle.backend_ndarray.halves import held, wide
from needle.ops.broadcast import broadcast_to, reshape, summation
from needle.ops.elementwise import divide
from needle.ops.reduction import extreme_share, max

__all__ = ["AvgPool", "Fold", "MaxPool", "Windows", "avg_pool", "max_pool"]

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
        if any(2 * p > k for p, k in zip(made.padding, made.kernel, strict=True)):
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

    def sizes(self, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """(OH, OW, 1): how many elements of the image each window holds."""
        h, w = (self._inside(axis, shape) for axis in (0, 1))
        return np.multiply.outer(h, w)[:, :, None]

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
        return self.geometry.windows(x, -math.inf).max(axis=_WINDOW)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        x = node.inputs[0]
        windows = self.geometry.windows(x.realize_cached_data(), -math.inf)
        kept = _kept(out_grad.shape)
        largest = node.realize_cached_data().reshape(kept)
        share = extreme_share(windows, largest, reshape(out_grad, kept), _WINDOW)
        return Fold(self.geometry, x.shape)(share)

    def composed(self, x: Tensor) -> Tensor:
        """The same of other ops, without padding."""
        return max(Windows(self.geometry)(x), _WINDOW)


class AvgPool(_Pooling):
    """The mean of every window; zeros around the images count, or do not (count_include_pad).

    Shape: (N, H, W, C) gives (N, OH, OW, C) with OH = (H + 2 padding - KH) // stride + 1.
    Gradient: every element of a window takes an equal part.
    """

    __slots__ = ("count_include_pad",)

    def __init__(self, geometry: Geometry, count_include_pad: bool) -> None:
        super().__init__(geometry)
        self.count_include_pad = count_include_pad

    def sizes(self, x: NDArray) -> NDArray:
        """By what the sum of each window is divided."""
        if self.count_include_pad or not any(self.geometry.padding):
            return full((), math.prod(self.geometry.kernel), dtype=x.dtype, device=x.device)
        return constant(self.geometry.sizes(x.shape), x)

    def compute(self, x: NDArray) -> NDArray:
        wider = held(x, wide(x.dtype))
        total = self.geometry.windows(wider, 0.0).sum(axis=_WINDOW)
        return held(total / self.sizes(wider), x.dtype)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        x = node.inputs[0]
        sizes = Tensor.make_const(self.sizes(x.realize_cached_data()))
        share = reshape(divide(out_grad, sizes), _kept(out_grad.shape))
        n, h, w, c = out_grad.shape
        parts = broadcast_to(share, (n, h, w, *self.geometry.kernel, c))
        return Fold(self.geometry, x.shape)(parts)

    def composed(self, x: Tensor) -> Tensor:
        """The same of other ops."""
        sizes = Tensor.make_const(self.sizes(x.realize_cached_data()))
        return divide(summation(Windows(self.geometry)(x), _WINDOW), sizes)


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
