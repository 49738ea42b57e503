"""What the right library does: which cases of a row execute which functions, and false alarms.

A row is asked once, in a process without a fault, and kept in a cache folder by the content of
the sources.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verify import registry
from verify.faults.language import Language
from verify.plan import Selection, make_plan
from verify.spec import BUDGETS, COMPUTED, DTYPES, JUDGES, Case, Status
from verify.summary import WRONG

if TYPE_CHECKING:
    from verify.faults.child import Answer

REACH = BUDGETS[0]  # whose cases say which rows execute a place: larger plans take long
# Budget -> the one whose cases are asked without a fault first; others once they find something.
KNOWN = dict(zip(BUDGETS, ("smoke", "default", "default"), strict=True))


# How near a place is to a row: what these judges' cases execute is the row's own, and what the
# others execute is that of ops that its gradient or its identities use.
_NEAR = (("forward", "distribution"), ("vjp",), ("step", "trajectory"))


@dataclass(frozen=True, slots=True)
class Seen:
    """One case of the right library."""

    status: Status
    seconds: float
    places: frozenset[str]
    message: str

    @property
    def wrong(self) -> bool:
        """Whether it fails: a false alarm."""
        return self.status in WRONG


@dataclass(frozen=True)
class Baseline:
    """A row on one device at one budget, without a fault."""

    row: str
    cases: Mapping[str, Seen]

    @classmethod
    def of(cls, row: str, answers: Iterable[Answer]) -> Baseline:
        """What answers make."""
        return cls(row, {a.case: Seen(a.status, a.seconds, a.places, a.message) for a in answers})

    @functools.cached_property
    def places(self) -> frozenset[str]:
        """Everything that its cases execute."""
        return frozenset().union(*(seen.places for seen in self.cases.values()))

    def distance(self, place: str) -> int:
        """How far a place is from the row itself."""
        return next((i for i, found in enumerate(self._by_distance) if place in found), len(_NEAR))

    @functools.cached_property
    def _by_distance(self) -> list[frozenset[str]]:
        cases = [(Case.parse(i).judge, seen.places) for i, seen in self.cases.items()]
        return [
            frozenset().union(*(places for judge, places in cases if judge in judges))
            for judges in _NEAR
        ]

    @property
    def alarms(self) -> dict[str, str]:
        """Cases that fail on the right library, and what they say."""
        return {i: seen.message for i, seen in self.cases.items() if seen.wrong}


def cases_of(row: str, device: str, budget: str, beside: str = "") -> tuple[Case, ...]:
    """A row's plan, judge by judge.

    beside: a device that is asked what the first cannot be: of captured steps and of 16 bits. It
    may be the first, which is then asked in 16 bits what has kernels of its own there: results.
    """
    captured = {(s.shapes, s.kwargs) for s in registry.rows()[row].captured}
    selection = Selection((row,), (device,), budget=budget)
    if beside:
        few = tuple(f"{device}/{dtype}" for dtype in DTYPES if dtype not in COMPUTED)
        both = tuple(dict.fromkeys((device, beside)))
        without = few if len(both) > 1 else ()
        selection = replace(selection, devices=both, dtypes=DTYPES, without=without)
    planned = make_plan(selection, registry).cases
    cases = (
        case
        for case in planned
        if case.op == row  # matmul is the name of a family, too
        and (
            case.dtype in COMPUTED or case.judge == "forward"
            if case.device == device
            else case.dtype not in COMPUTED or (case.shapes, case.kwargs) in captured
        )
    )
    # what the first device is asked comes first: the other is slower
    return tuple(sorted(cases, key=lambda case: (case.device != device, JUDGES.index(case.judge))))


class Cache:
    """Baselines in a folder, by the content of what they depend on."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder / key

    def path(self, language: Language, row: str, budget: str) -> Path:
        """The file of one."""
        stamp = f"-{language.stamp}" if language.stamp else ""
        return self.folder / f"{language.name}{stamp}-{budget}-{row}.json"

    def has(self, language: Language, row: str, budget: str) -> bool:
        """Whether one is there."""
        return self.path(language, row, budget).exists()

    def get(self, language: Language, row: str, budget: str) -> Baseline | None:
        """One that is there."""
        try:
            data = json.loads(self.path(language, row, budget).read_text())
        except (OSError, ValueError):
            return None
        return _read(data)

    def put(self, language: Language, baseline: Baseline, budget: str) -> None:
        """Keep one; a reader never sees half of it."""
        path = self.path(language, baseline.row, budget)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(_written(baseline), separators=(",", ":")))
        draft.replace(path)


def _written(baseline: Baseline) -> dict[str, Any]:
    """Sets of places are many and alike: each is written once, by numbers."""
    numbers = {place: i for i, place in enumerate(sorted(baseline.places))}
    sets: dict[frozenset[str], int] = {}
    cases = [
        [i, s.status, round(s.seconds, 4), sets.setdefault(s.places, len(sets)), s.message]
        for i, s in baseline.cases.items()
    ]
    return {
        "row": baseline.row,
        "places": list(numbers),
        "sets": [sorted(numbers[place] for place in found) for found in sets],
        "cases": cases,
    }


def _read(data: Mapping[str, Any]) -> Baseline:
    names = data["places"]
    sets = [frozenset(names[i] for i in found) for found in data["sets"]]
    return Baseline(
        data["row"],
        {i: Seen(Status(s), sec, sets[k], text) for i, s, sec, k, text in data["cases"]},
    )


def reaching(place: str, baselines: Iterable[Baseline]) -> tuple[str, ...]:
    """The rows that execute a place, the nearest first.

    By distance; ops before what is built of them, small ones before large ones. Everything executes
    autograd: its places are asked of its own rows first.
    """
    own = place.startswith("needle/autograd/")
    found = [b for b in baselines if place in b.places]
    found.sort(
        key=lambda b: (
            b.distance(place),
            not (own and b.row.startswith("autograd.")),
            "." in b.row,
            len(b.places),
        )
    )
    return tuple(b.row for b in found)


def cache_folder() -> Path:
    """Where baselines are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home, "needle-verify", "faults")
