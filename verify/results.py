"""The results file: JSON Lines, a header with the provenance, then one verdict a line, flushed.

Every report can be made from this file alone, and an interrupted run goes on from it.
schema/results-1.json describes it to others: FORMAT is its number.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

from verify.plan import Plan, Selection
from verify.spec import Case, UsageError, Verdict

FORMAT = 1
_PACKAGES = ("needle", "torch", "numpy")
_REAL = (
    "rho",
    "ulp",
    "torch_rho",
    "torch_ulp",
)
_TEXTS = (
    "worst",
    "attribution",
    "message",
    "vacuous_reason",
    "digest",
    "source",
)  # fields that may be infinite or NaN, which JSON has no number for


@dataclass
class Results:
    """What a results file holds."""

    header: dict[str, Any]
    verdicts: list[Verdict] = field(default_factory=list)
    complete_bytes: int = 0  # where a line cut off by an interrupt begins, else the size

    @property
    def selection(self) -> Selection:
        """The selection that the run was started with."""
        return Selection.from_json(self.header["plan"]["selection"])


def provenance(plan: Plan, command: Sequence[str]) -> dict[str, Any]:
    """The header: what was run, from which sources, on which machine."""
    return {
        "needle_verify": FORMAT,
        "seed": plan.selection.seed,
        "plan": {
            "size": len(plan.cases),
            "hash": plan.hash,
            "selection": plan.selection.to_json(),
        },
    } | origin(command, plan.selection.devices)


def origin(command: Sequence[str], devices: Sequence[str]) -> dict[str, Any]:
    """By which command, from which sources, on which machine."""
    return {
        "command": list(command),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()} | _versions(),
        "commit": _commit(),
        "machine": {
            "system": platform.platform(),
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "gpu": _gpu() if "cuda" in devices else None,
        },
    }


class Writer:
    """Appends verdicts to a results file, each flushed before the next one is reported."""

    def __init__(self, path: Path, header: Mapping[str, Any] | None, keep: int = 0) -> None:
        """Start a file with `header`, or (None) go on after the first `keep` bytes of one."""
        self.path = path
        try:
            self._file = path.open("w" if header is not None else "r+", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"[json] cannot write, got file={path} ({error})") from error
        if header is not None:
            self.line(header)
        else:
            self._file.truncate(keep)
            self._file.seek(0, os.SEEK_END)

    def write(self, verdict: Verdict) -> None:
        """Add one verdict."""
        self.line(to_line(verdict))

    def line(self, data: Mapping[str, Any]) -> None:
        """Add one line."""
        try:
            self._file.write(json.dumps(data, allow_nan=False, separators=(",", ":")) + "\n")
            self._file.flush()
        except OSError as error:  # a full disk
            raise UsageError(f"[json] cannot write, got file={self.path} ({error})") from error

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):  # told by the write that failed
            self._file.close()


def to_line(verdict: Verdict) -> dict[str, Any]:
    """A verdict as strict JSON: infinities and NaN become the strings that float() reads."""
    data = verdict.to_json()
    for name in data.keys() & _REAL:
        data[name] = _strict(data[name])
    data["budget"] = {term: _strict(value) for term, value in data["budget"].items()}
    return data


def from_line(data: Mapping[str, Any]) -> Verdict:
    """The verdict that to_line wrote; ValueError, KeyError or TypeError if it is none."""
    values = dict(data)
    for name in _REAL:
        values[name] = None if values.get(name) is None else float(values[name])
    values["budget"] = {term: float(value) for term, value in values.get("budget", {}).items()}
    verdict = Verdict.from_json(values)
    Case.parse(verdict.id)
    for name in _TEXTS:
        if not isinstance(text := getattr(verdict, name), str):
            raise ValueError(f"{name} is a text, got {text!r}")
    seconds, checked = verdict.seconds, verdict.checked
    if not isinstance(seconds, (int, float)) or not 0 <= seconds < math.inf:
        raise ValueError(f"seconds are a number, got {seconds!r}")
    if not isinstance(checked, int):
        raise ValueError(f"checked is a whole number, got {checked!r}")
    if not all(isinstance(v, str) for v in dict(verdict.environment).values()):
        raise ValueError(f"an environment holds texts, got {verdict.environment!r}")
    if isinstance(data.get("impostors", ()), str):
        raise ValueError(f"impostors are a list, got {data['impostors']!r}")
    return verdict


def _strict(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(float(value))


def read(path: Path, *, header_optional: bool = False) -> Results:
    """The contents of a results file; UsageError names file and line of what is malformed.

    A last line that was cut off by an interrupt is left out: its case is run again. With
    `header_optional`, a file of verdicts alone (one saved failure) is read too.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"[results] cannot read the file, got file={path} ({error})") from error
    results = Results({})
    for number, line in enumerate(raw.splitlines(keepends=True), start=1):
        cut_off = not line.endswith(b"\n") and number > 1
        try:
            data = json.loads(line)
            if not isinstance(data, dict):
                raise ValueError("it is no JSON object")
            if number == 1 and not (header_optional and "id" in data):
                _check_header(data)
                results.header = data
            else:
                results.verdicts.append(from_line(data))
        except (ValueError, KeyError, TypeError, UsageError) as error:
            if cut_off:
                break
            what = "header" if number == 1 else "verdict"
            detail = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise UsageError(
                f"[results] malformed {what}, got {path}:{number}: {detail}"
            ) from error
        if cut_off:  # whole JSON, but its newline is missing: the next line must not be glued to it
            results.verdicts.pop()
            break
        results.complete_bytes += len(line)
    if not raw:
        raise UsageError(f"[results] a results file starts with a header, got {path}:1: empty file")
    return results


def _check_header(data: Mapping[str, Any]) -> None:
    if data.get("needle_verify") != FORMAT:
        raise ValueError(
            f"a results file starts with needle_verify={FORMAT}, "
            f"got needle_verify={data.get('needle_verify')!r}"
        )
    missing = {"size", "hash", "selection"} - set(data["plan"])
    if missing:
        raise ValueError(f"the plan lacks {', '.join(sorted(missing))}")
    size = data["plan"]["size"]
    if not isinstance(size, int) or size < 0:
        raise ValueError(f"the plan's size is a whole number, got {size!r}")


def unfinished(plan: Plan, results: Results, path: Path) -> tuple[list[Case], list[Verdict]]:
    """What is left of a plan and the verdicts that stand; UsageError for another plan's file."""
    theirs = results.header["plan"]
    if theirs["hash"] != plan.hash:
        raise UsageError(
            f"[resume] the file belongs to another plan ({theirs['size']} cases, hash "
            f"{theirs['hash']}), got {len(plan.cases)} cases, hash={plan.hash}, file={path}; "
            "repeat the options of that run, or leave them out, with the same version of verify"
        )
    known = set(plan.ids)
    done = {v.id: v for v in results.verdicts}
    if strangers := done.keys() - known:
        raise UsageError(
            f"[resume] a verdict is not in the plan, got id={min(strangers)!r}, file={path}"
        )
    return [case for case in plan.cases if case.id not in done], list(done.values())


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _commit() -> str | None:
    """The commit of the source tree verify runs from, "+" if changed; None outside one."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    head = _output(["git", "-C", str(root), "rev-parse", "HEAD"])
    changed = _output(["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"])
    return f"{head}+" if head and changed else head


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _gpu() -> str | None:
    return _output(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"])


def _output(command: list[str]) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() or None
