"""A results file as one HTML page that needs no network: is it right, how accurate, how fast,
what changed.

The page's text is in report.html.j2, where every value is escaped; its script (script/*.js) makes
the rest of what lies beside it as JSON (compact.py), and never makes markup of text.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from importlib import resources
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from verify.html.beside import Beside
from verify.html.compact import compact, weak, worst_of
from verify.results import Results
from verify.spec import Exit, Status
from verify.summary import WRONG, Summary
from verify.table import number, plain, totals

_TONES = {Exit.GOOD: "pass", Exit.WRONG: "wrong", Exit.WEAK: "weak"}
_UNJUDGED = (Status.SKIP, Status.UNIMPLEMENTED)
_SCRIPTS = ("base", "state", "charts", "matrix", "cases", "op", "beside", "main")


class Card(NamedTuple):
    """One of the four questions; `tone` is one of pass, wrong, weak, none."""

    question: str
    answer: str
    tone: str
    lines: Sequence[str]
    place: str  # the section that says more


def report(results: Results, summary: Summary, beside: Beside | None = None) -> str:
    """The page."""
    beside = beside or Beside()
    counted = totals(summary, sum(v.seconds for v in results.verdicts), plain).splitlines()
    unjudged = Counter((v.status, v.message) for v in results.verdicts if v.status in _UNJUDGED)
    changed = beside.changed
    data = compact(results, summary) | {
        "speed": beside.speed,
        "accuracy": beside.accuracy,
        "changes": [astuple(change) for change in changed.changes] if changed else None,
        "compared": changed.ops if changed else (),
    }
    script = "\n".join(_text(f"script/{name}.js") for name in _SCRIPTS)
    style = _text("base.css") + _text("report.css")
    return page(
        "report.html.j2",
        verdict=counted[-1],
        tone=_TONES.get(summary.exit, "wrong"),
        cards=[*_right(summary, counted), *_accurate(results), *_fast(results, beside),
               *_changed(beside)],
        totals=[line for line in counted[:-1] if not line.startswith("WEAK")],
        counts=[(str(s), n) for s in Status if (n := summary.counts[s])],
        weak=list(weak(summary)),
        unjudged=[
            (status, why or "no reason is given", n) for (status, why), n in unjudged.items()
        ],
        changed=changed,
        speed=beside.speed,
        accuracy=beside.accuracy,
        provenance=list(_provenance(results)),
        style=Markup(style),
        script=Markup(script),
        hashes=(_hash(style), _hash(script)),
        data=Markup(_embedded(data)),
    )  # fmt: skip


def page(template: str, **values: Any) -> str:
    """A template of this package, or of another report's, with every value escaped."""
    environment = Environment(
        loader=PackageLoader("verify", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    folder = "" if "/" in template else "html/"
    return environment.get_template(folder + template).render(**values)


def _embedded(data: Any) -> str:
    """JSON that ends no script element, whatever its strings hold."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _text(name: str) -> str:
    return resources.files("verify.html").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What the page's security policy lets run: this text and nothing else."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# --- the four questions


def _right(summary: Summary, counted: Sequence[str]) -> Iterator[Card]:
    wrong = sum(summary.counts[s] for s in WRONG)
    answer = f"{wrong:,} wrong" if wrong else {0: "Yes", 3: "Weak evidence"}[summary.exit]
    lines = [f"{summary.counts[Status.PASS]:,} of {summary.planned:,} cases PASS"]
    if wrong:
        ops = {line.op for line in summary.lines if any(line.counts[s] for s in WRONG)}
        lines.append(f"in {', '.join(sorted(ops)[:4])}" + ", …" * (len(ops) > 4))
    if summary.weak:
        lines.append(f"{len(summary.weak):,} groups whose evidence is weak")
    if summary.not_run:
        lines.append(f"{summary.not_run:,} not run")
    yield Card("Is it right?", answer, _TONES.get(summary.exit, "wrong"), lines,
               "failures" if wrong else "coverage")  # fmt: skip


def _accurate(results: Results) -> Iterator[Card]:
    found = worst_of(results)
    if found is None:
        why = "no case that passed has a rho: nothing was measured"
        yield Card("How accurate?", "Not measured", "none", [why], "accuracy")
        return
    op, rho = found
    rhos = sorted(v.rho for v in results.verdicts if v.status is Status.PASS and v.rho is not None)
    ulps = sorted(v.ulp for v in results.verdicts if v.status is Status.PASS and v.ulp is not None)
    half = number(rhos[len(rhos) // 2])
    lines = [
        f"the largest error by its bound, of {op}; up to 1 is right",
        f"half of all cases use {half} of their bound or less",
        *([f"half of all results are within {number(ulps[len(ulps) // 2])} ULP, "
           f"90 % within {number(ulps[len(ulps) * 9 // 10])}"] if ulps else ()),
    ]  # fmt: skip
    yield Card("How accurate?", f"rho ≤ {number(rho)}", "plain", lines, "accuracy")


def _fast(results: Results, beside: Beside) -> Iterator[Card]:
    seconds = sum(v.seconds for v in results.verdicts)
    judged = f"judging took {seconds:,.1f} s of processor time"
    if beside.speed is None:
        why = "no benchmark was handed over (--speed FILE)"
        yield Card("How fast?", "Not measured", "none", [why, judged], "speed")
        return
    rows, means = beside.speed["rows"], beside.speed["means"]
    faster = sum(row[3] > 1 for row in rows)
    told = [f"{mean:.2f} with {name}" for name, mean in means.items()]
    first = next(iter(means.values()), None)
    yield Card(
        "How fast?",
        "beside torch" if first is None else f"{first:.2f} x torch",
        "plain",
        ["geometric mean: " + ", ".join(told), f"faster in {faster:,} of {len(rows):,} rows"],
        "speed",
    )


def _changed(beside: Beside) -> Iterator[Card]:
    changed = beside.changed
    if changed is None:
        why = "nothing to compare with: no --baseline was given"
        yield Card("What changed?", "Not compared", "none", [why], "changes")
        return
    tone = "wrong" if changed.worse else "pass"
    yield Card("What changed?", changed.told, tone, [f"beside {changed.name}"], "changes")


# --- where it comes from


def _provenance(results: Results) -> Iterator[tuple[str, str]]:
    header, selection = results.header, results.selection
    plan, machine = header["plan"], header.get("machine", {})
    yield "command", " ".join(map(str, header.get("command", ())))
    yield "started", str(header.get("started"))
    yield "commit", str(header.get("commit"))
    yield "plan", f"{plan['size']:,} cases, hash {plan['hash']}"
    yield "budget", selection.budget
    yield "seed", str(selection.seed)
    yield "devices", ", ".join(selection.devices)
    yield "versions", ", ".join(f"{k} {v}" for k, v in header.get("versions", {}).items())
    yield "machine", ", ".join(f"{k} {v}" for k, v in machine.items() if v is not None)
    isas = sorted({v.environment["isa"] for v in results.verdicts if "isa" in v.environment})
    if isas:
        yield "instruction set", ", ".join(isas)
