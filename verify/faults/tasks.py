"""What processes that work on faults are told; cheap to import."""

from __future__ import annotations

from dataclasses import dataclass

from verify.faults.fault import Fault


@dataclass(frozen=True, slots=True)
class Setup:
    """What a process is told at its start."""

    budget: str
    cache: str  # folder
    key: str  # of the cache
    first: bool = False  # whether a fault is done with the first judge that finds it
    peers: bool = False  # whether other projects' checks are asked too


@dataclass(frozen=True, slots=True)
class Measure:
    """The task to ask a row without a fault."""

    language: str
    row: str
    budget: str


@dataclass(frozen=True, slots=True)
class Judge:
    """The task to judge a fault; rows: those that execute its place, in the order of asking.

    others: rows that follow where these do not find it, whose larger plans may execute it; wide:
    the digest of a result that rests on them, too. known: a case that found it before.
    """

    language: str
    fault: Fault
    rows: tuple[str, ...]
    digest: str
    others: tuple[str, ...] = ()
    wide: str = ""
    known: str = ""
