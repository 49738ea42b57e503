"""Hashes of verify's own sources: of what judges a case, and of the files that describe a row."""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

from verify import registry

VERIFY = Path(__file__).parents[1]
_REGISTRY = "verify.registry"
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


def of_files(files: Iterable[Path]) -> str:
    """Of names and contents."""
    return digest(*(part for f in files for part in (f.name, f.read_bytes())))


def of_modules(names: Iterable[str]) -> str:
    """Of modules and packages of verify."""
    files = [f for name in names for f in (VERIFY / f"{name}.py", *package(name))]
    return of_files(f for f in files if f.exists())


@functools.cache
def judging() -> str:
    """Of the judges."""
    return of_modules(JUDGING)


def package(name: str) -> list[Path]:
    """The files of a package of verify."""
    return sorted((VERIFY / name).rglob("*.py"))


@functools.cache
def of_rows() -> dict[str, str]:
    """Of every row: its family's file, the package's own, what both import."""
    families = {module.__name__.rpartition(".")[2]: module for module in registry.FAMILIES}
    found: dict[str, str] = {}
    for name, module in families.items():
        files = sorted(_closure({name, "__init__"}, skip=frozenset(families)))
        value = of_files(VERIFY / "registry" / f"{file}.py" for file in files)
        found |= {row.name: value for row in module.ROWS}
    return found


def _closure(names: set[str], skip: frozenset[str]) -> set[str]:
    """Files of the registry that these import, at any distance.

    skip: families, which the package's own file gathers without looking inside.
    """
    found, waiting = set(names), list(names)
    while waiting:
        name = waiting.pop()
        fresh = _imports(name) - found - (skip if name == "__init__" else set())
        found |= fresh
        waiting += fresh
    return found


@functools.cache
def _imports(name: str) -> frozenset[str]:
    """The files of the registry that one of them imports."""
    found = set()
    for node in ast.walk(ast.parse((VERIFY / "registry" / f"{name}.py").read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name.rpartition(".")[2] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found |= {alias.name for alias in node.names} if module == _REGISTRY else set()
            if module.startswith(f"{_REGISTRY}."):
                found.add(module.rpartition(".")[2])
    return frozenset(found & {f.stem for f in package("registry")})
