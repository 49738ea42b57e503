"""A results file as SARIF 2.1.0: failures at the source lines of their ops, for code scanning.

One result per op, judge, device, dtype and kind of trouble, with the first case's text and how many
there are: viewers show a few thousand results at most, and a broken op fails more often than that.
Each has a file and a line: GitHub refuses a whole log for one result that has none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from verify.output import printable
from verify.results import Results
from verify.spec import JUDGES, Case, Status, Verdict
from verify.summary import WRONG, Group, Summary, group_of

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_ROOT = "%SRCROOT%"  # paths are relative to the root of the repository
_RULES = {  # judge -> the rule that a result of it breaks
    "forward": "The result agrees with torch in float64 within a derived bound.",
    "vjp": "The gradient agrees with torch in float64 within a derived bound.",
    "fd": "The gradient agrees with finite differences.",
    "second": "The gradient of the gradient agrees with finite differences.",
    "errors": "Bad input is refused with the documented exception.",
    "algebra": "Adjoints, Taylor remainders and identities between ops hold.",
    "batch": "A row's result does not depend on its neighbours.",
    "growth": "The error grows with the length of sums as the kernel guarantees.",
    "across": "The device agrees with numpy.",
    "distribution": "What is drawn follows its law.",
    "step": "Training steps agree with torch's.",
    "trajectory": "Twenty training steps agree with torch's.",
}
_REPORTED = (*WRONG, Status.UNIMPLEMENTED, Status.SKIP)
_SOMEWHERE = "needle/__init__.py:1"  # of an op whose line is not known: in C++, or needle has none


def report(results: Results, summary: Summary) -> str:
    """The JSON: results in the order of the plan, then the weak groups."""
    found = [_result(group, list(members)) for group, members in _groups(results.verdicts)]
    found += [
        _text(group, "warning", f"WEAK {'/'.join(group)}: {', '.join(names)} would have passed all")
        for group, names in summary.weak.items()
    ]
    run = {
        "tool": {"driver": _driver()},
        "invocations": [_invocation(results, summary)],
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {
            _ROOT: {"description": {"text": "The root of the repository, wherever it lies."}}
        },
        "results": found,
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _driver() -> dict[str, Any]:
    return {
        "name": "needle-verify",
        "version": metadata.version("needle"),
        "rules": [
            {"id": judge, "shortDescription": {"text": _RULES[judge]}, "name": judge}
            for judge in JUDGES
        ],
    }


def _invocation(results: Results, summary: Summary) -> dict[str, Any]:
    header = results.header
    found: dict[str, Any] = {
        "executionSuccessful": not summary.not_run,
        "exitCode": int(summary.exit),
    }
    if started := header.get("started"):
        found["startTimeUtc"] = str(started).replace("+00:00", "Z")
    if command := header.get("command"):
        found |= {"commandLine": " ".join(command), "arguments": list(command[1:])}
    return found


def _groups(verdicts: Iterable[Verdict]) -> Iterable[tuple[Group, list[Verdict]]]:
    """What is not PASS by group, status and, of a known failure, its reason."""
    found: dict[tuple[Group, Status, str], list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.status in _REPORTED:
            why = _first(verdict) if verdict.status is Status.SKIP else ""
            key = (group_of(Case.parse(verdict.id)), verdict.status, why)
            found.setdefault(key, []).append(verdict)
    return ((group, members) for (group, _, _), members in found.items())


def _first(verdict: Verdict) -> str:
    return (verdict.message.splitlines() or [""])[0]


def _result(group: Group, members: list[Verdict]) -> dict[str, Any]:
    """One result for cases of one group that are wrong alike."""
    first = members[0]
    text = f"{first.status} {first.id}\n{first.message or first.worst}".strip()
    if (replay := first.replay_line()) not in text:
        text += f"\nreplay: {replay}"
    if len(members) > 1:
        text += f"\nand {len(members) - 1:,} more cases of {'/'.join(group)}"
    level = "warning" if first.status is Status.UNIMPLEMENTED else "error"
    result = _text(group, level, text, first.source) | {"occurrenceCount": len(members)}
    result["properties"] = {"case": first.id, "status": str(first.status)}
    # the same failure on the next commit, whatever its numbers
    result["partialFingerprints"] = {"group/v1": f"{'/'.join(group)}/{first.status}"}
    if first.status is Status.SKIP:
        result["suppressions"] = [{"kind": "external", "justification": printable(_first(first))}]
    return result


def _text(group: Group, level: str, text: str, source: str = "") -> dict[str, Any]:
    """What every result has."""
    path, _, line = (source or _place(group.op)).rpartition(":")
    return {
        "ruleId": group.judge,
        "ruleIndex": JUDGES.index(group.judge),
        "level": level,
        "message": {"text": printable(text)},
        "locations": [
            {
                "logicalLocations": [{"fullyQualifiedName": group.op, "kind": "function"}],
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(path), "uriBaseId": _ROOT},
                    "region": {"startLine": int(line)},
                },
            }
        ],
    }


def _place(op: str) -> str:
    """path:line of an op that no verdict names the place of: a plugin's is that of its row."""
    from verify import registry, targets

    if found := targets.source(op):
        return found
    row = registry.rows().get(op)
    path, _, line = (row.place if row is not None else "").rpartition(":")
    below = Path.cwd()  # where CI has the repository
    if path and Path(path).resolve().is_relative_to(below):
        return f"{Path(path).resolve().relative_to(below).as_posix()}:{line}"
    return _SOMEWHERE
