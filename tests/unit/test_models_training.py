"""The training functions: signatures, values, draws, memory, progress; and LanguageModel."""

from __future__ import annotations

import gc
import gzip
import inspect
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import needle as ndl
import needle.backend_ndarray as nd
from needle import autograd, models, nn

SIGNATURES = {
    "parse_mnist": ["image_filename", "label_filename"],
    "softmax_loss": ["Z", "y_one_hot"],
    "nn_epoch": ["X", "y", "W1", "W2", "lr", "batch"],
    "loss_err": ["h", "y"],
    "epoch": ["dataloader", "model", "opt"],
    "train_mnist": [
        "batch_size", "epochs", "optimizer", "lr", "weight_decay", "hidden_dim", "data_dir",
    ],
    "epoch_general_cifar10": ["dataloader", "model", "loss_fn", "opt"],
    "train_cifar10": [
        "model", "dataloader", "n_epochs", "optimizer", "lr", "weight_decay", "loss_fn",
    ],
    "evaluate_cifar10": ["model", "dataloader", "loss_fn"],
    "epoch_general_ptb": [
        "data", "model", "seq_len", "loss_fn", "opt", "clip", "device", "dtype",
    ],
    "train_ptb": [
        "model", "data", "seq_len", "n_epochs", "optimizer", "lr", "weight_decay", "loss_fn",
        "clip", "device", "dtype",
    ],
    "evaluate_ptb": ["model", "data", "seq_len", "loss_fn", "device", "dtype"],
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name: str) -> None:
    parameters = inspect.signature(getattr(models, name)).parameters.values()
    positional = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    assert positional == SIGNATURES[name]


def test_import_neither_prints_nor_seeds_nor_needs_more() -> None:
    script = (
        "import sys, numpy as np; np.random.seed(5); a = np.random.rand(); np.random.seed(5);"
        "import needle.models; assert np.random.rand() == a;"
        "assert not {'rich', 'torch'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- the first homeworks


def test_softmax_loss(device: nd.BackendDevice, rng: np.random.Generator) -> None:
    scores, labels = rng.standard_normal((6, 4)) * 3, rng.integers(0, 4, 6)
    Z = ndl.Tensor(scores, device=device, dtype="float64")
    y = ndl.Tensor(np.eye(4)[labels], device=device, dtype="float64")
    theirs = torch.tensor(scores, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(theirs, torch.tensor(labels))
    loss = models.softmax_loss(Z, y)
    assert loss.shape == ()
    np.testing.assert_allclose(loss.numpy(), expected.item(), rtol=1e-12)
    loss.backward()
    expected.backward()
    assert Z.grad is not None
    assert y.grad is not None
    assert theirs.grad is not None
    np.testing.assert_allclose(Z.grad.numpy(), theirs.grad.numpy(), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(y.grad.numpy(), -scores / 6, rtol=1e-12)
    value, wrong = models.loss_err(Z, labels.astype(np.uint8))
    np.testing.assert_allclose(value, expected.item(), rtol=1e-12)
    assert wrong == np.count_nonzero(scores.argmax(1) != labels)
    big = ndl.Tensor([[1e10, 0.0], [-1e10, 0.0]], device=device)
    right = ndl.Tensor([[1.0, 0.0], [0.0, 1.0]], device=device)
    assert models.softmax_loss(big, right).numpy() == 0


def test_nn_epoch_is_plain_sgd(device: nd.BackendDevice, rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((23, 5)), rng.integers(0, 3, 23).astype(np.uint8)
    start = rng.standard_normal((5, 8)), rng.standard_normal((8, 3))
    ours = [ndl.Tensor(w, device=device, dtype="float64") for w in start]
    got = models.nn_epoch(X, y, *ours, lr=0.2, batch=10)
    theirs = [torch.tensor(w, requires_grad=True) for w in start]
    for at in (slice(0, 10), slice(10, 20), slice(20, 23)):
        scores = torch.relu(torch.tensor(X[at]) @ theirs[0]) @ theirs[1]
        loss = torch.nn.functional.cross_entropy(scores, torch.tensor(y[at]).long())
        grads = torch.autograd.grad(loss, theirs)
        theirs = [
            (w - 0.2 * g).detach().requires_grad_() for w, g in zip(theirs, grads, strict=True)
        ]
    for w, z, before, first in zip(got, theirs, ours, start, strict=True):
        np.testing.assert_allclose(w.numpy(), z.detach().numpy(), rtol=1e-10, atol=1e-13)
        np.testing.assert_array_equal(before.numpy(), first)  # new weights, not changed ones
        assert w.is_leaf()
        assert w.requires_grad


# --- digits


def write_mnist(folder: Path, part: str, n: int) -> None:
    """Images with a bright row that tells the label."""
    labels = (np.arange(n) % 10).astype(np.uint8)
    images = np.random.default_rng(n).integers(0, 60, (n, 28, 28)).astype(np.uint8)
    images[np.arange(n), 2 * labels + 4] = 255
    for name, header, data in (
        (f"{part}-images-idx3-ubyte.gz", struct.pack(">4I", 0x803, n, 28, 28), images),
        (f"{part}-labels-idx1-ubyte.gz", struct.pack(">2I", 0x801, n), labels),
    ):
        (folder / name).write_bytes(gzip.compress(header + data.tobytes()))


def test_train_mnist(tmp_path: Path) -> None:
    write_mnist(tmp_path, "train", 130)
    write_mnist(tmp_path, "t10k", 40)
    settings: dict[str, Any] = {"hidden_dim": 20, "data_dir": str(tmp_path), "lr": 0.01}
    first = models.train_mnist(20, 1, **settings)
    assert models.train_mnist(20, 1, **settings) == first  # seeded, as in the course
    error, loss, test_error, test_loss = models.train_mnist(20, 6, **settings)
    assert error < first[0]
    assert loss < first[1] / 2
    assert test_error < 0.2
    assert 0 < test_loss < first[3]
    np.random.seed(1)
    other = models.train_mnist(20, 1, **settings, seed=None)
    np.random.seed(2)
    assert models.train_mnist(20, 1, **settings, seed=None) != other


def test_epoch_averages_over_rows(device: nd.BackendDevice, rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((7, 2, 3)).astype(np.float32), rng.integers(0, 4, 7)
    loader = ndl.data.DataLoader(ndl.data.NDArrayDataset(X, y), 3, device=device)  # 3, 3 and 1
    model = nn.Linear(6, 4, device=device)
    scores = torch.tensor(X.reshape(7, 6) @ model.weight.numpy() + model.bias.numpy())
    error, loss = models.epoch(loader, model)
    assert error == pytest.approx(np.mean(scores.numpy().argmax(1) != y))
    expected = torch.nn.functional.cross_entropy(scores, torch.tensor(y)).item()
    assert loss == pytest.approx(expected, rel=1e-5)
    assert not model.training
    models.epoch(loader, model, ndl.optim.SGD(model.parameters()))
    assert model.training


# --- images


class Pixels(nn.Module):
    def __init__(self, device: nd.BackendDevice) -> None:
        super().__init__()
        self.conv = nn.Conv(3, 4, 3, device=device)
        self.linear = nn.Linear(4 * 16, 2, device=device)

    def forward(self, x: ndl.Tensor) -> ndl.Tensor:
        return self.linear(nn.Flatten()(ndl.relu(self.conv(x))))  # type: ignore[no-any-return]


def test_train_cifar10(device: nd.BackendDevice, rng: np.random.Generator) -> None:
    y = np.arange(24) % 2
    X = rng.standard_normal((24, 3, 4, 4)) + (2 * y - 1)[:, None, None, None]
    loader = ndl.data.DataLoader(ndl.data.NDArrayDataset(X, y), 8, device=device)
    np.random.seed(0)
    model = Pixels(device)
    before = models.evaluate_cifar10(model, loader)
    accuracy, loss = models.train_cifar10(model, loader, n_epochs=5, lr=0.01)
    assert model.training
    after = models.evaluate_cifar10(model, loader, nn.SoftmaxLoss())
    assert not model.training
    assert after[1] < loss < before[1]
    assert after[0] > 0.9 >= 0.9 * accuracy


# --- texts

TEXT = np.tile([0, 1, 2, 3, 4, 2], 40)


def make(kind: str, device: nd.BackendDevice, dtype: str = "float32") -> Any:
    np.random.seed(0)
    return models.LanguageModel(6, 5, 12, 2, kind, seq_len=8, device=device, dtype=dtype)


KINDS = ["rnn", "lstm", "transformer"]


@pytest.mark.parametrize("kind", KINDS)
def test_language_model(kind: str, device: nd.BackendDevice) -> None:
    model = make(kind, device)
    np.random.seed(0)
    nn.Embedding(5, 6)
    if kind == "transformer":
        nn.Transformer(6, 12, 2, sequence_len=8)
    else:
        {"rnn": nn.RNN, "lstm": nn.LSTM}[kind](6, 12, 2)
    weight = nn.Linear(6 if kind == "transformer" else 12, 5).weight
    np.testing.assert_array_equal(model.linear.weight.numpy(), weight.numpy())
    x = ndl.Tensor([[0, 1, 4], [2, 3, 3]], device=device)
    scores, h = model(x)
    assert scores.shape == (6, 5)
    again, _ = model(x, h)
    assert np.array_equal(again.numpy(), scores.numpy()) == (kind == "transformer")
    # rows are the places of the text in order: each text alone gives its rows
    for j in range(3):
        alone, _ = model(ndl.Tensor(x.numpy()[:, j : j + 1], device=device))
        np.testing.assert_allclose(alone.numpy(), scores.numpy()[j::3], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_train_ptb(kind: str, device: nd.BackendDevice) -> None:
    model = make(kind, device)
    data = ndl.data.batchify(TEXT, 4)
    before = models.evaluate_ptb(model, data, 8, device=device)
    adam = ndl.optim.Adam
    loss = models.train_ptb(model, data, 8, 4, adam, lr=0.02, clip=1.0, device=device)[1]
    after = models.evaluate_ptb(model, data, 8, device=device)
    assert after[1] < loss < before[1]
    assert after[0] > before[0]


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_evaluate_ptb_carries_the_state(kind: str, device: nd.BackendDevice) -> None:
    """In pieces of any length the loss is that of the whole text, each word counted once."""
    model = make(kind, device, "float64")
    data = ndl.data.batchify(TEXT, 4, dtype="float64")
    scores, _ = model(ndl.Tensor(data[:-1], device=device, dtype="float64"))
    whole = nn.SoftmaxLoss()(scores, data[1:].reshape(-1)).numpy()
    for seq_len in (7, 16, 1000):
        accuracy, loss = models.evaluate_ptb(model, data, seq_len, device=device, dtype="float64")
        assert loss == pytest.approx(float(whole), rel=1e-12)
        assert accuracy == pytest.approx(
            np.mean(scores.numpy().argmax(1) == data[1:].reshape(-1)), rel=1e-12
        )


@pytest.mark.parametrize("kind", KINDS)
def test_epochs_leak_nothing_and_keep_no_graph(kind: str, device: nd.BackendDevice) -> None:
    model = make(kind, device)
    data = ndl.data.batchify(TEXT[:100], 2)
    optimizer = ndl.optim.Adam(model.parameters())

    def epoch(rows: int) -> tuple[int, int, int]:
        models.epoch_general_ptb(data[:rows], model, 4, opt=optimizer, clip=1.0, device=device)
        gc.collect()
        stats = device.memory_stats()
        return stats["live_bytes"], autograd.TENSOR_COUNTER, stats["peak_bytes"]

    for _ in range(2):
        short = epoch(13)
    long = epoch(49)  # four times as many batches
    assert long == short


# --- progress and interruption


class Terminal:
    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("progress", [True, False])
def test_the_bar_is_for_terminals(
    progress: bool, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    data = ndl.data.batchify(TEXT, 4)
    model = make("rnn", ndl.cpu())
    models.evaluate_ptb(model, data, 8, progress=progress)
    assert capsys.readouterr() == ("", "")  # no terminal
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    models.evaluate_ptb(model, data, 8, progress=progress)
    assert ("loss" in terminal.text) == progress


def test_ctrl_c_ends_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    model = make("rnn", ndl.cpu())
    weights = [p.numpy() for p in model.parameters()]
    calls = 0

    def interrupted(scores: ndl.Tensor, y: ndl.Tensor) -> ndl.Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return nn.SoftmaxLoss()(scores, y)  # type: ignore[no-any-return]

    with pytest.raises(KeyboardInterrupt):
        models.train_ptb(model, ndl.data.batchify(TEXT, 4), 8, loss_fn=interrupted)
    assert terminal.text.endswith("\x1b[?25h")  # the cursor is shown again
    assert any((p.numpy() != w).any() for p, w in zip(model.parameters(), weights, strict=True))
    models.evaluate_ptb(model, ndl.data.batchify(TEXT, 4), 8, progress=False)  # still usable


# --- errors

BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "shapes": (
        lambda: models.softmax_loss(ndl.Tensor(np.ones((2, 3))), ndl.Tensor(np.ones((2, 2)))),
        ValueError,
        r"\[softmax_loss\] .* got Z.shape=\(2, 3\), y_one_hot.shape=\(2, 2\)",
    ),
    "batch": (
        lambda: models.nn_epoch(np.ones((2, 3)), np.zeros(2), *[ndl.Tensor([[1.0]])] * 2, batch=0),
        ValueError,
        r"\[nn_epoch\] batch is positive .* got batch=0",
    ),
    "rate": (
        lambda: models.nn_epoch(
            np.ones((2, 3)), np.zeros(2), *[ndl.Tensor([[1.0]])] * 2, lr=float("nan")
        ),
        ValueError,
        r"\[nn_epoch\] lr must be finite and at least 0, got lr=nan",
    ),
    "batch type": (
        lambda: models.nn_epoch(
            np.ones((2, 3)), np.zeros(2), *[ndl.Tensor([[1.0]])] * 2, batch=2.5
        ),  # type: ignore[arg-type]
        TypeError,
        r"\[nn_epoch\] batch is an int",
    ),
    "blocks": (
        lambda: models.MLPResNet(4, num_blocks=-1),
        ValueError,
        r"\[models.MLPResNet\] num_blocks must not be negative, got num_blocks=-1",
    ),
    "label": (
        lambda: models.loss_err(ndl.Tensor([[1.0, 2.0]]), np.array([2])),
        IndexError,
        r"label=2",
    ),
    "kind": (
        lambda: models.LanguageModel(2, 3, 4, seq_model="gru"),
        ValueError,
        r"\[models.LanguageModel\] seq_model is .* got seq_model='gru'",
    ),
    "axes": (
        lambda: models.LanguageModel(2, 3, 4)(ndl.Tensor([1])),
        ValueError,
        r"\[models.LanguageModel\] x has shape \(steps, batch\), got x.shape=\(1,\)",
    ),
    "word": (
        lambda: models.LanguageModel(2, 3, 4)(ndl.Tensor([[3]])),
        IndexError,
        r"got ",
    ),
    "seq_len": (
        lambda: models.evaluate_ptb(models.LanguageModel(2, 5, 4), TEXT.reshape(-1, 1), 0),
        ValueError,
        r"\[epoch_general_ptb\] seq_len is at least 1 .* got seq_len=0, rows=240",
    ),
    "rows": (
        lambda: models.evaluate_ptb(models.LanguageModel(2, 5, 4), TEXT.reshape(1, -1)),
        ValueError,
        r"\[epoch_general_ptb\] .* rows=1",
    ),
    "epochs": (
        lambda: models.train_ptb(models.LanguageModel(2, 5, 4), TEXT.reshape(-1, 1), n_epochs=0),
        ValueError,
        r"\[train_ptb\] there is at least one epoch, got epochs=0",
    ),
    "files": (lambda: models.train_mnist(data_dir="/nowhere"), FileNotFoundError, "/nowhere"),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(name: str) -> None:
    call, error, text = BAD[name]
    with pytest.raises(error, match=text):
        call()
