"""ResNet9 on real digits, beside its torch twin; a report of what was measured.

    python tests/integration/mnist.py --data FOLDER --json reports/training-mnist.json

Images are the MNIST test set: 9,000 to train on, 1,000 held out, 28 x 28 padded to 32 x 32 x 3.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import needle as ndl
from verify.bench.twins import ResNet9, copy_weights
from verify.output import by_lines

IMAGES, LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
HELD_OUT = 1000


def load(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (10000, 3, 32, 32) in [-1, 1] and labels, in the file's order."""
    data = ndl.data.MNISTDataset(folder / IMAGES, folder / LABELS)
    grey = np.pad(data.images[..., 0], ((0, 0), (2, 2), (2, 2))) * 2 - 1
    return np.repeat(grey[:, None], 3, axis=1), data.labels


class Pair:
    """The model and its twin from the same weights, each with Adam."""

    def __init__(self, dtype: str, seed: int = 0, lr: float = 1e-3) -> None:
        np.random.seed(seed)
        self.dtype = dtype
        self.ours = ndl.models.ResNet9(dtype=dtype)
        self.theirs = ResNet9()
        copy_weights(self.ours, self.theirs, getattr(torch, dtype))
        self.our_loss = ndl.nn.SoftmaxLoss()
        self.our_step = ndl.optim.Adam(self.ours.parameters(), lr=lr)
        self.their_step = torch.optim.Adam(self.theirs.parameters(), lr=lr)

    def step(self, images: np.ndarray, labels: np.ndarray) -> float:
        """One step of needle's side; its loss."""
        x = ndl.Tensor(images, dtype=self.dtype, requires_grad=False)
        loss = self.our_loss(self.ours(x), ndl.Tensor(labels, requires_grad=False))
        self.our_step.reset_grad()
        loss.backward()
        self.our_step.step()
        return float(loss.numpy())

    def twin_step(self, images: np.ndarray, labels: np.ndarray) -> float:
        """One step of torch's side; its loss."""
        x = torch.from_numpy(images).to(getattr(torch, self.dtype))
        loss = torch.nn.functional.cross_entropy(self.theirs(x), torch.tensor(labels).long())
        self.their_step.zero_grad()
        loss.backward()
        self.their_step.step()
        return loss.item()

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Share of images that needle's side, in eval, labels right."""
        self.ours.eval()
        right = 0
        with ndl.no_grad():
            for start in range(0, len(images), 250):
                x = ndl.Tensor(images[start : start + 250], dtype=self.dtype, requires_grad=False)
                guessed = self.ours(x).numpy().argmax(1)
                right += int((guessed == labels[start : start + 250]).sum())
        self.ours.train()
        return right / len(images)


def compared_losses(folder: Path, steps: int, batch: int = 64) -> list[tuple[float, float]]:
    """Losses of both sides in float64 over the first steps."""
    images, labels = load(folder)
    pair = Pair("float64")
    losses = []
    for i in range(steps):
        part = slice(i * batch, (i + 1) * batch)
        ours = pair.step(images[part].astype("float64"), labels[part])
        losses.append((ours, pair.twin_step(images[part].astype("float64"), labels[part])))
    return losses


def train(folder: Path, epochs: int, batch: int = 50, seed: int = 0) -> dict[str, Any]:
    """Trains in float32 on images moved at random; loss and held-out accuracy of every epoch."""
    images, labels = load(folder)
    # the file's second half is cleaner than its first: what is held out is drawn from all of it
    order = np.random.default_rng(seed).permutation(len(images))
    held, used = order[:HELD_OUT], order[HELD_OUT:]
    pair = Pair("float32", seed, lr=3e-3)
    moved = ndl.data.RandomCrop(padding=2)
    rate = ndl.optim.CosineLR(pair.our_step, total=epochs)
    epochs_done = []
    for epoch in range(epochs):
        start = time.perf_counter()
        used = np.random.default_rng((seed, epoch)).permutation(used)
        losses = []
        for chosen in np.array_split(used, len(used) // batch):
            parts = [moved(image.transpose(1, 2, 0)).transpose(2, 0, 1) for image in images[chosen]]
            losses.append(pair.step(np.stack(parts), labels[chosen]))
        rate.step()
        epochs_done.append(
            {
                "loss": statistics.fmean(losses),
                "held_out_accuracy": pair.accuracy(images[held], labels[held]),
                "seconds": time.perf_counter() - start,
            }
        )
        sys.stdout.write(f"epoch {epoch}: {epochs_done[-1]}\n")
        sys.stdout.flush()
    return {"epochs": epochs_done, "batch": batch, "trained_on": len(used), "held_out": HELD_OUT}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of the MNIST test set")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20, help="compared in float64")
    options = parser.parse_args()
    losses = compared_losses(options.data, options.steps)
    worst = max(abs(a - b) / b for a, b in losses)
    sys.stdout.write(f"float64, {options.steps} steps: losses within {worst:.2e} relative\n")
    report = {
        "command": " ".join(sys.argv),
        "torch": torch.__version__,
        "float64_losses": [{"needle": a, "torch": b} for a, b in losses],
        "float64_largest_relative_difference": worst,
        "float32_training": train(options.data, options.epochs),
    }
    if options.json:
        options.json.write_text(by_lines(report))


if __name__ == "__main__":
    main()
