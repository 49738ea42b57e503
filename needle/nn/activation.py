"""Activation functions as modules."""

from __future__ import annotations

from needle import ops
from needle.autograd import Tensor
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
