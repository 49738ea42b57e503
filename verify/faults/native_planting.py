"""Native faults in a process: modules that have them all, one of them switched on."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from verify.faults import native
from verify.faults.fault import Fault
from verify.faults.planting import source_root
from verify.output import tell
from verify.registry.planning import GRAPHS

T = TypeVar("T")
_MODULES = {"cpu": ("_core",), "cuda_sim": ("_core", "_cuda_sim")}  # that a device's cases execute


class Native:
    """The faults in C++ that are judged on a device, of the needle that would be imported here."""

    def __init__(self, device: str, root: Path | None = None) -> None:
        self.name = self.device = device
        self.beside = device if device in GRAPHS else ""  # whose kernels compute in 16 bits
        self.root = source_root() if root is None else root
        self._planted = ""

    @functools.cached_property
    def built(self) -> Path:
        """The folder with the needle that has the faults."""
        return native.build(self.root, tell)

    @property
    def stamp(self) -> str:
        """What the right library's results depend on, beside the Python sources."""
        return self.built.parent.name

    def faults(self) -> tuple[Fault, ...]:
        """All of them."""
        return tuple(f for f in native.faults(self.root) if f.language == self.name)

    def prepare(self) -> None:
        """Before processes are forked: builds, if that was not done."""
        self.built  # noqa: B018

    def place(self, fault: Fault) -> str:
        """What must be executed for a fault to show: its own place."""
        return fault.id

    def enter(self) -> None:
        """In a process of its own, before needle is imported there."""
        if "needle" in sys.modules:
            raise RuntimeError("needle was imported before a fault could be planted")
        os.environ.pop("NEEDLE_ISA", None)  # the build has one instruction set
        sys.path.insert(0, str(self.built))

    def plant(self, fault: Fault) -> None:
        """After enter: the fault is in what will be imported."""
        native.activate(fault, self.built)
        self._planted = fault.id

    def require_planted(self) -> None:
        """RuntimeError unless the module that was imported has the fault, and no other, active."""
        home = Path(sys.modules["needle"].__file__ or "").parents[1]
        if home != self.built or native.active(self.built) != self._planted:
            raise RuntimeError("the fault is not in the module that was imported")

    def watched(self, run: Callable[[], T]) -> tuple[T, frozenset[str]]:
        """What run gives, and the places that it executed."""
        return native.watched(run, self.built, _MODULES[self.device])
