"""Training image classifiers on batches of (images, labels), as the course does with CIFAR-10.

Source: the published interface of CMU 10-414/714, apps/simple_ml.py.
"""

from __future__ import annotations

from typing import Any

from needle import nn
from needle.data import DataLoader
from needle.models.training import Epoch, LossFn, MakeOptimizer, batches, repeated
from needle.optim import Adam, Optimizer


def epoch_general_cifar10(
    dataloader: DataLoader,
    model: Any,
    loss_fn: LossFn = nn.SoftmaxLoss,
    opt: Optimizer | None = None,
    *,
    progress: bool = True,
) -> tuple[float, float]:
    """One pass over (images, labels), training where there is an optimizer.

    Gives the share of rows classified rightly, and the mean loss of a row.
    """
    done = Epoch(model, loss_fn, opt)
    name = "evaluate" if opt is None else "train"
    for X, y in batches(dataloader, done, len(dataloader), name, progress):
        done.step(y, X)
    return done.accuracy, done.loss


def train_cifar10(
    model: Any,
    dataloader: DataLoader,
    n_epochs: int = 1,
    optimizer: MakeOptimizer = Adam,
    lr: float = 0.001,
    weight_decay: float = 0.001,
    loss_fn: LossFn = nn.SoftmaxLoss,
    *,
    progress: bool = True,
) -> tuple[float, float]:
    """n_epochs of training; accuracy and mean loss of the last.

    Raises: ValueError without epoch.
    """
    opt = optimizer(model.parameters(), lr=lr, weight_decay=weight_decay)
    return repeated(
        "train_cifar10",
        n_epochs,
        lambda: epoch_general_cifar10(dataloader, model, loss_fn, opt, progress=progress),
    )


def evaluate_cifar10(
    model: Any, dataloader: DataLoader, loss_fn: LossFn = nn.SoftmaxLoss, *, progress: bool = True
) -> tuple[float, float]:
    """Accuracy and mean loss on the data."""
    return epoch_general_cifar10(dataloader, model, loss_fn, progress=progress)
