"""Normalisations as modules. Variances are biased (divided by n), eps is inside the root."""

from __future__ import annotations

from typing import Any

from needle import init, ops
from needle.autograd import Tensor
from needle.backend_ndarray import BackendDevice
from needle.backend_ndarray.checks import finite
from needle.nn.module import Buffer, Module, Parameter, require_eps, require_positive
from needle.ops.broadcast import check_tensors


class _Affine(Module):
    """weight (dim,), all 1, and bias (dim,), all 0."""

    def __init__(self, dim: int, eps: float, device: BackendDevice | None, dtype: str) -> None:
        super().__init__()
        require_positive(f"nn.{type(self).__name__}", dim=dim)
        require_eps(f"nn.{type(self).__name__}", eps)
        self.dim = dim
        self.eps = eps
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = Parameter(init.ones(dim, **where))
        self.bias = Parameter(init.zeros(dim, **where))


class BatchNorm1d(_Affine):
    """Every channel with mean 0 and variance 1, times weight plus bias. See needle.batch_norm.

    In training with the batch's mean and variance, which also enter the running ones:
    (1 - momentum) old + momentum new, the variance biased (torch's is unbiased). Otherwise with the
    running ones.
    Shape: (N, dim) or (N, dim, L); weight, bias, running_mean and running_var (dim,).
    Raises: ValueError when eps is negative, momentum is not in [0, 1], the shape does not fit or,
    in training, a channel has no element.
    """

    ndims: tuple[int, ...] = (2, 3)  # numbers of axes that x may have

    def __init__(
        self,
        dim: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        device: BackendDevice | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(dim, eps, device, dtype)
        op = f"nn.{type(self).__name__}"
        finite(op, momentum=momentum)
        if not 0 <= momentum <= 1:
            raise ValueError(f"[{op}] momentum lies in [0, 1], got momentum={momentum}")
        self.momentum = momentum
        self.running_mean = Buffer(init.zeros(dim, device=device, dtype=dtype))
        self.running_var = Buffer(init.ones(dim, device=device, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        check_tensors(f"nn.{type(self).__name__}", x=x)
        if x.ndim not in self.ndims:
            allowed = " or ".join(map(str, self.ndims))
            raise ValueError(
                f"[nn.{type(self).__name__}] x has {allowed} axes, got x.shape={x.shape}"
            )
        return ops.batch_norm(
            x,
            self.weight,
            self.bias,
            self.running_mean,
            self.running_var,
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
        )


class BatchNorm2d(BatchNorm1d):
    """BatchNorm1d for images.

    Shape: (N, dim, H, W).
    """

    ndims = (4,)


class LayerNorm1d(_Affine):
    """Every row with mean 0 and variance 1, times weight plus bias. See needle.layer_norm.

    Shape: (..., dim); weight and bias (dim,).
    Raises: ValueError when the last axis has another size.
    """

    def __init__(
        self,
        dim: int,
        eps: float = 1e-5,
        device: BackendDevice | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(dim, eps, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        return ops.layer_norm(x, self.weight, self.bias, self.eps)


class GroupNorm(_Affine):
    """Every group of dim / groups channels with mean 0 and variance 1, times weight plus bias.

    Shape: (N, dim, ...); weight and bias (dim,), one element for each channel.
    Raises: ValueError when groups does not divide dim or the shape does not fit.
    Source: Wu and He, 2018.
    """

    def __init__(
        self,
        groups: int,
        dim: int,
        eps: float = 1e-5,
        device: BackendDevice | None = None,
        dtype: str = "float32",
    ) -> None:
        require_positive("nn.GroupNorm", groups=groups, dim=dim)
        if dim % groups:
            raise ValueError(f"[nn.GroupNorm] groups divides dim, got groups={groups}, dim={dim}")
        super().__init__(dim, eps, device, dtype)
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        check_tensors("nn.GroupNorm", x=x)
        if x.ndim < 2 or x.shape[1] != self.dim:
            raise ValueError(
                f"[nn.GroupNorm] x is (N, dim, ...), got x.shape={x.shape}, dim={self.dim}"
            )
        split = (x.shape[0], self.groups, self.dim // self.groups, *x.shape[2:])
        within = tuple(range(2, len(split)))
        y = ops.reshape(ops.standardize(ops.reshape(x, split), within, self.eps), x.shape)
        channels = (self.dim, *[1] * (x.ndim - 2))
        return y * ops.reshape(self.weight, channels) + ops.reshape(self.bias, channels)
