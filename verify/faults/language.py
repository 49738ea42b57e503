"""What the faults of a language have in common: how they come into a process, and who they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from verify.faults.fault import Fault

T = TypeVar("T")


class Language(Protocol):
    """How the faults of one language come into a process."""

    name: str  # as fault.language says it
    device: str  # that its faults are judged on
    beside: str  # for captured steps and 16 bits: another one where the first lacks them, or empty
    root: Path  # the folder with needle/

    @property
    def stamp(self) -> str:
        """What the right library's results depend on, beside the Python sources; may be empty."""

    def faults(self) -> tuple[Fault, ...]:
        """All of them, in a fixed order."""

    def prepare(self) -> None:
        """What must be done once, before processes are forked: a build."""

    def place(self, fault: Fault) -> str:
        """What must be executed for a fault to show, as `watched` names it."""

    def enter(self) -> None:
        """In a process of its own, before needle is imported there."""

    def plant(self, fault: Fault) -> None:
        """After enter: the fault is in what will be imported."""

    def require_planted(self) -> None:
        """Once needle is imported: RuntimeError unless the fault is there."""

    def watched(self, run: Callable[[], T]) -> tuple[T, frozenset[str]]:
        """What run gives, and the places that it executed."""


def language(name: str) -> Language:
    """The faults of one of LANGUAGES, in the needle that this process would import."""
    if name == "python":
        from verify.faults.planting import Python

        return Python()
    from verify.faults.native_planting import Native

    return Native(name)


LANGUAGES = ("python", "cpu", "cuda_sim")


def usable() -> tuple[str, ...]:
    """Those whose sources are where needle is: an installed one has no C++."""
    from verify.faults.planting import source_root

    return LANGUAGES if (source_root() / "csrc").is_dir() else LANGUAGES[:1]
