"""ResNet9 learns real digits, and takes the steps that its torch twin takes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the programs lie beside this file

import mnist


@pytest.fixture(scope="module")
def folder() -> Path:
    named = os.environ.get("NEEDLE_DATA")
    if not named or not (Path(named) / mnist.IMAGES).exists():
        pytest.skip(f"NEEDLE_DATA names no folder with {mnist.IMAGES}")
    return Path(named)


@pytest.mark.data
def test_float64_losses_are_the_twins_for_20_steps(folder: Path) -> None:
    losses = mnist.compared_losses(folder, 20)
    assert max(abs(a - b) / b for a, b in losses) < 1e-6
    assert losses[-1][0] < losses[0][0]


@pytest.mark.data
@pytest.mark.slow
def test_three_epochs_label_most_held_out_digits_right(folder: Path) -> None:
    done = mnist.train(folder, epochs=3)
    assert done["epochs"][-1]["held_out_accuracy"] > 0.93
