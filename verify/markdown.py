"""A results file as short Markdown: failures first, a table by op folded in. For pull requests."""

from __future__ import annotations

from verify.results import Results
from verify.spec import Case, Status
from verify.summary import WRONG, Line, Summary
from verify.table import failures, number, plain, totals

_DEVICES_AND_TYPES = {"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16"}


def report(results: Results, summary: Summary) -> str:
    """The text: verdict of the run, failures in full, one row per op, device and dtype."""
    selection = results.selection
    seconds = sum(v.seconds for v in results.verdicts)
    counted = totals(summary, seconds, plain).splitlines()
    header = results.header
    parts = [
        f"# needle-verify: {counted[-1]}",
        "\n".join(f"- {line}" for line in counted[:-1]),
        f"Budget {selection.budget}, seed {selection.seed}; commit {header.get('commit')}, "
        f"started {header.get('started')}.",
    ]
    if wrong := failures(results.verdicts, plain, every=False):
        parts += ["## Failures", f"```text\n{wrong}\n```"]
    parts.append(f"<details><summary>By op</summary>\n\n{_table(summary.lines)}\n\n</details>")
    return "\n\n".join(parts) + "\n"


def _table(lines: list[Line]) -> str:
    rows = [
        "| op | device | type | cases | status | rho | ULP | worst |",
        "|---|---|---|--:|---|--:|--:|---|",
    ]
    for line in lines:
        counts = [
            f"{n:,} {status}" for status, n in line.counts.items() if status is not Status.PASS
        ]
        status = ", ".join(counts) or str(Status.PASS)
        worst = line.worst
        where = ""
        if worst is not None and (worst.rho is not None or worst.status in WRONG):
            where = f"`{Case.parse(worst.id).id}`"
        rows.append(
            f"| {line.op} | {line.device} | {_DEVICES_AND_TYPES.get(line.dtype, line.dtype)} | "
            f"{line.cases:,} | {status} | {number(line.rho)} | {number(line.ulp)} | {where} |"
        )
    return "\n".join(rows)
