"""What became of a fault: one line of the results file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

FOUND, SURVIVED, UNREACHED, STILLBORN = "found", "survived", "unreached", "stillborn"
STATES = {
    FOUND: "a case failed, crashed or hung",
    SURVIVED: "every case passed",
    UNREACHED: "no case of any row executes it",
    STILLBORN: "needle cannot be imported with it: every run would tell",
}


@dataclass(frozen=True, slots=True)
class Tried:
    """One judge on the first row."""

    cases: int  # asked: all of them, or up to the one that found the fault
    case: str = ""  # that one
    status: str = ""  # FAIL, CRASH or TIMEOUT


_NUMBER = (int, float)
_KINDS: dict[str, Any] = {
    **dict.fromkeys(("fault", "digest", "row", "case", "says"), str),
    **{"rows": int, "cases": int, "to_kill": _NUMBER, "seconds": _NUMBER, "peers": dict},
}


@dataclass(slots=True)
class Outcome:
    """One fault."""

    fault: str
    digest: str
    state: str  # one of STATES
    row: str = ""  # the first row: of those that execute the function, the one with fewest others
    judges: dict[str, Tried] = field(default_factory=dict)  # on that row
    case: str = ""  # the first that found it, of any row
    says: str = ""  # the first line of what that said
    rows: int = 0  # asked
    cases: int = 0  # asked of all rows
    to_kill: float = 0.0  # seconds of the cases up to that one
    seconds: float = 0.0  # in all
    peers: dict[str, str] = field(default_factory=dict)  # other projects' checks, on that row

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        """The outcome that to_json wrote; ValueError, KeyError or TypeError if it is none."""
        values = dict(data)
        values["judges"] = {name: Tried(**tried) for name, tried in values["judges"].items()}
        if values["state"] not in STATES:
            raise ValueError(f"a state is one of {', '.join(STATES)}, got {values['state']!r}")
        made = cls(**values)
        for name, kind in _KINDS.items():
            if not isinstance(getattr(made, name), kind):
                raise TypeError(f"{name} is of another type, got {name}={getattr(made, name)!r}")
        return made
