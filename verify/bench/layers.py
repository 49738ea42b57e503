"""Layers and optimizers, needle's and torch's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

import needle as ndl
from verify.bench.definitions import Pair, both, bytes_of, steps
from verify.bench.place import PLACE
from verify.bench.twins import copy_weights


def softmax(dtype: str) -> Iterator[Pair]:
    for rows, columns in ((4096, 10), (512, 1000), (64, 32000)):
        x, tx = both((rows, columns), dtype, 1)
        yield Pair(
            "softmax",
            f"softmax {rows}x{columns}",
            dtype,
            partial(ndl.softmax, x),
            {"": partial(torch.softmax, tx, -1)},
            flops=5.0 * rows * columns,
            bytes=2 * bytes_of(dtype, (rows, columns)),
        )
        g = both((rows, columns), dtype, 2)
        step, twin = steps(
            ndl.softmax, lambda t: torch.softmax(t, -1), [both((rows, columns), dtype, 1, True)], g
        )
        name = f"softmax forward + backward {rows}x{columns}"
        yield Pair(
            "softmax",
            name,
            dtype,
            step,
            {"": twin},
            flops=9.0 * rows * columns,
            bytes=5 * bytes_of(dtype, (rows, columns)),
        )


def layer_norm(dtype: str) -> Iterator[Pair]:
    rows, columns = 512, 768
    shapes = [(rows, columns), (columns,), (columns,)]
    inputs = [both(s, dtype, i, True) for i, s in enumerate(shapes)]
    step, twin = steps(
        ndl.layer_norm,
        lambda x, w, b: torch.nn.functional.layer_norm(x, (x.shape[-1],), w, b),
        inputs,
        both((rows, columns), dtype, 5),
    )
    name = f"layer norm forward + backward {rows}x{columns}"
    work = _norm(dtype, (rows, columns))
    yield Pair("layer_norm", name, dtype, step, {"": twin}, **work)


def batch_norm(dtype: str) -> Iterator[Pair]:
    for shape in ((64, 16, 16, 32), (512, 256)):
        last = tuple(shape[-1:])
        inputs = [both(s, dtype, i, True) for i, s in enumerate((shape, last, last))]

        def channels_last(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            moved = x.movedim(-1, 1)  # NCHW by strides: channels_last memory
            y = torch.nn.functional.batch_norm(moved, None, None, w, b, training=True)
            return y.movedim(1, -1)

        step, twin = steps(
            lambda x, w, b: ndl.batch_norm(x, w, b, axis=-1),
            channels_last,
            inputs,
            both(shape, dtype, 5),
        )
        name = "x".join(map(str, shape))
        name = f"batch norm forward + backward {name}, channels last"
        yield Pair("batch_norm", name, dtype, step, {"": twin}, **_norm(dtype, shape))


def _norm(dtype: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Eight operations an element forward, twelve backward; x and y, then dy, x and dx."""
    return {"flops": 20.0 * math.prod(shape), "bytes": 5 * bytes_of(dtype, shape)}


def recurrent(dtype: str) -> Iterator[Pair]:
    for batch, features, hidden in ((20, 100, 200), (64, 256, 256)):
        np.random.seed(0)
        cell = ndl.nn.LSTMCell(features, hidden, dtype=dtype, device=PLACE.needle)
        twin_cell = torch.nn.LSTMCell(features, hidden).to(PLACE.name)
        copy_weights(cell, twin_cell, getattr(torch, dtype))
        x, h, c = (
            both((batch, n), dtype, i, True) for i, n in enumerate((features, hidden, hidden))
        )

        step, twin = steps(
            lambda x, h, c, cell=cell: cell(x, (h, c))[0],
            lambda x, h, c, cell=twin_cell: cell(x, (h, c))[0],
            [x, h, c],
            both((batch, hidden), dtype, 7),
        )
        name = f"LSTM cell forward + backward {batch}x{features} to {hidden}"
        inputs, gates = (batch, features + hidden), (batch, 4 * hidden)
        weights = (features + hidden, 4 * hidden)
        yield Pair(
            "nn.LSTMCell",
            name,
            dtype,
            step,
            {"": twin},
            flops=3 * 2.0 * batch * math.prod(weights),
            bytes=3 * bytes_of(dtype, inputs, weights, gates),
        )


def optimizers(dtype: str) -> Iterator[Pair]:
    large = 1 << 25 if PLACE.name == "cuda" else 1 << 20
    for count, size in ((1, large), (50, 4096)):
        pairs = [both((size,), dtype, i, True) for i in range(count)]
        for i, (a, t) in enumerate(pairs):
            a.grad, t.grad = both((size,), dtype, 100 + i)
        mine = ndl.optim.Adam([a for a, _ in pairs], lr=1e-3)
        plain = torch.optim.Adam([t for _, t in pairs], lr=1e-3, foreach=False)
        fused = torch.optim.Adam([t for _, t in pairs], lr=1e-3, fused=True)
        calls: Mapping[str, Any] = {"plain": plain.step, "fused": fused.step}
        name = f"Adam step, {count} x {size} parameters"
        yield Pair(
            "optim.Adam",
            name,
            dtype,
            mine.step,
            calls,
            flops=12.0 * count * size,
            bytes=7 * bytes_of(dtype, (count, size)),  # p, grad, two moments; three are written
        )
