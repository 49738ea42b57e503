"""What became of a fault: one line of the results file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from verify.spec import JUDGES, Case, UsageError
from verify.summary import WRONG

FOUND, SURVIVED, UNREACHED, STILLBORN = "found", "survived", "unreached", "stillborn"
STATES = {
    FOUND: "a case failed, crashed or hung",
    SURVIVED: "every case passed",
    UNREACHED: "no case of any row executes it",
    STILLBORN: "needle cannot be imported with it: every run would tell",
}
MISSED, NOT_APPLICABLE, ALARM = "missed", "does not apply", "alarm"
SAID = (FOUND, MISSED, NOT_APPLICABLE, ALARM)  # of a fault by another project's check
PEERS = (  # those checks, whose code is in peers.py, in this order
    *("gradcheck, fast", "gradcheck, slow", "assert_close"),
    *("NMSE < 1e-7", "allclose 1e-2", "the course's check"),
)


@dataclass(frozen=True, slots=True)
class Tried:
    """One judge on the first row."""

    cases: int  # asked: all of them, or up to the one that found the fault
    case: str = ""  # that one
    status: str = ""  # FAIL, CRASH or TIMEOUT


_NUMBER = (int, float)
_KINDS: dict[str, Any] = {
    **dict.fromkeys(("fault", "digest", "state", "row", "case", "says"), str),
    **{"rows": int, "cases": int, "to_kill": _NUMBER, "seconds": _NUMBER},
    **{"judges": dict, "peers": dict},
}
_KINDS_TRIED = {"cases": int, "case": str, "status": str}


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
    peers: dict[str, str] = field(default_factory=dict)  # of PEERS, what each SAID of that row

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        """The outcome that to_json wrote; ValueError or TypeError says why it is none."""
        _require("an outcome", data, ("fault", "digest", "state", "judges"), _KINDS)
        _require_one_of("a state", data["state"], STATES)
        for name, tried in data["judges"].items():
            _require_one_of("a judge", name, JUDGES)
            _require(f"what {name} tried", tried, ("cases",), _KINDS_TRIED)
            if status := tried.get("status"):
                _require_one_of("a status", status, WRONG)
        judges = {name: Tried(**tried) for name, tried in data["judges"].items()}
        if data.get("case"):
            try:
                Case.parse(data["case"])
            except UsageError as error:
                raise ValueError(f"a case is an id, got case={data['case']!r}") from error
        for name, said in data.get("peers", {}).items():
            _require_one_of("a peer", name, PEERS)
            _require_one_of("what a peer says", said, SAID)
        if data["state"] == FOUND and not data.get("case"):
            raise ValueError("what is found has the case that found it, got case=''")
        return cls(**{**data, "judges": judges})


def _require(what: str, data: Any, needed: Sequence[str], kinds: Mapping[str, Any]) -> None:
    if not isinstance(data, dict):
        raise TypeError(f"{what} has names and values, got {data!r}")
    if lacking := [name for name in needed if name not in data]:
        raise ValueError(f"{what} has {', '.join(needed)}, got none of {', '.join(lacking)}")
    for name, value in data.items():
        if isinstance(value, bool) or not isinstance(value, kinds.get(name, object)):
            raise TypeError(f"{name} is of another type, got {name}={value!r}")
        if isinstance(value, _NUMBER) and not 0 <= value <= sys.float_info.max:
            raise ValueError(f"{name} is finite and not negative, got {name}={value!r}")


def _require_one_of(what: str, got: Any, known: Iterable[str]) -> None:
    if got not in [*known]:
        raise ValueError(f"{what} is one of {', '.join(known)}, got {got!r}")
