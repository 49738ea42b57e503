"""How rho is distributed: which bounds are tight, and which so loose that a fault fits into them.

    python -m verify.quantiles results*.jsonl --json rho.json --markdown rho.md

From results files alone. Passed verdicts with a rho count, every case once; where a case is in
several files, the last says. The tolerance of fd and second is the finite difference's own
estimate of its error: loose ones are looked for among forward and vjp, whose bounds are derived.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from verify.output import by_lines
from verify.results import read
from verify.spec import Case, Exit, Status, UsageError, Verdict
from verify.summary import Group, group_of

DERIVED = ("forward", "vjp")
LOOSE = 0.01  # an op whose largest rho stays below has a bound 100 times too wide
ENOUGH = 10_000  # verdicts with a rho, before that is said of it
# op -> why its largest rho stays below LOOSE all the same. Rows must exist and be exceeded by none.
REASONS: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of the rho of a group: a quantile is one of the values, never between two."""

    verdicts: int
    median: float
    q99: float
    q999: float
    largest: float
    worst: str  # the id of the largest


def rhos(verdicts: Iterable[Verdict]) -> dict[Group, dict[str, float]]:
    """By op, judge, device and dtype, in the order in which they come: rho by case id."""
    found: dict[Group, dict[str, float]] = {}
    for verdict in verdicts:
        if verdict.status is Status.PASS and verdict.rho is not None:
            group = group_of(Case.parse(verdict.id))
            found.setdefault(group, {})[verdict.id] = verdict.rho
    return found


def quantiles(verdicts: Iterable[Verdict]) -> dict[Group, Quantiles]:
    """Of each group."""
    return {group: of(values) for group, values in rhos(verdicts).items()}


def of(rhos: Mapping[str, float]) -> Quantiles:
    """Of rho by case id, at least one."""
    values = np.array(list(rhos.values()))
    median, q99, q999 = np.quantile(values, (0.5, 0.99, 0.999), method="higher").tolist()
    worst = max(rhos, key=lambda i: rhos[i])
    return Quantiles(len(rhos), median, q99, q999, rhos[worst], worst)


@dataclass(frozen=True, slots=True)
class Loose:
    """An op whose derived bounds were never used by more than LOOSE."""

    op: str
    verdicts: int
    largest: float
    reason: str

    @property
    def certain(self) -> bool:
        """Whether there are verdicts enough to say so."""
        return self.verdicts >= ENOUGH


def loose(groups: Mapping[Group, Quantiles], largest: float = LOOSE) -> list[Loose]:
    """The ops whose largest rho of forward and vjp, on any device, stays below `largest`."""
    derived: dict[str, list[Quantiles]] = {}
    for group, q in groups.items():
        if group.judge in DERIVED:
            derived.setdefault(group.op, []).append(q)
    found = []
    for op, qs in derived.items():
        most = max(q.largest for q in qs)
        # where no error was ever measured nothing is known of the bound
        if 0.0 < most < largest:
            found.append(Loose(op, sum(q.verdicts for q in qs), most, REASONS.get(op, "")))
    return found


def report(groups: Mapping[Group, Quantiles]) -> dict[str, Any]:
    """As JSON types."""
    return {
        "groups": [group._asdict() | asdict(q) for group, q in groups.items()],
        "loose": [asdict(found) for found in loose(groups)],
    }


def markdown(groups: Mapping[Group, Quantiles]) -> str:
    """As a table, the loosest first; derived bounds and finite differences apart."""
    parts = ["# How much of its error budget needle uses"]
    for title, wanted in (
        ("Derived bounds: forward and vjp", True),
        ("Finite differences, against their own estimate: fd and second", False),
    ):
        chosen = {g: q for g, q in groups.items() if (g.judge in DERIVED) is wanted}
        if chosen:
            parts += [f"## {title}", _table(chosen)]
    found = loose(groups)
    parts.append(f"## Ops whose largest rho stays below {LOOSE}")
    parts.append(
        "\n".join(
            f"- {f.op}: {f.largest:.2g} in {f.verdicts:,} verdicts. "
            + (f.reason or ("No reason is stated." if f.certain else "Too few verdicts to say."))
            for f in found
        )
        or "None."
    )
    return "\n\n".join(parts) + "\n"


def _table(groups: Mapping[Group, Quantiles]) -> str:
    lines = [
        "| op | judge | device | type | verdicts | median | 99 % | 99.9 % | largest |",
        "|---|---|---|---|--:|--:|--:|--:|--:|",
    ]
    for group, q in sorted(groups.items(), key=lambda item: item[1].largest):
        numbers = " | ".join(f"{x:.2g}" for x in (q.median, q.q99, q.q999, q.largest))
        lines.append(f"| {' | '.join(group)} | {q.verdicts:,} | {numbers} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> Exit:
    """Reads, reports; Exit.WEAK where a bound is certainly loose and no reason is stated."""
    parser = argparse.ArgumentParser(prog="python -m verify.quantiles", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("files", nargs="+", type=Path, help="results files (JSON Lines)")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--markdown", type=Path, help="file for the tables; else they are printed")
    options = parser.parse_args(arguments)
    try:
        verdicts = [v for path in options.files for v in read(path).verdicts]
        groups = quantiles(verdicts)
        if options.json:
            _write(options.json, by_lines(report(groups)))
        if options.markdown:
            _write(options.markdown, markdown(groups))
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return Exit.USAGE
    if not (options.json or options.markdown):
        sys.stdout.write(markdown(groups))
    unexplained = [f.op for f in loose(groups) if f.certain and not f.reason]
    return Exit.WEAK if unexplained else Exit.GOOD


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"[quantiles] cannot write, got file={path} ({error})") from error


if __name__ == "__main__":
    raise SystemExit(main())
