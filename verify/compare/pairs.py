"""What two results files say of the same cases.

Cases are the same when their ids are, apart from what the two runs as a whole differ in: the seed,
and a device or dtype of which each run has just one. So a commit stands beside another, a device
beside another, one seed beside the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from verify.quantiles import Quantiles, of, rhos
from verify.results import Results
from verify.spec import Case, Status, Verdict
from verify.summary import WRONG, summarize

_PLACES = {"device": 2, "dtype": 3}  # in an id
_ORDER = (*WRONG, Status.WEAK, Status.UNIMPLEMENTED, Status.SKIP, Status.PASS)  # gravest first


@dataclass(frozen=True, slots=True)
class Change:
    """A case with another status; the id is the second run's."""

    id: str
    before: Status
    after: Status
    text: str

    @property
    def worse(self) -> bool:
        """Whether the second status is the graver one."""
        return _ORDER.index(self.after) < _ORDER.index(self.before)


@dataclass(frozen=True, slots=True)
class Line:
    """An op in both runs; a part is None where a run has nothing of it."""

    op: str
    cases: tuple[int, int]
    rho: tuple[Quantiles | None, Quantiles | None]
    seconds: tuple[float, float]
    torch: float | None = None  # the largest rho of torch's own results, in both runs


@dataclass(frozen=True)
class Comparison:
    """Two runs."""

    facts: list[tuple[str, str, str]]  # what, in the first, in the second
    changes: list[Change]  # those that are worse first
    only: tuple[list[str], list[str]]  # ids that the other run has not
    lines: list[Line]
    common: int  # cases that both runs have


def compare(one: Results, two: Results) -> Comparison:
    """Both, case by case and op by op."""
    free = [i for i in _PLACES.values() if _differ(one, two, i)]
    first, second = ({_key(v.id, free): v for v in r.verdicts} for r in (one, two))
    changes = [
        Change(v.id, first[key].status, v.status, v.worst or (v.message.splitlines() or [""])[0])
        for key, v in second.items()
        if key in first and first[key].status is not v.status
    ]
    changes.sort(key=lambda c: (not c.worse, _ORDER.index(c.after)))
    only = ([v.id for k, v in first.items() if k not in second],
            [v.id for k, v in second.items() if k not in first])  # fmt: skip
    facts = _facts(two)
    return Comparison(
        [(name, value, facts[name]) for name, value in _facts(one).items()],
        changes,
        only,
        _lines(one, two),
        len(first.keys() & second.keys()),
    )


def _differ(one: Results, two: Results, place: int) -> bool:
    a, b = ({v.id.split("/")[place] for v in r.verdicts} for r in (one, two))
    return len(a) == len(b) == 1 and a != b


def _key(case_id: str, free: Sequence[int]) -> str:
    parts = case_id.split("/")[:-1]
    return "/".join("*" if i in free else part for i, part in enumerate(parts))


def _facts(results: Results) -> dict[str, str]:
    header, chosen = results.header, results.selection
    summary = summarize(results.verdicts, header["plan"]["size"])
    machine: dict[str, Any] = header.get("machine") or {}
    return {
        "commit": str(header.get("commit")),
        "started": str(header.get("started")),
        "command": " ".join(map(str, header.get("command", ()))),
        "devices": ", ".join(chosen.devices),
        "types": ", ".join(chosen.dtypes),
        "budget": f"{chosen.budget}, seed {chosen.seed}",
        "processor": str(machine.get("gpu") or machine.get("cpu")),
        "isa": ", ".join(sorted({v.environment.get("isa", "") for v in results.verdicts})),
        "versions": ", ".join(f"{k} {v}" for k, v in header.get("versions", {}).items()),
        "verdicts": ", ".join(f"{summary.counts[s]:,} {s}" for s in Status if summary.counts[s]),
        "not run": f"{summary.not_run:,}",
        "seconds": f"{sum(v.seconds for v in results.verdicts):,.1f}",
    }


def _lines(one: Results, two: Results) -> list[Line]:
    """Ops in the order of the second run, then those that only the first has."""
    parts = [_by_op(r.verdicts) for r in (one, two)]
    ops = dict.fromkeys([*parts[1], *parts[0]])
    found = []
    for op in ops:
        both = [part.get(op, []) for part in parts]
        rho = [_quantiles(members) for members in both]
        found.append(
            Line(
                op,
                (len(both[0]), len(both[1])),
                (rho[0], rho[1]),
                (sum(v.seconds for v in both[0]), sum(v.seconds for v in both[1])),
                max((v.torch_rho for v in chain(*both) if v.torch_rho is not None), default=None),
            )
        )
    return found


def _by_op(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    found: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        found.setdefault(Case.parse(verdict.id).op, []).append(verdict)
    return found


def _quantiles(members: Sequence[Verdict]) -> Quantiles | None:
    """Of all groups of an op together."""
    found = {i: rho for group in rhos(members).values() for i, rho in group.items()}
    return of(found) if found else None
