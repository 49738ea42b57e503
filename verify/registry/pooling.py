"""Pooling of NHWC images: windows that overlap, leave elements out, and reach into the padding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from verify.registry.planning import sample
from verify.registry.reduction import extreme
from verify.spec import Domain, Row, Shape


def pair(v: Any) -> tuple[int, int]:
    return v if isinstance(v, tuple) else (v, v)


def windows(
    t: Any, x: Any, kernel: Any, stride: Any, padding: Any, outside: float
) -> tuple[Any, tuple[int, int]]:
    """(N, C, KH KW, OH OW), and the shape of the last axis."""
    kernel, padding = pair(kernel), pair(padding)
    stride = kernel if stride is None else pair(stride)
    images = x.permute(0, 3, 1, 2)
    if any(padding):
        (h, w) = padding
        images = t.nn.functional.pad(images, (w, w, h, h), value=outside)
    n, c, *sides = images.shape
    rows, columns = ((m - k) // s + 1 for m, k, s in zip(sides, kernel, stride, strict=True))
    found = t.nn.functional.unfold(images, kernel, stride=stride)
    return found.reshape(n, c, math.prod(kernel), rows * columns), (rows, columns)


def _images(pooled: Any, sides: tuple[int, int]) -> Any:
    return pooled.reshape(*pooled.shape[:2], *sides).permute(0, 2, 3, 1)


def _max_pool(t: Any, x: Any, kernel: Any, stride: Any = None, padding: Any = 0) -> Any:
    found, sides = windows(t, x, kernel, stride, padding, -math.inf)
    return _images(extreme(t, found, (2,)), sides)


def _avg_pool(
    t: Any,
    x: Any,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    count_include_pad: bool = True,
) -> Any:
    found, sides = windows(t, x, kernel, stride, padding, 0.0)
    sizes = divisors(t, x, x.shape, kernel, stride, padding, count_include_pad)
    return _images(found.sum((2,)) / sizes, sides)


def divisors(
    t: Any, like: Any, shape: Shape, kernel: Any, stride: Any, padding: Any, whole: bool
) -> Any:
    """By what a window's sum is divided: the kernel's elements (whole), or those in the image."""
    if whole:
        return math.prod(pair(kernel))
    inside = t.ones((1, *shape[1:3], 1), dtype=like.dtype)
    return windows(t, inside, kernel, stride, padding, 0.0)[0].sum((2,))


def gap(x: Any, kernel: Any, stride: Any = None, padding: Any = 0) -> Any:
    """How far every value is below the largest of its window: where max has its kinks."""
    (kh, kw), (ph, pw) = pair(kernel), pair(padding)
    sh, sw = pair(kernel if stride is None else stride)
    padded = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), (1, 2))[:, ::sh, ::sw]
    ordered = np.sort(windows.reshape(*windows.shape[:4], kh * kw), axis=-1)
    return ordered[..., -1:] - ordered[..., :-1]


def _elements(
    shapes: tuple[Shape, ...], kernel: Any, stride: Any = None, padding: Any = 0, **_: Any
) -> float:
    n, *sides, c = shapes[0]
    stride = kernel if stride is None else stride
    geometry = zip(sides, pair(kernel), pair(stride), pair(padding), strict=True)
    windows = math.prod((m + 2 * p - k) // s + 1 for m, k, s, p in geometry)
    return float(n * c * windows * math.prod(pair(kernel)))


_SAMPLES = (
    sample((1, 1, 1, 1), kernel=1),
    sample((1, 4, 4, 2), kernel=2),
    sample((2, 5, 7, 3), kernel=2),  # the last row and column lie in no window
    sample((2, 5, 7, 3), kernel=3, stride=1, padding=1),
    sample((2, 7, 6, 2), kernel=(3, 2), stride=(1, 3), padding=(1, 0)),
    sample((1, 8, 8, 3), kernel=2, stride=3),  # elements between the windows
    sample((1, 9, 5, 2), kernel=(5, 3), stride=(2, 1), padding=(2, 1)),
    sample((1, 3, 3, 2), kernel=3),
    sample((2, 4, 4, 17), kernel=2, stride=1),
    sample((0, 4, 4, 2), kernel=2),
    sample((1, 12, 13, 8), kernel=3, stride=2, padding=1),
    # windows that share nothing, of rows that are further apart than columns
    sample((2, 7, 5, 3), region="positive", kernel=(2, 1), stride=(2, 1)),
)

ROWS = (
    Row(
        name="max_pool",
        family="pooling",
        reference=_max_pool,
        samples=(*_SAMPLES, sample((2, 75, 71, 2), kernel=2, stride=1)),
        regions=("tiny", "huge", "zeros", "special", "integer", "ties", "denormal"),
        kinks=gap,
        decided=("special",),
        signed_zero=False,  # of +0 and -0 either is a largest
        flops=_elements,
    ),
    Row(
        name="avg_pool",
        family="pooling",
        reference=_avg_pool,
        samples=(
            *_SAMPLES,
            sample((2, 5, 7, 3), kernel=3, stride=1, padding=1, count_include_pad=False),
            sample((1, 9, 5, 2), kernel=(5, 3), stride=2, padding=(2, 1), count_include_pad=False),
        ),
        regions=("tiny", "huge", "zeros", "special", "integer", "ties", "denormal"),
        domains=(Domain(),),
        linear=True,
        signed_zero=False,  # a sum starts from 0
        flops=_elements,
    ),
)
