"""Where a course-style needle lies: the package, and the folder that goes first on sys.path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from verify.spec import UsageError

# Folders that may hold the package, below what the user named.
_ROOTS = (".", "python", "python/needle", "needle")


@dataclass(frozen=True, slots=True)
class Place:
    """A package called `needle`."""

    root: Path  # goes first on sys.path
    package: Path


def find(path: str) -> Place:
    """The package at or below a path: a repository, a homework, `python/`, or the package itself.

    Raises: UsageError with the places that were looked at.
    """
    given = Path(path).expanduser().resolve()
    if not given.is_dir():
        raise UsageError(f"[target] a folder, got target={path}")
    looked: list[Path] = []
    for package in [given] * (given.name == "needle") + [given / r / "needle" for r in _ROOTS]:
        package = package.resolve()
        if _is_needle(package):
            return Place(package.parent, package)
        looked.append(package)
    below = [
        child
        for child in sorted(given.iterdir())
        if child.is_dir() and any(_is_needle(child / r / "needle") for r in _ROOTS)
    ]
    if len(below) == 1:
        return find(str(below[0]))
    if below:
        names = ", ".join(child.name for child in below)
        raise UsageError(f"[target] {names} hold a needle each: name one, got target={path}")
    raise UsageError(
        f"[target] there is no package needle with autograd and ops, got target={path}; looked at "
        + ", ".join(map(str, dict.fromkeys(looked)))
    )


def _is_needle(folder: Path) -> bool:
    """A module autograd and ops, each a file or a package."""
    return all(
        (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()
        for name in ("autograd", "ops")
    )
