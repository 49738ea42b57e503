"""Accuracy and coverage: a run's cases beside the recorded ones.

Two questions, both with known answers if nothing changed. How many cases have a rho above `factor`
times a recorded quantile of their group? Of the cases on record, how many have a rho above `factor`
times their own, and how many below? The second sees more: cases of a group differ more than a
case with one seed does from itself with another.

Each is asked of groups, of pools of them, and of all of an op on a device: groups are small, pools
dilute what concerns one group. The alarms that chance may raise in a run are shared out among all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from verify.gate.baseline import Cases
from verify.gate.outcome import Finding
from verify.gate.ranks import Probabilities, at_least, exceeding, halves, rank_of, together
from verify.summary import Group

FACTOR = 1.25
LEVELS = {"median": 0.5, "90 % quantile": 0.9, "99 % quantile": 0.99, "largest": 1.0}
SCOPES = (
    ("op", "device"), ("op", "device", "dtype"), ("op", "judge", "device"),
    ("op", "judge", "device", "dtype"),
)  # fmt: skip
_FEW = 5  # cases with a rho, from which on it is no chance that none has one any more


@dataclass(frozen=True)
class Question:
    """One count of a run, and what it would be if nothing changed."""

    group: Group  # with empty parts where it is of a pool
    text: str
    count: int
    parts: tuple[Probabilities, ...]  # of each number, by group
    least: float  # the chance of the largest count there could be
    share: float  # of the alarms that chance may raise

    @cached_property
    def chances(self) -> Probabilities:
        """Of each number."""
        return together(self.parts)

    @property
    def p(self) -> float:
        """The chance of as many."""
        return at_least(self.count, self.chances)


def questions(
    before: Mapping[Group, Cases], here: Mapping[Group, Cases], factor: float
) -> list[Question]:
    """All that can be asked of a run beside its record."""
    both = [g for g in here if _rhos(before.get(g, {})) and _rhos(here[g])]
    above = {g: _above(before[g], here[g], factor) for g in both}
    pairs = {g: _pairs(before[g], here[g], factor) for g in both}
    found = []
    for scope in SCOPES:
        pools: dict[Group, list[Group]] = {}
        for g in both:
            pools.setdefault(_part(g, scope), []).append(g)
        share = 1 / len(SCOPES) / max(1, len(pools)) / (len(LEVELS) + 1)
        for pool, groups in pools.items():
            up, down, paired = (sum(pairs[g][i] for g in groups) for i in range(3))
            text = (
                f"rho is above {factor:g} x the recorded one in {up:,} cases, below 1 / "
                f"{factor:g} of it in {down:,}"
            )
            found.append(Question(pool, text, up, (halves(up + down),), 0.5**paired, share))
            cases = sum(len(_rhos(here[g])) for g in groups)
            for i, level in enumerate(LEVELS):
                counts, parts = zip(*(above[g][i] for g in groups), strict=True)
                text = (
                    f"{sum(counts):,} of {cases:,} cases have a rho above {factor:g} x the "
                    f"recorded {level} of their group"
                )
                least = float(np.prod([part[-1] for part in parts]))
                found.append(Question(pool, text, sum(counts), parts, least, share))
    return found


def _part(group: Group, scope: Sequence[str]) -> Group:
    return Group(*(v if name in scope else "" for name, v in group._asdict().items()))


def _rhos(cases: Cases) -> list[float]:
    return [rho for rho in cases.values() if rho is not None]


def _above(before: Cases, here: Cases, factor: float) -> list[tuple[int, Probabilities]]:
    """At each level: how many are above, and the chance of each number."""
    old, new = sorted(_rhos(before)), np.array(_rhos(here))
    ranks = [rank_of(level, len(old)) for level in LEVELS.values()]
    return [
        (int((new > factor * old[r - 1]).sum()), exceeding(len(old), r, len(new))) for r in ranks
    ]


def _pairs(before: Cases, here: Cases, factor: float) -> tuple[int, int, int]:
    """Cases with a larger rho than on record, with a smaller one, by the factor; all there are."""
    pairs = [(before[name], here[name]) for name in before.keys() & here.keys()]
    both = [(x, y) for x, y in pairs if x is not None and y is not None]
    up, down = sum(y > factor * x for x, y in both), sum(x > factor * y for x, y in both)
    return up, down, len(both)


def findings(asked: Sequence[Question], alarms: float) -> Iterator[Finding]:
    """The clearest of each op and device; `alarms`: in a run of an unchanged needle, by chance."""
    clearest: dict[tuple[str, str], Question] = {}
    for q in asked:
        if q.least < alarms * q.share and q.p < alarms * q.share:  # the first costs less
            key = (q.group.op, q.group.device)
            if key not in clearest or q.p < clearest[key].p:
                clearest[key] = q
    for q in clearest.values():
        yield Finding(
            "accuracy",
            "/".join(part or "*" for part in q.group),
            f"{q.text}; if nothing had changed, as many would come with p = {q.p:.0e}",
        )


def too_few(asked: Sequence[Question], alarms: float) -> list[str]:
    """Ops and devices of which no answer could raise an alarm: too few cases have a rho."""
    able: dict[tuple[str, str], bool] = {}
    for q in asked:
        key = (q.group.op, q.group.device)
        able[key] = able.get(key, False) or q.least < alarms * q.share
    return [f"{op} on {device}" for (op, device), can in able.items() if not can]


def lost(before: Mapping[Group, Cases], here: Mapping[Group, Cases]) -> Iterator[Finding]:
    """Devices and ops that are gone, each told once; cases that are; rhos of a whole group."""
    gone: set[str] = set()
    for what in ("device", "op"):
        names = {getattr(g, what) for g in here}
        for name in dict.fromkeys(getattr(g, what) for g in before):
            if name not in names:
                gone.add(name)
                cases = sum(len(cases) for g, cases in before.items() if getattr(g, what) == name)
                text = f"{cases:,} cases on record, none in this run"
                yield Finding("coverage", f"{what} {name}", text)
    for group, old in before.items():
        if group.device in gone or group.op in gone:
            continue
        new = here.get(group, {})
        if missing := [name for name in old if name not in new]:
            text = f"{len(missing):,} of {len(old):,} cases on record are gone: {missing[0]}"
            yield Finding("coverage", "/".join(group), text + (", ..." if missing[1:] else ""))
        elif len(_rhos(old)) >= _FEW and not _rhos(new):
            text = f"no case has a rho any more, on record {len(_rhos(old)):,}"
            yield Finding("coverage", "/".join(group), text)
