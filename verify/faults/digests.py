"""Hashes of what a result depends on: a result whose hash is another one now is asked again."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from verify.cache.sources import VERIFY, digest, judging, of_files, of_rows
from verify.faults.fault import Fault

_TOLD = ("PYTHONMALLOC", "MALLOC_", "NEEDLE_", "OMP_")


@functools.cache
def of_peers() -> str:
    """Of other projects' checks; what they ask torch is among the judges' files."""
    return of_files([VERIFY / "faults" / "peers.py"])


def of_subject(root: Path) -> str:
    """Of everything that a run of the right library depends on."""
    sources = sorted((root / "needle").rglob("*.py"))
    built = sorted((root / "needle").rglob("*.so"))
    stamps = [f"{f.name} {f.stat().st_size} {f.stat().st_mtime_ns}" for f in built]
    return digest(of_files(sources), *stamps, judging(), *of_rows().values(), *_surroundings())


def _surroundings() -> list[str]:
    """Versions, and what the environment tells Python's memory and needle."""
    told = sorted(f"{k}={v}" for k, v in os.environ.items() if k.startswith(_TOLD))
    return [sys.version, *(f"{name} {version(name)}" for name in ("numpy", "torch")), *told]


def of_fault(fault: Fault, root: Path, rows: Sequence[str], how: str) -> str:
    """Of a fault's result: its file, itself, the judges, the rows asked, and how they are."""
    text = (root / fault.path).read_bytes()
    of_each = (part for row in rows for part in (row, of_rows().get(row, "")))
    return digest(text, fault.id, fault.before, fault.after, how, judging(), *of_each)
