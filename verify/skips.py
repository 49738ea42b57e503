"""Known failures: `--skips FILE` names cases, each with a reason and the day on which it expires.

A case that an entry matches runs all the same; when it is wrong it counts as SKIP with the reason.
An entry whose cases all pass, or that no case of any budget matches, is stale; one past its day has
expired and excuses nothing. Both are weak evidence (exit 3), named by file and line.

    [[skip]]
    case = "conv/vjp/cuda"      # a glob for each part of a case id from the left; the rest is free
    reason = "cuDNN 9.1 rounds its workspace down"
    expires = 2027-01-31

Instead of `case`, any of `op`, `judge`, `device` and `dtype`.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from verify.plan import DEVICES, Plan, Registry, require_known
from verify.spec import DTYPES, JUDGES, Status, UsageError, Verdict

_PARTS = ("op", "judge", "device", "dtype")
_KEYS = ("case", *_PARTS, "reason", "expires")
_EXCUSED = (Status.FAIL, Status.CRASH, Status.TIMEOUT, Status.UNIMPLEMENTED)
_HEADING = re.compile(r"\s*\[\[\s*skip\s*\]\]")


@dataclass(frozen=True, slots=True)
class Entry:
    """One known failure."""

    where: str  # file:line
    pattern: str
    reason: str
    expires: date

    def matches(self, case_id: str) -> bool:
        """Whether the id is the pattern, or its parts match those of the pattern."""
        return case_id == self.pattern or self.asks_for(case_id.split("/"))

    def asks_for(self, parts: Sequence[str]) -> bool:
        """Whether an id that begins with these parts may match."""
        return all(map(fnmatch.fnmatchcase, parts, self.pattern.split("/")))


class Skips:
    """The entries of a file, on a day."""

    def __init__(self, entries: Sequence[Entry] = (), today: date | None = None) -> None:
        self.entries = tuple(entries)
        self.today = today or date.today()

    def applied(self, verdict: Verdict) -> Verdict:
        """The verdict, or SKIP where it is wrong and an entry that holds excuses it."""
        entry = self.excuse(verdict.id) if verdict.status in _EXCUSED else None
        if entry is None:
            return verdict
        said = f"{entry.reason} (until {entry.expires}, {entry.where})"
        text = f"{said}\n{verdict.status} {verdict.message or verdict.worst}".strip()
        return replace(verdict, status=Status.SKIP, message=text)

    def excuse(self, case_id: str) -> Entry | None:
        """The entry that holds for a case, if it is wrong."""
        matching = (e for e in self.entries if not self._expired(e) and e.matches(case_id))
        return next(matching, None)

    def rotten(self, plan: Plan, verdicts: Sequence[Verdict], registry: Registry) -> list[str]:
        """A line for every entry that has expired or is stale."""
        return [
            f"{entry.where}: {why}: {entry.reason}"
            for entry in self.entries
            if (why := self._rot(entry, plan, verdicts, registry))
        ]

    def _expired(self, entry: Entry) -> bool:
        return entry.expires < self.today

    def _rot(
        self, entry: Entry, plan: Plan, verdicts: Sequence[Verdict], registry: Registry
    ) -> str:
        if self._expired(entry):
            return f"expired on {entry.expires}"
        planned = [case_id for case_id in plan.ids if entry.matches(case_id)]
        if not planned:
            return "stale, there is no such case" if _absent(entry, plan, registry) else ""
        status = {verdict.id: verdict.status for verdict in verdicts}
        if all(status.get(case_id) is Status.PASS for case_id in planned):
            return f"stale, all {len(planned):,} of its cases pass"
        return ""

    def to_json(self) -> list[dict[str, str]]:
        """JSON types: the header of a results file keeps them."""
        return [
            {"where": e.where, "case": e.pattern, "reason": e.reason, "expires": str(e.expires)}
            for e in self.entries
        ]

    @classmethod
    def from_json(cls, data: Sequence[Mapping[str, str]]) -> Skips:
        """What to_json gave. Raises: UsageError for anything else."""
        try:
            return cls(
                [
                    Entry(d["where"], d["case"], d["reason"], date.fromisoformat(d["expires"]))
                    for d in data
                ]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"[skips] malformed in the results' header, got {data}") from error


def _absent(entry: Entry, plan: Plan, registry: Registry) -> bool:
    """Whether the plan asks for what the entry names, and no budget holds a case of it."""
    chosen, rows = plan.selection, registry.rows()
    groups = [
        (op, judge, device, dtype)
        for op, judge, device, dtype in itertools.product(
            plan.counts(), chosen.judges, chosen.devices, chosen.dtypes
        )
        if entry.asks_for((op, judge, device, dtype))
    ]
    parts = entry.pattern.split("/")
    if not groups or (len(parts) == 9 and not fnmatch.fnmatchcase(f"seed{chosen.seed}", parts[8])):
        return False
    return not any(
        entry.matches(case.id)
        for op, judge, device, dtype in groups
        for case in registry.plan_cases(rows[op], device, dtype, judge, chosen.seed, "deep")
    )


# --- the file


def read(path: Path, registry: Registry) -> Skips:
    """The entries of a file. Raises: UsageError that names the file and the line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"[skips] cannot read, got file={path} ({error})") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at line (\d+)", str(error))
        line = place[1] if place else len(text.splitlines())
        raise UsageError(f"[skips] malformed TOML, got {path}:{line}: {error}") from error
    found = data.get("skip", [])
    lines = list(_headings(text))
    if data.keys() - {"skip"} or not isinstance(found, list) or len(found) != len(lines):
        raise UsageError(
            f"[skips] a file holds nothing but [[skip]] tables, got {path}:1: "
            f"{', '.join(sorted(data))}"
        )
    return Skips([_entry(f"{path}:{n}", d, registry) for n, d in zip(lines, found, strict=True)])


def _headings(text: str) -> Iterator[int]:
    """The lines of the [[skip]] headings; what looks like one inside a string is none."""
    lines = text.splitlines(keepends=True)
    for i, line in enumerate(lines):
        if _HEADING.match(line):
            try:
                tomllib.loads("".join(lines[:i]))
            except tomllib.TOMLDecodeError:
                continue
            yield i + 1


def _entry(where: str, data: Mapping[str, Any], registry: Registry) -> Entry:
    def refuse(rule: str) -> UsageError:
        return UsageError(f"[skips] {rule}, got {where}")

    for key, value in data.items():
        try:
            require_known("key", key, _KEYS)
        except UsageError as error:
            raise UsageError(f"{error}, got {where}") from error
        if key != "expires" and not (isinstance(value, str) and value.strip()):
            raise refuse(f"{key} is a text that is not empty, got {key}={value!r}")
    for key in ("reason", "expires"):
        if key not in data:
            raise refuse(f"an entry needs a {key}" if key == "reason" else "an entry expires")
    if type(data["expires"]) is not date:
        raise refuse(f"expires is a date (2027-01-31), got expires={data['expires']}")
    named = [key for key in _PARTS if key in data]
    if ("case" in data) == bool(named):
        raise refuse(f"an entry has either a case or some of {', '.join(_PARTS)}")
    pattern = data.get("case") or "/".join(data.get(key, "*") for key in _PARTS)
    _require_names(where, pattern, registry)
    return Entry(where, pattern, data["reason"].strip(), data["expires"])


def _require_names(where: str, pattern: str, registry: Registry) -> None:
    """UsageError for a part that names nothing there is."""
    parts = pattern.split("/")
    valid = (registry.rows(), JUDGES, DEVICES, DTYPES)
    for what, part, names in zip(_PARTS, parts, valid, strict=False):
        if not fnmatch.filter(names, part):
            try:
                require_known(what, part, names)
            except UsageError as error:
                raise UsageError(f"{error}, got {where}") from error
    if len(parts) > 9:
        raise UsageError(f"[skips] a case id has 9 parts, got {len(parts)} in {where}")
