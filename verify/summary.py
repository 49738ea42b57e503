"""What the verdicts of a run say together: counts that add up, WEAK groups, the exit code.

A group is (op, judge, device, dtype). Its evidence is weak when one and the same wrong output
(zeros, a constant, stale memory, NaN, a copy of the input) would have passed all of its cases.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from verify.spec import IMPOSTORS, MALFORMED, OUTSIDE, Case, Exit, Status, Verdict

WRONG = (Status.FAIL, Status.CRASH, Status.TIMEOUT)
JUDGED = (Status.PASS, Status.FAIL)  # outputs were compared
_DECLARED = frozenset({"zeros", "constant"})  # what a declared result may look like


class Group(NamedTuple):
    """The unit of evidence."""

    op: str
    judge: str
    device: str
    dtype: str


@dataclass
class Line:
    """One line of the table: everything about an op on a device in a dtype."""

    op: str
    device: str
    dtype: str
    counts: Counter[Status] = field(default_factory=Counter)
    rho: float | None = None
    ulp: float | None = None
    torch_ulp: float | None = None  # of torch's own results
    outside: int = 0  # UNIMPLEMENTED, and no fault: somebody else's needle need not have it
    worst: Verdict | None = None  # the first wrong one, else the one of the largest rho

    @property
    def cases(self) -> int:
        """All cases of the line."""
        return self.counts.total()

    def add(self, verdict: Verdict, status: Status) -> None:
        """Count a verdict under `status` and keep the extremes."""
        self.counts[status] += 1
        self.outside += verdict.attribution == OUTSIDE
        if status is Status.SKIP or verdict.attribution == OUTSIDE:
            return
        larger = _key(verdict.rho) > _key(self.rho)
        was_wrong = self.worst is not None and self.worst.status in WRONG
        is_wrong = verdict.status in WRONG
        if self.worst is None or (is_wrong and not was_wrong) or (larger and is_wrong == was_wrong):
            self.worst = verdict
        if larger:
            self.rho = verdict.rho
        if _key(verdict.ulp) > _key(self.ulp):
            self.ulp = verdict.ulp
        if _key(verdict.torch_ulp) > _key(self.torch_ulp):
            self.torch_ulp = verdict.torch_ulp


@dataclass
class Summary:
    """A run in numbers."""

    planned: int
    counts: Counter[Status]  # a PASS in a weak group counts as WEAK; with not_run, the plan
    weak: dict[Group, tuple[str, ...]]  # group -> the impostors that none of its cases tells apart
    lines: list[Line]
    vacuous: int  # single cases, in strong groups, that some impostor would have passed
    # Groups that a time-boxed run did not reach; None: no time was set, or it was interrupted.
    unreached: list[Group] | None = None
    skipped: Counter[str] = field(default_factory=Counter)  # reasons, with their cases
    outside: Counter[str] = field(default_factory=Counter)  # reasons, as of the skipped
    malformed: Counter[str] = field(default_factory=Counter)  # UNIMPLEMENTED; reasons, likewise
    rotten: Sequence[str] = ()  # skips that are stale or have expired
    cached: int = 0  # verdicts of earlier runs

    @property
    def not_run(self) -> int:
        """Cases that have no verdict: the run was interrupted, or its time was up."""
        return self.planned - self.counts.total()

    @property
    def exit(self) -> Exit:
        """The smallest code that applies."""
        if any(self.counts[status] for status in WRONG):
            return Exit.WRONG
        left = self.not_run if self.unreached is None else self.unreached
        absent = self.counts[Status.UNIMPLEMENTED] - self.outside.total()
        judged = any(self.counts[status] for status in (*JUDGED, Status.SKIP, Status.WEAK))
        missing = absent or left or not self.planned or (self.outside and not judged)
        if self.weak or missing or self.rotten:
            return Exit.WEAK
        return Exit.GOOD


def group_of(case: Case) -> Group:
    """The group that a case is evidence for."""
    return Group(case.op, case.judge, case.device, case.dtype)


def summarize(
    verdicts: Iterable[Verdict],
    planned: int,
    boxed: Iterable[Group] | None = None,
    rotten: Sequence[str] = (),
) -> Summary:
    """The summary of a plan of `planned` cases from the verdicts there are.

    `boxed`: the groups of a run that was given a time; it may leave cases out, but no group.
    """
    groups: dict[Group, list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault(group_of(Case.parse(verdict.id)), []).append(verdict)
    weak = {group: found for group, members in groups.items() if (found := impostors(members))}
    lines: dict[tuple[str, str, str], Line] = {}
    counts: Counter[Status] = Counter()
    skipped: Counter[str] = Counter()
    outside: Counter[str] = Counter()
    malformed: Counter[str] = Counter()
    for group, members in groups.items():
        key = (group.op, group.device, group.dtype)
        line = lines.setdefault(key, Line(*key))
        for verdict in members:
            believed = verdict.status is not Status.PASS or group not in weak
            status = verdict.status if believed else Status.WEAK
            reason = (verdict.message.splitlines() or [""])[0]
            if status is Status.SKIP:
                skipped[reason] += 1
            elif verdict.attribution == OUTSIDE:
                outside[reason] += 1
            elif verdict.attribution == MALFORMED and status is Status.UNIMPLEMENTED:
                malformed[reason] += 1
            counts[status] += 1
            line.add(verdict, status)
    return Summary(
        planned,
        counts,
        weak,
        _by_op(list(lines.values())),
        sum(
            bool(v.impostors) and v.status is Status.PASS
            for group, members in groups.items()
            if group not in weak
            for v in members
        ),
        None if boxed is None else [g for g in dict.fromkeys(boxed) if g not in groups],
        skipped,
        outside,
        malformed,
        rotten,
        sum(v.cached for members in groups.values() for v in members),
    )


def impostors(members: Sequence[Verdict]) -> tuple[str, ...]:
    """The wrong outputs that would have passed every judged case of a group; empty: it is strong.

    Cases whose row declares a constant or zero result are no evidence either way. A group of
    nothing else is excused for zeros and constants, not for NaN, stale memory or copies.
    """
    judged = [v for v in members if v.status in JUDGED]
    evidence = [v for v in judged if not v.vacuous_reason]
    passing = set(IMPOSTORS).intersection(*(v.impostors for v in evidence or judged))
    if not judged:
        return ()
    if not evidence:
        passing -= _DECLARED
    return tuple(name for name in IMPOSTORS if name in passing)


def _by_op(lines: list[Line]) -> list[Line]:
    """Devices of an op side by side, ops in the order in which they first come."""
    first = {line.op: i for i, line in reversed(list(enumerate(lines)))}
    return sorted(lines, key=lambda line: first[line.op])


def _key(value: float | None) -> float:
    """Order in which NaN is worse than everything and None better."""
    if value is None:
        return -math.inf
    return math.inf if math.isnan(value) else value
