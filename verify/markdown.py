"""A results file as short Markdown: failures first, a table by op folded in. For pull requests."""

from __future__ import annotations

import re
from itertools import accumulate

from verify.results import Results
from verify.spec import Case, Status
from verify.summary import WRONG, Line, Summary
from verify.table import failures, number, plain, totals

_MOST = 60_000  # characters: GitHub takes 65,536 in a comment
_LINES = 40  # of weak groups and known failures
_DEVICES_AND_TYPES = {"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16"}


def report(results: Results, summary: Summary) -> str:
    """The text: verdict of the run, failures in full, one row per op, device and dtype."""
    selection = results.selection
    seconds = sum(v.seconds for v in results.verdicts)
    counted = totals(summary, seconds, plain).splitlines()
    header = results.header
    told = counted[:-1]
    if len(told) > _LINES + 3:
        told = [*told[:_LINES], f"... and {len(told) - _LINES - 2:,} more", *told[-2:]]
    parts = [
        f"# needle-verify: {counted[-1]}",
        "\n".join(f"- {line}" for line in told),
        f"Budget {selection.budget}, seed {selection.seed}; commit {header.get('commit')}, "
        f"started {header.get('started')}.",
    ]
    if wrong := failures(results.verdicts, plain, every=False):
        fence = max([*re.findall("`+", wrong), "``"], key=len) + "`"
        parts += ["## Failures", f"{fence}text\n{wrong[: _MOST // 2]}\n{fence}"]
    left = _MOST - sum(map(len, parts))
    parts.append(
        f"<details><summary>By op</summary>\n\n{_table(summary.lines, left)}\n\n</details>"
    )
    return "\n\n".join(parts) + "\n"


def _table(lines: list[Line], most: int) -> str:
    """All lines, or as many as fit into `most` characters: wrong ones, then the largest rhos."""
    head = (
        "| op | device | type | cases | status | rho | ULP | worst |\n"
        "|---|---|---|--:|---|--:|--:|---|"
    )
    rows = [(line, _row(line)) for line in lines]
    shown = [row for _, row in rows]
    if sum(map(len, shown)) + len(shown) > most:
        rows.sort(key=lambda pair: (_all_pass(pair[0]), -(pair[0].rho or 0)))
        sizes = accumulate(len(row) + 1 for _, row in rows)
        shown = [row for (_, row), size in zip(rows, sizes, strict=True) if size <= most]
    more = f"\n\n... and {len(rows) - len(shown):,} more lines: --html has all" * (
        len(shown) < len(rows)
    )
    return "\n".join([head, *shown]) + more


def _all_pass(line: Line) -> bool:
    return set(+line.counts) <= {Status.PASS}


def _row(line: Line) -> str:
    counts = [f"{n:,} {status}" for status, n in line.counts.items() if status is not Status.PASS]
    status = ", ".join(counts) or str(Status.PASS)
    worst = line.worst
    where = ""
    if worst is not None and (worst.rho is not None or worst.status in WRONG):
        where = f"`{Case.parse(worst.id).id}`"
    return (
        f"| {line.op} | {line.device} | {_DEVICES_AND_TYPES.get(line.dtype, line.dtype)} | "
        f"{line.cases:,} | {status} | {number(line.rho)} | {number(line.ulp)} | {where} |"
    )
