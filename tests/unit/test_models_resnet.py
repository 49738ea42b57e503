"""ResNet9 and MLPResNet: the course's facts, the order of draws, training steps, their states."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import needle as ndl
import needle.backend_ndarray as nd
from needle import models, nn


def shapes(model: nn.Module) -> list[tuple[int, ...]]:
    return [p.shape for p in model.parameters()]


def test_resnet9_parameters() -> None:
    model = models.ResNet9()
    assert sum(math.prod(s) for s in shapes(model)) == 431_946
    assert len(shapes(model)) == 36
    assert shapes(model)[:4] == [(7, 7, 3, 16), (16,), (16,), (16,)]
    assert shapes(model)[-4:] == [(128, 128), (1, 128), (128, 10), (1, 10)]
    assert len(model.state_dict()) == 36 + 2 * 8


def test_resnet9_is_its_torch_twin(device: nd.BackendDevice) -> None:
    model = models.ResNet9(device=device, dtype="float64")

    def convolved(cin: int, cout: int, k: int, stride: int) -> Any:
        conv = torch.nn.Conv2d(cin, cout, k, stride, k // 2)
        return torch.nn.Sequential(conv, torch.nn.BatchNorm2d(cout), torch.nn.ReLU())

    class Residual(torch.nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            pair = [convolved(channels, channels, 3, 1) for _ in range(2)]
            self.fn = torch.nn.Sequential(*pair)

        def forward(self, x: Any) -> Any:
            return x + self.fn(x)

    twin = torch.nn.Sequential(
        *(convolved(3, 16, 7, 4), convolved(16, 32, 3, 2), Residual(32)),
        *(convolved(32, 64, 3, 2), convolved(64, 128, 3, 2), Residual(128)),
        *(torch.nn.Flatten(), torch.nn.Linear(128, 128), torch.nn.ReLU()),
        torch.nn.Linear(128, 10),
    ).double()
    with torch.no_grad():
        for p, q in zip(model.parameters(), twin.parameters(), strict=True):
            a = p.numpy()
            axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[a.ndim]
            q.copy_(torch.tensor(a.transpose(axes).reshape(q.shape)))
    x = np.random.default_rng(0).standard_normal((4, 3, 32, 32))
    y = model(ndl.Tensor(x, device=device, dtype="float64"))
    want = twin(torch.tensor(x))
    np.testing.assert_allclose(y.numpy(), want.detach().numpy(), rtol=1e-9, atol=1e-9)
    loss = nn.SoftmaxLoss()(y, [0, 9, 3, 3])
    loss.backward()
    torch.nn.functional.cross_entropy(want, torch.tensor([0, 9, 3, 3])).backward()
    last = list(twin.parameters())[-2].grad
    first = next(twin.parameters()).grad
    assert first is not None
    assert last is not None
    for p, g in (
        (model.parameters()[0], first.permute(2, 3, 1, 0)),
        (model.parameters()[-2], last.T),
    ):
        assert p.grad is not None
        np.testing.assert_allclose(p.grad.numpy(), g.numpy(), rtol=1e-6, atol=1e-9)


def test_mlp_resnet_draws_in_the_order_of_the_network() -> None:
    np.random.seed(7)
    model = models.MLPResNet(6, hidden_dim=4, num_blocks=2, num_classes=3)
    np.random.seed(7)
    sizes = [(6, 4), (4, 2), (2, 4), (4, 2), (2, 4), (4, 3)]
    want = [a.numpy() for i, o in sizes for a in nn.Linear(i, o).parameters()]
    linear = [p.numpy() for p in model.parameters() if p.ndim == 2]
    assert len(linear) == len(want) == 12
    for a, b in zip(linear, want, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(models.MLPResNet(784).parameters()) == 4 + 3 * 8


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.LayerNorm1d])
def test_residual_block(norm: Any, device: nd.BackendDevice) -> None:
    where: dict[str, Any] = {"device": device, "dtype": "float64"}
    block = models.ResidualBlock(4, 3, norm=norm, drop_prob=0.5, **where).eval()
    assert shapes(block) == [(4, 3), (1, 3), (3,), (3,), (3, 4), (1, 4), (4,), (4,)]
    x = np.random.default_rng(0).standard_normal((5, 4))
    w1, b1, _, _, w2, b2, _, _ = (p.numpy() for p in block.parameters())

    def normed(a: Any) -> Any:
        if norm is nn.BatchNorm1d:
            return a / np.sqrt(1 + 1e-5)
        return (a - a.mean(1, keepdims=True)) / np.sqrt(a.var(1, keepdims=True) + 1e-5)

    inside = normed(np.maximum(normed(x @ w1 + b1), 0) @ w2 + b2)
    y = block(ndl.Tensor(x, **where))
    np.testing.assert_allclose(y.numpy(), np.maximum(inside + x, 0), rtol=1e-11, atol=1e-12)


def test_training_lowers_the_loss_and_a_file_keeps_the_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.random.seed(0)
    x, y = ndl.Tensor(rng.standard_normal((32, 10))), rng.integers(0, 3, 32)
    model = models.MLPResNet(10, hidden_dim=16, num_blocks=2, num_classes=3)
    optimizer, loss = ndl.optim.Adam(model.parameters(), lr=0.01), nn.SoftmaxLoss()
    losses = []
    for _ in range(40):
        optimizer.reset_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        losses.append(float(value))
    assert losses[-1] < 0.5 * losses[0]
    ndl.save(tmp_path / "model.safetensors", model.state_dict())
    again = models.MLPResNet(10, hidden_dim=16, num_blocks=2, num_classes=3)
    again.load_state_dict(ndl.load(tmp_path / "model.safetensors"))
    np.testing.assert_array_equal(again.eval()(x).numpy(), model.eval()(x).numpy())
