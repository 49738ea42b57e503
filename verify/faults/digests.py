"""Hashes of what a result depends on: a result whose hash is another one now is asked again."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from verify import registry
from verify.faults.fault import Fault

_VERIFY = Path(__file__).resolve().parents[1]
# What judges a case, the registry's rows apart; tests/verify/test_faults.py holds it against what
# verify.checks imports.
JUDGING = (
    "accuracy", "attribution", "batches", "budget", "checks", "counterexample", "fd", "fd_float32",
    "idx", "judges", "laws", "precision", "reference", "regularity", "same", "sampling",
    "shrinking", "spec", "targets", "training",
)  # fmt: skip


def digest(*parts: str | bytes) -> str:
    """A stable hash."""
    found = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "little") + data)
    return found.hexdigest()


def _of_files(files: Iterable[Path]) -> str:
    return digest(*(part for f in files for part in (f.name, f.read_bytes())))


@functools.cache
def judging() -> str:
    """Of the judges."""
    files = [f for name in JUDGING for f in (_VERIFY / f"{name}.py", *_package(name))]
    return _of_files(f for f in files if f.exists())


def _package(name: str) -> list[Path]:
    return sorted((_VERIFY / name).rglob("*.py"))


@functools.cache
def of_peers() -> str:
    """Of other projects' checks; what they ask torch is among the judges' files."""
    return _of_files([_VERIFY / "faults" / "peers.py"])


@functools.cache
def of_rows() -> dict[str, str]:
    """Of every row: its family's file, and the files that all families share."""
    families = {module: Path(module.__file__ or "") for module in registry.FAMILIES}
    shared = _of_files(f for f in _package("registry") if f not in families.values())
    return {
        row.name: digest(shared, path.read_bytes())
        for module, path in families.items()
        for row in module.ROWS
    }


def of_subject(root: Path) -> str:
    """Of everything that a run of the right library depends on."""
    sources = sorted((root / "needle").rglob("*.py"))
    built = sorted((root / "needle").rglob("*.so"))
    stamps = [f"{f.name} {f.stat().st_size} {f.stat().st_mtime_ns}" for f in built]
    return digest(_of_files(sources), *stamps, judging(), *of_rows().values())


def of_fault(fault: Fault, root: Path, rows: Sequence[str], how: str) -> str:
    """Of a fault's result: its file, itself, the judges, the rows asked, and how they are."""
    text = (root / fault.path).read_bytes()
    of_each = (part for row in rows for part in (row, of_rows().get(row, "")))
    return digest(text, fault.id, fault.before, fault.after, how, judging(), *of_each)
