"""A failure in a file: its case, its environment, and the arrays that no case id can hold.

JSON, the arrays beside it as .npz (never pickled). The only format of saved failures: what
verify.check adds for a function of a user's own is in verify/saved.py.
"""

from __future__ import annotations

import json
import shlex
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from verify.spec import UsageError, Verdict, replay_options

FORMAT = 2
_MARK = "needle_verify_saved"
_KEYS = {"case", "environment", "given"}


def write(
    path: Path,
    verdict: Verdict,
    inputs: Sequence[Any],
    cotangents: Sequence[Any] = (),
    more: Mapping[str, Any] | None = None,
) -> str:
    """Save a failure; the line that replays it. An input that is None is drawn from the id."""
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {str(i): a for i, a in enumerate(inputs) if a is not None}
    seeds = {f"cotangent{i}": a for i, a in enumerate(cotangents)}
    if named or seeds:
        np.savez(path.with_suffix(".npz"), allow_pickle=False, **named, **seeds)
    data = {
        _MARK: FORMAT,
        "case": verdict.id,
        "environment": verdict.environment,
        "given": sorted(named, key=int),
        "cotangents": len(cotangents),
        "digest": verdict.digest,
        "worst": verdict.worst,
    }
    text = json.dumps(data | dict(more or {}), indent=1)
    path.write_text(text + "\n", encoding="utf-8")
    return f"needle-verify {replay_options(verdict.environment)}--replay {shlex.quote(str(path))}"


def read(path: Path) -> dict[str, Any] | None:
    """What `write` saved; None for another file. Raises: UsageError if it cannot be replayed."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(data, dict) or _MARK not in data:
        return None
    if data[_MARK] != FORMAT:
        raise UsageError(f"[replay] saved by another version of verify, got file={path}")
    require(path, data, _KEYS)
    return data


def require(path: Path, data: Mapping[str, Any], keys: set[str]) -> None:
    """UsageError unless the file has these keys."""
    if missing := keys - data.keys():
        raise UsageError(f"[replay] the file lacks {', '.join(sorted(missing))}, got file={path}")


def arrays(path: Path, data: Mapping[str, Any], count: int) -> tuple[list[Any], list[Any]]:
    """The `count` inputs, None where one is drawn, and the cotangents, where they are given."""
    inputs: list[Any] = [None] * count
    names = [f"cotangent{i}" for i in range(data.get("cotangents", 0))]
    if not data["given"] and not names:
        return inputs, []
    values = path.with_suffix(".npz")
    try:
        with np.load(values, allow_pickle=False) as kept:
            for i in data["given"]:
                inputs[int(i)] = kept[i]
            return inputs, [kept[name] for name in names]
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise UsageError(f"[replay] no inputs, got file={values} ({error})") from error
