"""Convolutions that the cpu computes by Winograd's transforms: values, edges, what they refuse."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import needle as ndl
import needle.backend_ndarray as nd
from needle import _core

# images, weights, padding: whole tiles, cut ones, channels around vectors, several blocks
CASES = [
    ((1, 8, 8, 32), (3, 3, 32, 32), (1, 1)),
    ((3, 9, 11, 33), (3, 3, 33, 47), (1, 1)),
    ((2, 12, 10, 32), (3, 3, 32, 161), (0, 2)),
    ((40, 8, 9, 40), (3, 3, 40, 32), (2, 1)),
]


def convolved(x: Any, w: Any, padding: tuple[int, int]) -> Any:
    x = np.pad(x, ((0, 0), *((p, p) for p in padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))
    return np.einsum("nhwcij,ijco->nhwo", windows, w, optimize=True)


def on_cpu(values: Any) -> nd.NDArray:
    return nd.NDArray(values, device=ndl.cpu(), dtype=values.dtype.name)


def drawn(seed: int, *shapes: tuple[int, ...], dtype: str = "float32") -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize(("images", "weights", "padding"), CASES)
def test_values_of_both_directions(images: Any, weights: Any, padding: Any, dtype: str) -> None:
    x, w = drawn(0, images, weights, dtype=dtype)
    geometry = (1, padding, 1, 1)
    y = on_cpu(x).conv2d(on_cpu(w), *geometry)
    want = convolved(x.astype("float64"), w.astype("float64"), padding)
    near = {"rtol": 0, "atol": 100 * np.finfo(dtype).eps * np.abs(want).max()}
    np.testing.assert_allclose(y.numpy(), want, **near)
    (dy,) = drawn(1, y.shape, dtype=dtype)
    dx = on_cpu(dy).conv2d_grad_input(on_cpu(w), images, *geometry)
    turned = w[::-1, ::-1].swapaxes(2, 3).astype("float64")
    want = convolved(dy.astype("float64"), turned, (2 - padding[0], 2 - padding[1]))
    np.testing.assert_allclose(dx.numpy(), want, **near)


def test_an_image_does_not_depend_on_others_or_threads() -> None:
    """Not even where another one is not finite, and is summed over its taps."""
    x, w = drawn(2, (5, 9, 8, 32), (3, 3, 32, 40))
    threads = _core.get_num_threads()
    found = []
    for n in (1, 3):
        _core.set_num_threads(n)
        try:
            found.append(on_cpu(x).conv2d(on_cpu(w), 1, 1, 1, 1).numpy())
        finally:
            _core.set_num_threads(threads)
    np.testing.assert_array_equal(*found)
    for bad in (np.inf, -np.inf, np.nan, 1e38):
        x[2, 4, 4, 7] = bad
        y = on_cpu(x).conv2d(on_cpu(np.abs(w)), 1, 1, 1, 1).numpy()
        alone = on_cpu(x[:2]).conv2d(on_cpu(np.abs(w)), 1, 1, 1, 1).numpy()
        np.testing.assert_array_equal(y[:2], alone)
        taps = y[2, 3:6, 3:6]  # all that see it, by positive weights
        assert np.isnan(taps).all() if np.isnan(bad) else (np.sign(taps) == np.sign(bad)).all()
        assert np.isfinite(y[2, :3]).all()
        assert np.isfinite(y[3:]).all()


def test_weights_that_are_not_finite() -> None:
    x, w = drawn(3, (2, 8, 8, 32), (3, 3, 32, 32))
    w[0, 0, 0, 3] = np.inf
    y = on_cpu(np.abs(x)).conv2d(on_cpu(w), 1, 1, 1, 1).numpy()
    assert (y[:, 1:, 1:, 3] == np.inf).all()
    assert np.isfinite(np.delete(y, 3, axis=3)).all()


def outlier(mask: bool) -> tuple[np.ndarray, np.ndarray]:
    """Ones with one large number, and taps of which one, or all, see it."""
    x = np.ones((1, 8, 8, 32), "float32")
    x[0, 3, 4] = 1e8
    w = np.full((3, 3, 32, 32), 0.0 if mask else 1e-12, "float32")
    w[1, 1] = np.eye(32)
    return x, w


def test_a_masked_tap_hides_what_it_does_not_see() -> None:
    x, w = (nd.NDArray(a, device=ndl.cpu()) for a in outlier(mask=True))
    assert (x.conv2d(w, padding=(1, 1)).numpy() == x.numpy()).all()


def test_the_sum_over_taps_can_be_asked_for() -> None:
    x, w = outlier(mask=False)
    found = nd.NDArray(x, device=ndl.cpu()).conv2d(nd.NDArray(w, device=ndl.cpu()), padding=(1, 1))
    assert not np.allclose(found.numpy()[0, 3, 5], 1, rtol=1e-2)  # Winograd's, as documented
    code = (
        "import numpy as np, needle as ndl, needle.backend_ndarray as nd\n"
        "x = np.ones((1, 8, 8, 32), 'float32'); x[0, 3, 4] = 1e8\n"
        "w = np.full((3, 3, 32, 32), 1e-12, 'float32'); w[1, 1] = np.eye(32)\n"
        "x, w = (nd.NDArray(a, device=ndl.cpu()) for a in (x, w))\n"
        "y = x.conv2d(w, padding=(1, 1)).numpy()\n"
        "assert np.allclose(y[0, 3, 5], 1, rtol=1e-2), y[0, 3, 5]\n"
    )
    for value, status in (("1", 0), ("yes", 1)):
        environment = {**os.environ, "NEEDLE_DIRECT_CONV": value}
        ended = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert ended.returncode == status, ended.stderr
    assert "[environment] a switch is 0 or 1, got NEEDLE_DIRECT_CONV=yes" in ended.stderr
