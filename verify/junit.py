"""A results file as JUnit XML: one test case per case, so that CI systems show them."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from verify.output import printable
from verify.results import Results
from verify.spec import Case, Status, Verdict
from verify.summary import Group, Summary, group_of

_KINDS = {  # status -> element inside the test case
    Status.FAIL: "failure",
    Status.WEAK: "failure",
    Status.UNIMPLEMENTED: "failure",
    Status.CRASH: "error",
    Status.TIMEOUT: "error",
    Status.SKIP: "skipped",
}


def report(results: Results, summary: Summary) -> str:
    """The XML: classname `op.judge`, name the case id, failure text with replay line."""
    suite = ET.Element("testsuite", name="needle-verify")
    if started := results.header.get("started"):
        suite.set("timestamp", str(started).removesuffix("+00:00"))
    properties = ET.SubElement(suite, "properties")
    for name, value in {
        "seed": results.selection.seed,
        "budget": results.selection.budget,
        "planned": summary.planned,
        "not run": summary.not_run,
        "commit": results.header.get("commit"),
        "stale and expired skips": "; ".join(summary.rotten) or "none",
    }.items():
        ET.SubElement(properties, "property", name=name, value=str(value))
    counts = {"failure": 0, "error": 0, "skipped": 0}
    for verdict in results.verdicts:
        kind = _add(suite, verdict, summary.weak)
        if kind is not None:
            counts[kind] += 1
    suite.set("tests", str(len(results.verdicts)))
    suite.set("failures", str(counts["failure"]))
    suite.set("errors", str(counts["error"]))
    suite.set("skipped", str(counts["skipped"]))
    suite.set("time", f"{sum(v.seconds for v in results.verdicts):.3f}")
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _add(suite: ET.Element, verdict: Verdict, weak: dict[Group, tuple[str, ...]]) -> str | None:
    """Adds a verdict's test case; the kind of element that says why it is not passed."""
    case = Case.parse(verdict.id)
    names = weak.get(group_of(case), ())
    status = Status.WEAK if names and verdict.status is Status.PASS else verdict.status
    element = ET.SubElement(
        suite,
        "testcase",
        classname=f"{case.op}.{case.judge}",
        name=case.id,
        time=f"{verdict.seconds:.6f}",
    )
    kind = _KINDS.get(status)
    if kind is None:
        return None
    text = printable(verdict.message or verdict.worst)
    if status is Status.WEAK:
        text = f"{', '.join(names)} would have passed all cases of this group"
    first = (text.splitlines() or [""])[0]
    short = first if status is Status.SKIP else verdict.worst or first
    short = text if status is Status.WEAK else printable(short)
    said = ET.SubElement(element, kind, message=short, type=str(status))
    replay = verdict.replay_line()
    said.text = text if replay in text else f"{text}\nreplay: {replay}"
    return kind
