"""Transformer, models and training functions, against numpy and the facts the course states."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import data, models, nn, optim
from needle.backend_ndarray import BackendDevice


def kaiming(rows: int, columns: int) -> np.ndarray:
    return (np.random.rand(rows, columns) * 2 - 1) * math.sqrt(6 / rows)


def norm(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def transformer(x: np.ndarray, layers: int, heads: int, d: int, hidden: int, length: int) -> Any:
    """Semantic 6 in numpy, x (batch, time, features): draws in the course's order, pre-norm."""
    batch, time, f = x.shape
    x = x + np.random.randn(length, f)[:time]
    for _ in range(layers):
        wq, wk, wv, wo = *(kaiming(f, heads * d) for _ in range(3)), kaiming(heads * d, f)
        w1, b1, w2, b2 = (
            kaiming(f, hidden),
            kaiming(hidden, 1).T,
            kaiming(hidden, f),
            kaiming(f, 1).T,
        )
        q, k, v = (
            (norm(x) @ w).reshape(batch, time, heads, d).transpose(0, 2, 1, 3) for w in (wq, wk, wv)
        )
        scores = q @ k.swapaxes(-1, -2) / math.sqrt(d) + np.triu(np.full((time, time), -np.inf), 1)
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (powers / powers.sum(-1, keepdims=True)) @ v
        x = x + mixed.transpose(0, 2, 1, 3).reshape(batch, time, heads * d) @ wo
        x = x + np.maximum(norm(x) @ w1 + b1, 0) @ w2 + b2
    return x


@pytest.mark.parametrize("batch_first", [False, True])
def test_course_transformer(device: BackendDevice, batch_first: bool) -> None:
    x = np.random.default_rng(0).standard_normal((2, 5, 6))
    np.random.seed(3)
    model = nn.Transformer(
        6,
        7,
        2,
        num_head=3,
        dim_head=4,
        causal=True,
        device=device,
        batch_first=batch_first,
        sequence_len=9,
    )
    np.random.seed(3)
    want = transformer(x, 2, 3, 4, 7, 9)
    given = x if batch_first else x.swapaxes(0, 1)
    out, h = model(ndl.Tensor(given, device=device))
    got = out.numpy() if batch_first else out.numpy().swapaxes(0, 1)
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
    assert isinstance(h, ndl.Tensor)


def test_course_multi_head_attention(device: BackendDevice) -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, 3, n, 4)) for n in (5, 6, 6))
    got, probs = nn.MultiHeadAttention(device=device)(
        *(ndl.Tensor(a, device=device) for a in (q, k, v))
    )
    powers = np.exp(q @ k.swapaxes(-1, -2) / 2)
    want = powers / powers.sum(-1, keepdims=True)
    np.testing.assert_allclose(probs.numpy(), want, rtol=1e-4)
    np.testing.assert_allclose(got.numpy(), want @ v, rtol=1e-3, atol=1e-5)


def test_course_resnet9_has_431946_parameters() -> None:
    """Semantic 14."""
    model = models.ResNet9()
    assert sum(math.prod(p.shape) for p in model.parameters()) == 431_946
    out = model(ndl.Tensor(np.random.default_rng(0).random((2, 3, 32, 32)), dtype="float32"))
    assert out.shape == (2, 10)


def test_course_mlp_resnet() -> None:
    block = models.ResidualBlock(4, 3, norm=nn.LayerNorm1d, drop_prob=0.1)
    kinds = [type(m).__name__ for m in block._children()]
    assert [k for k in kinds if k in ("Linear", "LayerNorm1d", "ReLU", "Dropout")].count(
        "Linear"
    ) == 2
    assert block(ndl.init.rand(2, 4)).shape == (2, 4)
    model = models.MLPResNet(6, hidden_dim=8, num_blocks=2, num_classes=5)
    assert model(ndl.init.rand(3, 6)).shape == (3, 5)
    linear = lambda i, o: i * o + o  # noqa: E731
    blocks = 2 * (linear(8, 4) + linear(4, 8) + 2 * 4 + 2 * 8)
    want = linear(6, 8) + blocks + linear(8, 5)
    assert sum(math.prod(p.shape) for p in model.parameters()) == want


@pytest.mark.parametrize("kind", ["rnn", "lstm", "transformer"])
def test_course_language_model(device: BackendDevice, kind: str) -> None:
    """Semantics 6 and 15: draws embedding, sequence model, linear; output (seq·bs, vocab)."""
    np.random.seed(4)
    model = models.LanguageModel(8, 11, 8, num_layers=1, seq_model=kind, seq_len=6, device=device)
    np.random.seed(4)
    first = np.random.randn(11, 8)
    embedding = next(m for m in model._children() if isinstance(m, nn.Embedding))
    np.testing.assert_allclose(embedding.weight.numpy(), first, rtol=1e-6)
    ids = ndl.Tensor(np.random.default_rng(0).integers(0, 11, (6, 3)), device=device)
    out, state = model(ids, None)
    assert out.shape == (18, 11)
    again, _ = model(ids, state)
    assert again.shape == (18, 11)
    out.sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p is not embedding.weight)


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_course_train_ptb(tmp_path: Path, device: BackendDevice, kind: str) -> None:
    """Semantic 16: loss averaged over tokens; it falls on a text that repeats."""
    (tmp_path / "train.txt").write_text("a b c d\n" * 20)
    (tmp_path / "test.txt").write_text("a b c d\n" * 4)
    corpus = data.Corpus(str(tmp_path))
    batches = data.batchify(corpus.train, 4, device=device, dtype="float32")
    np.random.seed(0)
    model = models.LanguageModel(
        8, len(corpus.dictionary), 8, seq_model=kind, seq_len=5, device=device
    )
    before, _ = models.evaluate_ptb(model, batches, seq_len=5, device=device)[::-1]
    how: dict[str, Any] = {"seq_len": 5, "device": device, "optimizer": optim.Adam, "lr": 0.05}
    models.train_ptb(model, batches, n_epochs=6, **how)
    accuracy, loss = models.evaluate_ptb(model, batches, seq_len=5, device=device)
    assert before > math.log(5) / 2
    assert loss < before / 2
    assert accuracy > 0.9


def test_course_train_cifar10_learns() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(16) % 2
    x = rng.random((16, 3, 8, 8)) * 0.1 + y[:, None, None, None]
    loader = data.DataLoader(data.NDArrayDataset(x, y), batch_size=8, shuffle=True)
    np.random.seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    models.train_cifar10(model, loader, n_epochs=80, optimizer=optim.Adam, lr=0.01)
    accuracy, loss = models.evaluate_cifar10(model, loader)
    assert accuracy == 1.0
    assert loss < 0.1
