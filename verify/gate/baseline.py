"""What a gate holds runs against: a JSON file with a line for each thing on record.

Of every group (op, judge, device, dtype): its cases, named by their ids without the group and the
seed, each with its rho. Quantiles and pairs follow from them (verify/gate/accuracy.py). Of speed
and of planted faults: see verify/gate/speed.py and kills.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verify.gate.kills import Kills
from verify.gate.speed import Speed
from verify.output import by_lines
from verify.results import Results
from verify.spec import Status, UsageError, Verdict
from verify.summary import Group

FORMAT = 1
Cases = dict[str, float | None]  # shapes/arguments/layout/region -> rho, None where there is none


@dataclass
class Baseline:
    """The file."""

    origin: dict[str, Any]  # of the results: commit, started, seed, budget, versions, machine
    groups: dict[Group, Cases]
    speed: list[Speed] = field(default_factory=list)
    faults: dict[str, Kills] = field(default_factory=dict)

    @classmethod
    def of(cls, results: Results) -> Baseline:
        """What a run puts on record."""
        return cls(origin(results), cases_of(results.verdicts))

    def to_text(self) -> str:
        """The file's text."""
        return by_lines(
            {
                "needle_verify_baseline": FORMAT,
                "origin": self.origin,
                "groups": [
                    group._asdict() | {"cases": dict(sorted(cases.items()))}
                    for group, cases in sorted(self.groups.items())
                ],
                "speed": [s.to_json() for s in self.speed],
                "faults": [{"name": n} | k.to_json() for n, k in sorted(self.faults.items())],
            }
        )


def read(path: Path) -> Baseline:
    """The baseline in a file. Raises: UsageError where it is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["needle_verify_baseline"] != FORMAT:
            raise ValueError("it was made by another version: make it again with --update")
        if not data["groups"]:
            raise ValueError("it records no group: everything would pass")
        origin = dict(data["origin"])
        if missing := [name for name in ("commit", "started") if name not in origin]:
            raise ValueError(f"its origin has no {' and no '.join(missing)}")
        return Baseline(
            origin,
            {
                Group(d["op"], d["judge"], d["device"], d["dtype"]): _cases(d["cases"])
                for d in data["groups"]
            },
            [Speed.from_json(d) for d in data["speed"]],
            {d["name"]: Kills.from_json(d) for d in data["faults"]},
        )
    except OSError as error:
        raise UsageError(f"[baseline] cannot read, got file={path} ({error})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"[baseline] malformed, got file={path}: {what}") from error


def _cases(data: Mapping[str, Any]) -> Cases:
    found = {name: None if rho is None else float(rho) for name, rho in data.items()}
    if any(rho is not None and not 0 <= rho < math.inf for rho in found.values()):
        raise ValueError(f"a rho is a number from 0 on, got {json.dumps(data)}")
    return found


def cases_of(verdicts: Iterable[Verdict]) -> dict[Group, Cases]:
    """The cases of a run that were asked, whatever the answer; rho of those that passed."""
    found: dict[Group, Cases] = {}
    for verdict in verdicts:
        if verdict.status is not Status.UNIMPLEMENTED:
            op, judge, device, dtype, rest = verdict.id.split("/", 4)
            name = rest.rpartition("/")[0]
            passed = verdict.status is Status.PASS and verdict.rho is not None
            rho = float(f"{verdict.rho:.3g}") if passed else None
            found.setdefault(Group(op, judge, device, dtype), {})[name] = rho
    return found


def origin(results: Results) -> dict[str, Any]:
    """Where a run comes from, as far as a comparison depends on it."""
    header, selection = results.header, results.selection
    return {
        "commit": header.get("commit"),
        "started": header.get("started"),
        "seed": selection.seed,
        "budget": selection.budget,
        "isa": next((v.environment["isa"] for v in results.verdicts if "isa" in v.environment), ""),
        "cpu": (header.get("machine") or {}).get("cpu"),
        "versions": header.get("versions", {}),
    }
