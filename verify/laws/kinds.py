"""The laws: constants, uniform, normal and Bernoulli numbers, each with numpy's way to draw it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import ClassVar

import numpy as np

from verify.laws.evidence import Drawn, Evidence, T, rounding
from verify.sampling import Array
from verify.spec import Shape


@dataclass(frozen=True)
class Exactly:
    """Nothing is drawn: these values."""

    values: Array

    @property
    def shape(self) -> Shape:
        """That of the values."""
        return self.values.shape

    def replay(self, unit: float) -> tuple[Array, Array]:
        """The values, rounded once."""
        return self.values, unit * np.abs(self.values)

    def evidence(self, drawn: Sequence[Array], unit: float) -> Evidence:
        """replay says it all."""
        return Evidence(0.0, "")


class _Bounded(Drawn):
    """|z| <= `most`, and z² has this `variance`."""

    @property
    def most(self) -> float:
        """The largest |z|."""
        raise NotImplementedError

    @property
    def variance(self) -> float:
        """Of z²."""
        raise NotImplementedError

    def largest(self, n: int) -> float:
        """Whatever n is."""
        return self.most

    def allowed(self, n: int) -> tuple[float, float, float]:
        """Bernstein's: s with s² / (2 (n variance + most s / 3)) = T."""
        square = self.most**2
        terms = ((1.0, self.most), (self.variance, max(square - 1, 1.0)), (1.0, square))
        parts = [(n * variance, most * T / 3) for variance, most in terms]
        first, second, product = (m + math.sqrt(m * m + 2 * v * T) for v, m in parts)
        return first, second, product


@dataclass(frozen=True)
class Uniform(_Bounded):
    """Uniform in [low, high]: one np.random.rand, scaled."""

    low: float
    high: float

    @property
    def mean(self) -> float:
        """The middle."""
        return (self.low + self.high) / 2

    @property
    def deviation(self) -> float:
        """The width over sqrt(12)."""
        return (self.high - self.low) / math.sqrt(12)

    @property
    def most(self) -> float:
        """Half the width."""
        return math.sqrt(3)

    @property
    def variance(self) -> float:
        """9 / 5 - 1."""
        return 0.8

    def points(self) -> Array:
        """Of 128 equal parts."""
        return math.sqrt(3) * np.linspace(-1, 1, 129)[1:-1]

    def below(self, z: Array) -> Array:
        """A straight line."""
        return np.asarray(np.clip((z / math.sqrt(3) + 1) / 2, 0, 1))

    def replay(self, unit: float) -> tuple[Array, Array]:
        """low + (high - low) u."""
        part = (self.high - self.low) * np.asarray(np.random.rand(*self.shape))
        return self.low + part, rounding(unit) * (np.abs(part) + abs(self.low))


@dataclass(frozen=True)
class Normal(Drawn):
    """Normal: one np.random.randn, scaled."""

    mean: float = 0.0
    deviation: float = 1.0
    _GRID: ClassVar[Array] = np.linspace(-4, 4, 97)

    def points(self) -> Array:
        """Twelve for each deviation, to the fourth."""
        return self._GRID

    def below(self, z: Array) -> Array:
        """The normal distribution function."""
        return np.array([NormalDist().cdf(float(v)) for v in z])

    def largest(self, n: int) -> float:
        """n exp(-z² / 2) = exp(-T)."""
        return math.sqrt(2 * (T + math.log(n)))

    def allowed(self, n: int) -> tuple[float, float, float]:
        """Gaussian tail; Laurent and Massart's, of which z z' is half a difference."""
        root = 2 * math.sqrt(n * T)
        return math.sqrt(2 * n * T), root + 2 * T, root + T

    def replay(self, unit: float) -> tuple[Array, Array]:
        """mean + deviation z."""
        part = self.deviation * np.asarray(np.random.randn(*self.shape))
        return self.mean + part, rounding(unit) * (np.abs(part) + abs(self.mean))


@dataclass(frozen=True)
class Bernoulli(_Bounded):
    """1 with probability p, otherwise 0: one np.random.rand, at most p."""

    p: float

    @property
    def mass(self) -> float:  # type: ignore[override]
        """Of the likelier one."""
        return max(self.p, 1 - self.p)

    @property
    def mean(self) -> float:
        """That of a one."""
        return self.p

    @cached_property
    def deviation(self) -> float:
        """0 where nothing is left to chance."""
        return math.sqrt(self.p * (1 - self.p))

    @property
    def most(self) -> float:
        """Of the rarer one."""
        return self.mass / self.deviation

    @property
    def variance(self) -> float:
        """(1 - p)³ / p + p³ / (1 - p) - ... from E z⁴ = (1 - 3 p (1 - p)) / (p (1 - p))."""
        return 1 / self.deviation**2 - 4

    def points(self) -> Array:
        """Between 0 and 1."""
        return np.array([(0.5 - self.p) / self.deviation])

    def below(self, z: Array) -> Array:
        """That of a zero, between the two."""
        return np.full(z.shape, 1 - self.p)

    def replay(self, unit: float) -> tuple[Array, Array]:
        """Where the draw is p but for rounding, either is right."""
        drawn = np.asarray(np.random.rand(*self.shape))
        near = np.abs(drawn - self.p) <= 2 * unit * self.p
        return (drawn <= self.p).astype(np.float64), np.where(near, 1.0, 0.0)
