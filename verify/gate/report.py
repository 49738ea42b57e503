"""What a gate found: for the terminal (80 columns), Markdown, JUnit XML."""

from __future__ import annotations

import textwrap
from xml.etree import ElementTree as ET

from verify.gate.outcome import RULES, Finding, Outcome
from verify.output import printable
from verify.table import Paint

_SHOWN = 10  # findings of a rule


def terminal(outcome: Outcome, origin: str, colour: Paint) -> str:
    """Findings by rule, why the evidence is weak, what was held, the verdict."""
    lines = [f"held against {origin}", *findings(outcome, colour)]
    for text in outcome.weak:
        first, *rest = _wrapped(text, "", "     ")
        lines += [f"{colour('WEAK', 'yellow')} {first}", *rest]
    for rule, what in outcome.held.items():
        found = _of(outcome, rule)
        said = colour(f"{len(found):,} found", "red") if found else colour("good", "green")
        lines.append(f"{rule:9} {said}: {what}")
    for note in outcome.notes:
        lines += _wrapped(f"note: {note}", "", "  ")
    style = {0: "green", 3: "yellow"}.get(int(outcome.exit), "red")
    return "\n".join([*lines, colour(outcome.verdict, style)])


def findings(outcome: Outcome, colour: Paint) -> list[str]:
    """The lines that say what regressed."""
    lines = []
    for rule in RULES:
        if found := _of(outcome, rule):
            lines += ["", colour(f"{rule}: {RULES[rule]}", "red")]
            for finding in found[:_SHOWN]:
                lines.append(f"  {finding.subject}")
                lines += _wrapped(finding.text, "    ")
                lines += [f"    replay: {line}" for line in _replay(finding)]
            lines += _more(found)
    return [*lines, ""] if lines else []


def markdown(outcome: Outcome, origin: str) -> str:
    """The same, short: for a step summary or a pull request."""
    parts = [f"# needle-verify gate: {outcome.verdict}", f"Held against {origin}."]
    for rule in RULES:
        if found := _of(outcome, rule):
            parts.append(f"## {rule.capitalize()}: {RULES[rule]}")
            lines = [f"- `{f.subject}`: {_flat(f.text)}" for f in found[:_SHOWN]]
            lines += [f"  - `{line}`" for f in found[:1] for line in _replay(f)]
            parts.append("\n".join([*lines, *_more(found)]))
    if outcome.weak:
        parts += ["## Weak evidence", "\n".join(f"- {_flat(text)}" for text in outcome.weak)]
    held = [
        f"| {rule} | {what} | {len(_of(outcome, rule)) or 'good'} |"
        for rule, what in outcome.held.items()
    ]
    parts.append("\n".join(["| rule | held | findings |", "|---|---|--:|", *held]))
    if outcome.notes:
        parts.append("\n".join(f"- {_flat(note)}" for note in outcome.notes))
    return "\n\n".join(parts) + "\n"


def junit(outcome: Outcome) -> str:
    """A test case per finding, and one for each rule that found nothing."""
    suite = ET.Element("testsuite", name="needle-verify gate")
    names = [(rule, what) for rule, what in outcome.held.items() if not _of(outcome, rule)]
    for rule, what in names:
        ET.SubElement(suite, "testcase", classname=f"gate.{rule}", name=what, time="0")
    failures = [(f"gate.{f.rule}", f.subject, f.text) for f in outcome.findings]
    failures += [("gate.evidence", text, text) for text in outcome.weak]
    for classname, name, text in failures:
        case = ET.SubElement(suite, "testcase", classname=classname, name=printable(name), time="0")
        ET.SubElement(case, "failure", message=printable(_flat(text))).text = printable(text)
    suite.set("tests", str(len(names) + len(failures)))
    suite.set("failures", str(len(failures)))
    suite.set("errors", "0")
    suite.set("skipped", "0")
    suite.set("time", "0")
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _of(outcome: Outcome, rule: str) -> list[Finding]:
    return [f for f in outcome.findings if f.rule == rule]


def _replay(finding: Finding) -> list[str]:
    return [finding.replay] if finding.replay else []


def _more(found: list[Finding]) -> list[str]:
    if len(found) <= _SHOWN:
        return []
    return [f"  ... and {len(found) - _SHOWN:,} more: --junit FILE has all"]


def _flat(text: str) -> str:
    return " ".join(printable(text).split())


def _wrapped(text: str, first: str, rest: str | None = None) -> list[str]:
    found = textwrap.wrap(
        _flat(text),
        75,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return found or [first]
