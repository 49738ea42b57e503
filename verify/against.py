"""What the page shows beside a run: an earlier one (its results, or a gate's baseline), speed and
accuracy.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from verify import skips
from verify.compare.pairs import compare
from verify.gate.baseline import Baseline
from verify.gate.baseline import read as read_baseline
from verify.gate.rules import Run, judge
from verify.html.beside import Beside, Change, Changed, accuracy, speed
from verify.html.compact import short
from verify.output import printable
from verify.plan import Registry
from verify.results import Results, read
from verify.spec import UsageError

Earlier = Results | Baseline


def beside(options: argparse.Namespace, registry: Registry) -> Callable[[Results], Beside]:
    """Reads --baseline, --speed and --accuracy; results -> all of it. Raises: UsageError."""
    name = options.baseline
    before = None if name is None else earlier(Path(name))
    ratios = None if options.speed is None else speed(Path(options.speed))
    calibrated = [accuracy(Path(path)) for path in options.accuracy or ()]

    def made(results: Results) -> Beside:
        found = None if before is None else changed(name, before, results, registry)
        return Beside(found, ratios, calibrated)

    return made


def earlier(path: Path) -> Earlier:
    """What a file holds. Raises: UsageError where it is neither."""
    try:
        with path.open(encoding="utf-8") as file:
            first = file.readline()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"[baseline] cannot read, got file={path} ({error})") from error
    try:
        return read(path) if "needle_verify" in json.loads(first) else read_baseline(path)
    except (ValueError, TypeError):  # a baseline's first line is a bracket
        return read_baseline(path)


def changed(name: str, before: Earlier, results: Results, registry: Registry) -> Changed:
    """What is other than it was."""
    if isinstance(before, Results):
        return _compared(name, before, results)
    known = skips.Skips.from_json(results.header.get("skips", []))
    outcome = judge(Run(results, known, registry), before)
    found = [
        Change("", f.rule, printable(f.subject), printable(f.text), True) for f in outcome.findings
    ]
    notes = [f"held: {rule}, {what}" for rule, what in outcome.held.items()]
    notes += [f"too weak to say: {line}" for line in outcome.weak]
    worse = bool(outcome.findings or outcome.weak)
    told = outcome.verdict.partition(" (")[0]
    return Changed(printable(name), told, worse, found, [*notes, *outcome.notes])


def _compared(name: str, before: Results, results: Results) -> Changed:
    found = compare(before, results)
    worse = sum(c.worse for c in found.changes)
    changes = [
        Change(str(c.before), str(c.after), printable(c.id), printable(c.text), c.worse)
        for c in found.changes
    ]
    gone, new = map(len, found.only)
    notes = [f"{gone:,} cases of then are not in this run"] * bool(gone)
    notes += [f"{new:,} cases are new"] * bool(new)
    told = "no verdict changed"
    if changes:
        some = "1 verdict" if len(changes) == 1 else f"{len(changes):,} verdicts"
        told = f"{some} changed, {worse:,} for the worse"
    facts = [(what, printable(a), printable(b)) for what, a, b in found.facts]
    ops = [
        [
            printable(line.op), *line.cases,
            *(short(None if q is None else q.q99) for q in line.rho),
            *(short(None if q is None else q.largest) for q in line.rho),
            *(short(s) for s in line.seconds),
        ]
        for line in found.lines
    ]  # fmt: skip
    return Changed(printable(name), told, worse > 0, changes, notes, facts, ops)
