"""Faults that change nothing that could be asked for: each with a reason, in equivalent.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from verify.faults.fault import Fault
from verify.spec import UsageError

PATH = Path(__file__).with_name("equivalent.toml")
MOST = 0.05  # of all faults


@dataclass(frozen=True, slots=True)
class Equivalent:
    """Why a fault is none."""

    reason: str
    confirmed: bool  # by a second reader, who tried to find a case that shows it


def read(path: Path = PATH) -> dict[str, Equivalent]:
    """The equivalents of a file, by id; UsageError where it is malformed."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        found = {}
        for name, entry in data.items():
            reason, confirmed = entry["reason"], entry["confirmed"]
            if not isinstance(reason, str) or not reason or not isinstance(confirmed, bool):
                raise ValueError(f"a reason (text) and confirmed (true or false), at {name!r}")
            found[name] = Equivalent(reason, confirmed)
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"[equivalent] a table for each fault, with reason and confirmed, got file={path} "
            f"({type(error).__name__}: {error})"
        ) from error


def confirmed(called: Mapping[str, Equivalent]) -> dict[str, Equivalent]:
    """Those that a second reader could not show: until then a fault is asked like any other."""
    return {name: entry for name, entry in called.items() if entry.confirmed}


def require_current(equivalents: Iterable[str], faults: Iterable[Fault]) -> None:
    """UsageError for an id that no fault has: the source changed, and the reason may not hold."""
    if stale := sorted(set(equivalents) - {fault.id for fault in faults}):
        raise UsageError(f"[equivalent] no fault has this id any more, got {', '.join(stale)}")
