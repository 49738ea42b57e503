"""The course's ops by name, on every device: values and gradients against torch or numpy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import needle as ndl
from needle.backend_ndarray import BackendDevice

RNG = np.random.default_rng(0)
A, B = RNG.random((2, 3, 4)) + 0.5, RNG.random((2, 3, 4)) + 0.5
IMAGE, KERNEL = RNG.standard_normal((2, 7, 6, 3)), RNG.standard_normal((3, 3, 3, 4))


def torch_conv(stride: int, padding: int) -> Any:
    def conv(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        y = torch.nn.functional.conv2d(
            x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1), stride=stride, padding=padding
        )
        return y.permute(0, 2, 3, 1)

    return conv


def torch_dilate(x: torch.Tensor, axes: tuple[int, ...], dilation: int) -> torch.Tensor:
    axes = tuple(a % x.ndim for a in axes)
    y = torch.zeros(
        [n * (dilation + 1) if d in axes else n for d, n in enumerate(x.shape)], dtype=x.dtype
    )
    y[tuple(slice(None, None, dilation + 1 if d in axes else 1) for d in range(x.ndim))] = x
    return y


def torch_undilate(x: torch.Tensor, axes: tuple[int, ...], dilation: int) -> torch.Tensor:
    axes = tuple(a % x.ndim for a in axes)
    return x[tuple(slice(None, None, dilation + 1 if d in axes else 1) for d in range(x.ndim))]


# name: (ours, torch's, inputs)
CASES: dict[str, tuple[Any, Any, list[Any]]] = {
    "add": (ndl.add, torch.add, [A, B]),
    "multiply": (ndl.multiply, torch.mul, [A, B]),
    "divide": (ndl.divide, torch.div, [A, B]),
    "power": (ndl.power, torch.pow, [A, B]),
    "add_scalar": (lambda a: ndl.add_scalar(a, 2), lambda a: a + 2, [A]),
    "mul_scalar": (lambda a: ndl.mul_scalar(a, 2), lambda a: a * 2, [A]),
    "divide_scalar": (lambda a: ndl.divide_scalar(a, 2), lambda a: a / 2, [A]),
    "power_scalar": (lambda a: ndl.power_scalar(a, 3), lambda a: a**3, [A]),
    "transpose": (ndl.transpose, lambda a: a.transpose(-1, -2), [A]),
    "transpose axes": (lambda a: ndl.transpose(a, (0, -1)), lambda a: a.transpose(0, -1), [A]),
    "reshape": (lambda a: ndl.reshape(a, (4, 6)), lambda a: a.reshape(4, 6), [A]),
    "broadcast_to": (
        lambda a: ndl.broadcast_to(a, (5, 2, 3, 4)),
        lambda a: a.broadcast_to(5, 2, 3, 4),
        [A],
    ),
    "summation": (ndl.summation, torch.sum, [A]),
    "summation axis": (lambda a: ndl.summation(a, 1), lambda a: a.sum(1), [A]),
    "summation axes": (lambda a: ndl.summation(a, axes=(0, -1)), lambda a: a.sum((0, -1)), [A]),
    "matmul": (ndl.matmul, torch.matmul, [A[0], B[0].T.copy()]),
    "matmul batched": (ndl.matmul, torch.matmul, [A, B.transpose(0, 2, 1).copy()]),
    "matmul broadcast": (ndl.matmul, torch.matmul, [A, B[0].T.copy()]),
    "negate": (ndl.negate, torch.neg, [A]),
    "log": (ndl.log, torch.log, [A]),
    "exp": (ndl.exp, torch.exp, [A]),
    "relu": (ndl.relu, torch.relu, [A - 1]),
    "tanh": (ndl.tanh, torch.tanh, [A - 1]),
    "logsumexp": (ndl.logsumexp, lambda a: a.logsumexp((0, 1, 2)), [A]),
    "logsumexp axes": (lambda a: ndl.logsumexp(a, (0, -1)), lambda a: a.logsumexp((0, 2)), [A]),
    "logsumexp huge": (lambda a: ndl.logsumexp(a, (1,)), lambda a: a.logsumexp(1), [A[0] * 1e10]),
    "logsoftmax": (ndl.logsoftmax, lambda a: a.log_softmax(-1), [A[0]]),
    "logsoftmax huge": (ndl.logsoftmax, lambda a: a.log_softmax(-1), [A[0] * 1e10]),
    "stack": (lambda a, b: ndl.stack([a, b], 0), lambda a, b: torch.stack([a, b], 0), [A, B]),
    "stack negative": (
        lambda a, b: ndl.stack((a, b), -1),
        lambda a, b: torch.stack([a, b], -1),
        [A, B],
    ),
    "split": (lambda a: ndl.split(a, 1)[2] * 3, lambda a: a.unbind(1)[2] * 3, [A]),
    "split all": (
        lambda a: ndl.stack(list(ndl.split(a, -1)), 0),
        lambda a: torch.stack(a.unbind(-1), 0),
        [A],
    ),
    "flip": (lambda a: ndl.flip(a, (0, 2)), lambda a: a.flip((0, 2)), [A]),
    "flip negative": (lambda a: ndl.flip(a, axes=(-1,)), lambda a: a.flip(-1), [A]),
    "dilate": (lambda a: ndl.dilate(a, (0, 2), 1), lambda a: torch_dilate(a, (0, 2), 1), [A]),
    "dilate negative": (
        lambda a: ndl.dilate(a, (-1,), 2),
        lambda a: torch_dilate(a, (-1,), 2),
        [A],
    ),
    "dilate 0": (lambda a: ndl.dilate(a, (0,), 0), lambda a: a, [A]),
    "undilate": (lambda a: ndl.undilate(a, (0, 2), 1), lambda a: torch_undilate(a, (0, 2), 1), [A]),
    "undilate negative": (
        lambda a: ndl.undilate(a, (-2,), 1),
        lambda a: torch_undilate(a, (-2,), 1),
        [A],
    ),
    "undilate of dilate": (
        lambda a: ndl.undilate(ndl.dilate(a, (0, 1), 2), (0, 1), 2),
        lambda a: a,
        [A],
    ),
    "pad": (
        lambda a: ndl.ops.pad(a, ((0, 1), (2, 0), (0, 0))),
        lambda a: torch.nn.functional.pad(a, (0, 0, 2, 0, 0, 1)),
        [A],
    ),
    "conv default padding": (ndl.conv, torch_conv(1, 1), [IMAGE, KERNEL]),
    **{
        f"conv stride {s} padding {p}": (
            lambda x, w, s=s, p=p: ndl.conv(x, w, stride=s, padding=p),
            torch_conv(s, p),
            [IMAGE, KERNEL],
        )
        for s in (1, 2, 3)
        for p in (0, 1, 2, 3)
    },
    "conv 1 x 1": (
        lambda x, w: ndl.conv(x, w, padding=0),
        torch_conv(1, 0),
        [IMAGE, KERNEL[:1, :1]],
    ),
    "Flatten": (ndl.nn.Flatten(), lambda a: a.flatten(1), [A]),
}


@pytest.mark.parametrize("name", CASES)
def test_course_op(device: BackendDevice, name: str) -> None:
    ours, theirs, arrays = CASES[name]
    xs = [ndl.Tensor(a, device=device, dtype="float64") for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, want = ours(*xs), theirs(*ts)
    assert (y.shape, y.device, y.dtype) == (tuple(want.shape), device, "float64")
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=1e-9, atol=1e-9)
    g = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(ndl.Tensor(g, device=device, dtype="float64"))
    want.backward(torch.tensor(g))
    for x, t in zip(xs, ts, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["Tanh", "Sigmoid"])
def test_course_saturating_functions_are_finite(device: BackendDevice, name: str) -> None:
    """Semantic 10: forward and backward, everywhere."""
    x = ndl.Tensor([-1e30, -1000.0, -89.0, -88.0, 0.0, 88.0, 1000.0, 1e30], device=device)
    y = getattr(ndl.nn, name)()(x)
    y.sum().backward()
    assert np.isfinite(y.numpy()).all()
    assert np.isfinite(x.grad.numpy()).all()
    assert x.grad.numpy()[4] == pytest.approx(1 if name == "Tanh" else 0.25)


def test_course_logsumexp_is_stable(device: BackendDevice) -> None:
    x = ndl.Tensor([[1e10, 1e9, 1e8, -10], [1e-10, 1e9, 1e8, -10]], device=device)
    np.testing.assert_allclose(ndl.logsumexp(x, (1,)).numpy(), [1e10, 1e9])
    assert np.isfinite(ndl.ops.logsoftmax(x).numpy()).all()
    assert math.isclose(float(ndl.logsumexp(x).numpy()), 1e10)
