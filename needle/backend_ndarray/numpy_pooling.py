"""The numpy backend's pooling. See numpy_backend."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Pair: TypeAlias = tuple[int, int]

_quiet = np.errstate(all="ignore")


@_quiet
def pool2d(
    op: str, y: Array, x: Array, kernel: Pair, stride: Pair, padding: Pair, inside: bool
) -> None:
    """y = the largest element of every window of x (op "max_pool"; NaN wins), or the mean.

    Shape: x (N, H, W, C), y (N, OH, OW, C); all compact.
    """
    if op == "max_pool":
        y[...] = np.max(_windows(x, kernel, stride, padding, -np.inf), axis=(4, 5))
    else:
        total = np.sum(_windows(x, kernel, stride, padding, 0.0), axis=(4, 5))
        y[...] = total / _divisors(x, kernel, stride, padding, inside)


@_quiet
def pool2d_grad(
    op: str,
    dx: Array,
    dy: Array,
    x: Array | None,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    inside: bool,
) -> None:
    """dx = the sum of what each window gives its elements of dy: equal parts to the largest ones,
    or to its NaNs (op "max_pool", where x is the image), or to all; all compact.
    """
    if x is not None:
        windows = _windows(x, kernel, stride, padding, -np.inf)
        largest = np.max(windows, axis=(4, 5), keepdims=True)
        chosen = (windows == largest) | np.isnan(windows)
        ties = np.sum(chosen, axis=(4, 5), dtype=x.dtype)
        parts = np.where(chosen, (dy / ties)[..., None, None], dx.dtype.type(0))
    else:
        share = dy / _divisors(dx, kernel, stride, padding, inside)
        parts = np.broadcast_to(share[..., None, None], (*dy.shape, *kernel))
    (ph, pw), (sh, sw) = padding, stride
    n, h, w, channels = dx.shape
    rows, columns = dy.shape[1:3]
    padded = np.zeros((n, h + 2 * ph, w + 2 * pw, channels), dx.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):  # the elements (i, j) of all windows lie on a grid of their own
            grid = padded[:, i : i + sh * rows : sh, j : j + sw * columns : sw]
            grid[:, :rows, :columns] += parts[..., i, j]
    dx[...] = padded[:, ph : ph + h, pw : pw + w]


def _windows(x: Array, kernel: Pair, stride: Pair, padding: Pair, outside: float) -> Array:
    """(N, OH, OW, C, KH, KW): every window of x, with `outside` around the images."""
    (ph, pw), (sh, sw) = padding, stride
    padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)), constant_values=outside)
    return np.lib.stride_tricks.sliding_window_view(padded, kernel, (1, 2))[:, ::sh, ::sw]


def _divisors(x: Array, kernel: Pair, stride: Pair, padding: Pair, inside: bool) -> Array:
    """By what the sum of a window is divided: its elements inside of the image, or all."""
    if not inside:
        return np.full((1, 1, 1), kernel[0] * kernel[1], x.dtype)
    ones = np.ones((1, *x.shape[1:3], 1), x.dtype)
    found: Array = np.sum(_windows(ones, kernel, stride, padding, 0.0), axis=(4, 5))[0]
    return found
