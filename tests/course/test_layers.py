"""nn: draws, shapes and formulas, against numpy and torch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import needle as ndl
from needle import nn
from needle.backend_ndarray import BackendDevice

RNG = np.random.default_rng(0)


def t(a: Any, device: BackendDevice) -> ndl.Tensor:
    return ndl.Tensor(a, device=device)


def test_course_linear_draws_weight_then_bias(device: BackendDevice) -> None:
    """Semantic 6."""
    np.random.seed(1)
    linear = nn.Linear(4, 3, device=device)
    np.random.seed(1)
    weight = (np.random.rand(4, 3) * 2 - 1) * math.sqrt(6 / 4)
    bias = (np.random.rand(3, 1) * 2 - 1) * math.sqrt(6 / 3)
    np.testing.assert_allclose(linear.weight.numpy(), weight, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(linear.bias.numpy(), bias.reshape(1, 3), rtol=1e-5, atol=1e-7)
    assert nn.Linear(4, 3, bias=False).bias is None
    assert len(linear.parameters()) == 2


@pytest.mark.parametrize(("k", "stride"), [(1, 1), (3, 1), (3, 2), (4, 1), (7, 4)])
def test_course_conv_layer(device: BackendDevice, k: int, stride: int) -> None:
    np.random.seed(1)
    conv = nn.Conv(2, 5, k, stride=stride, device=device)
    np.random.seed(1)
    weight = (np.random.rand(k, k, 2, 5) * 2 - 1) * math.sqrt(6 / (2 * k * k))
    bias = (np.random.rand(5) * 2 - 1) / math.sqrt(2 * k * k)
    np.testing.assert_allclose(conv.weight.numpy(), weight, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(conv.bias.numpy(), bias, rtol=1e-5, atol=1e-7)
    x = RNG.standard_normal((2, 2, 9, 8)).astype("float32")
    want = torch.nn.functional.conv2d(
        torch.tensor(x),
        torch.tensor(conv.weight.numpy()).permute(3, 2, 0, 1),
        torch.tensor(conv.bias.numpy()),
        stride=stride,
        padding=k // 2,
    )
    got = conv(t(x, device))
    assert got.shape == tuple(want.shape)
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-4, atol=1e-4)
    assert nn.Conv(2, 5, k, bias=False).bias is None


@pytest.mark.parametrize("images", [False, True])
def test_course_batch_norm(device: BackendDevice, images: bool) -> None:
    """Semantic 8: biased variance in both places; running statistics hold no graph."""
    shape, axes = ((4, 3, 5, 2), (0, 2, 3)) if images else ((8, 3), (0,))
    layer = (nn.BatchNorm2d if images else nn.BatchNorm1d)(3, momentum=0.2, device=device)
    for name, value in {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}.items():
        assert getattr(layer, name).numpy().tolist() == [value] * 3
    assert len(layer.parameters()) == 2
    mean, var = np.zeros(3), np.ones(3)
    lanes = (1, 3, 1, 1) if images else (3,)
    for _ in range(3):
        x = RNG.standard_normal(shape) * 3 + 1
        m, v = x.mean(axes), x.var(axes)
        want = (x - m.reshape(lanes)) / np.sqrt(v.reshape(lanes) + 1e-5)
        np.testing.assert_allclose(layer(t(x, device)).numpy(), want, rtol=1e-3, atol=1e-4)
        mean, var = 0.8 * mean + 0.2 * m, 0.8 * var + 0.2 * v
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.running_var.numpy(), var, rtol=1e-4)
    assert layer.running_mean.is_leaf()
    assert not layer.running_var.requires_grad
    layer.eval()
    x = RNG.standard_normal(shape)
    want = (x - mean.reshape(lanes)) / np.sqrt(var.reshape(lanes) + 1e-5)
    np.testing.assert_allclose(layer(t(x, device)).numpy(), want, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-4, atol=1e-5)


def test_course_layer_norm(device: BackendDevice) -> None:
    layer = nn.LayerNorm1d(6, device=device)
    x = RNG.standard_normal((4, 6)) * 3
    want = torch.nn.functional.layer_norm(torch.tensor(x), (6,)).numpy()
    np.testing.assert_allclose(layer(t(x, device)).numpy(), want, rtol=1e-4, atol=1e-5)
    assert [p.shape for p in layer.parameters()] == [(6,), (6,)]


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_course_dropout(device: BackendDevice, p: float) -> None:
    """Semantic 7."""
    layer = nn.Dropout(p)
    x = RNG.random((50, 4)).astype("float32") + 1
    np.random.seed(2)
    got = layer(t(x, device)).numpy()
    np.random.seed(2)
    kept = np.random.rand(50, 4) <= 1 - p
    np.testing.assert_allclose(got, x * kept / (1 - p) if p < 1 else 0 * x, rtol=1e-5)
    layer.eval()
    np.testing.assert_array_equal(layer(t(x, device)).numpy(), x)


def test_course_softmax_loss(device: BackendDevice) -> None:
    """Semantic 10."""
    z, y = RNG.standard_normal((6, 4)) * 5, RNG.integers(0, 4, 6)
    want = torch.nn.functional.cross_entropy(torch.tensor(z), torch.tensor(y)).item()
    for dtype in ("float32", "int32", "float64"):
        labels = ndl.Tensor(y, device=device, dtype=dtype, requires_grad=False)
        assert float(nn.SoftmaxLoss()(t(z, device), labels).numpy()) == pytest.approx(
            want, rel=1e-5
        )


def test_course_modules(device: BackendDevice) -> None:
    inner = nn.Sequential(nn.Linear(4, 4, device=device), nn.ReLU())
    model = nn.Sequential(nn.Residual(inner), nn.Dropout(0.5), nn.Identity(), nn.Flatten())
    assert model.modules[0].fn is inner
    x = t(RNG.random((3, 4)), device)
    np.testing.assert_allclose(model.modules[0](x).numpy(), inner(x).numpy() + x.numpy(), rtol=1e-6)
    assert len(model.parameters()) == 2
    assert model.training
    assert inner in model._children()
    model.eval()
    assert not model.training
    assert not any(m.training for m in model._children())
    model.train()
    assert inner.modules[1].training
    assert nn.Flatten()(t(np.zeros((2, 3, 4)), device)).shape == (2, 12)
    assert nn.Parameter([1.0]).requires_grad


def torch_cell(kind: str, cell: Any) -> Any:
    """torch's cell over the weights of ours."""
    made = getattr(torch.nn, kind)(cell.W_ih.shape[0], cell.W_hh.shape[0])
    with torch.no_grad():
        for name, ours in (
            ("weight_ih", cell.W_ih.numpy().T),
            ("weight_hh", cell.W_hh.numpy().T),
            ("bias_ih", cell.bias_ih.numpy()),
            ("bias_hh", cell.bias_hh.numpy()),
        ):
            getattr(made, name).copy_(torch.tensor(ours))
    return made


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell"])
def test_course_recurrent_cells(device: BackendDevice, kind: str) -> None:
    """Semantics 6 and 15."""
    np.random.seed(1)
    cell = getattr(nn, kind)(3, 4, device=device)
    width = 4 if kind == "RNNCell" else 16
    np.random.seed(1)
    for name, shape in (
        ("W_ih", (3, width)),
        ("W_hh", (4, width)),
        ("bias_ih", (width,)),
        ("bias_hh", (width,)),
    ):
        drawn = (np.random.rand(*shape) * 2 - 1) / 2
        np.testing.assert_allclose(getattr(cell, name).numpy(), drawn, rtol=1e-5, atol=1e-7)
    x, h, c = (RNG.standard_normal(s).astype("float32") for s in ((2, 3), (2, 4), (2, 4)))
    theirs = torch_cell(kind, cell)
    for state in (None, h if kind == "RNNCell" else (h, c)):
        pair = isinstance(state, tuple)
        ours = (
            tuple(t(s, device) for s in state)
            if pair
            else None
            if state is None
            else t(state, device)
        )
        given = (
            tuple(map(torch.tensor, state))
            if pair
            else None
            if state is None
            else torch.tensor(state)
        )
        got, want = cell(t(x, device), ours), theirs(torch.tensor(x), given)
        for a, b in zip(got, want, strict=True) if kind == "LSTMCell" else ((got, want),):
            np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-4, atol=1e-5)
    cell.W_ih = t(np.zeros((3, width)), device)  # read at every forward
    cell.W_hh = t(np.zeros((4, width)), device)
    first, second = (cell(t(v, device)) for v in (x, 2 * x))
    pairs = zip(first, second, strict=True) if kind == "LSTMCell" else ((first, second),)
    assert all((a.numpy() == b.numpy()).all() for a, b in pairs)


@pytest.mark.parametrize("kind", ["RNN", "LSTM"])
@pytest.mark.parametrize("layers", [1, 2])
def test_course_recurrent_layers(device: BackendDevice, kind: str, layers: int) -> None:
    model = getattr(nn, kind)(3, 4, num_layers=layers, device=device)
    cells = model.rnn_cells if kind == "RNN" else model.lstm_cells
    assert len(cells) == layers
    theirs = getattr(torch.nn, kind)(3, 4, num_layers=layers)
    with torch.no_grad():
        for i, cell in enumerate(cells):
            for part in ("ih", "hh"):
                getattr(theirs, f"weight_{part}_l{i}").copy_(
                    torch.tensor(getattr(cell, f"W_{part}").numpy().T)
                )
                getattr(theirs, f"bias_{part}_l{i}").copy_(
                    torch.tensor(getattr(cell, f"bias_{part}").numpy())
                )
    x = RNG.standard_normal((5, 2, 3)).astype("float32")
    out, state = model(t(x, device))
    want, want_state = theirs(torch.tensor(x))
    assert out.shape == (5, 2, 4)
    np.testing.assert_allclose(out.numpy(), want.detach().numpy(), rtol=1e-4, atol=1e-5)
    states = zip(state, want_state, strict=True) if kind == "LSTM" else ((state, want_state),)
    for a, b in states:
        assert a.shape == (layers, 2, 4)
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-4, atol=1e-5)
    out.sum().backward()
    want.sum().backward()
    np.testing.assert_allclose(
        cells[0].W_hh.grad.numpy().T, theirs.weight_hh_l0.grad.numpy(), rtol=1e-3, atol=1e-4
    )


def test_course_embedding(device: BackendDevice) -> None:
    np.random.seed(1)
    layer = nn.Embedding(5, 3, device=device)
    np.random.seed(1)
    np.testing.assert_allclose(layer.weight.numpy(), np.random.randn(5, 3), rtol=1e-6)
    ids = np.array([[0, 4], [2, 2], [1, 0]])
    got = layer(t(ids, device))
    np.testing.assert_allclose(got.numpy(), layer.weight.numpy()[ids], rtol=1e-6)
    got.sum().backward()
    assert layer.weight.grad.numpy()[:, 0].tolist() == [2, 1, 2, 0, 1]
