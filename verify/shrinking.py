"""A failure made small: fewer elements, then simpler numbers, while the same judge still says no.

Delta debugging with a bounded number of questions. What fails must fail alike (a wrong value stays
one, an exception stays that exception), the reference must take it, and numbers stay where the row
says that its op is specified.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from verify import reference, sampling
from verify.judges import Finding, Question, examine
from verify.judges.leeway import left_open
from verify.sampling import Array
from verify.spec import OWN_INPUTS, Case, Row, Status

CALLS = 60
SECONDS = 5.0
_SAMPLES = 20  # calls that may go to the row's other samples
SMALL = 12  # elements that a failure's text shows
_BITS = (1, 2, 4, 8, 12)  # significant bits that numbers are rounded to, the fewest that will do


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest failure found; the row holds the inputs that the id of its case does not."""

    case: Case
    row: Row
    finding: Finding

    def shown(self) -> list[str]:
        """Inputs and cotangents as text, where they are few."""
        question = Question(self.case, self.row)
        cotangents = self.row.cotangents
        if sum(v.size for v in (*question.values, *cotangents)) > SMALL:
            return []
        names = [name.removeprefix("d") for name in question.gradient_names]
        names += ["g"] if len(cotangents) == 1 else [f"g{i}" for i in range(len(cotangents))]
        return [
            f"{name} = {_text(v)}"
            for name, v in zip(names, (*question.values, *cotangents), strict=True)
        ]


def shrink(case: Case, row: Row, finding: Finding, seconds: float = SECONDS) -> Shrunk:
    """The smallest failure of a case's kind that few questions find."""
    search = _Search(Shrunk(case, row, finding), seconds)
    if case.judge not in OWN_INPUTS:
        search.other_samples()
        search.slices()
        search.values()
    return search.best


class _Search:
    def __init__(self, start: Shrunk, seconds: float) -> None:
        self.best = start
        self.kind = _kind(start.finding)
        self.calls = CALLS
        self.end = time.monotonic() + seconds

    def fails(self, case: Case, row: Row) -> bool:
        """Asks; what fails alike is the best there is."""
        if self.calls <= 0 or time.monotonic() > self.end or (row.outside and row.outside(case)):
            return False
        self.calls -= 1
        try:
            question = Question(case, row)
            reference.output_shapes(row, question.values, question.arguments)
            finding = examine(case, row)
        except Exception:  # no question that can be asked
            return False
        if finding.status is not Status.FAIL or _kind(finding) != self.kind:
            return False
        if left_open(case, row, finding):
            return False
        self.best = Shrunk(case, row, finding)
        return True

    # --- by the id

    def other_samples(self) -> None:
        """The smallest of the row's samples that fails too, compact and interior if it does."""
        case, row = self.best.case, self.best.row
        simpler = dict.fromkeys(
            [("compact", "interior"), (case.layout, "interior"), (case.layout, case.region)]
        )
        smaller = sorted(
            (s for s in row.samples if sampling.size(s.shapes) < sampling.size(case.shapes)),
            key=lambda s: sampling.size(s.shapes),
        )
        candidates = [
            replace(case, shapes=s.shapes, kwargs=s.kwargs, layout=layout, region=region)
            for s in smaller
            if s.region == "interior" and not row.given
            for layout, region in simpler
        ][:_SAMPLES]
        candidates += [replace(case, layout="compact", region=r) for r in ("interior", case.region)]
        any(self.fails(candidate, row) for candidate in candidates if candidate != case)

    # --- by what the id cannot hold

    def slices(self) -> None:
        """Cuts axes down to the worst element's, then in halves."""
        self._cut(self._to_the_worst())
        progress = True
        while progress:
            progress = any(self._cut(cuts) for cuts in self._halves())

    def _to_the_worst(self) -> dict[tuple[int, int], slice]:
        """(input, axis) -> the index of the worst element, axes aligned from the right."""
        values = self._values()
        worst = self.best.finding.comparison
        if worst is None or self.best.finding.part >= len(values):
            return {}
        cuts = {}
        for i, v in enumerate(values):
            for back, index in enumerate(reversed(worst.index), start=1):
                if back <= v.ndim and index < v.shape[-back] > 1:
                    cuts[i, v.ndim - back] = slice(index, index + 1)
        return cuts

    def _halves(self) -> Iterator[dict[tuple[int, int], slice]]:
        """All axes of one length together, then each axis alone."""
        axes = [(i, d) for i, v in enumerate(self._values()) for d in range(v.ndim)]
        lengths = {a: self._values()[a[0]].shape[a[1]] for a in axes}
        groups = [
            [a for a in axes if lengths[a] == n] for n in sorted({*lengths.values()}, reverse=True)
        ]
        groups += [[a] for group in groups for a in group if len(group) > 1]
        for group in groups:
            n = lengths[group[0]]
            if n > 1:
                yield dict.fromkeys(group, slice(0, n // 2))
                yield dict.fromkeys(group, slice(n // 2, n))

    def _cut(self, cuts: dict[tuple[int, int], slice]) -> bool:
        if not cuts:
            return False
        values = [
            v[tuple(cuts.get((i, d), slice(None)) for d in range(v.ndim))]
            for i, v in enumerate(self._values())
        ]
        return self._given(values, ())

    def values(self) -> None:
        """Makes numbers simple: ones, then few bits; cotangents too."""
        values = self._values()
        for i, v in enumerate(values):
            if self._allows_one(i):
                self._ones(i, np.arange(v.size))
            any(self._replaced(i, _rounded(self._values()[i], bits)) for bits in _BITS)
        if self.best.case.judge != "forward" and self.best.row.reference is not None:
            case, row = self.best.case, self.best.row
            seeds = Question(case, row).cotangents
            for simple in ([np.ones_like(c) for c in seeds], [np.sign(c) for c in seeds], seeds):
                if self._given(self._values(), simple):
                    return

    def _ones(self, i: int, elements: Array) -> None:
        """Sets elements to 1, in halves where not all at once."""
        value = self._values()[i].copy()
        if not elements.size or np.all(value.flat[elements] == 1):
            return
        value.flat[elements] = 1
        if not self._replaced(i, value) and elements.size > 1:
            half = elements.size // 2
            self._ones(i, elements[:half])
            self._ones(i, elements[half:])

    def _allows_one(self, i: int) -> bool:
        """Whether small integers are numbers that the row specifies."""
        row = self.best.row
        domain = sampling.domain_of(row, i)
        return "integer" in row.regions and domain.low < 1 < domain.high

    def _replaced(self, i: int, value: Array) -> bool:
        values = self._values()
        if np.array_equal(values[i], value, equal_nan=True):
            return False
        values[i] = value
        return self._given(values, self.best.row.cotangents)

    def _values(self) -> list[Array]:
        return list(Question(self.best.case, self.best.row).values)

    def _given(self, values: Sequence[Array], cotangents: Sequence[Any]) -> bool:
        case = replace(self.best.case, shapes=tuple(v.shape for v in values))
        row = replace(self.best.row, given=tuple(values), cotangents=tuple(cotangents))
        return self.fails(case, row)


def _kind(finding: Finding) -> str:
    """What a failure says, without its numbers."""
    return re.sub(r"[^A-Za-z ]+", "", finding.message)


def _rounded(value: Array, bits: int) -> Array:
    with np.errstate(all="ignore"):
        mantissa, exponent = np.frexp(value)
        rounded = np.ldexp(np.rint(mantissa * 2.0**bits) / 2.0**bits, exponent)
    return np.asarray(np.where(np.isfinite(rounded), rounded, value), value.dtype)


def _text(value: Array) -> str:
    return np.array2string(value, precision=9, separator=", ", floatmode="maxprec").replace(
        "\n", ""
    )
