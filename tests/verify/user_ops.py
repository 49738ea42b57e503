"""Functions that a user might give to verify.check: right ones, and the same with a fault."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from needle.autograd import TensorOp


def square(x: Any) -> Any:
    return x * x


class Square(TensorOp):
    def compute(self, *arrays: Any, **_: Any) -> Any:
        return arrays[0] * arrays[0]

    def gradient(self, out_grad: Any, node: Any) -> Any:
        return out_grad * 2 * node.inputs[0]


class WrongGradient(Square):
    def gradient(self, out_grad: Any, node: Any) -> Any:
        return out_grad * 1.99 * node.inputs[0]


class TorchSquare(torch.autograd.Function):
    factor = 2.0

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @classmethod
    def backward(cls, ctx: Any, *grads: Any) -> Any:
        return cls.factor * grads[0] * ctx.saved_tensors[0]


class TorchWrong(TorchSquare):
    factor = 1.99


class Scaled(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Any) -> Any:
        return x * self.scale


def np_square(x: Any) -> Any:
    return np.multiply(x, x)


def np_wrong_at_the_end(x: Any) -> Any:
    y = np.multiply(x, x)
    y[..., -1] *= y.dtype.type(1.01)
    return y


def np_wider(x: Any) -> Any:
    return np.multiply(x, x).astype(np.float64)


def np_changes_its_input(x: Any) -> Any:
    np.multiply(x, x, out=x)
    return x


def np_raises_on_strides(x: Any) -> Any:
    if not x.flags.c_contiguous:
        raise ValueError("wants contiguous memory")
    return np_square(x)


def np_gradient(cotangent: Any, x: Any) -> Any:
    return 2 * cotangent * x


def np_wrong_gradient(cotangent: Any, x: Any) -> Any:
    return cotangent * x


def relu_distance(x: Any) -> Any:
    return np.abs(x)
