"""Winograd's convolution: what the cpu computes needs its bound, other devices do not get it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import needle as ndl
import needle.backend_ndarray as nd
from verify import accuracy, budget
from verify.reference import winograd

ROOT = Path(__file__).parents[2]
GEOMETRY = ((1, 1), (1, 1), (1, 1), False, (0, 0), 1)
X, W = (2, 9, 8, 33), (3, 3, 33, 32)


def torchs(x: Any, w: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return (
        torch.tensor(x).permute(0, 3, 1, 2).double(),
        torch.tensor(w).permute(3, 2, 0, 1).double(),
    )


def bounds(x: Any, w: Any) -> tuple[Any, Any, Any]:
    """Of float32: the exact result, the bound of Winograd's transforms, that of the plain sum."""
    a, b = torchs(x, w)
    y = torch.nn.functional.conv2d(a, b, padding=1)
    size = torch.nn.functional.conv2d(a.abs(), b.abs(), padding=1).numpy()
    fmt = budget.format_of("float32", "cpu", own_kernels=True)
    zero = np.zeros(())
    none = [(p, torch.zeros_like(p)) for p in (a, b)]
    found = winograd.bound(fmt, y.numpy(), zero, *none, (1, 1), False)
    plain = budget.dot(fmt, y.numpy(), size, zero, 9 * x.shape[3], False, False)
    return y.numpy(), found, plain


def error(x: Any, w: Any, y: Any) -> Any:
    x, w = (nd.NDArray(v, device=ndl.cpu(), dtype="float32") for v in (x, w))
    got = x.conv2d(w, 1, 1, 1, 1).numpy().astype("float64")
    return np.abs(got.transpose(0, 3, 1, 2) - y)


@pytest.mark.parametrize("kind", ["normal", "sparse", "wide", "one tap"])
def test_the_kernel_keeps_it(kind: str) -> None:
    rng = np.random.default_rng(4)
    x, w = (rng.standard_normal(shape) for shape in (X, W))
    if kind == "sparse":
        x, w = (v * (rng.uniform(size=v.shape) < 0.05) for v in (x, w))
    elif kind == "wide":
        x, w = (v * 10.0 ** rng.uniform(-5, 5, v.shape) for v in (x, w))
    elif kind == "one tap":
        w[:2] *= 1e-20  # taps of zeros alone are no case for transforms
        w[:, :2] *= 1e-20
    x, w = x.astype("float32"), w.astype("float32")
    y, found, plain = bounds(x, w)
    off = error(x, w, y)
    assert (off <= found).all()
    if kind in ("sparse", "one tap"):  # what cancels in the transforms leaves its roundings
        assert (off > plain).any()


def test_only_what_the_cpu_transforms_gets_it() -> None:
    suits = winograd.suits
    cpu = budget.format_of("float32", "cpu", own_kernels=True)
    shape, weights = (2, 32, 8, 8), (32, 32, 3, 3)
    assert suits(cpu, shape, weights, GEOMETRY)
    for device in ("numpy", "cuda", "cuda_sim", "torch"):
        if device in accuracy.K_ULP:
            assert not suits(budget.format_of("float32", device, True), shape, weights, GEOMETRY)
    assert not suits(budget.format_of("float32", "cpu"), shape, weights, GEOMETRY)
    assert not suits(cpu, (2, 32, 7, 8), weights, GEOMETRY)
    assert not suits(cpu, shape, (32, 31, 3, 3), GEOMETRY)
    assert not suits(cpu, shape, (32, 32, 3, 1), GEOMETRY)
    assert not suits(cpu, shape, weights, ((2, 2), *GEOMETRY[1:]))
    assert not suits(cpu, shape, weights, (*GEOMETRY[:5], 2))


def test_the_sizes_are_those_of_the_kernel() -> None:
    text = (ROOT / "csrc/cpu/conv_winograd.h").read_text()
    found = re.search(r"kWinogradImage = (\d+), kWinogradChannels = (\d+);", text)
    assert found is not None
    assert tuple(map(int, found.groups())) == (
        accuracy.WINOGRAD_IMAGE,
        accuracy.WINOGRAD_CHANNELS,
    )


def test_integers_are_exact_while_a_quarter_of_them_is() -> None:
    rng = np.random.default_rng(5)
    x, w = (rng.integers(-3, 4, shape).astype("float32") for shape in (X, W))
    a, b = torchs(x, w)
    y = torch.nn.functional.conv2d(a, b, padding=1).numpy()
    fmt = budget.format_of("float32", "cpu", own_kernels=True)
    none = [(p, torch.zeros_like(p)) for p in (a, b)]
    assert not winograd.bound(fmt, y, np.zeros(()), *none, (1, 1), True).any()
    assert not error(x, w, y).any()
    large = [(2.0**20 * p, q) for p, q in none]
    assert winograd.bound(fmt, 2.0**40 * y, np.zeros(()), *large, (1, 1), True).all()
