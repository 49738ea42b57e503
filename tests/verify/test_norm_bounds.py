"""Batch norm as a whole and ReLUs near 0: bounds hold for any error, and are not much too large."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from verify import reference
from verify.budget import format_of
from verify.reference.bounded import Bounded, Context
from verify.reference.norms import standardize, standardize_gradient
from verify.spec import Row

EPS = 1e-5
F32, F64 = format_of("float32"), format_of("float64")


def normed(x: np.ndarray) -> np.ndarray:
    c = x - x.mean(1, keepdims=True)
    return np.asarray(c / np.sqrt((c * c).mean(1, keepdims=True) + EPS))


def pulled_back(h: np.ndarray, x: np.ndarray) -> np.ndarray:
    y = normed(x)
    r = 1 / np.sqrt(x.var(1, keepdims=True) + EPS)
    q = h - h.mean(1, keepdims=True) - y * (h * y).mean(1, keepdims=True)
    return np.asarray(r * q)


def worst_moves(x: np.ndarray, e: np.ndarray, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors that move element i of the result most, up and down."""
    n, y = x.shape[1], normed(x)
    slope = np.eye(n)[i] - (1 + y[:, [i]] * y) / n
    return np.sign(slope) * e, -np.sign(slope) * e


@pytest.mark.parametrize("n", [3, 4, 9, 33])
@pytest.mark.parametrize("size", [1e-9, 1e-3, 0.05])
def test_errors_of_the_input(n: int, size: float) -> None:
    rng = np.random.default_rng(n)
    x = rng.standard_normal((5, n)) + rng.choice([0.0, 3.0], (5, 1))
    e = size * rng.uniform(0.2, 1.0, x.shape)
    bound = standardize(F64, x, e, EPS).ey
    most = np.zeros(x.shape)
    for i in range(n):
        for d in (*worst_moves(x, e, i), e * rng.choice([-1, 1], x.shape)):
            moved = np.abs(normed(x + d) - normed(x))
            assert np.all(moved <= bound)
            most = np.maximum(most, moved)
    # what stands between is Cauchy-Schwarz, and an element's own share that counts twice
    assert np.median(bound / most) < (1.6 if n > 4 else 4.0)


@pytest.mark.parametrize("n", [3, 4, 9, 33])
def test_errors_of_the_cotangent_and_of_the_input(n: int) -> None:
    rng = np.random.default_rng(n)
    x, h = rng.standard_normal((2, 5, n))
    e, eh = 1e-4 * rng.uniform(0.2, 1.0, (2, *x.shape))
    bound = standardize_gradient(F64, standardize(F64, x, e, EPS), h, eh)
    alone = standardize_gradient(F64, standardize(F64, x, 0 * e, EPS), h, eh)
    for i in range(min(n, 5)):
        for d in (*worst_moves(x, e, i), e * rng.choice([-1, 1], x.shape)):
            for dh in (*worst_moves(x, eh, i), eh * rng.choice([-1, 1], x.shape)):
                moved = np.abs(pulled_back(h + dh, x + d) - pulled_back(h, x))
                assert np.all(moved <= bound)
                assert np.all(np.abs(pulled_back(h + dh, x) - pulled_back(h, x)) <= alone)


def in_float32(x: np.ndarray, h: np.ndarray, reverse: bool) -> tuple[np.ndarray, np.ndarray]:
    """Both in float32, sums one term after the other."""

    def mean(a: np.ndarray) -> np.ndarray:
        ordered = a[:, ::-1] if reverse else a
        return np.asarray(np.cumsum(ordered, 1, dtype=np.float32)[:, -1:] / np.float32(a.shape[1]))

    c = x - mean(x)
    r = (mean(c * c) + np.float32(EPS)) ** np.float32(-0.5)
    y = c * r
    return y, (h - mean(h) - y * mean(h * y)) * r


@pytest.mark.parametrize("n", [4, 33, 1000])
@pytest.mark.parametrize("far", [0.0, 100.0])
def test_rounding(n: int, far: float) -> None:
    rng = np.random.default_rng(n)
    x = (rng.standard_normal((20, n)) + far).astype(np.float32)
    h = rng.standard_normal((20, n)).astype(np.float32)
    wide, cotangent = x.astype(np.float64), h.astype(np.float64)
    lanes = standardize(F32, wide, np.zeros(x.shape), EPS)
    bound = standardize_gradient(F32, lanes, cotangent, np.zeros(x.shape))
    for reverse in (False, True):
        y, dx = in_float32(x, h, reverse)
        assert np.all(np.abs(y - normed(wide)) <= lanes.ey)
        assert np.all(np.abs(dx - pulled_back(cotangent, wide)) <= bound)


def test_nothing_is_claimed_of_a_lane_that_may_be_constant() -> None:
    x = np.array([[1.0, 1.001, 0.999]])
    assert np.all(np.isinf(standardize(F32, x, np.full(x.shape, 0.1), EPS).ey))


def test_torchs_batch_norm_takes_the_rules() -> None:
    def expression(t: Any, x: Any) -> Any:
        return t.nn.functional.batch_norm(x, None, None, training=True, eps=EPS)

    row = Row(name="f", family="test", reference=expression, samples=())
    rng = np.random.default_rng(0)
    x, h = rng.standard_normal((2, 4, 3, 2, 2))
    (y,) = reference.forward(row, [x], {}, F32)
    (dx,) = reference.vjp(row, [x], {}, [h], F32)
    flat = [np.moveaxis(a, 1, 0).reshape(3, -1) for a in (x, h, y.value, dx.value)]
    assert np.allclose(flat[2], normed(flat[0]), atol=1e-12)
    assert np.allclose(flat[3], pulled_back(flat[1], flat[0]), atol=1e-12)
    assert 0 < y.error.max() < 1e-4
    assert 0 < dx.error.max() < 1e-4


def bounded(values: list[float], errors: list[float]) -> Bounded:
    exact, error = (torch.tensor(v, dtype=torch.float64) for v in (values, errors))
    return Bounded(exact, error, Context(F64))


def test_a_relu_is_sure_where_its_input_is() -> None:
    x = bounded([-1.0, -0.1, 0.0, 0.0, 0.1, 1.0], [0.2, 0.2, 0.0, 0.2, 0.2, 0.2]).requires_grad_()
    y = torch.relu(x)
    assert y.err.tolist() == pytest.approx([0.0, 0.1, 0.0, 0.2, 0.2, 0.2])  # type: ignore[attr-defined]
    (grad,) = torch.autograd.grad(y, x, bounded([3.0] * 6, [0.5] * 6))
    assert grad.err.tolist() == pytest.approx([0.0, 3.5, 0.0, 3.5, 3.5, 0.5])  # type: ignore[attr-defined]
