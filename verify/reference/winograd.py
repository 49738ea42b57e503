"""The bound of 3 x 3 convolutions that a device may compute by Winograd's F(2 x 2, 3 x 3).

A tile is A^T [sum over c of (G g G^T) * (B^T d B)] A. Every stage is a sum of few terms: that of d
rounds twice, of g four times (halving is exact), the sum of products once for each channel c, the
result four times. So the error is at most gamma of channels + 10 times the same expression of
absolute values, those of the matrices included: terms that cancel in exact arithmetic are in it,
which the sum over taps never meets.

Source: Higham, Accuracy and Stability of Numerical Algorithms, ch. 3; Barabasz et al., "Error
analysis and improving the accuracy of Winograd convolution" (2020).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from verify import budget
from verify.accuracy import WINOGRAD_CHANNELS, WINOGRAD_IMAGE
from verify.budget import Array, Format

# |B^T|, |G|, |A^T|
_SOURCE, _TAPS, _RESULT = (
    torch.tensor(m, dtype=torch.float64)
    for m in (
        [[1, 0, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 0, 1]],
        [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, 1, 1]],
    )
)


def suits(fmt: Format, shape: Any, weights: Any, geometry: Any) -> bool:
    """Whether the device of this arithmetic may compute it so: shape (N, O, H, W) of the result,
    weights (O, C, 3, 3), geometry as torch's.
    """
    stride, padding, dilation, transposed, _, groups = geometry
    return (
        fmt.winograd
        and tuple(weights[2:]) == (3, 3)
        and all(n == 1 for n in (*stride, *dilation, groups))
        and all(n <= 2 for n in padding)
        and not transposed
        and min(shape[2:]) >= WINOGRAD_IMAGE
        and min(weights[:2]) >= WINOGRAD_CHANNELS
    )


def size(x: torch.Tensor, u: torch.Tensor, shape: Any, padding: Any) -> torch.Tensor:
    """The expression of absolute values: x (N, C, H, W), u (O, C, 4, 4), the result of shape."""
    tiles = [-(-n // 2) for n in shape[2:]]
    around = [(p, 2 * t + 2 - n - p) for n, p, t in zip(x.shape[2:], padding, tiles, strict=True)]
    padded = torch.nn.functional.pad(x, (*around[1], *around[0]))
    d = padded.unfold(2, 4, 2).unfold(3, 4, 2)  # (N, C, tiles, tiles, 4, 4)
    v = _SOURCE @ d @ _SOURCE.T
    m = torch.einsum("nctsij,ocij->notsij", v, u)
    y = _RESULT @ m @ _RESULT.T
    y = y.permute(0, 1, 2, 4, 3, 5).reshape(*shape[:2], 2 * tiles[0], 2 * tiles[1])
    return y[:, :, : shape[2], : shape[3]]


def bound(fmt: Format, y: Array, e: Array, x: Any, w: Any, padding: Any, integral: bool) -> Array:
    """Of y, to which the operands' errors contribute e; x and w as (values, errors)."""
    source, taps = (p.abs() + q for p, q in (x, w))
    magnitude = size(source, _TAPS @ taps @ _TAPS.T, y.shape, padding).numpy()
    channels = taps.shape[1]
    # intermediate values are integers / 4
    exact = integral & (4.0 * magnitude <= fmt.safe_integer)
    rounded = budget.dot(fmt, y, magnitude, e, channels + 10, False, exact)
    # what halving the weights loses below the normal numbers, and 9 sums of products
    ones = torch.ones(taps.shape[0], channels, 4, 4, dtype=torch.float64)
    lost = 2.0 * size(source, ones, y.shape, padding).numpy() + 9.0 * channels
    return np.asarray(np.where(rounded > e, rounded + fmt.eta * lost, rounded))
