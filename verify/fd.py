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
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from verify import regularity
from verify.regularity import FINEST, KINK, NOISE, NOISE_SAFETY, OUTSIDE, SMOOTH, Line, Near, noise

Array: TypeAlias = npt.NDArray[np.float64]
Terms: TypeAlias = Callable[[float], npt.NDArray[np.longdouble]]  # what a line is the sum of

U = 2.0**-53
SAFETY = 10.0  # on the disagreement: it is an estimate of the truncation error, not a bound
LEVELS = 6
RATIO = 4.0
FIRST_STEP = 2.0**-2
SHARP = 2.0**-32  # of the slope's scale: a tolerance that need not be smaller
# An error hides from one only where its signed parts cancel to the last digit. Up to as many
# coordinates each is a direction of its own.
_PROJECTIONS = 2
_AT_KINKS = 12  # coordinates, at a point on kinks


@dataclass(frozen=True, slots=True)
class Slope:
    """A directional derivative, within tolerance of value or, at a kink, in [low, high]."""

    value: float
    tolerance: float
    noise: float
    step: float
    finest: float = math.nan  # the smallest step tried
    low: float = math.nan  # one-sided slopes that differ: a kink
    high: float = math.nan
    kind: str = SMOOTH  # one of regularity.KINDS
    bends: tuple[float, ...] = ()  # one for each step of the ladder, see regularity

    @property
    def kink(self) -> bool:
        """Whether the slopes from the left and from the right differ."""
        return self.kind == KINK

    def suspicious(self, scale: float, near: Near | None) -> bool:
        """Whether it tells little, differs from that of the smallest steps, or its bend stays."""
        settled = len(self.bends) < 2 or self.bends[-1] <= 0.6 * self.bends[-2]
        smooth = settled or self.bends[-1] <= 4.0 * NOISE_SAFETY * self.noise / self.finest
        telling = self.tolerance <= regularity.TELLING * scale
        return not (smooth and telling and (near is None or self.agrees(near)))

    def agrees(self, near: Near) -> bool:
        """Whether the slope of the smallest steps, as far as it is known, is the same to 1 %."""
        known = NOISE_SAFETY * near.noise / (3.0 * near.spacing)
        known += self.tolerance + regularity.TELLING * abs(self.value)
        return not abs(near.slope - self.value) > known

    def bent(self) -> Slope:
        """As a kink too small for one-sided slopes to tell: half its bend to either side."""
        half = 0.5 * self.bends[-1]
        return replace(self, low=self.value - half, high=self.value + half, kind=KINK)

    def distance(self, slope: float) -> float:
        """How far a claimed slope is from what is possible."""
        if self.kink:
            return max(self.low - slope, slope - self.high, 0.0)
        return abs(slope - self.value)


def directional(
    line: Line, centre: float, epsilon: float, largest_step: float = FIRST_STEP
) -> Slope:
    """The derivative of `line` at 0, from a ladder of steps no larger than largest_step.

    Steps that lead out of the domain are no part of the ladder. centre: line(0).
    """
    h = FIRST_STEP
    while h > largest_step and h > FINEST:
        h /= 2.0
    first = finest = h
    best: Slope | None = None
    bends: list[float] = []
    rows: list[list[tuple[float, float]]] = []  # (estimate, noise of its stencil) by step and order
    with np.errstate(all="ignore"):
        while len(rows) < LEVELS and h > FINEST:
            up, down = line(h), line(-h)
            central = float((up - down) / (2.0 * h))
            if not rows and not math.isfinite(central):
                h /= RATIO
                continue
            finest = h
            bends.append(abs(float((up - centre) + (down - centre))) / h)
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
            if best is not None and (
                NOISE_SAFETY * epsilon / h > best.tolerance
                or best.tolerance <= SHARP * abs(best.value)
            ):
                break
            h /= RATIO
    if best is None:
        return Slope(math.nan, math.inf, epsilon, first)
    return replace(best, bends=tuple(bends), finest=finest)


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
    return Slope(0.5 * (low + high), tolerance, epsilon, step, step, low=low, high=high, kind=KINK)


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

    u = U

    def __init__(
        self,
        function: Callable[[Sequence[Array]], Sequence[Array]],
        point: Sequence[Array],
        cotangents: Sequence[Array],
        rng: np.random.Generator,
        margin: float = math.inf,
        at_kink: bool = False,
        rounding: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """margin: distance to the nearest kink that the point is not on; at_kink: it is on some.

        rounding: what roundings inside the function can do to phi, asked before anyone is accused.
        """
        self.function, self.point = function, [np.asarray(p) for p in point]
        self.rounding = rounding
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
        self.scale = math.sqrt(sum(float(np.sum(r.astype(np.float64) ** 2)) for r in rounded))
        self.total = sum(float(np.sum(np.abs(r))) for r in rounded)
        floor = self.u * self.scale
        self.epsilon = floor if math.isfinite(floor) else 0.0
        with np.errstate(all="ignore"):
            self.centre = float(sum((np.sum(r) for r in rounded), np.longdouble(0)))
        if self.size and at_kink:
            self.epsilon = max(self.epsilon, noise(self.line(self._random(rng))))
        self.probes: list[Probe] = []
        for direction in self._directions(rng):
            self.probes.append(self.probe(direction))
            if not self.at_kink:
                self.epsilon = max(self.epsilon, self.probes[0].slope.noise)

    def _random(self, rng: np.random.Generator) -> Array:
        """Signed, away from 0, on a grid of 2**-6: every element matters to every probe."""
        signs: Array = rng.choice([-1.0, 1.0], self.size)
        return signs * rng.integers(32, 97, self.size) / 64.0

    def _directions(self, rng: np.random.Generator) -> list[Array]:
        if self.size == 0:
            return []
        # only along a coordinate do one-sided slopes bound the right ones
        coordinates = _AT_KINKS if self.at_kink else _PROJECTIONS
        if self.at_kink or self.size <= coordinates:
            chosen = np.sort(rng.permutation(self.size)[:coordinates])
            return [np.eye(1, self.size, int(i))[0] for i in chosen]
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
        """The slope along a direction, and what the function is like there; epsilon: its noise."""
        allowed = self._allowed(direction)
        if self.at_kink:
            kink = self._kink(direction, allowed)
            if kink is not None:
                return Probe(direction, kink)
        # what moves every element shows any noise and stairs: once is enough
        seen = bool(self.probes) and np.count_nonzero(direction) == self.size
        return self._probe(direction, self.epsilon if epsilon is None else epsilon, seen)

    def _allowed(self, direction: Array) -> float:
        return self.margin / (4.0 * float(np.max(np.abs(direction))))

    def _kink(self, direction: Array, allowed: float) -> Slope | None:
        step = 2.0**-16
        while step > allowed and step > 2.0**-26:
            step /= 2.0
        return one_sided(self.terms(direction), self.epsilon, step)

    def _probe(self, direction: Array, epsilon: float, seen: bool = False) -> Probe:
        """seen: the function was looked at from near along a direction like this one."""
        line, allowed = self.line(direction), self._allowed(direction)
        with np.errstate(all="ignore"):
            near = None if seen else regularity.near(line, U * self.scale)
            if near is not None:  # along some directions roundings cancel
                epsilon = max(epsilon, near.noise)
            slope = directional(line, self.centre, epsilon, allowed)
            # a slope of 0 is told by what rounding would make of it
            scale = max(abs(slope.value), 2.0**-13 * self.scale)
            if not slope.suspicious(scale, near):
                return Probe(direction, slope)
            if near is None:
                return self._probe(direction, epsilon)
            # what converged and differs from near is a staircase: finer steps would see its treads
            if slope.tolerance > regularity.TELLING * scale:
                finer = self._finer(line, epsilon, min(allowed, FIRST_STEP) / 64.0, near)
                if finer is not None:
                    return Probe(direction, finer)
            # of equal elements all results round alike, and their errors add up
            kind = regularity.classify(line, self.centre, U * self.total, allowed)
        if kind == OUTSIDE:
            slope = replace(slope, value=math.nan, tolerance=math.inf, kind=OUTSIDE)
        elif kind == KINK:
            slope = self._kink(direction, allowed) or slope.bent()
        elif not slope.agrees(near):  # a staircase
            wide = slope.tolerance + abs(near.slope - slope.value)
            slope = replace(slope, tolerance=wide, kind=NOISE)
        elif slope.tolerance > regularity.TELLING * scale:
            slope = replace(slope, kind=NOISE)
        return Probe(direction, slope)

    def _finer(self, line: Line, epsilon: float, allowed: float, near: Near) -> Slope | None:
        """The slope from smaller steps, where it is clear there: coarse ones passed a pole."""
        while allowed > 2.0**-16:
            slope = directional(line, self.centre, epsilon, allowed)
            if not slope.suspicious(abs(slope.value), near):
                return slope
            allowed /= 64.0
        return None

    def accuse(self, gradient: Array) -> Outcome:
        """As judge; a probe that says no looks again first, and stays what it is then."""
        for i, probe in enumerate(self.probes):
            if probe.slope.kind not in (KINK, OUTSIDE) and not self._against(gradient, probe).ok:
                self.probes[i] = self._look_again(probe)
        return self.judge(gradient)

    def classes(self) -> dict[str, int]:
        """How many probes are of each class, where there are any."""
        kinds = [probe.slope.kind for probe in self.probes]
        return {kind: kinds.count(kind) for kind in regularity.KINDS if kind in kinds}

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
        elements, along a direction that keeps their mean, or on the treads of 1 - tanh(x)**2 at
        large x. There only the derivation knows.
        """
        line, h = self.line(probe.direction), probe.slope.step
        there = max(noise(lambda t, at=at: line(t + at)) for at in (-h, 0.0, h))  # type: ignore[misc]
        there = max(there, *(p.slope.noise for p in self.probes), self.rounding())
        return self._probe(probe.direction, max(there, probe.slope.noise))

    def _against(self, gradient: Array, probe: Probe) -> Outcome:
        with np.errstate(all="ignore"):
            terms = gradient.astype(np.longdouble) * probe.direction
            claimed = float(np.sum(terms))
            # the analytic gradient rounds too: a sum over the results in each element
            scale = np.sqrt(np.sum(np.square(probe.direction))) * np.max(
                np.abs(gradient), initial=0
            )
            floor = 8.0 * self.u * math.sqrt(self.outputs) * float(scale)
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
