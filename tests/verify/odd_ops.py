"""Functions of users for verify.check: of several results, with arguments, and with faults that
only a second call, a second order, one gradient alone or bad input shows.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from needle.autograd import Tensor, TensorOp, TensorTupleOp

_count = itertools.count()


# --- of needle's


class Scale(TensorOp):
    """Made with its argument."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def compute(self, *arrays: Any, **_: Any) -> Any:
        return arrays[0] * self.factor

    def gradient(self, out_grad: Any, node: Any) -> Any:
        return out_grad * self.factor


class Both(TensorTupleOp):
    """Sum and product, as a TensorTuple."""

    def compute(self, *arrays: Any, **_: Any) -> Any:
        return arrays[0] + arrays[1], arrays[0] * arrays[1]

    def gradient(self, out_grad: Any, node: Any) -> Any:
        a, b = node.inputs
        return out_grad[0] + out_grad[1] * b, out_grad[0] + out_grad[1] * a


class Step(TensorOp):
    """It says that it has no gradient."""

    differentiable = False

    def compute(self, *arrays: Any, **_: Any) -> Any:
        return arrays[0] >= 0


class ConstantGradient(TensorOp):
    """Squares; its gradient is right, and a constant to whoever derives it again."""

    def compute(self, *arrays: Any, **_: Any) -> Any:
        return arrays[0] * arrays[0]

    def gradient(self, out_grad: Any, node: Any) -> Any:
        return (out_grad * 2 * node.inputs[0]).detach()


def of_two_axes(x: Any) -> Any:
    if x.ndim != 2:
        raise ValueError(f"two axes are needed, not {x.ndim}")
    return x * 2


def looks_away(x: Any, y: Any) -> Any:
    """Makes both of one dtype in silence."""
    return Tensor(x.numpy(), device=y.device, dtype=y.dtype) * y


# --- of torch


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @once_differentiable  # type: ignore[misc]
    def backward(ctx: Any, grad: Any) -> Any:
        return 2 * grad * ctx.saved_tensors[0]


class Detached(Once):
    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return (2 * grad * ctx.saved_tensors[0]).detach()


class WrongAlone(torch.autograd.Function):
    """x y; where the second input needs no gradient, the first gets another's."""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any) -> Any:
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, y = ctx.saved_tensors
        return (grad * y if ctx.needs_input_grad[1] else grad * x), grad * x


class GradientDrifts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 1.0

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return torch_drifts(grad)


def drifts(x: Any) -> Any:
    """The identity, but for one bit in every second call."""
    y = x * 1.0
    if next(_count) % 2:
        y.flat[0] = np.nextafter(y.flat[0], y.dtype.type(np.inf))
    return y


def torch_drifts(x: Any) -> Any:
    y = x * 1.0
    if next(_count) % 2:
        y[..., 0] = torch.nextafter(y[..., 0], torch.tensor(torch.inf, dtype=y.dtype))
    return y


# --- of numpy


def damages_its_cotangent(cotangent: Any, x: Any) -> Any:
    result = cotangent * 1.0
    cotangent *= 0
    return result
