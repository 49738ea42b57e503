"""A residual network of linear layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from needle import nn
from needle.backend_ndarray import BackendDevice
from needle.backend_ndarray.checks import integers
from needle.nn.module import require_positive

Norm = Callable[..., nn.Module]  # (dim, device=, dtype=), as nn.BatchNorm1d


def ResidualBlock(
    dim: int,
    hidden_dim: int,
    norm: Norm = nn.BatchNorm1d,
    drop_prob: float = 0.1,
    device: BackendDevice | None = None,
    dtype: str = "float32",
) -> nn.Sequential:
    """ReLU(x + norm(linear(dropout(ReLU(norm(linear(x))))))), hidden_dim wide inside.

    Shape: (N, dim) gives (N, dim).
    Raises: ValueError when a size is below 1.
    """
    require_positive("models.ResidualBlock", dim=dim, hidden_dim=hidden_dim)
    where: dict[str, Any] = {"device": device, "dtype": dtype}
    inside = nn.Sequential(
        nn.Linear(dim, hidden_dim, **where),
        norm(hidden_dim, **where),
        nn.ReLU(),
        nn.Dropout(drop_prob),
        nn.Linear(hidden_dim, dim, **where),
        norm(dim, **where),
    )
    return nn.Sequential(nn.Residual(inside), nn.ReLU())


def MLPResNet(
    dim: int,
    hidden_dim: int = 100,
    num_blocks: int = 3,
    num_classes: int = 10,
    norm: Norm = nn.BatchNorm1d,
    drop_prob: float = 0.1,
    device: BackendDevice | None = None,
    dtype: str = "float32",
) -> nn.Sequential:
    """A linear layer with ReLU, num_blocks residual blocks half as wide inside, a linear layer.

    Shape: (N, dim) gives (N, num_classes).
    Raises: ValueError when num_blocks is negative or another size below 1.
    """
    require_positive("models.MLPResNet", dim=dim, hidden_dim=hidden_dim, num_classes=num_classes)
    if integers("models.MLPResNet", num_blocks=num_blocks)[0] < 0:
        raise ValueError(
            f"[models.MLPResNet] num_blocks must not be negative, got num_blocks={num_blocks}"
        )
    where: dict[str, Any] = {"device": device, "dtype": dtype}
    layers: list[nn.Module] = [nn.Linear(dim, hidden_dim, **where), nn.ReLU()]
    for _ in range(num_blocks):
        layers.append(ResidualBlock(hidden_dim, hidden_dim // 2, norm, drop_prob, **where))
    return nn.Sequential(*layers, nn.Linear(hidden_dim, num_classes, **where))
