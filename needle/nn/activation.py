"""Activation functions as modules."""

from __future__ import annotations

from needle import ops
from needle.autograd import Tensor
from needle.nn.module import Module


class ReLU(Module):
    """max(x, 0). See needle.relu."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.relu(x)


class Tanh(Module):
    """The hyperbolic tangent. See needle.tanh."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.tanh(x)
