"""Two runs side by side: for the terminal (80 columns), Markdown, HTML."""

from __future__ import annotations

from verify.compare.pairs import Change, Comparison, Line
from verify.html import page
from verify.output import printable
from verify.quantiles import Quantiles
from verify.table import Paint, number

_SHOWN = 20  # changed verdicts, and cases of one run alone


def terminal(found: Comparison, names: tuple[str, str], colour: Paint) -> str:
    """Where the runs come from, changed verdicts, ops; of torch its own largest rho."""
    short = [name if len(name) <= 34 else f"…{name[-33:]}" for name in names]
    rows = [("", *short), *(f for f in found.facts if f[0] not in ("command", "versions"))]
    lines = [f"{what:10} {_cut(a, 34):34} {_cut(b, 34)}".rstrip() for what, a, b in rows]
    lines[0] = colour(lines[0], "bold")
    lines += ["", colour(_told(found), "red" if any(c.worse for c in found.changes) else "dim")]
    for change in found.changes[:_SHOWN]:
        lines.append(f"  {change.before} -> {change.after} {change.id}")
        if change.text:
            lines.append(f"    {_cut(' '.join(change.text.split()), 76)}")
    lines += _rest(len(found.changes))
    for name, ids in zip(names, found.only, strict=True):
        if ids:
            lines += ["", f"{len(ids):,} cases only in {name}:", *(f"  {i}" for i in ids[:3])]
            lines += ["  ..."] if len(ids) > 3 else []
    head = f"{'':20} {'cases':^11} {'rho 99 %':^11} {'largest':^11} {'seconds':^13} torch".rstrip()
    lines += ["", colour(head, "bold")]
    lines += [_row(line) for line in found.lines]
    return "\n".join(lines)


def _told(found: Comparison) -> str:
    worse = sum(c.worse for c in found.changes)
    if not found.common:
        return "no case is in both runs"
    if not found.changes:
        some = f" in the {found.common:,} cases of both runs" if any(found.only) else ""
        return f"no verdict changed{some}"
    what = "1 verdict" if len(found.changes) == 1 else f"{len(found.changes):,} verdicts"
    return f"{what} changed, {worse:,} for the worse"


def _tone(found: Comparison) -> str:
    if not found.common:
        return "weak"
    return "wrong" if any(c.worse for c in found.changes) else "pass"


def _rest(n: int) -> list[str]:
    return [f"  ... and {n - _SHOWN:,} more"] if n > _SHOWN else []


def _row(line: Line) -> str:
    cells = _cells(line)
    pairs = [f"{a:>5} {b:>5}" for a, b in cells[:3]]
    a, b = cells[3]
    row = f"{_cut(line.op, 20):20} {' '.join(pairs)} {a:>6} {b:>6} {number(line.torch):>5}"
    return row.rstrip()


def _cells(line: Line) -> list[tuple[str, str]]:
    """Cases, rho at 99 %, largest rho, seconds: each of both runs."""
    one, two = line.rho
    return [
        (f"{line.cases[0]}", f"{line.cases[1]}"),
        (_rho(one, "q99"), _rho(two, "q99")),
        (_rho(one, "largest"), _rho(two, "largest")),
        (f"{line.seconds[0]:.2f}", f"{line.seconds[1]:.2f}"),
    ]


def _rho(quantiles: Quantiles | None, name: str) -> str:
    return "" if quantiles is None else number(getattr(quantiles, name))


def markdown(found: Comparison, names: tuple[str, str]) -> str:
    """The same: changed verdicts first, the ops folded in at the end."""
    parts = [f"# needle-verify compare: {_told(found)}"]
    if found.changes:
        shown = [_line(change) for change in found.changes[:_SHOWN]]
        parts.append("\n".join([*shown, *_rest(len(found.changes))]))
    for name, ids in zip(names, found.only, strict=True):
        if ids:
            parts.append(f"{len(ids):,} cases only in {name}: `{ids[0]}`" + " ..." * (len(ids) > 1))
    facts = [f"| {w} | {_cell(a)} | {_cell(b)} |" for w, a, b in found.facts]
    head = [f"| | {_cell(names[0])} | {_cell(names[1])} |", "|---|---|---|"]
    parts.append("\n".join([*head, *facts]))
    rows = [
        f"| {line.op} | {' | '.join(f'{a} → {b}' for a, b in _cells(line))} "
        f"| {number(line.torch)} |"
        for line in found.lines
    ]
    head = ["| op | cases | rho 99 % | largest | seconds | torch |", "|---|--:|--:|--:|--:|--:|"]
    table = "\n".join([*head, *rows])
    parts.append(f"<details><summary>By op</summary>\n\n{table}\n\n</details>")
    return "\n\n".join(parts) + "\n"


def _line(change: Change) -> str:
    text = f": {_cell(change.text)}" if change.text else ""
    return f"- {change.before} → **{change.after}** `{change.id}`{text}"


def _cell(text: str) -> str:
    return " ".join(printable(text).split()).replace("|", "\\|")


def html(found: Comparison, names: tuple[str, str]) -> str:
    """A page that needs no network."""
    return page(
        "compare/page.html.j2",
        told=_told(found),
        tone=_tone(found),
        names=names,
        facts=found.facts,
        changes=[
            (str(c.before), str(c.after), c.id, printable(c.text), "wrong" if c.worse else "pass")
            for c in found.changes
        ],
        only=[(name, ids) for name, ids in zip(names, found.only, strict=True) if ids],
        lines=[
            (line.op, [*(cell for pair in _cells(line) for cell in pair), number(line.torch)])
            for line in found.lines
        ],
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
