"""nn.Conv and nn.Flatten against torch, with the course's selection names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import needle as ndl
import needle.backend_ndarray as nd

# batch, height, width, in channels, out channels, kernel, stride
GEOMETRY = [
    (4, 8, 8, 4, 8, 3, 1),
    (2, 9, 7, 3, 5, 3, 2),
    (1, 8, 8, 3, 2, 1, 1),
    (2, 5, 6, 2, 3, 4, 2),
    (1, 11, 10, 1, 4, 5, 3),
    (2, 14, 14, 3, 8, 7, 4),
    (1, 1, 1, 2, 2, 3, 1),
]
geometry = pytest.mark.parametrize(("n", "h", "w", "cin", "cout", "k", "stride"), GEOMETRY)


def twins(
    cin: int, cout: int, k: int, stride: int, bias: bool, device: nd.BackendDevice
) -> tuple[ndl.nn.Conv, torch.nn.Conv2d]:
    """A layer and torch's, with the same weights in float64."""
    ours = ndl.nn.Conv(cin, cout, k, stride=stride, bias=bias, device=device, dtype="float64")
    theirs = torch.nn.Conv2d(
        cin, cout, k, stride=stride, padding=k // 2, bias=bias, dtype=torch.float64
    )
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(ours.weight.numpy().transpose(3, 2, 0, 1)))
        if ours.bias is not None and theirs.bias is not None:
            theirs.bias.copy_(torch.tensor(ours.bias.numpy()))
    return ours, theirs


def close(got: Any, expected: torch.Tensor) -> None:
    np.testing.assert_allclose(got.numpy(), expected.detach().numpy(), rtol=1e-11, atol=1e-12)


@geometry
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_nn_conv_forward(
    n: int,
    h: int,
    w: int,
    cin: int,
    cout: int,
    k: int,
    stride: int,
    bias: bool,
    device: nd.BackendDevice,
) -> None:
    ours, theirs = twins(cin, cout, k, stride, bias, device)
    x = np.random.default_rng(0).standard_normal((n, cin, h, w))
    y = ours(ndl.Tensor(x, device=device, dtype="float64"))
    assert y.device == device
    close(y, theirs(torch.tensor(x)))


@geometry
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_nn_conv_backward(
    n: int,
    h: int,
    w: int,
    cin: int,
    cout: int,
    k: int,
    stride: int,
    bias: bool,
    device: nd.BackendDevice,
) -> None:
    ours, theirs = twins(cin, cout, k, stride, bias, device)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((n, cin, h, w))
    a, b = ndl.Tensor(x, device=device, dtype="float64"), torch.tensor(x, requires_grad=True)
    y, t = ours(a), theirs(b)
    g = rng.standard_normal(y.shape)
    y.backward(ndl.Tensor(g, device=device, dtype="float64"))
    t.backward(torch.tensor(g))
    assert b.grad is not None
    assert theirs.weight.grad is not None
    close(a.grad, b.grad)
    close(ours.weight.grad, theirs.weight.grad.permute(2, 3, 1, 0))
    if ours.bias is not None:
        assert theirs.bias is not None
        assert theirs.bias.grad is not None
        close(ours.bias.grad, theirs.bias.grad)


def test_nn_conv_forward_float32(device: nd.BackendDevice) -> None:
    layer = ndl.nn.Conv(3, 4, 3, device=device)
    y = layer(ndl.Tensor(np.ones((1, 3, 5, 5)), device=device))
    assert (y.dtype, y.shape) == ("float32", (1, 4, 5, 5))
    assert layer.weight.dtype == "float32"


def test_nn_conv_parameters_and_draws(device: nd.BackendDevice) -> None:
    np.random.seed(3)
    layer = ndl.nn.Conv(3, 4, 5, device=device, dtype="float64")
    np.random.seed(3)
    bound = math.sqrt(2) * math.sqrt(3 / (3 * 25))
    weight = np.random.rand(5, 5, 3, 4) * (2 * bound) - bound
    bias = np.random.rand(4) * (2 / math.sqrt(75)) - 1 / math.sqrt(75)
    np.testing.assert_allclose(layer.weight.numpy(), weight, rtol=1e-13, atol=1e-15)
    assert layer.bias is not None
    np.testing.assert_allclose(layer.bias.numpy(), bias, rtol=1e-13, atol=1e-15)
    assert layer.parameters() == [layer.weight, layer.bias]
    assert ndl.nn.Conv(3, 4, 5, bias=False, device=device).bias is None


def test_nn_conv_errors(device: nd.BackendDevice) -> None:
    layer = ndl.nn.Conv(3, 4, 3, device=device)
    for shape, text in (
        ((3, 8, 8), r"\[nn\.Conv\] images have 4 axes \(N, C, H, W\), got x\.shape=\(3, 8, 8\)"),
        ((1, 2, 8, 8), r"\[conv\] w's input channels"),
    ):
        with pytest.raises(ValueError, match=text):
            layer(ndl.Tensor(np.ones(shape), device=device))


def test_nn_flatten(device: nd.BackendDevice) -> None:
    a = np.arange(24.0).reshape(2, 3, 4)
    x = ndl.Tensor(a, device=device)
    y = ndl.nn.Flatten()(x)
    np.testing.assert_array_equal(y.numpy(), a.reshape(2, 12))
    y.backward()
    assert x.grad is not None
    assert x.grad.shape == (2, 3, 4)
    assert ndl.nn.Flatten()(ndl.Tensor(np.ones((0, 3)), device=device)).shape == (0, 3)
    assert ndl.nn.Flatten()(ndl.Tensor([1.0, 2.0], device=device)).shape == (2, 1)
