"""Finite differences that know their own error.

Central differences on a ladder of steps, extrapolated (Ridders' tableau of Richardson
extrapolation). Of all entries the one with the smallest error estimate counts; its tolerance is the
disagreement with its neighbours times a safety factor plus the noise that its stencil lets through.
The noise is measured with a difference table (ECNoise: More & Wild, SIAM J. Sci. Comput. 33, 2011)
and at least that of rounding each result once. Nothing scales with the size of the problem:
directions are random and signed, so no error can hide among many right elements.

Steps are powers of two and points lie on a grid of 2**-20 (sampling.on_grid), so that x + t v is
exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Line: TypeAlias = Callable[[float], np.longdouble]  # a scalar function of the step t
Terms: TypeAlias = Callable[[float], npt.NDArray[np.longdouble]]  # what a line is the sum of

U = 2.0**-53
SAFETY = 10.0  # on the disagreement: it is an estimate of the truncation error, not a bound
# on the measured standard deviation of the noise: 7 points make it uncertain by a factor 2
NOISE_SAFETY = 8.0
LEVELS = 6
RATIO = 4.0
FIRST_STEP = 2.0**-2
_COORDINATES = 24  # up to here every coordinate is a direction of its own
_PROJECTIONS = 3


@dataclass(frozen=True, slots=True)
class Slope:
    """A directional derivative, within tolerance of value or, at a kink, in [low, high]."""

    value: float
    tolerance: float
    noise: float
    step: float
    low: float = math.nan  # one-sided slopes that differ: a kink
    high: float = math.nan

    @property
    def kink(self) -> bool:
        """Whether the slopes from the left and from the right differ."""
        return not math.isnan(self.low)

    def distance(self, slope: float) -> float:
        """How far a claimed slope is from what is possible."""
        if self.kink:
            return max(self.low - slope, slope - self.high, 0.0)
        return abs(slope - self.value)


def noise(line: Line, spacing: float = 2.0**-36) -> float:
    """Standard deviation of the computational noise of `line` near 0; 0 where it shows none."""
    for _ in range(4):
        values = np.array([line((k - 3) * spacing) for k in range(7)], np.longdouble)
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


def directional(line: Line, epsilon: float, largest_step: float = FIRST_STEP) -> Slope:
    """The derivative of `line` at 0, from a ladder of steps no larger than largest_step."""
    h = FIRST_STEP
    while h > largest_step and h > 2.0**-40:
        h /= 2.0
    first = h
    best: Slope | None = None
    rows: list[list[tuple[float, float]]] = []  # (estimate, noise of its stencil) by step and order
    with np.errstate(all="ignore"):
        for _ in range(LEVELS):
            central = float((line(h) - line(-h)) / (2.0 * h))
            row = [(central, epsilon / h)]
            if rows:
                for k, (coarse, _) in enumerate(rows[-1]):
                    factor = RATIO ** (2 * (k + 1))
                    fine, fine_noise = row[k]
                    row.append(
                        (
                            fine + (fine - coarse) / (factor - 1.0),
                            (factor * fine_noise + rows[-1][k][1]) / (factor - 1.0),
                        )
                    )
            for k in range(1, len(row)):
                value, floor = row[k]
                disagreement = max(abs(value - row[k - 1][0]), abs(value - rows[-1][k - 1][0]))
                tolerance = SAFETY * disagreement + NOISE_SAFETY * floor
                if math.isfinite(tolerance) and (best is None or tolerance < best.tolerance):
                    best = Slope(value, tolerance, epsilon, h)
            rows.append(row)
            # a quarter of the last tolerance came from noise: smaller steps only add to it
            if best is not None and NOISE_SAFETY * epsilon / h > best.tolerance:
                break
            h /= RATIO
    return best or Slope(math.nan, math.inf, epsilon, first)


def one_sided(terms: Terms, epsilon: float, step: float) -> Slope | None:
    """The slopes from the left and from the right of 0, where they differ for certain: a kink.

    Every term has a kink of its own (windows that overlap share elements), and each may be taken
    from either side: the bounds are sums of the terms' bounds.
    """
    centre = terms(0.0)
    sides = []
    for h in (-step, step):
        near, far = terms(h), terms(2.0 * h)
        sides.append((4.0 * near - far - 3.0 * centre) / (2.0 * h))  # second order
    low, high = float(np.sum(np.minimum(*sides))), float(np.sum(np.maximum(*sides)))
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    # truncation is of order step**2; the stencil's weights lead four times the noise to the slope
    tolerance = NOISE_SAFETY * 4.0 * epsilon / step + 1e-6 * max(abs(low), abs(high))
    if high - low <= 2.0 * tolerance:
        return None
    return Slope(0.5 * (low + high), tolerance, epsilon, step, low, high)


# --- gradients


@dataclass(frozen=True, slots=True)
class Probe:
    """A direction in the space of the concatenated inputs, and the slope found along it."""

    direction: Array
    slope: Slope


@dataclass(frozen=True, slots=True)
class Outcome:
    """A claimed gradient against all probes."""

    ok: bool
    rho: float
    claimed: float = math.nan
    probe: Probe | None = None
    tolerance: float = math.nan
    floor: float = 0.0
    element: int = -1  # of the concatenated inputs, where known


class Prober:
    """Slopes of phi(x) = <cotangent, f(x)> along random signed directions through the point x."""

    def __init__(
        self,
        function: Callable[[Sequence[Array]], Sequence[Array]],
        point: Sequence[Array],
        cotangents: Sequence[Array],
        rng: np.random.Generator,
        margin: float = math.inf,
        at_kink: bool = False,
    ) -> None:
        """margin: distance to the nearest kink that the point is not on; at_kink: it is on some."""
        self.function, self.point = function, [np.asarray(p) for p in point]
        self.margin, self.at_kink = margin, at_kink
        self.weights = [np.asarray(c, np.longdouble).ravel() for c in cotangents]
        self.size = sum(p.size for p in self.point)
        self.outputs = sum(w.size for w in self.weights)
        self._splits = np.cumsum([p.size for p in self.point])[:-1]
        rounded = [
            w * np.asarray(y, np.float64).ravel()
            for w, y in zip(self.weights, function(self.point), strict=True)
        ]
        # every result is rounded once at least: noise that a table of 7 values may miss
        floor = U * math.sqrt(sum(float(np.sum(r.astype(np.float64) ** 2)) for r in rounded))
        self.epsilon = floor if math.isfinite(floor) else 0.0
        if self.size:
            self.epsilon = max(self.epsilon, noise(self.line(self._random(rng))))
        self.probes = [self.probe(v) for v in self._directions(rng)]

    def _random(self, rng: np.random.Generator) -> Array:
        """Signed, away from 0, on a grid of 2**-6: every element matters to every probe."""
        signs: Array = rng.choice([-1.0, 1.0], self.size)
        return signs * rng.integers(32, 97, self.size) / 64.0

    def _directions(self, rng: np.random.Generator) -> list[Array]:
        if self.size == 0:
            return []
        if self.size <= _COORDINATES:
            return list(np.eye(self.size))
        if self.at_kink:  # only along a coordinate do one-sided slopes bound the right ones
            chosen = rng.choice(self.size, _COORDINATES, replace=False)
            return list(np.eye(self.size)[chosen])
        return [self._random(rng) for _ in range(_PROJECTIONS)]

    def line(self, direction: Array) -> Line:
        """phi along a direction."""
        terms = self.terms(direction)
        return lambda t: np.longdouble(np.sum(terms(t)))

    def terms(self, direction: Array) -> Terms:
        """The terms of phi, one for each result, along a direction."""
        parts = np.split(direction, self._splits)
        moves = [v.reshape(p.shape) for v, p in zip(parts, self.point, strict=True)]

        def values(t: float) -> npt.NDArray[np.longdouble]:
            results = self.function([p + t * v for p, v in zip(self.point, moves, strict=True)])
            terms = [
                w * np.asarray(y, np.longdouble).ravel()
                for w, y in zip(self.weights, results, strict=True)
            ]
            return np.concatenate(terms)

        return values

    def probe(self, direction: Array, epsilon: float | None = None) -> Probe:
        """The slope along a direction, classified as smooth or kink; epsilon: its noise."""
        line = self.line(direction)
        allowed = self.margin / (4.0 * float(np.max(np.abs(direction))))
        if self.at_kink:
            step = 2.0**-16
            while step > allowed and step > 2.0**-26:
                step /= 2.0
            kink = one_sided(self.terms(direction), self.epsilon, step)
            if kink is not None:
                return Probe(direction, kink)
        # along some directions roundings cancel: each has a noise of its own
        epsilon = max(self.epsilon, noise(line)) if epsilon is None else epsilon
        return Probe(direction, directional(line, epsilon, allowed))

    def accuse(self, gradient: Array) -> Outcome:
        """As judge; a probe that says no looks again first, and stays what it is then."""
        for i, probe in enumerate(self.probes):
            if not probe.slope.kink and not self._against(gradient, probe).ok:
                self.probes[i] = self._look_again(probe)
        return self.judge(gradient)

    def judge(self, gradient: Array) -> Outcome:
        """Holds the concatenated gradient against every probe."""
        worst = Outcome(True, 0.0)
        for probe in self.probes:
            outcome = self._against(gradient, probe)
            if worst.probe is None or not outcome.rho <= worst.rho:
                worst = outcome
        return worst

    def _look_again(self, probe: Probe) -> Probe:
        """The probe with the largest noise of any: where its stencil was, and along the others.

        A table of differences sees no noise where neighbours round alike: at a point of equal
        elements, or along a direction that keeps their mean.
        """
        line, h = self.line(probe.direction), probe.slope.step
        there = max(noise(lambda t: line(t - h)), noise(lambda t: line(t + h)))
        there = max(there, *(p.slope.noise for p in self.probes))
        if there <= probe.slope.noise:
            return probe
        allowed = self.margin / (4.0 * float(np.max(np.abs(probe.direction))))
        return Probe(probe.direction, directional(line, there, allowed))

    def _against(self, gradient: Array, probe: Probe) -> Outcome:
        with np.errstate(all="ignore"):
            terms = gradient.astype(np.longdouble) * probe.direction
            claimed = float(np.sum(terms))
            # the analytic gradient rounds too: a sum over the results in each element
            scale = np.sqrt(np.sum(np.square(probe.direction))) * np.max(
                np.abs(gradient), initial=0
            )
            floor = 8.0 * U * math.sqrt(self.outputs) * float(scale)
            tolerance = probe.slope.tolerance + (floor if math.isfinite(floor) else 0.0)
            distance = probe.slope.distance(claimed)
        # a slope that cannot be found (the function is not finite here) verifies nothing
        rho = 0.0 if math.isfinite(distance) and math.isfinite(tolerance) else math.inf
        if rho == 0.0 and distance > 0:
            rho = distance / tolerance if tolerance > 0 else math.inf
        moved = np.flatnonzero(probe.direction)
        element = int(moved[0]) if moved.size == 1 else -1
        return Outcome(rho <= 1.0, rho, claimed, probe, tolerance, floor, element)

    def localise(self, gradient: Array, outcome: Outcome) -> Outcome:
        """Halves the failing direction until one element remains: about log2 N probes.

        A half keeps the noise of the whole, and what the first half leaves of a slope is the other
        half's: that one is probed only where the difference of two slopes does not accuse it.
        """
        while outcome.probe is not None and outcome.element < 0 and not outcome.ok:
            halves = _halves(outcome.probe.direction)
            epsilon = outcome.probe.slope.noise
            first = self.probe(halves[0], epsilon)
            tried = self._against(gradient, first)
            if tried.ok and np.count_nonzero(halves[1]) > 1:
                rest = _difference(outcome.probe.slope, first.slope)
                tried = self._against(gradient, Probe(halves[1], rest))
            if tried.ok:
                tried = self._against(gradient, self.probe(halves[1], epsilon))
            if tried.ok:
                return outcome  # spread over many elements, each within its own tolerance
            outcome = tried
        return outcome

    def index(self, element: int) -> tuple[int, tuple[int, ...]]:
        """Input number and index of an element of the concatenated inputs."""
        which = int(np.searchsorted(self._splits, element, side="right"))
        start = int(self._splits[which - 1]) if which else 0
        place = np.unravel_index(element - start, self.point[which].shape)
        return which, tuple(int(i) for i in place)


def _halves(direction: Array) -> tuple[Array, Array]:
    """A direction as the sum of two that move half of its elements each."""
    moved = np.flatnonzero(direction)
    first, second = np.zeros_like(direction), direction.copy()
    first[moved[: len(moved) // 2]] = direction[moved[: len(moved) // 2]]
    second[moved[: len(moved) // 2]] = 0.0
    return first, second


def _difference(whole: Slope, part: Slope) -> Slope:
    """The slope along whole - part: slopes of a smooth function add up, and so do their errors."""
    tolerance = whole.tolerance + part.tolerance
    return Slope(whole.value - part.value, tolerance, whole.noise, whole.step)


def concatenate(parts: Sequence[Array]) -> Array:
    """The inputs' parts as one vector."""
    return np.concatenate([np.asarray(p, np.float64).ravel() for p in parts] or [np.zeros(0)])
