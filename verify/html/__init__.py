"""A results file as one HTML page that needs no network: failures first, then every cell.

The page's text is in report.html.j2, where every value is escaped; here is what it shows.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from verify import registry
from verify.output import printable
from verify.registry.planning import why_none
from verify.results import Results
from verify.spec import Exit, Status, Verdict
from verify.summary import WRONG, Group, Line, Summary
from verify.table import number, plain, spread, totals

_SHOWN = 100  # failures in full
_LONGEST = 4000  # characters of a failure's text
_TONES = {Exit.GOOD: "pass", Exit.WRONG: "wrong", Exit.WEAK: "weak"}
_UNJUDGED = (Status.SKIP, Status.UNIMPLEMENTED)


class Cell(NamedTuple):
    """A group in the matrix; `tone` is one of pass, wrong, weak, none."""

    tone: str
    text: str


class Failure(NamedTuple):
    """A wrong case, with the line that runs it again."""

    status: str
    id: str
    text: str
    replay: str


@dataclass
class _Tally:
    counts: Counter[Status] = field(default_factory=Counter)
    rho: float | None = None
    ulp: float | None = None

    def add(self, verdict: Verdict) -> None:
        self.counts[verdict.status] += 1
        self.rho = _worse(self.rho, verdict.rho)
        self.ulp = _worse(self.ulp, verdict.ulp)


def report(results: Results, summary: Summary) -> str:
    """The page."""
    counted = totals(summary, sum(v.seconds for v in results.verdicts), plain).splitlines()
    wrong = [v for v in results.verdicts if v.status in WRONG]
    unjudged = Counter((v.status, v.message) for v in results.verdicts if v.status in _UNJUDGED)
    return page(
        "report.html.j2",
        verdict=counted[-1],
        tone=_TONES.get(summary.exit, "wrong"),
        totals=[line for line in counted[:-1] if not line.startswith("WEAK")],
        failures=[_failure(v) for v in spread(wrong)[:_SHOWN]],
        more=max(0, len(wrong) - _SHOWN),
        weak=list(_weak(summary)),
        unjudged=[
            (status, why or "no reason is given", n) for (status, why), n in unjudged.items()
        ],
        judges=results.selection.judges,
        ops=list(_ops(results, summary)),
        provenance=list(_provenance(results)),
    )


def page(template: str, **values: Any) -> str:
    """A template of this package with every value escaped."""
    environment = Environment(
        loader=PackageLoader("verify", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=False,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**values)


def _failure(verdict: Verdict) -> Failure:
    lines = printable(verdict.message or verdict.worst).splitlines()
    told = [line.removeprefix("replay: ") for line in lines if line.startswith("replay: ")]
    text = "\n".join(line for line in lines if not line.startswith("replay: "))
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]} … and {len(text) - _LONGEST:,} characters more"
    replay = told[-1] if told else verdict.replay_line()
    return Failure(str(verdict.status), verdict.id, text, replay)


def _weak(summary: Summary) -> Iterator[tuple[str, str]]:
    for group, names in summary.weak.items():
        yield "/".join(group), f"{', '.join(names)} would have passed all cases"
    for group in summary.unreached or ():
        yield "/".join(group), "the time was too short: it has no case"


# --- the matrix


@dataclass
class _Row:
    device: str
    dtype: str
    cells: list[Cell]
    rho: str
    ulp: str


def _ops(results: Results, summary: Summary) -> Iterator[tuple[str, list[_Row]]]:
    """Ops in the order of the table, each with a row per device and dtype of the selection."""
    tallies: dict[Group, _Tally] = {}
    for verdict in results.verdicts:
        group = Group(*verdict.id.split("/", 4)[:4])
        tallies.setdefault(group, _Tally()).add(verdict)
    selection = results.selection
    lines = {(line.op, line.device, line.dtype): line for line in summary.lines}
    unreached = set(summary.unreached or ())
    for op in dict.fromkeys([*(line.op for line in summary.lines), *(g.op for g in unreached)]):
        rows = []
        for device in dict.fromkeys(selection.devices):
            for dtype in selection.dtypes_of(device):
                groups = [Group(op, judge, device, dtype) for judge in selection.judges]
                line = lines.get((op, device, dtype), Line(op, device, dtype))
                cells = [
                    _cell(tallies[g], summary.weak.get(g, ()))
                    if g in tallies
                    else Cell("none", _why_empty(g, summary, g in unreached))
                    for g in groups
                ]
                rows.append(_Row(device, dtype, cells, number(line.rho), number(line.ulp)))
        yield op, rows


def _cell(tally: _Tally, weak: tuple[str, ...]) -> Cell:
    """`✓ 24 · rho 0.31 · 0.50 ULP`, or what is not PASS with its counts."""
    counts = tally.counts
    passed = counts[Status.PASS]
    said = [f"{n:,} {status}" for status, n in counts.items() if status is not Status.PASS]
    if any(counts[status] for status in WRONG):
        tone = "wrong"
    elif weak or (said and passed):
        tone = "weak"
    else:
        tone = "none" if said else "pass"
    if passed:
        said += [f"{passed:,} {'WEAK' if weak else 'PASS'}"] if weak or said else [f"✓ {passed:,}"]
    parts = [", ".join(said)]
    parts += [f"rho {number(tally.rho)}"] if tally.rho is not None else []
    parts += [f"{number(tally.ulp)} ULP"] if tally.ulp is not None else []
    return Cell(tone, " · ".join(parts))


@functools.cache
def _inapplicable(op: str, dtype: str, judge: str) -> str:
    row = registry.rows().get(op)
    return why_none(row, dtype, judge) if row is not None else ""


def _why_empty(group: Group, summary: Summary, unreached: bool) -> str:
    if unreached:
        return "time was up"
    if reason := _inapplicable(group.op, group.dtype, group.judge):
        return reason
    return "not run" if summary.not_run else "not in the plan"


# --- where it comes from


def _provenance(results: Results) -> Iterator[tuple[str, str]]:
    header, selection = results.header, results.selection
    plan, machine = header["plan"], header.get("machine", {})
    yield "command", " ".join(map(str, header.get("command", ())))
    yield "started", str(header.get("started"))
    yield "commit", str(header.get("commit"))
    yield "plan", f"{plan['size']:,} cases, hash {plan['hash']}"
    yield "budget", f"{selection.budget}, seed {selection.seed}"
    yield "versions", ", ".join(f"{k} {v}" for k, v in header.get("versions", {}).items())
    yield "machine", ", ".join(f"{k} {v}" for k, v in machine.items() if v is not None)


def _worse(one: float | None, other: float | None) -> float | None:
    """The larger; NaN is larger than everything, None smaller."""
    if one is None or other is None:
        return other if one is None else one
    return one if one != one or one >= other else other
