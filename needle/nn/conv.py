"""Convolution as a module."""

from __future__ import annotations

import math
from typing import Any

from needle import init, ops
from needle.autograd import Tensor
from needle.backend_ndarray import BackendDevice
from needle.backend_ndarray.checks import pair
from needle.nn.module import Module, Parameter, require_positive
from needle.ops.broadcast import check_tensors
from needle.ops.convolution import Pair


def channels_last(op: str, x: Tensor) -> Tensor:
    """NCHW images as NHWC.

    Raises: TypeError when they are no Tensor, ValueError when they have other axes.
    """
    check_tensors(op, x=x)
    if x.ndim != 4:
        raise ValueError(f"[{op}] images have 4 axes (N, C, H, W), got x.shape={x.shape}")
    return ops.permute(x, (0, 2, 3, 1))


def channels_first(x: Tensor) -> Tensor:
    """NHWC images as NCHW."""
    return ops.permute(x, (0, 3, 1, 2))


class Conv(Module):
    """Convolution of NCHW images with square kernels, padded by kernel_size // 2 unless told.

    Shape: (N, in_channels, H, W) gives (N, out_channels, OH, OW) with
    OH = (H + 2 padding - dilation (k - 1) - 1) // stride + 1; weight
    (k, k, in_channels / groups, out_channels), bias (out_channels,). stride, padding and dilation
    are an int or a pair (height, width).
    Draws: weight kaiming_uniform with fan_in = in_channels / groups k², then bias uniform within
    ± 1 / sqrt(fan_in).
    Raises: ValueError when groups does not divide the channels, a size is out of range, or the
    input has other axes or channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: Pair = 1,
        bias: bool = True,
        device: BackendDevice | None = None,
        dtype: str = "float32",
        *,
        padding: Pair | None = None,
        dilation: Pair = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        require_positive(
            "nn.Conv",
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=kernel_size,
            groups=groups,
        )
        padding = kernel_size // 2 if padding is None else padding
        pair("nn.Conv", "stride", stride, 1)
        pair("nn.Conv", "dilation", dilation, 1)
        pair("nn.Conv", "padding", padding, 0)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                "[nn.Conv] groups divides the channels, got "
                f"groups={groups}, in_channels={in_channels}, out_channels={out_channels}"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.groups = groups
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        shape = (kernel_size, kernel_size, in_channels // groups, out_channels)
        fan_in, fan_out = math.prod(shape[:3]), out_channels * kernel_size**2
        self.weight = Parameter(init.kaiming_uniform(fan_in, fan_out, shape=shape, **where))
        self.bias = None
        if bias:
            bound = 1 / math.sqrt(fan_in)
            self.bias = Parameter(init.rand(out_channels, low=-bound, high=bound, **where))

    def forward(self, x: Tensor) -> Tensor:
        images = channels_last("nn.Conv", x)
        y = ops.conv(
            images,
            self.weight,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        if self.bias is not None:
            y = y + self.bias
        return channels_first(y)
