"""Distributions restated from their definitions, and the evidence against drawn numbers.

Every test holds what was drawn against a bound that numbers of the law exceed with probability
exp(-T) or less, whatever their number: Bernstein's inequality for bounded variables, the Gaussian
tail, Laurent and Massart's for sums of squares, Chernoff's (Kullback-Leibler) for counts. There are
fewer than TESTS of them, so that a right initialiser is accused with probability ALPHA at most.
Rounding (`slack`) is charged on top. Nothing here imports needle or torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from verify.sampling import Array
from verify.spec import Shape

ALPHA = 1e-12  # of a false alarm, all tests of all draws of a law together
TESTS = 256
T = math.log(2 * TESTS / ALPHA)


def rounding(unit: float) -> float:
    """How far offset + width u may be off, relative to |offset| + |width u|.

    Draw, width, product, offset and sum round in the dtype, four of them on any path. In float64
    width and offset come of at most four roundings, product and sum of two: here and there.
    """
    return 4.1 * unit + 12 * 2.0**-53


class Evidence(NamedTuple):
    """The largest deviation, in units of what the law allows; above 1 it is none of the law."""

    ratio: float
    text: str


class Law(Protocol):
    """How the elements of one result are drawn."""

    @property
    def shape(self) -> Shape:
        """That of the result."""

    def replay(self, unit: float) -> tuple[Array, Array]:
        """numpy's next draw as the law's result, and its largest error in an arithmetic."""

    def evidence(self, drawn: Sequence[Array], unit: float) -> Evidence:
        """What speaks against the law; successive draws come one after the other."""


@dataclass(frozen=True)
class Drawn:
    """A law of independent elements; z below is an element less the mean, in deviations."""

    shape: Shape
    mass: ClassVar[float] = 2.0**-20  # the largest probability of one value, in any dtype

    @property
    def mean(self) -> float:
        """Of an element."""
        raise NotImplementedError

    @property
    def deviation(self) -> float:
        """The standard deviation of an element."""
        raise NotImplementedError

    def points(self) -> Array:
        """Where the distribution function is compared, as z: equally far apart."""
        raise NotImplementedError

    def below(self, z: Array) -> Array:
        """The distribution function."""
        raise NotImplementedError

    def largest(self, n: int) -> float:
        """No |z| of n is above this."""
        raise NotImplementedError

    def allowed(self, n: int) -> tuple[float, float, float]:
        """What |sum z|, |sum (z² - 1)| and, over n pairs, |sum z z'| may reach."""
        raise NotImplementedError

    def slack(self, unit: float) -> float:
        """What rounding may add to a z."""
        reach = self.largest(1 << 20) + 2 * abs(self.mean) / self.deviation
        return rounding(unit) * reach

    def evidence(self, drawn: Sequence[Array], unit: float) -> Evidence:
        """The worst of all tests."""
        x = np.concatenate([np.ravel(a) for a in drawn], dtype=np.float64)
        if not x.size or not self.deviation:
            return Evidence(0.0, "")
        z, slack = (x - self.mean) / self.deviation, self.slack(unit)
        limit = self.largest(z.size) + slack
        if not (-limit <= z.min() and z.max() <= limit):  # NaN among them
            odd = np.flatnonzero(~(np.abs(z) <= limit))
            reach = limit * self.deviation
            low, high = self.mean - reach, self.mean + reach
            return Evidence(
                math.inf, f"a draw = {x[odd[0]]:.9g}, should lie in [{low:.6g}, {high:.6g}]"
            )
        square = float(z @ z) / z.size
        found = [self._moments(z, square, slack), self._shares(z, slack), self._runs(x)]
        # pairs hold more than half of the elements; Cauchy and Schwarz: mean |z| <= the root
        slack *= 4 * math.sqrt(square) + slack
        lags = {1, *self.shape[-1:], x.size // len(drawn)}
        found += [self._products(z, lag, slack) for lag in sorted(lags)]
        return max(found, key=lambda e: e.ratio)

    def _moments(self, z: Array, square: float, slack: float) -> Evidence:
        n = z.size
        first, second, _ = self.allowed(n)
        allowed = (first / n + slack, second / n + slack * (2 * math.sqrt(square) + slack))
        mean = float(z.mean())
        texts = (
            f"mean of {n:,} draws = {self.mean + mean * self.deviation:.6g}, "
            f"should be {self.mean:.6g} +- {allowed[0] * self.deviation:.2g}",
            f"standard deviation of {n:,} draws about {self.mean:.6g} = "
            f"{math.sqrt(square) * self.deviation:.6g}, "
            f"should be {self.deviation:.6g} within {50 * allowed[1]:.2g} %",
        )
        ratios = (abs(mean) / allowed[0], abs(square - 1) / allowed[1])
        return max(map(Evidence, ratios, texts), key=lambda e: e.ratio)

    def _shares(self, z: Array, slack: float) -> Evidence:
        """The distribution function at the points: exp(-n KL) bounds the chance of a share."""
        points, n = self.points(), z.size
        step = points[-1] - points[-2] if len(points) > 1 else 1.0
        bins = np.clip((z - points[0]) / step + 1, 0, len(points)).astype(np.int64)
        counts = np.bincount(bins, minlength=len(points) + 1)
        shares = np.cumsum(counts)[:-1] / n
        wanted = np.clip(shares, self.below(points - slack), self.below(points + slack))
        unlikely = n * _divergence(shares, wanted)
        i = int(np.argmax(unlikely))
        return Evidence(
            math.sqrt(float(unlikely[i]) / T),  # about a deviation, as the others
            f"share of {n:,} draws up to {self.mean + points[i] * self.deviation:.6g} = "
            f"{shares[i]:.6g}, should be {wanted[i]:.6g}; chance {_power(unlikely[i])}",
        )

    def _products(self, z: Array, lag: int, slack: float) -> Evidence:
        """Elements `lag` apart, in disjoint pairs: independent ones have products of mean 0."""
        blocks = z.size // (2 * lag) if lag else 0
        if not blocks:
            return Evidence(0.0, "")
        pairs, n = z[: blocks * 2 * lag].reshape(blocks, 2, lag), blocks * lag
        allowed = self.allowed(n)[2] / n + slack
        mean = float(np.einsum("ij,ij->", pairs[:, 0], pairs[:, 1])) / n
        return Evidence(
            abs(mean) / allowed,
            f"correlation of draws {lag:,} apart = {mean:.3g}, should be 0 +- {allowed:.2g}",
        )

    def _runs(self, x: Array) -> Evidence:
        """Values that come again in the same order: at any distance, each has chance `mass`."""
        n = x.size
        length = math.ceil((2 * math.log(n) + T) / -math.log(self.mass))
        found = _repeated(x, length)
        if found is None:
            return Evidence(0.0, "")
        first, again = found
        text = f"draws {first:,} to {first + length - 1:,} come again at {again:,}"
        return Evidence(math.inf, text)


def _divergence(share: Array, p: Array) -> Array:
    """Kullback and Leibler's, of a coin of `share` from one of p."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ones = np.where(share > 0, share * np.log(share / p), 0.0)
        zeros = np.where(share < 1, (1 - share) * np.log((1 - share) / (1 - p)), 0.0)
    return np.asarray(ones + zeros)


def _power(exponent: float) -> str:
    return f"10^-{min(exponent / math.log(10), 9999):.0f}"


@lru_cache(maxsize=4)
def _powers(n: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Of an odd number and of its inverse modulo 2^64."""
    base = 0x9E3779B97F4A7C15
    both = (base, pow(base, -1, 1 << 64))
    up, down = (np.cumprod(np.full(n, b, np.uint64), dtype=np.uint64) for b in both)
    return up, down


def _repeated(x: Array, length: int) -> tuple[int, int] | None:
    """Where the first `length` values in a row are that come again as they are, and where.

    Rows have equal hashes where they are equal (polynomials in an odd number, modulo 2^64, so that
    it has an inverse); where hashes are, the rows are looked at.
    """
    if x.size <= length:
        return None
    bits = np.ascontiguousarray(x, np.float64).view(np.uint64)
    powers, back = _powers(bits.size)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(bits * powers)])
    hashes = (sums[length:] - sums[:-length]) * back[: bits.size - length + 1]
    ordered = np.sort(hashes)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    for value in twice[:8]:
        first, *others = np.flatnonzero(hashes == value)
        for other in others:
            if np.array_equal(bits[first : first + length], bits[other : other + length]):
                return int(first), int(other)
    return None
