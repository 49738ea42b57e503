"""Errors in ULP of the result, block by block, and what is kept of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from verify.budget import Array, Format, ulp

_ABOVE = 2000  # added to exponents: positive, whatever the format
BINS, PER_ULP = 512, 64  # the histogram: steps of 1/64 ULP, the last bin for all above 8


def errors(
    fmt: Format,
    got: npt.NDArray[Any],
    want: Array,
    low: Array | float = 0.0,
    unit: Array | None = None,
) -> Array:
    """|got - exact| in units of the spacing at the exact value, which is want + low, or of `unit`.

    Infinite where no distance says it: NaN, an infinity or the sign of a zero that should not be.
    An infinite result stands for the power of two above the largest number, where what should be
    finite nearly is.
    """
    unit = ulp(fmt, want) if unit is None else unit
    with np.errstate(all="ignore"):
        found = got.astype(np.float64)
        found -= want
        if np.any(low):
            found -= low
        np.abs(found, out=found)
        found /= unit
    if not found.max(initial=0.0) < math.inf:
        found = np.where(np.isfinite(found), found, _beyond(fmt, got, want))
    if not want.all():
        flipped = (got == 0) & (want == 0) & (np.signbit(got) != np.signbit(want))
        found[flipped] = math.inf
    return found


def _beyond(fmt: Format, got: npt.NDArray[Any], want: Array) -> Array:
    """The errors where the plain distance is no number."""
    with np.errstate(all="ignore"):
        same = (got == want) | ((got != got) & (want != want))
        if same.all():
            return np.zeros(want.shape)
        short = np.maximum((fmt.largest - np.abs(want)) / ulp(fmt, fmt.largest) + 1.0, 0.0)
        as_infinity = np.isinf(got) & (np.sign(got) == np.sign(want))
    return np.where(same, 0.0, np.where(as_infinity, short, math.inf))


@dataclass
class Tally:
    """Errors of the results in one range; the largest with its argument and result."""

    count: int = 0
    total: float = 0.0
    most: float = 0.0
    x: float = math.nan
    got: float = math.nan
    want: float = math.nan

    def add(self, e: Array, x: npt.NDArray[Any], got: npt.NDArray[Any], want: Array) -> None:
        """Count finite errors, one of each x."""
        self.count += e.size
        self.total += float(e.sum())
        i = int(np.argmax(e))
        if e[i] > self.most or math.isnan(self.x):
            self.most, self.x = float(e[i]), float(x[i])
            self.got, self.want = float(got[i]), float(want[i])

    def merge(self, other: Tally) -> None:
        """Count another's too; of equal errors, the first found stays."""
        if other.count and (other.most > self.most or not self.count):
            self.most, self.x, self.got, self.want = other.most, other.x, other.got, other.want
        self.count += other.count
        self.total += other.total


@dataclass
class Measured:
    """What is kept of any number of results: by range, a histogram, and how many were no number."""

    normal: Tally = field(default_factory=Tally)  # exact results from the smallest normal number on
    small: Tally = field(default_factory=Tally)  # below it, zeros included: the ULP is absolute
    histogram: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    # the largest error by the argument's sign and exponent: where in its domain a function is worst
    binades: dict[tuple[int, int], float] = field(default_factory=dict)
    others: int = 0  # NaN, infinite or beyond the range, as they should be
    wrong: int = 0  # NaN, an infinity or a zero's sign that should not be

    @property
    def count(self) -> int:
        """Results seen."""
        return self.normal.count + self.small.count + self.others + self.wrong

    @property
    def most(self) -> float:
        """The largest error."""
        return math.inf if self.wrong else max(self.normal.most, self.small.most)

    def add(
        self, fmt: Format, x: npt.NDArray[Any], got: npt.NDArray[Any], want: Array, e: Array
    ) -> None:
        """Count a block: e as `errors` gives it."""
        self._add_binades(x, e)
        size = np.abs(want)
        least, largest = math.ldexp(1.0, fmt.emin), fmt.largest * (1 + fmt.u / 2)
        low, high = size.min(), size.max()
        if e.max() < math.inf:  # most blocks lie in one range
            if low >= least and high <= largest:
                self._add_normal(e, x, got, want)
                return
            if high < least:
                self.small.add(e, x, got, want)
                return
            if e.max() == 0 and (low > largest or np.isnan(want).all()):
                self.others += e.size
                return
        wrong = e == math.inf
        normal = (size >= least) & ((size <= largest) | (e > 0)) & ~wrong
        small = (size < least) & ~wrong
        if normal.any():
            self._add_normal(e[normal], x[normal], got[normal], want[normal])
        if small.any():
            self.small.add(e[small], x[small], got[small], want[small])
        self.wrong += int(np.count_nonzero(wrong))
        self.others += e.size - int(np.count_nonzero(normal | small | wrong))

    def _add_binades(self, x: npt.NDArray[Any], e: Array) -> None:
        sizes = np.abs(x)
        ends = np.array([sizes.min(), sizes.max()])
        _, (low, high) = np.frexp(ends)
        positive = x > 0
        alike = positive.all() or not positive.any()
        if ends[0] > 0 and ends[1] < math.inf and low == high and alike:  # neighbouring patterns
            self._see(1 if positive[0] else -1, int(low) - 1, float(e.max()))
            return
        usual = np.isfinite(x) & (x != 0)
        _, exponents = np.frexp(x[usual])
        keys, worst = 2 * (exponents.astype(np.int64) - 1) + positive[usual], e[usual]
        for key in np.unique(keys):
            self._see(1 if key % 2 else -1, int(key // 2), float(worst[keys == key].max()))

    def _see(self, sign: int, exponent: int, worst: float) -> None:
        if math.isfinite(worst):
            place = (sign, exponent)
            self.binades[place] = max(worst, self.binades.get(place, 0.0))

    def _add_normal(
        self, e: Array, x: npt.NDArray[Any], got: npt.NDArray[Any], want: Array
    ) -> None:
        self.normal.add(e, x, got, want)
        index = np.minimum(e, BINS / PER_ULP - 1 / PER_ULP) * PER_ULP
        self.histogram += np.bincount(index.astype(np.intp), minlength=BINS)

    def merge(self, other: Measured) -> None:
        """Count another's too."""
        self.normal.merge(other.normal)
        self.small.merge(other.small)
        self.histogram = self.histogram + other.histogram
        for (sign, exponent), worst in other.binades.items():
            self._see(sign, exponent, worst)
        self.others += other.others
        self.wrong += other.wrong

    def quantile(self, q: float) -> float:
        """The error that a share q of the normal results does not exceed, rounded up to 1/64."""
        if not self.normal.count:
            return 0.0
        reached = np.searchsorted(np.cumsum(self.histogram), q * self.normal.count)
        return min((int(reached) + 1) / PER_ULP, self.normal.most)

    def to_terms(self) -> dict[str, float]:
        """As flat numbers: what a verdict carries."""
        terms = {
            f"{name}.{key}": float(value)
            for name, tally in (("normal", self.normal), ("small", self.small))
            for key, value in vars(tally).items()
        }
        bins = {f"bin.{i}": float(self.histogram[i]) for i in np.flatnonzero(self.histogram)}
        bins |= {f"binade.{s * (e + _ABOVE)}": most for (s, e), most in self.binades.items()}
        return terms | bins | {"others": float(self.others), "wrong": float(self.wrong)}

    @classmethod
    def from_terms(cls, terms: Mapping[str, float]) -> Measured:
        """What to_terms wrote."""
        made = cls(others=int(terms["others"]), wrong=int(terms["wrong"]))
        for name, tally in (("normal", made.normal), ("small", made.small)):
            for key in vars(tally):
                value = terms[f"{name}.{key}"]
                setattr(tally, key, int(value) if key == "count" else value)
        for key, value in terms.items():
            if key.startswith("bin."):
                made.histogram[int(key[4:])] = int(value)
            elif key.startswith("binade."):
                place = int(key[7:])
                made.binades[(1 if place > 0 else -1, abs(place) - _ABOVE)] = value
        return made
