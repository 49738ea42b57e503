"""The arguments that a part of a calibration is made of: bit patterns, samples, special values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from verify import sampling
from verify.spec import Case

EVERY = 2**32  # float32 patterns
BLOCK = 2**16  # arguments computed at a time: what a cache holds of some arrays of them
_WIDTHS = (2.0**-4, 2.0**-12, 2.0**-24)  # relative, around the worst arguments of a sample
_WORST = 20
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


def search(case: Case, count: int, errors_at: Callable[[npt.NDArray[Any]], Any]) -> None:
    """Looks at `count` finite float64 other than 0: a sample, then ever closer around its worst.

    What is drawn follows from the case's id and from what is found.
    """
    rng = sampling.generator(case, "arguments")
    share = count // 5
    x = _sample(rng, count - len(_WIDTHS) * share)
    e = errors_at(x)
    for width in _WIDTHS if share else ():
        worst = rng.choice(x[np.argsort(e)[-_WORST:]], share)
        near = _usual(worst * (1.0 + rng.uniform(-width, width, share)))
        x, e = np.concatenate([x, near]), np.concatenate([e, errors_at(near)])


def _sample(rng: np.random.Generator, count: int) -> npt.NDArray[Any]:
    """A quarter any bit pattern, half with |x| in 2^-30 .. 2^10.

    The last quarter is close to where functions vanish or end: 1, -1, multiples of pi / 2.
    """
    quarter = count // 4
    half = count - 2 * quarter
    anything = rng.integers(0, 2**64, quarter, np.uint64).view(np.float64)
    middle = rng.integers(_bits(2.0**-30), _bits(2.0**10), half, np.uint64).view(np.float64)
    centers = np.where(rng.random(quarter) < 0.5, 1.0, rng.integers(1, 1000, quarter) * math.pi / 2)
    away = 1.0 + rng.choice((-1.0, 0.0, 1.0), quarter) * 2.0 ** -rng.uniform(1, 53, quarter)
    signs = rng.choice((-1.0, 1.0), half + quarter)
    return _usual(np.concatenate([anything, np.concatenate([middle, centers * away]) * signs]))


def _usual(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.where(np.isfinite(x) & (x != 0), x, 1.0)


def _bits(x: float) -> int:
    return int(np.float64(x).view(np.uint64))
