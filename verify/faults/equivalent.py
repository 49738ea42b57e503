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
SORTS = {  # what differs where a fault is planted that is none, in the order of reports
    "same": "the same results, bit for bit; a check or two more or less",
    "speed": "the same results, bit for bit, at another speed or in other memory",
    "policy": "other results, in what no document decides: last bits within the bound, the sign of "
    "a zero, what becomes of NaN and infinities, memory that is shared",
}


@dataclass(frozen=True, slots=True)
class Equivalent:
    """Why a fault is none."""

    reason: str
    sort: str  # one of SORTS
    confirmed: bool  # by a second reader, who tried to find a case that shows it
    change: str  # Fault.change of what was read: a number alone may come to stand for another


def read(path: Path = PATH) -> dict[str, Equivalent]:
    """The equivalents of a file, by id; UsageError where it is malformed."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        found = {}
        for name, entry in data.items():
            reason, sort = entry["reason"], entry["sort"]
            confirmed, change = entry["confirmed"], entry["change"]
            texts = isinstance(reason, str) and reason and isinstance(change, str)
            if not texts or not isinstance(confirmed, bool):
                raise ValueError(
                    f"a reason (text), confirmed (true or false) and change (text), at {name!r}"
                )
            if sort not in [*SORTS]:
                raise ValueError(
                    f"a sort is one of {', '.join(SORTS)}, got sort={sort!r} at {name!r}"
                )
            found[name] = Equivalent(reason, sort, confirmed, change)
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"[equivalent] a table for each fault, with reason, sort, confirmed and change, got "
            f"file={path} ({type(error).__name__}: {error})"
        ) from error


def confirmed(called: Mapping[str, Equivalent]) -> dict[str, Equivalent]:
    """Those that a second reader could not show: until then a fault is asked like any other."""
    return {name: entry for name, entry in called.items() if entry.confirmed}


def require_current(
    equivalents: Mapping[str, Equivalent], faults: Iterable[Fault], whole: bool = True
) -> None:
    """UsageError where a fault is not the one that was read: the reason may not hold.

    whole: faults are those of every language, so that an id of none is stale too.
    """
    changes = {fault.id: fault.change for fault in faults}
    if whole and (stale := sorted(equivalents.keys() - changes)):
        raise UsageError(f"[equivalent] no fault has this id any more, got {', '.join(stale)}")
    for name, entry in equivalents.items():
        if changes.get(name, entry.change) != entry.change:
            raise UsageError(
                f"[equivalent] a change that was read, got change={changes[name]} of {name}, not "
                f"{entry.change}: read it again"
            )
