"""Layers, optimizers and whole training steps, needle's and torch's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from definitions import Pair, both

import needle as ndl

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from twins import LSTMLanguageModel, ResNet9, copy_weights


def _steps(
    ours: Callable[..., ndl.Tensor],
    theirs: Callable[..., torch.Tensor],
    inputs: list[tuple[ndl.Tensor, torch.Tensor]],
    cotangent: tuple[ndl.Tensor, torch.Tensor],
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Forward and backward of both."""
    mine, other = [a for a, _ in inputs], [t for _, t in inputs]

    def step() -> object:
        y = ours(*mine)
        y.backward(cotangent[0])
        return y

    def twin() -> object:
        for t in other:
            t.grad = None
        y = theirs(*other)
        y.backward(cotangent[1])
        return y

    return step, twin


def softmax(dtype: str) -> Iterator[Pair]:
    for rows, columns in ((4096, 10), (512, 1000), (64, 32000)):
        x, tx = both((rows, columns), dtype, 1)
        yield Pair(
            f"softmax {rows}x{columns}",
            dtype,
            lambda x=x: ndl.softmax(x),
            {"": lambda t=tx: torch.softmax(t, -1)},
        )
        g = both((rows, columns), dtype, 2)
        step, twin = _steps(
            ndl.softmax, lambda t: torch.softmax(t, -1), [both((rows, columns), dtype, 1, True)], g
        )
        yield Pair(f"softmax forward + backward {rows}x{columns}", dtype, step, {"": twin})


def normalization(dtype: str) -> Iterator[Pair]:
    rows, columns = 512, 768
    shapes = [(rows, columns), (columns,), (columns,)]
    inputs = [both(s, dtype, i, True) for i, s in enumerate(shapes)]
    step, twin = _steps(
        ndl.layer_norm,
        lambda x, w, b: torch.nn.functional.layer_norm(x, (x.shape[-1],), w, b),
        inputs,
        both((rows, columns), dtype, 5),
    )
    yield Pair(f"layer norm forward + backward {rows}x{columns}", dtype, step, {"": twin})
    for shape in ((64, 16, 16, 32), (512, 256)):
        last = tuple(shape[-1:])
        inputs = [both(s, dtype, i, True) for i, s in enumerate((shape, last, last))]

        def channels_last(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            moved = x.movedim(-1, 1)  # NCHW by strides: channels_last memory
            y = torch.nn.functional.batch_norm(moved, None, None, w, b, training=True)
            return y.movedim(1, -1)

        step, twin = _steps(
            lambda x, w, b: ndl.batch_norm(x, w, b, axis=-1),
            channels_last,
            inputs,
            both(shape, dtype, 5),
        )
        name = "x".join(map(str, shape))
        yield Pair(f"batch norm forward + backward {name}, channels last", dtype, step, {"": twin})


def recurrent(dtype: str) -> Iterator[Pair]:
    for batch, features, hidden in ((20, 100, 200), (64, 256, 256)):
        np.random.seed(0)
        cell = ndl.nn.LSTMCell(features, hidden, dtype=dtype)
        twin_cell = torch.nn.LSTMCell(features, hidden)
        copy_weights(cell, twin_cell, getattr(torch, dtype))
        x, h, c = (
            both((batch, n), dtype, i, True) for i, n in enumerate((features, hidden, hidden))
        )

        step, twin = _steps(
            lambda x, h, c, cell=cell: cell(x, (h, c))[0],
            lambda x, h, c, cell=twin_cell: cell(x, (h, c))[0],
            [x, h, c],
            both((batch, hidden), dtype, 7),
        )
        name = f"LSTM cell forward + backward {batch}x{features} to {hidden}"
        yield Pair(name, dtype, step, {"": twin})


def optimizers(dtype: str) -> Iterator[Pair]:
    for count, size in ((1, 1 << 20), (50, 4096)):
        pairs = [both((size,), dtype, i, True) for i in range(count)]
        for i, (a, t) in enumerate(pairs):
            a.grad, t.grad = both((size,), dtype, 100 + i)
        mine = ndl.optim.Adam([a for a, _ in pairs], lr=1e-3)
        plain = torch.optim.Adam([t for _, t in pairs], lr=1e-3, foreach=False)
        fused = torch.optim.Adam([t for _, t in pairs], lr=1e-3, fused=True)
        calls = {"plain": plain.step, "fused": fused.step}
        yield Pair(f"Adam step, {count} x {size} parameters", dtype, mine.step, calls)


def models(dtype: str) -> Iterator[Pair]:
    np.random.seed(0)
    batch = 32
    net, twin = ndl.models.ResNet9(dtype=dtype), ResNet9()
    copy_weights(net, twin, getattr(torch, dtype))
    images, torch_images = both((batch, 3, 32, 32), dtype, 1)
    labels = np.arange(batch) % 10
    yield _training(
        f"ResNet9 training step, batch {batch}",
        dtype,
        (net, lambda: net(images), labels),
        (twin, lambda: twin(torch_images)),
    )
    words, steps, texts = 1000, 35, 20
    model = ndl.models.LanguageModel(100, words, 200, 1, "lstm", dtype=dtype)
    twin_model = LSTMLanguageModel(100, words, 200, 1)
    copy_weights(model, twin_model, getattr(torch, dtype))
    ids = np.random.randint(0, words, (steps, texts))
    text = ndl.Tensor(ids, requires_grad=False)
    yield _training(
        f"LSTM language model training step, {steps} steps of {texts} texts",
        dtype,
        (model, lambda: model(text)[0], np.roll(ids, -1, 0).ravel()),
        (twin_model, lambda: twin_model(torch.from_numpy(ids))[0]),
    )


def _training(
    name: str,
    dtype: str,
    ours: tuple[ndl.nn.Module, Callable[[], ndl.Tensor], np.ndarray],
    theirs: tuple[torch.nn.Module, Callable[[], torch.Tensor]],
) -> Pair:
    """Forward, loss, backward and Adam."""
    model, forward, labels = ours
    twin, twin_forward = theirs
    loss_of, ndl_labels = ndl.nn.SoftmaxLoss(), ndl.Tensor(labels, requires_grad=False)
    mine = ndl.optim.Adam(model.parameters(), lr=1e-3)
    other = torch.optim.Adam(twin.parameters(), lr=1e-3)
    torch_labels = torch.from_numpy(labels).long()

    def step() -> object:
        loss = loss_of(forward(), ndl_labels)
        mine.reset_grad()
        loss.backward()
        mine.step()
        return loss

    def twin_step() -> object:
        loss = torch.nn.functional.cross_entropy(twin_forward(), torch_labels)
        other.zero_grad()
        loss.backward()
        other.step()
        return loss

    return Pair(name, dtype, step, {"": twin_step})
