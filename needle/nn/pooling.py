"""Pooling as modules, over NCHW images like nn.Conv."""

from __future__ import annotations

from needle import ops
from needle.autograd import Tensor
from needle.nn.conv import channels_first, channels_last
from needle.nn.module import Module
from needle.ops.pooling import Geometry, Pair


class MaxPool(Module):
    """The largest element of every window. See needle.max_pool.

    Shape: (N, C, H, W) gives (N, C, OH, OW) with OH = (H + 2 padding - kernel) // stride + 1.
    kernel, stride (that of kernel unless given) and padding are an int or a pair (height, width).
    Raises: ValueError when x is no batch of images or a size is out of range.
    """

    def __init__(self, kernel: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        super().__init__()
        Geometry.checked("nn.MaxPool", kernel, stride, padding)
        self.kernel = kernel
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        images = channels_last("nn.MaxPool", x)
        return channels_first(ops.max_pool(images, self.kernel, self.stride, self.padding))


class AvgPool(Module):
    """The mean of every window; padding counts unless told otherwise. See needle.avg_pool.

    Shape: (N, C, H, W) gives (N, C, OH, OW) with OH = (H + 2 padding - kernel) // stride + 1.
    kernel, stride (that of kernel unless given) and padding are an int or a pair (height, width).
    Raises: ValueError when x is no batch of images or a size is out of range.
    """

    def __init__(
        self,
        kernel: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        Geometry.checked("nn.AvgPool", kernel, stride, padding)
        self.kernel = kernel
        self.stride = stride
        self.padding = padding
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        images = channels_last("nn.AvgPool", x)
        geometry = self.kernel, self.stride, self.padding
        return channels_first(ops.avg_pool(images, *geometry, self.count_include_pad))
