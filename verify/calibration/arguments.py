"""The arguments that a part of a calibration is made of: bit patterns, samples, special values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from verify.spec import Case

EVERY = 2**32  # float32 patterns
BLOCK = 2**16  # arguments computed at a time: what a cache holds of some arrays of them
_EDGES = {  # exponents of the smallest subnormal, the smallest normal and the largest number
    "float32": (-149, -126, 127),
    "float64": (-1074, -1022, 1023),
}


def step_for(patterns: int) -> int:
    """The distance of about so many patterns; odd, so that every bit varies."""
    return max(EVERY // patterns, 1) | 1 if patterns < EVERY else 1


def patterns(first: int, count: int, step: int) -> Iterator[npt.NDArray[Any]]:
    """float32 of the bit patterns first, first + step, ...: `count` of them, in blocks."""
    steps = np.arange(min(count, BLOCK), dtype=np.uint32) * np.uint32(step)
    for done in range(0, count, BLOCK):
        bits = steps[: count - done] + np.uint32(first + done * step)
        yield bits.view(np.float32)


def special(dtype: str) -> npt.NDArray[Any]:
    """Zeros, infinities, NaN, and what lies around the edges of the format, with both signs."""
    least, normal, top = _EDGES[dtype]
    some = [0.0, math.inf, math.nan, 1.0, 2.0, 0.5]
    some += [math.ldexp(1.0, e) for e in (least, normal, top)]
    some += [math.ldexp(1.0, normal) - math.ldexp(1.0, least), float(np.finfo(dtype).max)]
    return np.array([sign * v for v in some for sign in (1.0, -1.0)], dtype)


def sampled(case: Case, count: int) -> npt.NDArray[Any]:
    """Finite float64 other than 0: a quarter any bit pattern, half with |x| in 2^-30 .. 2^10.

    The last quarter is close to where functions vanish or end: 1, -1, multiples of pi / 2. What
    is drawn follows from the case's id.
    """
    rng = np.random.Generator(np.random.Philox(case.entropy("arguments")))
    quarter = count // 4
    anything = rng.integers(0, 2**64, quarter, np.uint64).view(np.float64)
    middle = rng.integers(_bits(2.0**-30), _bits(2.0**10), count - 2 * quarter, np.uint64).view(
        np.float64
    ) * rng.choice((-1.0, 1.0), count - 2 * quarter)
    centers = np.where(rng.random(quarter) < 0.5, 1.0, rng.integers(1, 1000, quarter) * math.pi / 2)
    away = 1.0 + rng.choice((-1.0, 0.0, 1.0), quarter) * 2.0 ** -rng.uniform(1, 53, quarter)
    near = centers * away * rng.choice((-1.0, 1.0), quarter)
    found = np.concatenate([anything, middle, near])
    return np.where(np.isfinite(found) & (found != 0), found, 1.0)


def _bits(x: float) -> int:
    return int(np.float64(x).view(np.uint64))
