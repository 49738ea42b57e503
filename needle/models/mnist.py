"""Training MLPResNet on MNIST, as the course's second homework has it.

Source: the published interface of CMU 10-414/714, apps/mlp_resnet.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from needle import nn, ops
from needle.data import DataLoader, MNISTDataset
from needle.models.mlp_resnet import MLPResNet
from needle.models.training import Epoch, MakeOptimizer, batches, repeated
from needle.optim import Adam, Optimizer


def epoch(
    dataloader: DataLoader,
    model: Any,
    opt: Optimizer | None = None,
    *,
    seed: int | None = 4,
    progress: bool = True,
) -> tuple[float, float]:
    """One pass over (images, labels), training where there is an optimizer.

    Gives the share of rows classified wrongly, and the mean loss. Images are flattened.
    Draws: as in the course, numpy's global generator is seeded with 4 first; seed=None leaves it
    alone.
    """
    if seed is not None:
        np.random.seed(seed)
    done = Epoch(model, nn.SoftmaxLoss, opt)
    name = "evaluate" if opt is None else "train"
    for X, y in batches(dataloader, done, len(dataloader), name, progress):
        done.step(y, ops.reshape(X, (X.shape[0], -1)))
    return 1 - done.accuracy, done.loss


def train_mnist(
    batch_size: int = 100,
    epochs: int = 10,
    optimizer: MakeOptimizer = Adam,
    lr: float = 0.001,
    weight_decay: float = 0.001,
    hidden_dim: int = 100,
    data_dir: str = "data",
    *,
    seed: int | None = 4,
    progress: bool = True,
) -> tuple[float, float, float, float]:
    """Trains MLPResNet(784, hidden_dim) on the MNIST files of a folder, then evaluates it.

    Gives error and loss of the last training epoch, and those on the test set.
    Draws: seeded with 4 before the model is made, as in the course, and by each epoch; seed=None
    leaves numpy's global generator alone.
    Raises: FileNotFoundError or DataError when a file is missing or malformed, ValueError without
    epoch.
    """
    if seed is not None:
        np.random.seed(seed)
    loaders = []
    for part, shuffle in (("train", True), ("t10k", False)):
        images = Path(data_dir) / f"{part}-images-idx3-ubyte.gz"
        labels = Path(data_dir) / f"{part}-labels-idx1-ubyte.gz"
        loaders.append(DataLoader(MNISTDataset(images, labels), batch_size, shuffle))
    train, test = loaders
    model = MLPResNet(784, hidden_dim=hidden_dim)
    opt = optimizer(model.parameters(), lr=lr, weight_decay=weight_decay)
    trained = repeated(
        "train_mnist", epochs, lambda: epoch(train, model, opt, seed=seed, progress=progress)
    )
    return *trained, *epoch(test, model, seed=seed, progress=progress)
