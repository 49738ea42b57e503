"""The models again in torch, and weights carried over from needle's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from needle.nn import Module


def _conv_bn(cin: int, cout: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(cin, cout, kernel, stride, padding=kernel // 2), nn.BatchNorm2d(cout), nn.ReLU()
    )


class _Residual(nn.Module):
    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = x + self.fn(x)
        return y


class ResNet9(nn.Sequential):
    """The model of needle.models.ResNet9."""

    def __init__(self) -> None:
        super().__init__(
            _conv_bn(3, 16, 7, 4),
            _conv_bn(16, 32, 3, 2),
            _Residual(nn.Sequential(_conv_bn(32, 32, 3, 1), _conv_bn(32, 32, 3, 1))),
            _conv_bn(32, 64, 3, 2),
            _conv_bn(64, 128, 3, 2),
            _Residual(nn.Sequential(_conv_bn(128, 128, 3, 1), _conv_bn(128, 128, 3, 1))),
            nn.Flatten(),
            nn.Linear(128, 128),
            nn.ReLU(),
            nn.Linear(128, 10),
        )


class LSTMLanguageModel(nn.Module):
    """The model of needle.models.LanguageModel with an LSTM: logits (seq * batch, vocabulary)."""

    def __init__(self, embedding: int, vocabulary: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.model = nn.LSTM(embedding, hidden, layers)
        self.linear = nn.Linear(hidden, vocabulary)

    def forward(self, x: torch.Tensor, h: Any = None) -> tuple[torch.Tensor, Any]:
        out, h = self.model(self.embedding(x), h)
        return self.linear(out.reshape(-1, out.shape[-1])), h


def copy_weights(source: Module, twin: nn.Module, dtype: torch.dtype) -> None:
    """Every parameter of source into its place in the twin, which takes the dtype.

    needle's order of parameters is torch's, but for a recurrent layer, whose cells come one after
    the other in both. Kernels are (k, k, in, out) here and (out, in, k, k) there, matrices (in,
    out) here and (out, in) there; embeddings are (number, dimension) in both.
    """
    twin.to(dtype)
    ours, theirs = source.parameters(), list(twin.named_parameters())
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} parameters here, {len(theirs)} in the twin")
    with torch.no_grad():
        for mine, (name, target) in zip(ours, theirs, strict=True):
            value = np.asarray(mine.numpy())
            if value.ndim == 4:
                value = value.transpose(3, 2, 0, 1)
            elif value.ndim == 2 and "embedding" not in name and target.ndim == 2:
                value = value.T
            target.copy_(torch.from_numpy(value.reshape(tuple(target.shape)).copy()))
