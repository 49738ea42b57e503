"""What a run of faults found: for the terminal, as Markdown, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from verify.faults.beside import Beside, beside
from verify.faults.equivalent import SORTS, Equivalent
from verify.faults.fault import Fault
from verify.faults.outcome import FOUND, STATES, STILLBORN, SURVIVED, UNREACHED, Outcome
from verify.faults.rates import Rate, Rates, of_judges, rates
from verify.faults.record import FORMAT, KEY
from verify.faults.ways import WAYS, ways
from verify.spec import JUDGES


@dataclass(frozen=True)
class Ended:
    """A run at its end: the faults chosen, and what became of them."""

    header: Mapping[str, Any]
    faults: Sequence[Fault]
    outcomes: Mapping[str, Outcome]
    equivalents: Mapping[str, Equivalent]  # of all faults, confirmed
    alarms: Mapping[str, str]  # cases that fail on the right library

    @property
    def rates(self) -> Rates:
        """Its rates."""
        return rates(self.faults, self.outcomes, self.equivalents)

    def in_state(self, *states: str) -> list[tuple[Fault, Outcome]]:
        """The faults in these states that are no equivalents."""
        pairs = [(f, self.outcomes[f.id]) for f in self.faults if f.id in self.outcomes]
        return [(f, o) for f, o in pairs if o.state in states and f.id not in self.equivalents]

    @property
    def survivors(self) -> list[tuple[Fault, Outcome]]:
        """What nothing found."""
        return self.in_state(SURVIVED, UNREACHED)

    @property
    def called_equivalent(self) -> list[Fault]:
        """The chosen faults that are equivalents."""
        return [f for f in self.faults if f.id in self.equivalents]

    @property
    def sorts(self) -> dict[str, int]:
        """How many of these are of each sort."""
        sorts = [self.equivalents[f.id].sort for f in self.called_equivalent]
        return {name: sorts.count(name) for name in SORTS}

    @property
    def ways(self) -> dict[str, int]:
        """How the faults were found."""
        return ways(outcome for _, outcome in self.in_state(FOUND))

    @property
    def refuted(self) -> list[tuple[Fault, Outcome]]:
        """Faults called equivalent that a case found."""
        pairs = [(f, self.outcomes.get(f.id)) for f in self.called_equivalent]
        return [(f, o) for f, o in pairs if o is not None and o.state == FOUND]

    @property
    def beside(self) -> dict[str, Beside]:
        """Other projects' checks, where they were asked."""
        return beside(o for _, o in self.in_state(FOUND, SURVIVED, UNREACHED))

    @property
    def missing(self) -> int:
        """Faults not judged."""
        return sum(f.id not in self.outcomes and f.id not in self.equivalents for f in self.faults)


def percent(rate: Rate) -> str:
    """Never rounded up to 100."""
    return f"{int(1000 * rate.share) / 10:g} %"


def _interval(rate: Rate) -> str:
    low, high = rate.interval
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def terminal(ended: Ended) -> str:
    """At most 80 columns."""
    found = ended.rates
    lines = [f"{'':14} {'found':>6} {'of':>6} {'rate':>8}  95 % interval"]
    parts = [*found.languages.items(), *found.kinds.items(), ("all", found.whole)]
    for name, rate in parts:
        lines.append(f"{name:14} {rate.found:6} {rate.of:6} {percent(rate):>8}  {_interval(rate)}")
    judges = of_judges(found)
    if judges:
        lines += ["", f"{'judge':14} {'found':>6} {'of':>6} {'alone':>8}"]
    for judge, rate in judges.items():
        alone = len(found.alone.get(judge, ()))
        lines.append(f"{judge:14} {rate.found:6} {rate.of:6} {alone:8}")
    if table := ended.beside:
        lines += ["", f"{'on the same faults':30} {'found':>6} {'of':>6} {'rate':>8}"]
        for name, b in table.items():
            of_all = b.of_all
            lines.append(f"{name:30} {of_all.found:6} {of_all.of:6} {percent(of_all):>8}")
    return "\n".join(lines)


def names(ended: Ended) -> str:
    """Survivors, and whatever else needs a look."""
    lines = [f"ALARM {case}: {text}" for case, text in ended.alarms.items()]
    lines += [f"{o.state.upper()} {f.id}" for f, o in ended.survivors]
    lines += [f"FOUND though called equivalent: {f.id}: {o.case}" for f, o in ended.refuted]
    lines += [f"STILLBORN {f.id}: {o.says}" for f, o in ended.in_state(STILLBORN)]
    return "\n".join(lines)


def totals(ended: Ended) -> str:
    """One line."""
    whole = ended.rates.whole
    text = f"{whole.found} of {whole.of} faults found ({percent(whole)})"
    counts = {
        "survived": len(ended.survivors),
        "equivalent": len(ended.called_equivalent),
        "stillborn": len(ended.in_state(STILLBORN)),
        "alarms": len(ended.alarms),
        "not judged": ended.missing,
    }
    return ", ".join([text, *(f"{n} {name}" for name, n in counts.items() if n)])


def as_json(ended: Ended) -> dict[str, Any]:
    """The report of --report, which --baseline reads."""
    found = ended.rates
    return {KEY: FORMAT} | {k: v for k, v in ended.header.items() if k != KEY} | {
        "rate": _rate(found.whole),
        "languages": {name: _rate(rate) for name, rate in found.languages.items()},
        "kinds": {name: _rate(rate) for name, rate in found.kinds.items()},
        "judges": {name: _rate(rate) for name, rate in of_judges(found).items()},
        "rows": {
            row: {judge: [rate.found, rate.of] for judge, rate in of_row.items()}
            for row, of_row in found.judges.items()
        },
        "kinds by judge": {
            kind: {judge: [rate.found, rate.of] for judge, rate in of_kind.items()}
            for kind, of_kind in found.of_kinds.items()
        },
        "cells": [
            dict(zip(("row", "judge", "kind"), cell, strict=True)) | _rate(rate)
            for cell, rate in sorted(found.cells.items())
        ],
        "alone": found.alone,
        "found by": ended.ways,
        "peers": {
            name: {"of all": _rate(b.of_all), "of asked": _rate(b.of_asked), "alarms": b.alarms}
            for name, b in ended.beside.items()
        },
        "seconds_to_kill": _quantiles(found.to_kill),
        "alarms": dict(ended.alarms),
        "survivors": {f.id: {"state": o.state, "row": o.row} for f, o in ended.survivors},
        "stillborn": [f.id for f, _ in ended.in_state(STILLBORN)],
        "sorts of equivalents": ended.sorts,
        "equivalents": {
            f.id: {"sort": ended.equivalents[f.id].sort, "reason": ended.equivalents[f.id].reason}
            for f in ended.called_equivalent
        },
        "found": [f.id for f, _ in ended.in_state(FOUND)],
    }  # fmt: skip


def _rate(rate: Rate) -> dict[str, Any]:
    low, high = rate.interval
    return {"found": rate.found, "of": rate.of, "interval": [round(low, 4), round(high, 4)]}


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    last = len(seconds) - 1
    return {"median": seconds[last // 2], "99 %": seconds[int(last * 0.99)], "most": seconds[-1]}


def markdown(ended: Ended) -> str:
    """The report of --markdown."""
    found, header = ended.rates, ended.header
    machine, command = header.get("machine") or {}, " ".join(header.get("command", ()))
    seconds = ", ".join(f"{k} {v:.3g} s" for k, v in _quantiles(found.to_kill).items())
    text = [
        "# Planted faults",
        f"{totals(ended)}. {machine.get('cpu')}; commit {header.get('commit')}, started "
        f"{header.get('started')}{_begun(header)}; `{command}`. A fault is asked of the rows that "
        f"execute it{_ONE if header.get('first') else _EACH} Seconds of cases until the first that "
        f"failed: {seconds or 'none'}.",
        _rate_table("language", found.languages | {"all": found.whole}),
        _rate_table("kind", found.kinds),
        _count_table("found by", ended.ways, WAYS),
    ]
    if found.judges:
        text += ["## Judges", "Of the faults that a judge had cases for, on the first row."]
        text += [_judge_table(found), _cross_table("kind", found.kinds, found.of_kinds)]
    text += ["## Rows", _cross_table("row", found.rows, found.judges)]
    text += _listed("Other projects' checks on the same faults", _peer_table(ended.beside))
    text += _listed("Survivors", [_survivor(f, o) for f, o in ended.survivors])
    text += _listed("False alarms", [f"- `{c}`: {t}" for c, t in ended.alarms.items()])
    if ended.called_equivalent:
        text += ["## Equivalent", _count_table("sort", ended.sorts, SORTS)]
        text.append(
            "\n".join(_equivalent(f, ended.equivalents[f.id]) for f in ended.called_equivalent)
        )
    text += _listed(
        f"Stillborn: {STATES[STILLBORN]}",
        [f"- `{f.id}`: {o.says}" for f, o in ended.in_state(STILLBORN)],
    )
    return "\n\n".join(text) + "\n"


_ONE = ", until one case finds it."
_EACH = (
    ". On the first every judge has its turn, and the tables of judges count those; the others go "
    "on until one finds it."
)


def _begun(header: Mapping[str, Any]) -> str:
    begun, known = header.get("begun"), header.get("known")
    text = f", going on with a run of {begun}" if begun else ""
    return text + (f"; what had found {known} of them before was asked first" if known else "")


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "\n".join(lines)] if lines else []


def _rate_table(what: str, parts: Mapping[str, Rate]) -> str:
    rows = [f"| {what} | found | of | rate | 95 % interval |", "|---|--:|--:|--:|---|"]
    for name, rate in parts.items():
        rows.append(f"| {name} | {rate.found} | {rate.of} | {percent(rate)} | {_interval(rate)} |")
    return "\n".join(rows)


def _count_table(what: str, counts: Mapping[str, int], says: Mapping[str, str]) -> str:
    rows = [f"| {what} | faults | |", "|---|--:|---|"]
    rows += [f"| {name} | {count} | {says[name]} |" for name, count in counts.items()]
    return "\n".join(rows)


def _peer_table(table: Mapping[str, Beside]) -> list[str]:
    if not table:
        return []
    rows = [
        "On the row that is asked first: random values in the interior, compact arrays. Of all "
        "faults, and of those where the check applies and says nothing of the right library.",
        "",
        "| check | found | of all | 95 % interval | of asked | 95 % interval | alarms |",
        "|---|--:|--:|---|--:|---|---|",
    ]
    for name, b in table.items():
        asked = f"{percent(b.of_asked)} of {b.of_asked.of} | {_interval(b.of_asked)}"
        rows.append(
            f"| {name} | {b.of_all.found} | {percent(b.of_all)} of {b.of_all.of} "
            f"| {_interval(b.of_all)} | {asked} | {', '.join(b.alarms)} |"
        )
    return rows


def _judge_table(found: Rates) -> str:
    rows = ["| judge | found | of | rate | 95 % interval | alone |", "|---|--:|--:|--:|---|--:|"]
    for judge, rate in of_judges(found).items():
        alone = len(found.alone.get(judge, ()))
        rows.append(
            f"| {judge} | {rate.found} | {rate.of} | {percent(rate)} | {_interval(rate)} "
            f"| {alone or ''} |"
        )
    return "\n".join(rows)


def _cross_table(
    what: str, parts: Mapping[str, Rate], by_judge: Mapping[str, Mapping[str, Rate]]
) -> str:
    shown = [judge for judge in JUDGES if any(judge in of for of in by_judge.values())]
    rows = ["".join(f"| {name} " for name in (what, "all", "95 % interval", *shown)) + "|"]
    rows.append("|---|--:|---|" + "--:|" * len(shown))
    for name, rate in parts.items():
        of = by_judge.get(name, {})
        cells = [f"{of[j].found}/{of[j].of}" if j in of else "" for j in shown]
        line = (name or "(none)", f"{rate.found}/{rate.of}", _interval(rate), *cells)
        rows.append("".join(f"| {cell} " for cell in line) + "|")
    return "\n".join(rows)


def _survivor(fault: Fault, outcome: Outcome) -> str:
    asked = f"{outcome.cases} cases of {outcome.rows} rows" if outcome.rows else STATES[UNREACHED]
    return f"### {fault.id}\n\n{asked}\n\n```diff\n{fault.diff()}```\n"


def _equivalent(fault: Fault, entry: Equivalent) -> str:
    return f"- `{fault.id}` ({entry.sort}): {entry.reason}"
