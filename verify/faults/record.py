"""The results file of faults: JSON Lines, a header with the provenance, then a fault a line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verify.faults.outcome import Outcome
from verify.spec import UsageError

FORMAT = 1
KEY = "needle_verify_faults"


@dataclass
class Record:
    """What a results file holds; of two lines of one fault the last says."""

    header: dict[str, Any]
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    complete_bytes: int = 0  # where a line cut off by an interrupt begins, else the size


def read(path: Path) -> Record:
    """The contents of a results file; UsageError names file and line of what is malformed.

    A last line that was cut off by an interrupt is left out: its fault is judged again.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"[faults] cannot read the file, got file={path} ({error})") from error
    record = Record({})
    for number, line in enumerate(raw.splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            break
        try:
            data = json.loads(line, parse_constant=_finite, parse_float=_finite)
            if number == 1:
                record.header = _checked(data)
            else:
                outcome = Outcome.from_json(data)
                record.outcomes[outcome.fault] = outcome
        except (ValueError, TypeError) as error:
            raise UsageError(f"[faults] malformed line, got {path}:{number}: {error}") from error
        record.complete_bytes += len(line)
    if not record.header:
        raise UsageError(f"[faults] a results file starts with a header, got {path}:1")
    return record


def _finite(text: str) -> float:
    """A number of JSON, which has no other: a report could not be written of NaN."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"a number is finite, got {text}")
    return number


def _checked(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict) or data.get(KEY) != FORMAT:
        raise ValueError(f"a results file of faults starts with {KEY}={FORMAT}")
    if not isinstance(data.get("command", []), list):
        raise ValueError("a command is a list of words")
    return data


def require_asked(
    option: str, path: Path, header: Mapping[str, Any], asked: Mapping[str, Any]
) -> None:
    """UsageError unless a file's faults were asked like this: what is found depends on it."""
    for name, value in asked.items():
        if header.get(name) != value:
            raise UsageError(
                f"[{option}] it was made with {name}={header.get(name)!r}, got {name}={value!r} "
                f"for {path}"
            )


def read_report(path: Path) -> dict[str, Any]:
    """A report that --report wrote; UsageError where it is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        lists = data["survivors"], data.get("stillborn", [])
        if data.get(KEY) != FORMAT or [type(names) for names in lists] != [dict, list]:
            raise ValueError(f"a report of faults has {KEY}={FORMAT} and names its survivors")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise UsageError(f"[baseline] no report of faults, got file={path} ({error})") from error
    return dict(data)
