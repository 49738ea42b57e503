"""The terminal: one line per op, device and dtype; failures in full; totals. 80 columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from verify.plan import Plan, Selection
from verify.spec import COMPUTED, Case, Status, Verdict
from verify.summary import WRONG, Line, Summary

Paint = Callable[[str, str], str]  # (text, style) -> text
_STYLES = {"green": "32", "red": "31;1", "yellow": "33", "dim": "2", "bold": "1"}
_SHORT = {"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16"}
_SHOWN = 10  # failures printed in full


def paint(text: str, style: str) -> str:
    """Text in colour."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def plain(text: str, style: str) -> str:
    """Text as it is: for pipes, and --no-color."""
    return text


def announce(plan: Plan) -> str:
    """What is going to run, in one line."""
    s = plan.selection
    ops = plan.counts()
    return (
        f"{len(plan.cases):,} cases: {_some(list(ops))} on {', '.join(s.devices)}; "
        f"{_dtypes(s)}; {', '.join(s.judges)}; seed {s.seed}; {_budget(s)}"
    )


def _dtypes(selection: Selection) -> str:
    """Those of all devices, then what some compute in alone; where differences are not asked."""
    devices = dict.fromkeys(selection.devices)
    shared = [t for t in selection.dtypes if all(t in selection.dtypes_of(d) for d in devices)]
    parts = [", ".join(shared)] if shared else []
    for device in devices:
        if more := [t for t in selection.dtypes_of(device) if t not in shared]:
            parts.append(f"{', '.join(more)} on {device}")
    differences = [judge for judge in ("fd", "second", "trajectory") if judge in selection.judges]
    if differences and not set(selection.dtypes) <= {*COMPUTED}:
        parts.append(f"{', '.join(differences)} in float64 alone")
    return "; ".join(parts)


def _budget(selection: Selection) -> str:
    seconds = selection.seconds
    if seconds is None:
        return f"budget {selection.budget}"
    return f"as many as fit into {seconds:g} s"


def table(lines: Sequence[Line], colour: Paint) -> str:
    """The lines of a summary under a heading; torch's own ULP beside needle's, where known."""
    beside = any(line.torch_ulp is not None for line in lines)
    width = min(max([len(line.op) for line in lines] + [2]), 20)
    wide = max([len(_status(line)[0]) for line in lines] + [9])
    head = (
        f"{'op':{width}} {'device':8} type {'cases':>5} {'status':{wide}} {'rho':>5} {'ULP':>5}"
        f"{' torch' * beside}  worst"
    )
    rows = [colour(head, "bold")]
    for line in lines:
        text, style = _status(line)
        first = (
            f"{_cut(line.op, width):{width}} {line.device:8} {_SHORT[line.dtype]:4} {line.cases:5} "
        )
        numbers = (
            f" {number(line.rho):>5} {number(line.ulp):>5}"
            f"{f' {number(line.torch_ulp):>5}' * beside}  "
        )
        left = 80 - len(first) - wide - len(numbers)
        note = colour(_cut(_note(line), max(left, 1)), "dim")
        rows.append(f"{first}{colour(f'{text:{wide}}', style)}{numbers}{note}".rstrip())
    return "\n".join(rows)


def _status(line: Line) -> tuple[str, str]:
    """The gravest status of a line, with its count where it is not of all cases."""
    for status, style in (
        (Status.FAIL, "red"),
        (Status.CRASH, "red"),
        (Status.TIMEOUT, "red"),
        (Status.WEAK, "yellow"),
        (Status.UNIMPLEMENTED, "yellow"),
        (Status.SKIP, "dim"),
        (Status.PASS, "green"),
    ):
        apart = line.outside if status is Status.UNIMPLEMENTED else 0
        if count := line.counts[status] - apart:
            name = {Status.UNIMPLEMENTED: "MISSING"}.get(status, str(status))
            return (name if count == line.cases or style == "green" else f"{count} {name}"), style
    return "OPEN" if line.outside else "-", "dim"


def _note(line: Line) -> str:
    """Where the worst element of a line is: judge, shapes and arguments of its case."""
    worst = line.worst
    if worst is None or (worst.rho is None and worst.status not in WRONG):
        return ""
    case = Case.parse(worst.id)
    parts = worst.id.split("/")
    return " ".join([case.judge, *(p for p in parts[4:8] if p not in ("-", "compact", "interior"))])


def failures(verdicts: Sequence[Verdict], colour: Paint, every: bool) -> str:
    """The failure texts with replay lines; ten unless `every`, one per op before a second."""
    wrong = [v for v in verdicts if v.status in WRONG]
    shown = wrong if every else spread(wrong)[:_SHOWN]
    blocks = [failure(v, colour) for v in shown]
    if len(shown) < len(wrong):
        more = f"{len(wrong) - len(shown):,} more"
        met, ops = ({Case.parse(v.id).op: None for v in part} for part in (shown, wrong))
        if others := [op for op in ops if op not in met]:
            more += f", of {_some(others)} too"
        blocks.append(f"... and {more}: -v prints all, --json FILE keeps them")
    return "\n\n".join(blocks)


def failure(verdict: Verdict, colour: Paint) -> str:
    """One failure: status and id, its text, its replay line."""
    text = verdict.message or verdict.worst
    lines = [f"{colour(str(verdict.status), 'red')} {verdict.id}", *text.splitlines()]
    if "replay: " not in text:
        lines.append(f"replay: {verdict.replay_line()}")
    return "\n  ".join(lines)


def totals(summary: Summary, seconds: float, colour: Paint) -> str:
    """Weak groups by name, then the counts, which add up to the plan."""
    lines = [
        f"{colour('WEAK', 'yellow')} {'/'.join(group)}: {_some(names)} would have passed all cases"
        for group, names in summary.weak.items()
    ]
    if summary.unreached:
        lines.append(
            f"{colour('WEAK', 'yellow')} the time was too short for {len(summary.unreached):,} "
            f"groups, which have no case: {_some('/'.join(g) for g in summary.unreached)}"
        )
    lines += [f"{colour('SKIP', 'dim')} {n:,}: {why}" for why, n in summary.skipped.items()]
    lines += [f"{colour('SKIP', 'yellow')} {line}" for line in summary.rotten]
    lines += [f"{colour('OPEN', 'dim')} {n:,}: {why}" for why, n in summary.outside.items()]
    lines += [f"{colour('MISSING', 'yellow')} {n:,}: {why}" for why, n in summary.malformed.items()]
    counts = [f"{summary.counts[s]:,} {s}" for s in Status if summary.counts[s] or s is Status.PASS]
    if summary.not_run:
        why = "" if summary.unreached is None else " (time is up)"
        counts.append(f"{summary.not_run:,} not run{why}")
    lines.append(f"{' + '.join(counts)} = {summary.planned:,} cases in {seconds:.1f} s")
    if summary.cached:
        lines.append(
            f"{summary.cached:,} verdicts are of earlier runs: what they depend on is unchanged "
            "(--no-cache)"
        )
    code = summary.exit
    good = "all that ran is good" if summary.not_run else "all good"
    words = {0: good, 1: "something is wrong", 3: "the evidence is too weak"}[code]
    lines.append(colour(f"{words} (exit {code:d})", "red" if code == 1 else _code_style(code)))
    return "\n".join(lines)


def _code_style(code: int) -> str:
    return "yellow" if code else "green"


def full(verdict: Verdict, colour: Paint) -> str:
    """Everything a verdict says: for --replay and -v."""
    good = verdict.status is Status.PASS
    lines = [f"{colour(str(verdict.status), 'green' if good else 'red')} {verdict.id}"]
    fields = {
        "rho": "" if verdict.rho is None else f"{verdict.rho:.4g} of the bound",
        "ULP": number(verdict.ulp),
        "torch": _of_torch(verdict),
        "worst": verdict.worst,
        "budget": ", ".join(f"{k} {v:.3g}" for k, v in verdict.budget.items()),
        "attribution": verdict.attribution,
        "impostors": _some(verdict.impostors) + " would have passed" if verdict.impostors else "",
        "declared": verdict.vacuous_reason,
        "checked": f"{verdict.checked:,} numbers in {verdict.seconds * 1e3:.1f} ms",
        "with": ", ".join(f"{k} {v}" for k, v in sorted(verdict.environment.items())),
    }
    lines += [f"{name:11} {text}" for name, text in fields.items() if text]
    lines += verdict.message.splitlines()
    return "\n  ".join(lines)


def _of_torch(verdict: Verdict) -> str:
    rho, ulp = number(verdict.torch_rho), number(verdict.torch_ulp)
    return ", ".join(filter(None, (rho and f"{rho} of the same bound", ulp and f"{ulp} ULP")))


def number(value: float | None) -> str:
    """At most five characters; empty for None."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    if value >= 9999.5:
        mantissa, exponent = f"{value:.0e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.2f}" if value < 99.995 else f"{value:.0f}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _some(names: Iterable[str], most: int = 4) -> str:
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def spread(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """In an order in which every (op, device) is met once before any is met twice."""
    seen: dict[tuple[str, str], int] = {}
    ranked = []
    for verdict in verdicts:
        case = Case.parse(verdict.id)
        turn = seen[case.op, case.device] = seen.get((case.op, case.device), 0) + 1
        ranked.append((turn, verdict))
    return [verdict for _, verdict in sorted(ranked, key=lambda pair: pair[0])]
