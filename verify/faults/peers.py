"""What other projects' checks say of an op: the same faults before them.

Each is used as its project uses it, with its own tolerances and their own defaults, on a few of the
inputs that needle-verify draws: random values in the interior, in compact arrays. All of them are
given the gradients too.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from verify import registry
from verify.judges import Question
from verify.reference import peers as torch_peers
from verify.sampling import Array, size
from verify.spec import DTYPES, Case, Row, Sample, Status

GROUP = "peers"  # of a process's questions
SECONDS = 30.0  # that one peer may take
_SAMPLES = 3  # of a row
_TELLING = 40  # elements of all inputs, about
_REGIONS = ("interior", "integer", "negative")  # labels are asked as they are
_MOST = 200  # elements of all inputs that element by element can be asked
_EPS = 1e-3  # the course's step
_COURSE = 1e-2  # its largest norm of the error


@dataclass(frozen=True)
class Asked:
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


def _gradcheck(asked: Asked, fast: bool) -> bool:
    return torch_peers.gradcheck(asked.forward, asked.pull, asked.point, fast)


def _assert_close(asked: Asked) -> bool:
    return all(torch_peers.close(got, want) for got, want in asked.pairs)


def _nmse(asked: Asked) -> bool:
    def error(got: Array, want: Array) -> float:
        squares = float(np.sum((got.astype(np.float64) - want) ** 2))
        return squares / float(np.sum(want.astype(np.float64) ** 2)) if squares else 0.0

    return all(error(got, want) < 1e-7 for got, want in asked.pairs)


def _allclose(asked: Asked) -> bool:
    return all(np.allclose(got, want, rtol=1e-2, atol=1e-2) for got, want in asked.pairs)


def _course(asked: Asked) -> bool:
    """The sum over the inputs of |gradient - central difference|, in float32 throughout."""
    seeds = asked.cotangents
    total = 0.0
    for i, gradient in enumerate(asked.pull(asked.point, seeds)):
        slope = np.zeros(gradient.shape)
        for index in np.ndindex(gradient.shape):
            ends = []
            for step in (_EPS, -_EPS):
                moved = [x.copy() for x in asked.point]
                moved[i][index] += step
                results = asked.target.evaluate(moved)
                ends.append(sum(float(np.sum(y * c)) for y, c in zip(results, seeds, strict=True)))
            slope[index] = (ends[0] - ends[1]) / (2 * _EPS)
        total += float(np.linalg.norm(gradient - slope))
    return total < _COURSE


@dataclass(frozen=True)
class Peer:
    """One check."""

    passes: Callable[[Asked], bool]
    dtypes: tuple[str, ...]
    needs_gradient: bool = False
    most: float = math.inf  # elements of all inputs


PEERS = {
    "gradcheck, fast": Peer(functools.partial(_gradcheck, fast=True), ("float64",), True),
    "gradcheck, slow": Peer(functools.partial(_gradcheck, fast=False), ("float64",), True, _MOST),
    "assert_close": Peer(_assert_close, DTYPES),
    "NMSE < 1e-7": Peer(_nmse, DTYPES),
    "allclose 1e-2": Peer(_allclose, DTYPES),
    "the course's check": Peer(_course, ("float32",), True, _MOST),
}


def judge(row: Row, device: str = "cpu") -> dict[str, bool | None]:
    """What each peer says of a row: True: something is wrong; None: it does not apply."""
    return {name: says_wrong(name, row, device) for name in PEERS}


def says_wrong(name: str, row: Row, device: str) -> bool | None:
    """Whether a peer says that something is wrong; None where it does not apply.

    An exception says so too: no test would pass over it.
    """
    peer = PEERS[name]
    if peer.needs_gradient and not row.differentiable:
        return None
    samples = [s for s in _samples(row) if size(s.shapes) <= peer.most]
    if not samples:
        return None
    try:
        return not all(
            peer.passes(_asked(row.name, device, dtype, s))
            for s in samples
            for dtype in peer.dtypes
        )
    except Exception:
        return True


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


@functools.lru_cache(maxsize=16)
def _asked(row: str, device: str, dtype: str, s: Sample) -> Asked:
    """The op at a sample: what several peers ask is computed once."""
    found = registry.rows()[row]
    case = Case(row, "vjp", device, dtype, s.shapes, s.kwargs, "compact", s.region)
    return Asked(found, Question(case, found))


# --- in a process with a fault, and what comes of it


def questions(row: str, device: str) -> list[str]:
    """What a process is asked, a peer each."""
    return [f"{row}/{device}/{name}" for name in PEERS]


def answer(question: str) -> tuple[Status, float]:
    """FAIL: something is wrong; SKIP: it does not apply; and the seconds."""
    began = time.perf_counter()
    row, device, name = question.split("/")
    said = says_wrong(name, registry.rows()[row], device)
    status = Status.SKIP if said is None else Status.FAIL if said else Status.PASS
    return status, time.perf_counter() - began


FOUND, MISSED, NOT_APPLICABLE, ALARM = "found", "missed", "does not apply", "alarm"


def verdicts(
    faulty: Mapping[str, Status], right: Mapping[str, Status], wrong: Sequence[Status]
) -> dict[str, str]:
    """Each peer's verdict on a fault, from its answers with the fault and without."""
    said = {}
    for question, status in faulty.items():
        name = question.rpartition("/")[2]
        if status is Status.SKIP:
            said[name] = NOT_APPLICABLE
        elif right[question] in wrong:
            said[name] = ALARM  # of the right library too: that it is found says nothing
        else:
            said[name] = FOUND if status in wrong else MISSED
    return said
