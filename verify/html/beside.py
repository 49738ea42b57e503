"""What is shown beside the results: an earlier run, a benchmark's ratios, a calibration."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verify.html.compact import short
from verify.output import printable
from verify.spec import UsageError


@dataclass(frozen=True)
class Change:
    """A case whose status is another one, or what a gate found."""

    before: str
    after: str
    subject: str  # a case id, or what regressed
    text: str
    worse: bool


@dataclass(frozen=True)
class Changed:
    """A run beside an earlier one."""

    name: str  # of the file
    told: str  # in a line
    worse: bool
    changes: Sequence[Change]
    notes: Sequence[str]  # what was held, and what could not be
    facts: Sequence[tuple[str, str, str]] = ()  # what, then, now
    # op, then pairs of then and now: cases, rho at 99 %, largest rho, seconds
    ops: Sequence[Sequence[str | float]] = ()


@dataclass(frozen=True)
class Beside:
    """All of it; what was not handed over is None or empty."""

    changed: Changed | None = None
    speed: Mapping[str, Any] | None = None
    accuracy: Sequence[Mapping[str, Any]] = field(default=())


def speed(path: Path) -> dict[str, Any]:
    """What needle-verify bench --json wrote. Raises: UsageError."""
    data = _json("speed", path)
    try:
        origin = data["provenance"]
        rows = [
            [
                printable(str(row["name"])), str(row["dtype"]), int(row["threads"]),
                *(short(float(v)) for v in (row["ratio"], *row["ratio_quartiles"])),
                short(float(row["needle_us"])), short(float(row["torch_us"])),
                *(short(row.get(name)) for name in (
                    "needle_gbytes", "needle_gflops", "share_of_limit")),
            ]
            for row in data["rows"]
        ]  # fmt: skip
        if not rows:
            raise ValueError("it has no rows")
        return {
            "file": path.name,
            "origin": printable(
                f"{origin.get('gpu') or origin['cpu']}, torch {origin['torch']}, "
                f"commit {str(origin['commit'])[:12]}"
            ),
            "means": {k: short(float(v)) for k, v in data["geometric_mean"].items()},
            "limits": _limits(data.get("limits") or {}),
            "rows": rows,
            "left": [printable(str(t)) for t in (*data.get("not_reached", ()),
                                                 *data.get("failed", ()))],
        }  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _malformed("speed", "report of needle-verify bench", path, error) from error


def _limits(data: Mapping[str, Any]) -> list[tuple[int, dict[str, float]]]:
    """What the device reached on so many threads; 0 where a file has one set for all rows."""
    if data and not all(isinstance(of, Mapping) for of in data.values()):
        data = {"0": data}
    return [
        (int(name.split()[0]), {printable(str(k)): float(v) for k, v in of.items()})
        for name, of in data.items()
    ]


def accuracy(path: Path) -> dict[str, Any]:
    """What needle-verify calibrate --json wrote. Raises: UsageError."""
    data = _json("accuracy", path)
    try:
        if data["needle_verify_accuracy"] != 1:
            raise ValueError("it was made by another version")
        return {
            "file": path.name,
            "origin": printable(f"{data['machine']['cpu']}, commit {str(data['commit'])[:12]}"),
            "rows": [_function(row) for row in data["rows"]],
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _malformed("accuracy", "table of needle-verify calibrate", path, error) from error


def _function(row: Mapping[str, Any]) -> dict[str, Any]:
    """One function on one device: its errors in ULP, and the largest by binade where recorded."""
    normal = row["normal"]
    form = [str(v) for v in row["arguments"].values() if v != "none"]
    return {
        "op": printable(row["op"]),
        "form": printable("/".join(form)),
        "device": printable(row["device"]),
        "isa": printable(row["isa"]),
        "dtype": printable(row["dtype"]),
        "count": int(row["count"]),
        "every": row["step"] == 1,
        "most": _real(row["most"]),
        "levels": [_real(normal.get(k)) for k in ("50 %", "99 %", "99.9 %")],
        "mean": _real(normal.get("mean")),
        "worst": [_real(normal.get("x")), _real(normal.get("most"))],
        "small": [_real(row["small"].get("x")), _real(row["small"].get("most"))],
        "domain": [[int(s), int(e), short(float(m))] for s, e, m in row.get("domain", ())],
    }


def _real(value: Any) -> float | str:
    return -1 if value is None else value if isinstance(value, str) else float(f"{value:.6g}")


def _json(option: str, path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"[{option}] cannot read, got file={path} ({error})") from error
    except ValueError as error:
        raise UsageError(f"[{option}] no JSON, got file={path}: {error}") from error


def _malformed(option: str, what: str, path: Path, error: Exception) -> UsageError:
    told = f"no {error}" if isinstance(error, KeyError) else str(error)
    return UsageError(f"[{option}] no {what}, got file={path}: {told}")
