"""Kill rates: how many faults were found, of how many, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from verify.faults.fault import KINDS, Fault
from verify.faults.outcome import FOUND, STILLBORN, Outcome
from verify.spec import JUDGES

_Z = 1.959964  # two-sided 95 %


@dataclass(slots=True)
class Rate:
    """Found of asked."""

    found: int = 0
    of: int = 0

    def count(self, found: bool) -> None:
        """One more fault."""
        self.of += 1
        self.found += found

    @property
    def share(self) -> float:
        """What part was found; nothing of nothing is all of it."""
        return self.found / self.of if self.of else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval of 95 % for the part."""
        if not self.of:
            return 0.0, 1.0
        n, p, z = self.of, self.share, _Z
        centre, scale = p + z * z / (2 * n), 1 + z * z / n
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


@dataclass
class Rates:
    """The rates of a run; equivalent and stillborn faults are in none of them."""

    whole: Rate = field(default_factory=Rate)
    languages: dict[str, Rate] = field(default_factory=dict)
    kinds: dict[str, Rate] = field(default_factory=dict)
    # by row, then judge: of the faults that the row is asked of first, and the judge could see
    judges: dict[str, dict[str, Rate]] = field(default_factory=dict)
    of_kinds: dict[str, dict[str, Rate]] = field(default_factory=dict)  # by kind, the same
    cells: dict[tuple[str, str, str], Rate] = field(default_factory=dict)  # row, judge and kind
    rows: dict[str, Rate] = field(default_factory=dict)
    alone: dict[str, list[str]] = field(default_factory=dict)  # judge -> what it alone found
    to_kill: list[float] = field(default_factory=list)  # seconds, in order of size


def rates(
    faults: Sequence[Fault], outcomes: Mapping[str, Outcome], equivalents: Mapping[str, object]
) -> Rates:
    """What outcomes say."""
    found = Rates()
    for fault in faults:
        outcome = outcomes.get(fault.id)
        if outcome is None or outcome.state == STILLBORN or fault.id in equivalents:
            continue
        killed = outcome.state == FOUND
        found.whole.count(killed)
        found.languages.setdefault(fault.language, Rate()).count(killed)
        found.kinds.setdefault(fault.kind, Rate()).count(killed)
        found.rows.setdefault(outcome.row, Rate()).count(killed)
        by = [judge for judge, tried in outcome.judges.items() if tried.case]
        for judge, tried in outcome.judges.items():
            for part, name in ((found.judges, outcome.row), (found.of_kinds, fault.kind)):
                part.setdefault(name, {}).setdefault(judge, Rate()).count(bool(tried.case))
            cell = (outcome.row, judge, fault.kind)
            found.cells.setdefault(cell, Rate()).count(bool(tried.case))
        if len(by) == 1:
            found.alone.setdefault(by[0], []).append(fault.id)
        if killed:
            found.to_kill.append(outcome.to_kill)
    found.to_kill.sort()
    found.kinds = {kind: found.kinds[kind] for kind in KINDS if kind in found.kinds}
    found.alone = {judge: found.alone[judge] for judge in JUDGES if judge in found.alone}
    return found


def of_judges(found: Rates) -> dict[str, Rate]:
    """All rows together."""
    total: dict[str, Rate] = {}
    for of_row in found.judges.values():
        for judge, rate in of_row.items():
            one = total.setdefault(judge, Rate())
            one.found, one.of = one.found + rate.found, one.of + rate.of
    return {judge: total[judge] for judge in JUDGES if judge in total}
