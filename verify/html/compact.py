"""Verdicts as columns of small numbers: what the page's script reads.

A hundred thousand verdicts as objects are 60 MB and seconds of parsing. Names are listed once,
cases lie group by group, and a case is one number in each column.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from verify.html.empty import why_empty, why_no_layout
from verify.output import printable
from verify.results import Results
from verify.spec import LAYOUTS, Case, Status, Verdict, replay_options
from verify.summary import WRONG, Group, Summary
from verify.table import spread

STATUSES = tuple(Status)
_TEXTS = 1_500_000  # characters of all failures' texts together
_LONGEST = 4000  # of one failure's text, of which the equation comes first
_SHORT = 300  # of one that is not told in full
_TOLD = ("budget: ", "attribution: ", "replay: ")
_SMALLEST = "smallest counterexample: "


class Names:
    """Each name once, in the order in which they come."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.index = {name: i for i, name in enumerate(dict.fromkeys(known))}

    def __getitem__(self, name: str) -> int:
        return self.index.setdefault(name, len(self.index))

    def listed(self) -> list[str]:
        """For JSON."""
        return [printable(name) for name in self.index]


@dataclass
class _Columns:
    """One number of each case."""

    shapes: list[int] = field(default_factory=list)  # with the arguments: "4x5,5x3/axis=1"
    layout: list[int] = field(default_factory=list)
    region: list[int] = field(default_factory=list)  # with the seed
    status: list[int] = field(default_factory=list)
    rho: list[float | str] = field(default_factory=list)  # -1: there is none
    ulp: list[float | str] = field(default_factory=list)
    torch_rho: list[float | str] = field(default_factory=list)  # of torch's own results
    torch_ulp: list[float | str] = field(default_factory=list)
    ms: list[float | str] = field(default_factory=list)


def compact(results: Results, summary: Summary) -> dict[str, Any]:
    """All verdicts, every cell of the matrix that has none with its reason, and failures."""
    members: dict[Group, list[Verdict]] = {}
    for verdict in results.verdicts:
        members.setdefault(Group(*verdict.id.split("/", 4)[:4]), []).append(verdict)
    chosen, unreached = results.selection, set(summary.unreached or ())
    ops = Names([*(line.op for line in summary.lines), *(g.op for g in summary.unreached or ())])
    judges, devices = Names(chosen.judges), Names(chosen.devices)
    dtypes = Names(t for d in chosen.devices for t in chosen.dtypes_of(d))
    layouts, shapes, regions = Names(LAYOUTS), Names(), Names()
    prefixes, reasons, whys, said = Names([""]), Names(), Names(), Names()
    columns, groups = _Columns(), []
    place: dict[str, int] = {}
    notes: dict[int, int] = {}  # case -> why it was not judged
    worst: dict[int, str] = {}  # case -> its equation, of the worst of a group by rho and by ULP
    growth: dict[int, dict[str, float | str]] = {}
    order = {op: i for i, op in enumerate(ops.index)}
    for group in sorted(members, key=lambda g: order[g.op]):
        inside = members[group]
        begin = len(columns.status)
        weak = group in summary.weak
        for verdict in inside:
            i = place[verdict.id] = len(columns.status)
            *_, shape, arguments, layout, region, seed = verdict.id.split("/", 8)
            columns.shapes.append(shapes[f"{shape}/{arguments}"])
            columns.layout.append(layouts[layout])
            columns.region.append(regions[f"{region}/{seed}"])
            passed = verdict.status is Status.PASS
            columns.status.append(
                STATUSES.index(Status.WEAK if passed and weak else verdict.status)
            )
            columns.rho.append(short(verdict.rho))
            columns.ulp.append(short(verdict.ulp))
            columns.torch_rho.append(short(verdict.torch_rho))
            columns.torch_ulp.append(short(verdict.torch_ulp))
            columns.ms.append(short(verdict.seconds * 1e3))
            if verdict.status in (Status.SKIP, Status.UNIMPLEMENTED):
                notes[i] = said[(verdict.message.splitlines() or ["no reason is given"])[0]]
            if group.judge == "growth" and verdict.budget:
                growth[i] = {k: short(v) for k, v in verdict.budget.items()}
        for top in (max(inside, key=lambda v: _key(v.rho)), max(inside, key=lambda v: _key(v.ulp))):
            if top.worst and top.rho is not None:
                worst[place[top.id]] = printable(top.worst[:_SHORT])
        lacking = "\n".join(
            why_no_layout(group, layout, results.selection, summary.not_run > 0)
            for layout in LAYOUTS
        )
        prefix = next((p for v in inside if (p := replay_options(v.environment))), "")
        groups += [
            ops[group.op], judges[group.judge], devices[group.device], dtypes[group.dtype],
            begin, len(inside), whys[lacking], prefixes[prefix],
        ]  # fmt: skip
    empty = [
        -1 if (g := Group(op, judge, device, dtype)) in members
        else reasons[why_empty(g, summary, g in unreached)]
        for op in ops.index
        for device in dict.fromkeys(chosen.devices)
        for dtype in chosen.dtypes_of(device)
        for judge in dict.fromkeys(chosen.judges)
    ]  # fmt: skip
    return {
        "ops": ops.listed(),
        "judges": judges.listed(),
        "devices": devices.listed(),
        "dtypes": dtypes.listed(),
        "rows": [[devices[d], dtypes[t]] for d in dict.fromkeys(chosen.devices)
                 for t in chosen.dtypes_of(d)],
        "layouts": layouts.listed(),
        "shapes": shapes.listed(),
        "regions": regions.listed(),
        "statuses": [str(s) for s in STATUSES],
        "prefixes": prefixes.listed(),
        "groups": groups,
        "empty": empty,
        "reasons": reasons.listed(),
        "lacking": [why.split("\n") for why in whys.index],
        "cases": vars(columns),
        "notes": notes,
        "said": said.listed(),
        "worst": worst,
        "growth": growth,
    } | failures(results.verdicts, place)  # fmt: skip


def _key(value: float | None) -> float:
    return -1.0 if value is None or math.isnan(value) else value


def failures(verdicts: Sequence[Verdict], place: Mapping[str, int]) -> dict[str, Any]:
    """Wrong cases, one of each op and device before the next; as many in full as there is room."""
    wrong = spread([v for v in verdicts if v.status in WRONG])
    room, found, cut = _TEXTS, [], 0
    for verdict in wrong:
        told = _failure(verdict)
        size = sum(len(str(part)) for part in told)
        if room < size:  # its equation, and the line that says the rest
            told = [told[0][:_SHORT], "", [], "", told[4][-1:]]
            size, cut = sum(len(str(part)) for part in told), cut + 1
        if room < size:
            break
        room -= size
        found.append([place[verdict.id], *told])
    return {"failures": found, "wrong": len(wrong), "shortened": cut}


def _failure(verdict: Verdict) -> list[Any]:
    """Its text, the smallest counterexample, budget terms, attribution, replay lines."""
    text, small, replay = [], [], []
    inside = False
    for line in printable(verdict.message or verdict.worst).splitlines():
        inside = line.startswith(_SMALLEST) or (inside and line.startswith("  "))
        if inside:
            small.append(line.removeprefix(_SMALLEST).removeprefix("  "))
        elif line.startswith("replay: "):
            replay.append(line.removeprefix("replay: "))
        elif not line.startswith(_TOLD):
            text.append(line)
    terms = [[printable(name), short(value)] for name, value in verdict.budget.items()]
    return [
        _cut("\n".join(text)),
        _cut("\n".join(small)),
        terms,
        printable(verdict.attribution),
        [_cut(line) for line in replay] or [printable(verdict.replay_line())],
    ]


def _cut(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]} … and {len(text) - _LONGEST:,} characters more"


def short(value: float | None) -> float | str:
    """Three digits; -1 for None, and the words of JSON Lines for what JSON has no number for."""
    if value is None:
        return -1
    if not math.isfinite(value):
        return str(float(value))
    rounded = float(f"{value:.3g}")
    return int(rounded) if rounded == int(rounded) and rounded < 1e6 else rounded


def weak(summary: Summary) -> Iterator[tuple[str, str]]:
    """Groups whose evidence is weak, and why."""
    for group, names in summary.weak.items():
        yield "/".join(group), f"{', '.join(names)} would have passed all cases"
    for group in summary.unreached or ():
        yield "/".join(group), "the time was too short: it has no case"


def worst_of(results: Results) -> tuple[str, float] | None:
    """The passed case that used most of its bound, and how much."""
    seen = [
        (v.rho, v.id) for v in results.verdicts if v.status is Status.PASS and v.rho is not None
    ]
    if not seen:
        return None
    rho, case_id = max(seen)
    return Case.parse(case_id).op, rho
