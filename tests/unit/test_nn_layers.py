"""Normalisation, dropout, pooling, losses, Conv's geometry: values beside torch, modes, errors."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import needle as ndl
import needle.backend_ndarray as nd
from needle import autograd, nn

F64: dict[str, Any] = {"dtype": "float64"}


def tensor(a: Any, device: nd.BackendDevice) -> ndl.Tensor:
    return ndl.Tensor(a, device=device, dtype="float64")


def close(got: ndl.Tensor | None, want: Any) -> None:
    assert got is not None
    np.testing.assert_allclose(got.numpy(), np.asarray(want), rtol=1e-11, atol=1e-12)


# --- beside torch, forward and backward

PAIRS: dict[str, tuple[Callable[..., Any], Callable[[], Any], tuple[int, ...]]] = {
    "BatchNorm1d": (
        lambda **k: nn.BatchNorm1d(3, 1e-3, 0.2, **k),
        lambda: torch.nn.BatchNorm1d(3, 1e-3, 0.2),
        (5, 3),
    ),
    "BatchNorm1d of sequences": (
        lambda **k: nn.BatchNorm1d(3, **k),
        lambda: torch.nn.BatchNorm1d(3),
        (2, 3, 4),
    ),
    "BatchNorm2d": (
        lambda **k: nn.BatchNorm2d(3, **k),
        lambda: torch.nn.BatchNorm2d(3),
        (2, 3, 4, 5),
    ),
    "LayerNorm1d": (lambda **k: nn.LayerNorm1d(4, **k), lambda: torch.nn.LayerNorm(4), (2, 3, 4)),
    "GroupNorm": (
        lambda **k: nn.GroupNorm(2, 6, 1e-3, **k),
        lambda: torch.nn.GroupNorm(2, 6, 1e-3),
        (3, 6, 4, 5),
    ),
    "GroupNorm of rows": (
        lambda **k: nn.GroupNorm(3, 6, **k),
        lambda: torch.nn.GroupNorm(3, 6),
        (3, 6),
    ),
    "MaxPool": (
        lambda **k: nn.MaxPool((3, 2), (2, 1), (1, 0)),
        lambda: torch.nn.MaxPool2d((3, 2), (2, 1), (1, 0)),
        (2, 3, 7, 6),
    ),
    "MaxPool, stride of the kernel": (
        lambda **k: nn.MaxPool(2),
        lambda: torch.nn.MaxPool2d(2),
        (2, 3, 7, 6),
    ),
    "AvgPool": (
        lambda **k: nn.AvgPool(3, 2, 1),
        lambda: torch.nn.AvgPool2d(3, 2, 1),
        (2, 3, 7, 6),
    ),
    "AvgPool without padding": (
        lambda **k: nn.AvgPool(3, 2, 1, count_include_pad=False),
        lambda: torch.nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        (2, 3, 7, 6),
    ),
    "Sigmoid": (lambda **k: nn.Sigmoid(), torch.nn.Sigmoid, (3, 4)),
    "SiLU": (lambda **k: nn.SiLU(), torch.nn.SiLU, (3, 4)),
    "Softplus": (lambda **k: nn.Softplus(), torch.nn.Softplus, (3, 4)),
    "LeakyReLU": (lambda **k: nn.LeakyReLU(), torch.nn.LeakyReLU, (3, 4)),
    "LeakyReLU, slope": (lambda **k: nn.LeakyReLU(0.3), lambda: torch.nn.LeakyReLU(0.3), (3, 4)),
    "GELU": (lambda **k: nn.GELU(), torch.nn.GELU, (3, 4)),
    "GELU, tanh": (lambda **k: nn.GELU("tanh"), lambda: torch.nn.GELU("tanh"), (3, 4)),
    "Softmax": (lambda **k: nn.Softmax(1), lambda: torch.nn.Softmax(1), (2, 3, 4)),
    "LogSoftmax": (lambda **k: nn.LogSoftmax(), lambda: torch.nn.LogSoftmax(-1), (2, 3, 4)),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_layers_are_torchs(name: str, training: bool, device: nd.BackendDevice) -> None:
    make, make_torch, shape = PAIRS[name]
    rng = np.random.default_rng(0)
    ours, theirs = make(device=device, **F64), make_torch().double()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert p.shape == tuple(q.shape) == (shape[1] if "Layer" not in name else shape[-1],)
        value = rng.standard_normal(p.shape)
        p.data = tensor(value, device)
        with torch.no_grad():
            q.copy_(torch.tensor(value))
    if not training:
        ours.eval()
        theirs.eval()
    x, g = rng.standard_normal(shape), None
    a, b = tensor(x, device), torch.tensor(x, requires_grad=True)
    y, want = ours(a), theirs(b)
    close(y, want.detach())
    g = rng.standard_normal(y.shape)
    y.backward(tensor(g, device))
    want.backward(torch.tensor(g))
    close(a.grad, b.grad)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(p.grad, q.grad)


@pytest.mark.parametrize(
    ("geometry", "shape"),
    [
        ({"padding": 0}, (2, 4, 7, 6)),
        ({"padding": (2, 0), "stride": (1, 2)}, (2, 4, 7, 6)),
        ({"dilation": 2}, (1, 4, 9, 8)),
        ({"dilation": (1, 3), "padding": (0, 3)}, (1, 4, 9, 8)),
        ({"groups": 2}, (2, 4, 6, 5)),
        ({"groups": 4, "stride": 2, "bias": False}, (2, 4, 6, 5)),
    ],
)
def test_conv_geometry(
    geometry: dict[str, Any], shape: tuple[int, ...], device: nd.BackendDevice
) -> None:
    ours = nn.Conv(4, 8, 3, device=device, **F64, **geometry)
    theirs = torch.nn.Conv2d(4, 8, 3, dtype=torch.float64, **({"padding": 1} | geometry))
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(ours.weight.numpy().transpose(3, 2, 0, 1)))
        if ours.bias is not None and theirs.bias is not None:
            theirs.bias.copy_(torch.tensor(ours.bias.numpy()))
    x = np.random.default_rng(0).standard_normal(shape)
    y, want = ours(tensor(x, device)), theirs(torch.tensor(x))
    close(y, want.detach())
    y.sum().backward()
    want.sum().backward()
    assert theirs.weight.grad is not None
    close(ours.weight.grad, theirs.weight.grad.permute(2, 3, 1, 0))


def test_grouped_conv_draws_for_its_fan_in() -> None:
    np.random.seed(0)
    layer = nn.Conv(4, 8, 3, groups=2, **F64)
    np.random.seed(0)
    bound = np.sqrt(6 / (2 * 9))
    close(layer.weight, np.random.rand(3, 3, 2, 8) * (2 * bound) - bound)
    close(layer.bias, (np.random.rand(8) * 2 - 1) / np.sqrt(2 * 9))


# --- batch norm: running statistics and modes


def test_running_statistics_are_biased_and_without_a_graph(device: nd.BackendDevice) -> None:
    layer = nn.BatchNorm1d(3, momentum=0.1, device=device, **F64)
    x = np.random.default_rng(0).standard_normal((5, 3)) * 3 + 2
    mean, var = np.zeros(3), np.ones(3)
    for _ in range(2):
        layer(tensor(x, device))
        mean = 0.9 * mean + 0.1 * x.mean(0)
        var = 0.9 * var + 0.1 * x.var(0)
        for t, want in ((layer.running_mean, mean), (layer.running_var, var)):
            close(t, want)
            assert t.shape == (3,)
            assert not t.requires_grad
            assert t.is_leaf()
    layer.eval()
    close(layer(tensor(x, device)), (x - mean) / np.sqrt(var + 1e-5))
    close(layer.running_mean, mean)
    assert layer.parameters() == [layer.weight, layer.bias]


def test_training_steps_leave_the_tensor_counter_steady(device: nd.BackendDevice) -> None:
    model = nn.Sequential(
        nn.Linear(4, 6, device=device),
        nn.BatchNorm1d(6, device=device),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Residual(nn.LayerNorm1d(6, device=device)),
        nn.Linear(6, 3, device=device),
    )
    optimizers = [
        ndl.optim.Adam(model.parameters(), weight_decay=0.1),
        ndl.optim.SGD(model.parameters(), momentum=0.9),
    ]
    loss, x = nn.SoftmaxLoss(), ndl.Tensor(np.ones((5, 4)), device=device)
    counts = []
    gc.collect()  # what other tests left in cycles may not die meanwhile
    for _ in range(4):
        for optimizer in optimizers:
            optimizer.reset_grad()
            loss(model(x), np.arange(5) % 3).backward()
            optimizer.step()
        counts.append(autograd.TENSOR_COUNTER)
    assert len(set(counts[1:])) == 1


def test_batch_norm_reads_nothing_from_the_batch_in_eval() -> None:
    layer = nn.BatchNorm2d(2).eval()
    x = np.random.default_rng(0).standard_normal((3, 2, 2, 2)).astype("float32")
    whole = layer(ndl.Tensor(x)).numpy()
    one = layer(ndl.Tensor(x[:1])).numpy()
    np.testing.assert_array_equal(whole[:1], one)
    assert layer(ndl.Tensor(np.ones((0, 2, 3, 3)))).shape == (0, 2, 3, 3)


# --- dropout


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_takes_one_draw(p: float, device: nd.BackendDevice) -> None:
    x = np.random.default_rng(0).standard_normal((6, 7))
    layer, a = nn.Dropout(p), tensor(x, device)
    np.random.seed(4)
    y = layer(a)
    after = np.random.rand()
    np.random.seed(4)
    mask = np.random.rand(6, 7) <= 1 - p
    close(y, x * mask / (1 - p))
    assert np.random.rand() == after
    y.sum().backward()
    close(a.grad, mask / (1 - p))
    assert layer.eval()(a) is a


def test_dropout_of_nothing_takes_no_draw(device: nd.BackendDevice) -> None:
    a = tensor(np.ones((3, 4)), device)
    np.random.seed(4)
    assert nn.Dropout(0.0)(a) is a
    after = np.random.rand()
    np.random.seed(4)
    assert np.random.rand() == after


def test_dropout_of_everything_gives_zeros(device: nd.BackendDevice) -> None:
    a = tensor(np.ones((3, 4)), device)
    y = nn.Dropout(1.0)(a)
    y.sum().backward()
    for t in (y, a.grad):
        assert t is not None
        np.testing.assert_array_equal(t.numpy(), np.zeros((3, 4)))
    inf = nn.Dropout(1.0)(tensor([np.inf, np.nan], device))
    np.testing.assert_array_equal(inf.numpy(), [0.0, 0.0])


# --- losses, Residual, Linear


def test_softmax_loss(device: nd.BackendDevice, dtype: str) -> None:
    z = np.random.default_rng(0).standard_normal((5, 4))
    y = np.array([0, 3, 1, 1, 2])
    want = torch.nn.functional.cross_entropy(torch.tensor(z), torch.tensor(y)).item()
    for labels in (y, y.astype("uint8"), ndl.Tensor(y, device=device), y.tolist()):
        loss = nn.SoftmaxLoss()(ndl.Tensor(z, device=device, dtype=dtype), labels)
        assert (loss.shape, loss.dtype) == ((), dtype)
        assert float(loss) == pytest.approx(want, rel=1e-6)
    # stable: logsumexp of these overflows without the shift
    assert float(nn.SoftmaxLoss()(ndl.Tensor([[1e10, -1e10]], device=device), [0])) == 0.0


def test_mse_loss(device: nd.BackendDevice) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
    a, b = tensor(x, device), tensor(y, device)
    loss = nn.MSELoss()(a, b)
    loss.backward()
    assert loss.shape == ()
    close(loss, ((x - y) ** 2).mean())
    close(a.grad, 2 * (x - y) / 6)
    close(b.grad, 2 * (y - x) / 6)


def test_residual_and_linear_of_a_vector(device: nd.BackendDevice) -> None:
    layer = nn.Linear(3, 3, device=device, **F64)
    x = tensor([1.0, -2.0, 3.0], device)
    y = nn.Residual(layer)(x)
    assert y.shape == (3,)
    assert layer.bias is not None
    close(y, x.numpy() + x.numpy() @ layer.weight.numpy() + layer.bias.numpy()[0])
    assert nn.Residual(layer).parameters() == [layer.weight, layer.bias]
    assert copy.deepcopy(nn.Residual(layer))(x).shape == (3,)
