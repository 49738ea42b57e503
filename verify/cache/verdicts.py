"""Which verdicts of earlier runs stand, and keeping those of this one.

A verdict is kept with everything that it depends on, and stands as long as all of that is the same:
the folder is named by what all cases of a device share (surroundings.py), the file by the sources
of the row, and each verdict lists the functions of needle that its case executed (outline.py). Only
a PASS is kept: what failed is judged again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verify.cache import surroundings
from verify.cache.outline import lasting, outline
from verify.cache.sources import VERIFY, digest, of_rows
from verify.cache.store import Store, cache_folder
from verify.results import from_line, to_line
from verify.spec import Case, Status, Verdict
from verify.tracing import Tracing

_EVERY = 20.0  # seconds after which what came is written: a run that is killed loses no more


@dataclass
class _Sheet:
    """The verdicts of one file, by case id, each with the functions behind it."""

    verdicts: dict[str, tuple[frozenset[str], dict[str, Any]]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Functions are many, and sets of them alike: each is written once."""
        names = sorted({name for behind, _ in self.verdicts.values() for name in behind})
        numbers = {name: i for i, name in enumerate(names)}
        sets: dict[frozenset[str], int] = {}
        verdicts = {
            case_id: [sets.setdefault(behind, len(sets)), line]
            for case_id, (behind, line) in self.verdicts.items()
        }
        return {
            "functions": names,
            "sets": [sorted(numbers[name] for name in behind) for behind in sets],
            "verdicts": verdicts,
        }

    @classmethod
    def from_json(cls, data: Any) -> _Sheet:
        """What to_json gave; empty for anything else."""
        try:
            names = data["functions"]
            sets = [frozenset(names[i] for i in behind) for behind in data["sets"]]
            return cls({k: (sets[i], dict(line)) for k, (i, line) in data["verdicts"].items()})
        except (AttributeError, LookupError, TypeError, ValueError):
            return cls()


class Cache:
    """The verdicts that are at hand for a run, and those that it adds."""

    def __init__(self, root: Path, devices: Iterable[str], threads: int, timeout: float) -> None:
        """root: needle's folder. Raises: OSError, SyntaxError where sources cannot be read."""
        self._files = surroundings.files(root)
        self._stamps = surroundings.stamps(self._files)
        self._root, self._timeout = root, timeout
        found = outline(root)
        self._functions, self._current = found.functions, found.current
        shared = (surroundings.machine(threads), found.shared)
        self._folders = {
            device: digest(*shared, device, surroundings.native(root, device))
            for device in devices
            if device in surroundings.MODULES
        }
        self._rows = of_rows()
        self._store = Store(cache_folder())
        self._added: dict[str, _Sheet] = {}
        self._written = time.monotonic()
        hidden = surroundings.hidden_edits(self._files)
        # why nothing can be kept
        self.broken = f"bytecode of {hidden[0]} is older than the file" if hidden else ""

    @property
    def tracing(self) -> Tracing:
        """How workers tell what is behind the verdicts that they give."""
        names = {f"{self._root / name}" for name in lasting(self._root)}
        # the only properties of verify's that call needle are those of a case's question
        names |= {f"{VERIFY / name}" for name in lasting(VERIFY, ("cached_property",))}
        return Tracing(str(self._root), frozenset(names))

    def find(self, cases: Sequence[Case]) -> list[Verdict]:
        """The verdicts that stand, in the order of the cases."""
        sheets: dict[str, _Sheet] = {}
        found = []
        for case in cases:
            if (name := self._name(case)) is None:
                continue
            if name not in sheets:
                sheets[name] = _Sheet.from_json(self._store.read(name))
            behind, line = sheets[name].verdicts.get(case.id, (None, {}))
            if behind is None or not behind <= self._current:
                continue
            with contextlib.suppress(ValueError, KeyError, TypeError):
                verdict = from_line(line | {"id": case.id, "cached": True})
                # what took longer than this run allows might not be answered
                if verdict.status is Status.PASS and verdict.seconds <= self._timeout:
                    found.append(verdict)
        return found

    def add(self, verdict: Verdict) -> None:
        """Keep a verdict that was judged just now, if it can be."""
        if verdict.status is not Status.PASS or verdict.cached or verdict.reached is None:
            return
        name = self._name(Case.parse(verdict.id))
        behind = [(f, self._functions.get(f)) for f in verdict.reached]
        if name is None or any(value is None for _, value in behind):
            return
        line = to_line(verdict)
        del line["id"], line["cached"]
        sheet = self._added.setdefault(name, _Sheet())
        sheet.verdicts[verdict.id] = frozenset(f"{f} {value}" for f, value in behind), line
        if time.monotonic() > self._written + _EVERY:
            self.write()

    def write(self) -> None:
        """Write what was added, unless sources were edited meanwhile: then nobody knows which."""
        added, self._added = self._added, {}
        self._written = time.monotonic()
        if self.broken or not added:
            return
        try:
            if surroundings.stamps(surroundings.files(self._root)) != self._stamps:
                self.broken = "sources were edited during the run"
                return
            for name, sheet in added.items():
                before = _Sheet.from_json(self._store.read(name))
                self._store.write(name, _Sheet(before.verdicts | sheet.verdicts).to_json())
        except OSError as error:  # a full disk, a file that went away
            self.broken = str(error)

    def close(self) -> None:
        """Write the rest, and remove what is too much."""
        self.write()
        with contextlib.suppress(OSError):
            self._store.prune()

    def _name(self, case: Case) -> str | None:
        """The file of a case; None where its verdict depends on more than is known."""
        folder, row = self._folders.get(case.device), self._rows.get(case.op)
        if folder is None or row is None or case.region == "mnist":  # drawn from the user's files
            return None
        return f"{folder}/{case.op}-seed{case.seed}-{row}"


def opened(devices: Iterable[str], timeout: float, threads: int = 1) -> Cache | None:
    """The cache; None where something that verdicts depend on is not known here."""
    root = surroundings.needle_folder()
    if root is None or surroundings.others():
        return None
    try:
        return Cache(root, devices, threads, timeout)
    except (OSError, SyntaxError, ValueError):  # sources that cannot be read: a worker tells it
        return None
