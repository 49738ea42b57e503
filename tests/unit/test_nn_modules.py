"""Module, the small modules, and the initialisers' values and order of draws."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import needle as ndl
import needle.backend_ndarray as nd
from needle import init, nn


def test_parameters_are_found_once_in_order() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(2, 3)
            self.scale = nn.Parameter([1.0])
            self.more: list[Any] = [nn.Linear(3, 3, bias=False), {"x": nn.Parameter([2.0])}]
            self.again = self.first
            self.plain = ndl.Tensor([5.0])

    model = Model()
    inner, named = model.more[0], model.more[1]["x"]
    expected = [model.first.weight, model.first.bias, model.scale, inner.weight, named]
    assert model.parameters() == expected
    assert model._children() == [model.first, inner]


def test_train_and_eval_reach_every_module() -> None:
    model = nn.Sequential(nn.Identity(), nn.Sequential(nn.ReLU(), nn.Linear(2, 2)))
    assert model.training
    assert model.eval() is model
    assert not any(m.training for m in (model, *model._children()))
    model.train()
    assert all(m.training for m in (model, *model._children()))


def test_a_reference_back_is_no_part() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    names, parameters = list(model.state_dict()), model.parameters()
    for child in model.modules:
        child.parent = model  # type: ignore[attr-defined]
    assert list(model.state_dict()) == names
    assert [id(p) for p in model.parameters()] == [id(p) for p in parameters]
    assert model._children() == list(model.modules)
    assert not model.eval().modules[1].training


def test_a_tensor_put_into_a_buffers_place_is_a_buffer() -> None:
    layer = nn.BatchNorm1d(2)
    layer.running_mean = layer.running_mean * 0.5 + 1.0
    np.testing.assert_array_equal(layer.state_dict()["running_mean"], [1.0, 1.0])
    assert len(layer.parameters()) == 2


def test_linear(device: nd.BackendDevice) -> None:
    np.random.seed(5)
    layer = nn.Linear(3, 4, device=device, dtype="float64")
    np.random.seed(5)
    weight = (2 * np.random.rand(3, 4) - 1) * math.sqrt(2) * math.sqrt(3 / 3)
    bias = (2 * np.random.rand(4, 1) - 1) * math.sqrt(2) * math.sqrt(3 / 4)
    np.testing.assert_allclose(layer.weight.numpy(), weight, rtol=1e-13, atol=1e-15)
    assert layer.bias is not None
    np.testing.assert_allclose(layer.bias.numpy(), bias.reshape(1, 4), rtol=1e-13, atol=1e-15)
    for shape in ((2, 3), (5, 2, 3)):
        x = np.random.default_rng(0).standard_normal(shape)
        y = layer(ndl.Tensor(x, device=device, dtype="float64"))
        np.testing.assert_allclose(y.numpy(), x @ weight + bias.reshape(1, 4), rtol=1e-12)
        y.sum().backward()
        assert layer.bias.grad is not None
        assert layer.bias.grad.shape == (1, 4)
    layer.bias.data = ndl.Tensor([1.0] * 4, device=device, dtype="float64")  # (out,) is fine too
    assert layer(ndl.Tensor(x, device=device, dtype="float64")).shape == (5, 2, 4)
    assert nn.Linear(3, 4, bias=False, device=device).parameters().__len__() == 1


def test_sequential_activations_and_identity(device: nd.BackendDevice) -> None:
    model = nn.Sequential(nn.ReLU(), nn.Identity(), nn.Tanh())
    assert len(model.modules) == 3
    y = model(ndl.Tensor([-1.0, 2.0], device=device))
    np.testing.assert_allclose(y.numpy(), [0.0, np.tanh(2.0)], rtol=1e-6)


def test_module_without_forward() -> None:
    with pytest.raises(NotImplementedError, match=r"\[Module\] forward is not defined"):
        nn.Module()(1)


UNIFORM = {
    "rand": (lambda **k: init.rand(30, 50, low=-2.0, high=6.0, **k), -2.0, 6.0),
    "xavier_uniform": (
        lambda **k: init.xavier_uniform(30, 50, gain=2.0, **k),
        *[2 * math.sqrt(6 / 80)] * 2,
    ),
    "kaiming_uniform": (lambda **k: init.kaiming_uniform(30, 50, **k), *[math.sqrt(6 / 30)] * 2),
}
NORMAL = {
    "randn": (lambda **k: init.randn(30, 50, mean=3.0, std=2.0, **k), 3.0, 2.0),
    "xavier_normal": (lambda **k: init.xavier_normal(30, 50, **k), 0.0, math.sqrt(2 / 80)),
    "kaiming_normal": (lambda **k: init.kaiming_normal(30, 50, **k), 0.0, math.sqrt(2 / 30)),
}


@pytest.mark.parametrize("name", UNIFORM)
def test_uniform_initialisers_take_one_draw(name: str, device: nd.BackendDevice) -> None:
    make: Callable[..., ndl.Tensor]
    make, low, high = UNIFORM[name]
    low = low if name == "rand" else -low
    np.random.seed(1)
    t = make(device=device, dtype="float64", requires_grad=True)
    after = np.random.rand()
    np.random.seed(1)
    expected = np.random.rand(30, 50) * (high - low) + low
    np.testing.assert_allclose(t.numpy(), expected, rtol=1e-12, atol=1e-14)
    assert np.random.rand() == after
    assert (t.device, t.dtype, t.requires_grad) == (device, "float64", True)
    assert make(device=device).dtype == "float32"
    assert not make(device=device).requires_grad


@pytest.mark.parametrize("name", NORMAL)
def test_normal_initialisers_take_one_draw(name: str, device: nd.BackendDevice) -> None:
    make, mean, std = NORMAL[name]
    np.random.seed(1)
    t = make(device=device, dtype="float64")
    after = np.random.rand()
    np.random.seed(1)
    expected = np.random.randn(30, 50) * std + mean
    np.testing.assert_allclose(t.numpy(), expected, rtol=1e-12, atol=1e-14)
    assert np.random.rand() == after


def test_constants_masks_and_one_hot(device: nd.BackendDevice) -> None:
    np.testing.assert_array_equal(
        init.constant(2, 3, c=4.0, device=device).numpy(), np.full((2, 3), 4)
    )
    np.testing.assert_array_equal(init.ones(2, device=device).numpy(), [1, 1])
    zeros = init.zeros(2, 0, device=device, dtype="float64")
    assert (zeros.shape, zeros.dtype) == ((2, 0), "float64")
    like = init.ones_like(init.zeros(3, device=device, dtype="float64"), requires_grad=True)
    assert (like.device, like.dtype, like.requires_grad) == (device, "float64", True)
    assert init.zeros_like(like).numpy().tolist() == [0.0] * 3
    np.random.seed(0)
    mask = init.randb(100, p=0.3, device=device)
    np.random.seed(0)
    np.testing.assert_array_equal(mask.numpy(), np.random.rand(100).astype("float32") <= 0.3)
    labels = ndl.Tensor([2, 0], device=device)
    np.testing.assert_array_equal(init.one_hot(3, labels).numpy(), [[0, 0, 1], [1, 0, 0]])
    assert init.one_hot(3, labels).device == device
    with pytest.raises(IndexError, match=r"\[one_hot\]"):
        init.one_hot(2, labels)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: init.kaiming_uniform(0, 3),
            r"\[kaiming_uniform\] fan_in must be at least 1, got fan_in=0",
        ),
        (lambda: init.xavier_normal(1, -1), r"\[xavier_normal\] fan_out must be at least 1"),
        (lambda: init.kaiming_normal(2, 3, nonlinearity="tanh"), r"nonlinearity must be 'relu'"),
    ],
)
def test_initialiser_errors(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()
