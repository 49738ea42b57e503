"""Activation functions as modules."""

from __future__ import annotations

from needle import ops
from needle.autograd import Tensor
from needle.backend_ndarray.checks import finite
from needle.nn.module import Module
from needle.ops.broadcast import Axes


class ReLU(Module):
    """max(x, 0). See needle.relu."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.relu(x)


class Tanh(Module):
    """The hyperbolic tangent. See needle.tanh."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.tanh(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x)). See needle.sigmoid."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.sigmoid(x)


class SiLU(Module):
    """x sigmoid(x). See needle.silu."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.silu(x)


class Softplus(Module):
    """log(1 + exp(x)). See needle.softplus."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.softplus(x)


class LeakyReLU(Module):
    """x where x > 0, slope x elsewhere. See needle.leaky_relu.

    Raises: ValueError when slope is not finite.
    """

    def __init__(self, slope: float = 0.01) -> None:
        super().__init__()
        finite("nn.LeakyReLU", slope=slope)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return ops.leaky_relu(x, self.slope)


class GELU(Module):
    """x Phi(x), approximate "none" or "tanh". See needle.gelu.

    Raises: ValueError when approximate is neither.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(
                f"[nn.GELU] approximate is 'none' or 'tanh', got approximate={approximate!r}"
            )
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return ops.gelu(x, self.approximate)


class Softmax(Module):
    """exp(x), scaled to sum 1 along axis (one, several, or None for all). See needle.softmax."""

    def __init__(self, axis: Axes | None = -1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return ops.softmax(x, self.axis)


class LogSoftmax(Module):
    """The logarithm of softmax along axis. See needle.logsoftmax."""

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return ops.logsoftmax(x, self.axis)
