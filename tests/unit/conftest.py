"""Fixtures that hold an op of many inputs against another form of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import needle as ndl
import needle.backend_ndarray as nd

Agree = Callable[..., None]


def _derivatives(call: Any, make: Any, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The value, the VJP of random cotangents, and the VJP of that."""
    rng = np.random.default_rng(1)
    inputs = [make(a, True) for a in arrays]
    y = call(*inputs)
    ours = isinstance(y, ndl.Tensor)
    y.backward(
        make(rng.standard_normal(y.shape), False), **({} if ours else {"create_graph": True})
    )
    first = [x.grad for x in inputs]
    total = sum((g * make(rng.standard_normal(g.shape), False)).sum() for g in first)
    for x in inputs:
        x.grad = None
    if total.requires_grad:
        total.backward()
    second = [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in inputs]
    return [y.detach().numpy(), *(g.detach().numpy() for g in first), *second]


@pytest.fixture
def agree(device: nd.BackendDevice) -> Agree:
    """agree(ours, theirs, *arrays): value, first and second order are equal to 1e-12, in float64.

    theirs is torch's form, or ours composed of other ops (then both get Tensors).
    """

    def check(ours: Any, theirs: Any, *arrays: Any, composed: bool = False) -> None:
        values = [np.asarray(a, np.float64) for a in arrays]

        def tensor(a: np.ndarray, grad: bool) -> ndl.Tensor:
            return ndl.Tensor(a, device=device, dtype="float64", requires_grad=grad)

        def torch_tensor(a: np.ndarray, grad: bool) -> torch.Tensor:
            return torch.tensor(a, requires_grad=grad)

        got = _derivatives(ours, tensor, values)
        want = _derivatives(theirs, tensor if composed else torch_tensor, values)
        for g, w in zip(got, want, strict=True):
            assert g.shape == w.shape
            np.testing.assert_allclose(g, w, rtol=1e-11, atol=1e-12)

    return check


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
