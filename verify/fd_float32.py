"""Finite differences where there is only float32: somebody else's kernels.

The slopes of verify/fd.py with the noise of float32, which is measured along every direction.
Errors hide in it, the more the larger the inputs: there are more directions, every coordinate alone
while they are few, and inputs are small. Points lie off kinks; what noise drowns is no evidence.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from verify.fd import Array, Probe, Prober, directional
from verify.regularity import NOISE, TELLING, near

_SPACING = 2.0**-10  # of the table that measures noise: x + k spacing is exact
_PROJECTIONS = 6
_COORDINATES = 16
_SMALLEST = 2.0**-7  # of the results' scale: a slope below is told by what rounding makes of it


class CoarseProber(Prober):
    """A Prober for functions that compute in float32."""

    u = 2.0**-24

    def _directions(self, rng: np.random.Generator) -> list[Array]:
        if self.size == 0:
            return []
        several = [self._random(rng) for _ in range(_PROJECTIONS)]
        chosen = np.sort(rng.permutation(self.size)[:_COORDINATES])
        return several + [np.eye(1, self.size, int(i))[0] for i in chosen]

    def _probe(self, direction: Array, epsilon: float, seen: bool = False) -> Probe:
        line = self.line(direction)
        with np.errstate(all="ignore"):
            epsilon = max(epsilon, near(line, self.u * self.scale, _SPACING).noise)
            slope = directional(line, self.centre, epsilon, self._allowed(direction))
        if not slope.tolerance <= TELLING * max(abs(slope.value), _SMALLEST * self.scale):
            slope = replace(slope, kind=NOISE)
        return Probe(direction, slope)

    def _look_again(self, probe: Probe) -> Probe:
        """With the largest noise along any direction, and where its stencil was."""
        line, h = self.line(probe.direction), probe.slope.step
        around = [near(lambda t, at=at: line(t + at), 0.0, _SPACING).noise for at in (-h, h)]  # type: ignore[misc]
        noises = (*around, *(p.slope.noise for p in self.probes), self.rounding())
        return self._probe(probe.direction, max(noises))
