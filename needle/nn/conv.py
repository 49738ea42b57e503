"""Convolution as a module."""

from __future__ import annotations

import math
from typing import Any

from needle import init, ops
from needle.autograd import Tensor
from needle.backend_ndarray import BackendDevice
from needle.nn.module import Module, Parameter

_NHWC = (0, 2, 3, 1)  # from NCHW
_NCHW = (0, 3, 1, 2)  # from NHWC


class Conv(Module):
    """Convolution of NCHW images with square kernels, padded by kernel_size // 2.

    Shape: (N, in_channels, H, W) gives (N, out_channels, OH, OW) with
    OH = (H + 2 (k // 2) - k) // stride + 1; weight (k, k, in_channels, out_channels), bias
    (out_channels,).
    Draws: weight kaiming_uniform, then bias uniform within ± 1 / sqrt(in_channels k²).
    Raises: ValueError when the input has other axes or channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        bias: bool = True,
        device: BackendDevice | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = kernel_size // 2
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        fan_in, fan_out = in_channels * kernel_size**2, out_channels * kernel_size**2
        shape = (kernel_size, kernel_size, in_channels, out_channels)
        self.weight = Parameter(init.kaiming_uniform(fan_in, fan_out, shape=shape, **where))
        self.bias = None
        if bias:
            bound = 1 / math.sqrt(fan_in)
            self.bias = Parameter(init.rand(out_channels, low=-bound, high=bound, **where))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise ValueError(f"[nn.Conv] images have 4 axes (N, C, H, W), got x.shape={x.shape}")
        images = ops.permute(x, _NHWC)
        y = ops.conv(images, self.weight, stride=self.stride, padding=self.padding)
        if self.bias is not None:
            y = y + self.bias
        return ops.permute(y, _NCHW)
