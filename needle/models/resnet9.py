"""ResNet9: a small residual network for 32 x 32 images."""

from __future__ import annotations

from typing import Any

from needle import nn
from needle.autograd import Tensor
from needle.backend_ndarray import BackendDevice


class ResNet9(nn.Module):
    """Eight convolutions, each with batch norm and ReLU, in which two pairs are residual; two
    linear layers.

    Shape: (N, 3, 32, 32) gives (N, 10).
    Draws: those of its layers, in the order of the network.
    """

    def __init__(self, device: BackendDevice | None = None, dtype: str = "float32") -> None:
        super().__init__()
        where: dict[str, Any] = {"device": device, "dtype": dtype}

        def convolved(cin: int, cout: int, kernel: int, stride: int) -> nn.Module:
            return nn.Sequential(
                nn.Conv(cin, cout, kernel, stride, **where),
                nn.BatchNorm2d(cout, **where),
                nn.ReLU(),
            )

        def residual(channels: int) -> nn.Module:
            pair = [convolved(channels, channels, 3, 1) for _ in range(2)]
            return nn.Residual(nn.Sequential(*pair))

        self.layers = nn.Sequential(
            convolved(3, 16, 7, 4),
            convolved(16, 32, 3, 2),
            residual(32),
            convolved(32, 64, 3, 2),
            convolved(64, 128, 3, 2),
            residual(128),
            nn.Flatten(),
            nn.Linear(128, 128, **where),
            nn.ReLU(),
            nn.Linear(128, 10, **where),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]
