"""From source files to the ops that they concern: for hooks that verify what a commit touches."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from verify import targets

_FOLDERS = ("needle", "csrc", "verify")  # of this repository: what verification depends on
EVERYTHING = "*"  # a glob of ops


def ops_of(files: Iterable[str], names: Sequence[str]) -> tuple[str, ...]:
    """Of `names`, those written in these files, or described there by a row.

    EVERYTHING where a file of needle, its kernels or verify holds neither: all rest on it. None for
    files elsewhere.
    """
    homes: dict[str, list[str]] = {}
    for name in names:
        homes.setdefault(targets.source(name).rpartition(":")[0], []).append(name)
    found: dict[str, None] = {}
    for file in files:
        path = _in_repository(file)
        if path is not None:
            written = homes.get(path, []) or _described(path, names) or [EVERYTHING]
            found |= dict.fromkeys(written)
    return (EVERYTHING,) if EVERYTHING in found else tuple(found)


def _in_repository(file: str) -> str | None:
    """The path from the root of the repository; None for what no verdict depends on."""
    parts = PurePath(file).parts
    starts = [i for i, part in enumerate(parts[:-1]) if part in _FOLDERS]
    if not starts or ((start := starts[-1]) and parts[start - 1] == "tests"):
        return None
    return PurePath(*parts[start:]).as_posix()


def _described(path: str, names: Sequence[str]) -> list[str]:
    """The rows of a family's file in verify/registry."""
    if not path.startswith("verify/registry/") or not path.endswith(".py"):
        return []
    module = path.removesuffix(".py").replace("/", ".")
    if importlib.util.find_spec(module) is None:  # it was deleted
        return []
    rows = getattr(importlib.import_module(module), "ROWS", ())
    return [row.name for row in rows if row.name in names]
