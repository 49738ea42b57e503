"""Layers answer bad sizes, hyper-parameters and inputs by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import nn

NAN = float("nan")
ERRORS = [
    (lambda: nn.Conv(4, 6, 3, groups=4), r"\[nn\.Conv\] groups divides the channels, got groups=4"),
    (lambda: nn.Conv(4, 6, 3, groups=0), r"\[nn\.Conv\] groups must be at least 1, got groups=0"),
    (lambda: nn.Conv(4, 6, 0), r"\[nn\.Conv\] kernel_size must be at least 1"),
    (lambda: nn.Linear(3, -1), r"\[nn\.Linear\] out_features must be at least 1"),
    (lambda: nn.BatchNorm2d(0), r"\[nn\.BatchNorm2d\] dim must be at least 1, got dim=0"),
    (lambda: nn.GroupNorm(0, 6), r"\[nn\.GroupNorm\] groups must be at least 1"),
    (lambda: nn.GroupNorm(4, 6), r"\[nn\.GroupNorm\] groups divides dim, got groups=4, dim=6"),
    (lambda: nn.Dropout(1.5), r"\[nn\.Dropout\] p lies in \[0, 1\], got p=1\.5"),
    (lambda: nn.Dropout(float("nan")), r"\[nn\.Dropout\] p lies in"),
    (
        lambda: nn.BatchNorm1d(3)(ndl.Tensor(np.ones((2, 3, 4, 5)))),
        r"\[nn\.BatchNorm1d\] x has 2 or 3 axes, got x\.shape=\(2, 3, 4, 5\)",
    ),
    (lambda: nn.BatchNorm2d(3)(ndl.Tensor(np.ones((2, 3)))), r"\[nn\.BatchNorm2d\] x has 4 axes"),
    (lambda: nn.BatchNorm2d(3)(ndl.Tensor(np.ones((2, 4, 5, 5)))), r"\[batch_norm\] weight has"),
    (lambda: nn.BatchNorm1d(3)(ndl.Tensor(np.ones((0, 3)))), r"training needs elements"),
    (lambda: nn.LayerNorm1d(3)(ndl.Tensor(np.ones((2, 4)))), r"\[layer_norm\] weight has one"),
    (lambda: nn.GroupNorm(1, 3)(ndl.Tensor(np.ones(3))), r"\[nn\.GroupNorm\] x is \(N, dim"),
    (lambda: nn.MaxPool(2)(ndl.Tensor(np.ones((4, 4)))), r"\[nn\.MaxPool\] images have 4 axes"),
    (lambda: nn.AvgPool(9)(ndl.Tensor(np.ones((1, 1, 4, 4)))), r"\[avg_pool\]"),
    (
        lambda: nn.MSELoss()(ndl.Tensor(np.ones(3)), ndl.Tensor(np.ones((3, 1)))),
        r"\[nn\.MSELoss\] x and y have one shape, and elements, got x\.shape=\(3,\)",
    ),
    (lambda: nn.BatchNorm1d(3, eps=NAN), r"\[nn\.BatchNorm1d\] eps must be finite, got eps=nan"),
    (lambda: nn.BatchNorm2d(3, momentum=NAN), r"\[nn\.BatchNorm2d\] momentum must be finite"),
    (lambda: nn.BatchNorm1d(3, momentum=1.5), r"\[nn\.BatchNorm1d\] momentum lies in \[0, 1\]"),
    (lambda: nn.LayerNorm1d(3, eps=-1), r"\[nn\.LayerNorm1d\] eps must not be negative, got"),
    (lambda: nn.GroupNorm(1, 3, eps=-1), r"\[nn\.GroupNorm\] eps must not be negative"),
    (lambda: nn.Conv(3, 4, 3, stride=0), r"\[nn\.Conv\] stride is an int >= 1 or a pair"),
    (lambda: nn.Conv(3, 4, 3, padding=-1), r"\[nn\.Conv\] padding is an int >= 0 or a pair"),
    (lambda: nn.Conv(3, 4, 3, padding=(0, -1)), r"\[nn\.Conv\] padding is an int >= 0 or a pair"),
    (lambda: nn.Conv(3, 4, 3, dilation=(1, 1, 1)), r"\[nn\.Conv\] dilation is an int >= 1"),  # type: ignore[arg-type]
    (lambda: nn.MaxPool(0), r"\[nn\.MaxPool\] kernel is an int >= 1"),
    (lambda: nn.AvgPool(2, stride=0), r"\[nn\.AvgPool\] stride is an int >= 1"),
    (lambda: nn.GELU("x"), r"\[nn\.GELU\] approximate is 'none' or 'tanh', got approximate='x'"),
    (lambda: nn.LeakyReLU(NAN), r"\[nn\.LeakyReLU\] slope must be finite"),
    (lambda: nn.Embedding(0, 0), r"\[nn\.Embedding\] num_embeddings must be at least 1"),
    (lambda: nn.MSELoss()(ndl.Tensor(np.ones(0)), ndl.Tensor(np.ones(0))), r"and elements"),
]


@pytest.mark.parametrize(("call", "text"), ERRORS)
def test_layer_errors(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.parametrize("label", [4, -1])
def test_labels_out_of_range(label: int) -> None:
    with pytest.raises(IndexError, match=r"labels lie in \[0, classes\)"):
        nn.SoftmaxLoss()(ndl.Tensor(np.ones((1, 4))), [label])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: nn.Conv(3, 4, (3, 3)), r"\[nn\.Conv\] kernel_size is an int, got type=tuple"),  # type: ignore[arg-type]
        (lambda: nn.Linear(3, 2.0), r"\[nn\.Linear\] out_features is an int"),  # type: ignore[arg-type]
        (lambda: nn.Conv(3, 4, 3, stride=1.5), r"\[nn\.Conv\] stride is an int, got type=float"),  # type: ignore[arg-type]
        (lambda: nn.GroupNorm(2, "a"), r"\[nn\.GroupNorm\] dim is an int, got type=str"),  # type: ignore[arg-type]
        (lambda: nn.LeakyReLU("a"), r"\[nn\.LeakyReLU\] slope is a number"),  # type: ignore[arg-type]
        (lambda: nn.Dropout("half"), r"\[nn\.Dropout\] p is a number, got type=str"),  # type: ignore[arg-type]
        (lambda: nn.Sequential(nn.ReLU(), 3), r"\[nn\.Sequential\] modules\[1\] is a Module"),  # type: ignore[arg-type]
        (lambda: nn.Residual(3), r"\[nn\.Residual\] fn is a Module or a function, got type=int"),  # type: ignore[arg-type]
        (
            lambda: nn.MSELoss()(ndl.Tensor([1.0]), np.ones(1)),
            r"\[nn\.MSELoss\] x and y are Tensors, got type=ndarray",
        ),
        (
            lambda: nn.BatchNorm1d(3, dtype="float64")(ndl.Tensor(np.ones((2, 3)))),
            r"operands must have one dtype",
        ),
    ],
)
def test_layer_type_errors(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        call()


@pytest.mark.parametrize("x", [np.ones((2, 3, 4, 4), np.float32), 1.0, None])
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv(3, 4, 3),
        nn.Flatten(),
        nn.Linear(3, 2),
        nn.Dropout(),
        nn.BatchNorm1d(3),
        nn.BatchNorm2d(3),
        nn.GroupNorm(1, 3),
        nn.MaxPool(2),
        nn.AvgPool(2),
        nn.AttentionLayer(3, 1, 2),
        nn.Transformer(3, 4, 1),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_take_tensors(layer: nn.Module, x: Any) -> None:
    name, got = type(layer).__name__, type(x).__name__
    with pytest.raises(TypeError, match=rf"\[nn\.{name}\] [xq] is a Tensor, got type={got}"):
        layer(x)


def test_attention_takes_tensors() -> None:
    q = ndl.Tensor(np.ones((1, 1, 2, 2)))
    with pytest.raises(TypeError, match=r"\[nn\.MultiHeadAttention\] v is a Tensor"):
        nn.MultiHeadAttention()(q, q, np.ones((1, 1, 2, 2)))
