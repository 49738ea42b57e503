"""What other projects' checks say of an op: the same faults before them.

Each is used as its project uses it, with its own tolerances and their own defaults, on a few of the
inputs that needle-verify draws: random values in the interior, in compact arrays. All of them are
given the gradients too.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from verify import registry
from verify.faults.child import PEERS as GROUP
from verify.faults.child import Answer, Asked
from verify.faults.outcome import PEERS as NAMES
from verify.judges import Question
from verify.reference import peers as torch_peers
from verify.sampling import Array, size
from verify.spec import COMPUTED, Case, Row, Sample, Status

_SAMPLES = 3  # of a row
_TELLING = 40  # elements of all inputs, about
_REGIONS = ("interior", "integer", "negative")  # labels are asked as they are
_MOST = 200  # elements of all inputs that element by element can be asked
_EPS = 1e-3  # the course's step
_COURSE = 1e-2  # its largest norm of the error


@dataclass(frozen=True)
class At:
    """The op at one point of one dtype, with what it gives there."""

    row: Row
    question: Question

    @property
    def point(self) -> list[Array]:
        """The inputs."""
        return self.question.values

    @property
    def cotangents(self) -> list[Array]:
        """Random signed ones; zero for results without gradient."""
        found = [np.array(c) for c in self.question.cotangents]
        for c in found[len(found) - self.row.without_gradient :]:
            c[...] = 0
        return found

    @functools.cached_property
    def target(self) -> Any:
        """The subject."""
        return self.question.target()

    def forward(self, point: Sequence[Array]) -> list[Array]:
        """Those of its results that have a gradient, where it has one."""
        results = self.target.evaluate(point)
        return list(results[: len(results) - self.row.without_gradient])

    def pull(self, point: Sequence[Array], cotangents: Sequence[Array]) -> list[Array]:
        """Its VJP."""
        missing = self.cotangents[len(cotangents) :]
        return list(self.target.gradients(point, [*cotangents, *missing]))

    @functools.cached_property
    def pairs(self) -> list[tuple[Array, Array]]:
        """Its results and gradients beside torch's in the same dtype."""
        got = self.target.evaluate(self.point)
        seeds = self.cotangents if self.row.differentiable else None
        if seeds is not None:
            got += self.target.gradients(self.point, seeds)
        want = torch_peers.beside(self.row, self.point, self.question.arguments, seeds)
        if [g.shape for g in got] != [w.shape for w in want]:
            raise ValueError("the shapes differ")
        return list(zip(got, want, strict=True))


def _gradcheck(at: At, fast: bool) -> bool:
    return torch_peers.gradcheck(at.forward, at.pull, at.point, fast)


def _assert_close(at: At) -> bool:
    return all(torch_peers.close(got, want) for got, want in at.pairs)


def _nmse(at: At) -> bool:
    def error(got: Array, want: Array) -> float:
        squares = float(np.sum((got.astype(np.float64) - want) ** 2))
        return squares / float(np.sum(want.astype(np.float64) ** 2)) if squares else 0.0

    return all(error(got, want) < 1e-7 for got, want in at.pairs)


def _allclose(at: At) -> bool:
    return all(np.allclose(got, want, rtol=1e-2, atol=1e-2) for got, want in at.pairs)


def _course(at: At) -> bool:
    """The sum over the inputs of |gradient - central difference|, in float32 throughout."""
    seeds = at.cotangents
    total = 0.0
    for i, gradient in enumerate(at.pull(at.point, seeds)):
        slope = np.zeros(gradient.shape)
        for index in np.ndindex(gradient.shape):
            ends = []
            for step in (_EPS, -_EPS):
                moved = [x.copy() for x in at.point]
                moved[i][index] += step
                results = at.target.evaluate(moved)
                ends.append(sum(float(np.sum(y * c)) for y, c in zip(results, seeds, strict=True)))
            slope[index] = (ends[0] - ends[1]) / (2 * _EPS)
        total += float(np.linalg.norm(gradient - slope))
    return total < _COURSE


@dataclass(frozen=True)
class Peer:
    """One check."""

    passes: Callable[[At], bool]
    dtypes: tuple[str, ...]
    needs_gradient: bool = False
    most: float = math.inf  # elements of all inputs


_CHECKS = (
    Peer(functools.partial(_gradcheck, fast=True), ("float64",), True),
    Peer(functools.partial(_gradcheck, fast=False), ("float64",), True, _MOST),
    Peer(_assert_close, COMPUTED),
    Peer(_nmse, COMPUTED),
    Peer(_allclose, COMPUTED),
    Peer(_course, ("float32",), True, _MOST),
)
PEERS = dict(zip(NAMES, _CHECKS, strict=True))


class Peers:
    """The peers before one row; what several of them ask is computed once."""

    def __init__(self, row: Row, device: str = "cpu") -> None:
        self.row, self.device = row, device
        self._at: dict[tuple[str, Sample], At] = {}

    def says_wrong(self, name: str) -> bool | None:
        """Whether a peer says that something is wrong; None where it does not apply.

        An exception says so too: no test would pass over it.
        """
        peer = PEERS[name]
        if peer.needs_gradient and not self.row.differentiable:
            return None
        samples = [s for s in _samples(self.row) if size(s.shapes) <= peer.most]
        if not samples:
            return None
        try:
            return not all(peer.passes(self.at(d, s)) for s in samples for d in peer.dtypes)
        except Exception:
            return True

    def at(self, dtype: str, s: Sample) -> At:
        """The op at a sample."""
        if (dtype, s) not in self._at:
            name, region = self.row.name, s.region
            case = Case(name, "vjp", self.device, dtype, s.shapes, s.kwargs, "compact", region)
            self._at[dtype, s] = At(self.row, Question(case, self.row))
        return self._at[dtype, s]


def judge(row: Row, device: str = "cpu") -> dict[str, bool | None]:
    """What each peer says of a row: True: something is wrong; None: it does not apply."""
    peers = Peers(row, device)
    return {name: peers.says_wrong(name) for name in PEERS}


def _samples(row: Row) -> list[Sample]:
    """A few, of other arguments where there are, with inputs of some forty elements."""
    fitting = [
        s
        for s in row.samples
        if s.region in _REGIONS and s.shapes and all(math.prod(shape) for shape in s.shapes)
    ]
    fitting.sort(key=lambda s: abs(math.log(size(s.shapes) / _TELLING)))
    first = {s.kwargs: s for s in reversed(fitting)}.values()
    others = [s for s in fitting if s not in first]
    return [*reversed(first), *others][:_SAMPLES]


# --- in a process with a fault


def questions(row: str, device: str, limits: Mapping[str, float]) -> list[Asked]:
    """What a process is asked, a peer each; limits: seconds that a peer may take (60)."""
    return [Asked(f"{row}/{device}/{name}", GROUP, limits.get(name, 60.0)) for name in PEERS]


def answer(question: Asked) -> Answer:
    """FAIL: something is wrong; SKIP: it does not apply."""
    began = time.perf_counter()
    row, device, name = question.case.split("/")
    said = _of(row, device).says_wrong(name)
    status = Status.SKIP if said is None else Status.FAIL if said else Status.PASS
    return Answer(question.case, GROUP, status, time.perf_counter() - began)


@functools.cache
def _of(row: str, device: str) -> Peers:
    return Peers(registry.rows()[row], device)


def by_peer(answers: Iterable[Answer]) -> dict[str, Answer]:
    """The answers by the names of their peers."""
    return {answer.case.rpartition("/")[2]: answer for answer in answers}
