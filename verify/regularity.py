"""What a function of one variable is like at 0: how noisy, and smooth, kinked, or without a slope.

The class follows from how two differences change when the step h is divided by 4:

    slope D(h) = (f(h) - f(-h)) / 2h          bend B(h) = (f(h) - 2 f(0) + f(-h)) / h

    smooth             D settles, B is f''(0) h and shrinks to a quarter
    kink               D settles, B settles at the jump of the slope
    |x|**p, 0 < p < 1  one of them grows by 4**(1 - p)
    jump               one of them grows by 4

An order (log4 of the ratio) within 1/4 of 0 is taken for a kink's, below for that of a function
without a slope. What noise alone explains decides nothing: where only noise is seen, the class is
noise as soon as the tolerance of the slope is so wide that a gradient one percent off would pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Line: TypeAlias = Callable[[float], np.longdouble]  # a scalar function of the step t

SMOOTH, KINK, NOISE, OUTSIDE = KINDS = ("smooth", "kink", "noise", "outside the domain")
EVIDENCE = (SMOOTH, KINK)  # classes in which a wrong gradient shows
TELLING = 2.0**-7  # of the slope's scale: a tolerance that one percent still exceeds
# on the measured standard deviation of the noise: 7 points make it uncertain by a factor 2
NOISE_SAFETY = 8.0
FINEST = 2.0**-40
_STEPS = 4
_FIRST = 2.0**-12
_ORDER = 4.0**0.25


def classify(line: Line, centre: float, epsilon: float, largest_step: float) -> str:
    """SMOOTH, KINK or OUTSIDE, from steps no larger than largest_step; epsilon: of rounding."""
    h = _FIRST
    while h > FINEST and (h > largest_step or not _finite(line, h)):
        h /= 4.0
    if not math.isfinite(centre) or h <= FINEST:
        return OUTSIDE
    start = h
    # beside 0, where a jump at 0 is not taken for noise
    left, right = noise(lambda t: line(t - 2.0 * start)), noise(lambda t: line(t + 2.0 * start))
    epsilon = max(epsilon, min(left, right))
    slopes, bends, floors = [], [], []
    for _ in range(_STEPS):
        up, down = float(line(h)), float(line(-h))
        slopes.append(abs(up - down) / (2.0 * h))
        bends.append(abs((up - centre) + (down - centre)) / h)
        floors.append(4.0 * NOISE_SAFETY * epsilon / h)
        h /= 4.0
    if not np.all(np.isfinite([*slopes, *bends])):
        return OUTSIDE
    for values in (slopes, bends):
        if values[-1] > floors[-1] and _ratios(values).min() > _ORDER:
            return OUTSIDE
    settled = _ratios(bends).min() > 1.0 / _ORDER and _ratios(bends).max() < _ORDER
    return KINK if bends[-1] > floors[-1] and settled else SMOOTH


def _finite(line: Line, h: float) -> bool:
    return bool(np.isfinite(line(h)) and np.isfinite(line(-h)))


def _ratios(values: list[float]) -> npt.NDArray[np.float64]:
    with np.errstate(all="ignore"):
        return np.nan_to_num(np.divide(values[1:], values[:-1]), posinf=math.inf)


@dataclass(frozen=True, slots=True)
class Near:
    """A function in the smallest neighbourhood of 0."""

    noise: float  # standard deviation of the computational noise
    slope: float
    spacing: float  # that slope is known up to the noise divided by three of these


def near(line: Line, epsilon: float = 0.0, spacing: float = 2.0**-36) -> Near:
    """Seven values around 0, further apart while they are mostly equal; epsilon: of rounding."""
    values = _table(line, spacing)
    slope = float(values[-1] - values[0]) / (6.0 * spacing)
    return Near(max(epsilon, _noise(line, values, spacing)), slope, spacing)


def noise(line: Line) -> float:
    """Standard deviation of the computational noise of `line` near 0; 0 where it shows none."""
    return near(line).noise


def _table(line: Line, spacing: float) -> npt.NDArray[np.longdouble]:
    return np.array([line((k - 3) * spacing) for k in range(7)], np.longdouble)


def _noise(line: Line, values: npt.NDArray[np.longdouble], spacing: float) -> float:
    for attempt in range(4):
        if attempt:
            values = _table(line, spacing)
        if not np.all(np.isfinite(values)):
            return 0.0
        if 2 * np.count_nonzero(np.diff(values) == 0) >= 6:
            spacing *= 64.0  # mostly equal: below the resolution of the function
            continue
        level = _noise_level(values)
        if level is not None:
            return level
        spacing /= 16.0  # still a trend
    return 0.0


def _noise_level(values: npt.NDArray[np.longdouble]) -> float | None:
    """The level where the difference table stabilises, or None."""
    sigmas, signs = [], []
    table = values
    gamma = 1.0
    for j in range(1, 7):
        table = np.diff(table)
        gamma *= 0.5 * j / (2 * j - 1)  # (j!)**2 / (2j)!
        sigmas.append(math.sqrt(gamma * float(np.mean(table**2))))
        signs.append(bool(np.any(table < 0) and np.any(table > 0)))
    for j in range(4):
        low, high = min(sigmas[j : j + 3]), max(sigmas[j : j + 3])
        if high <= 4.0 * low and signs[j]:
            return sigmas[j]
    return None
