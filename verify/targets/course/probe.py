"""What a folder holds, found out in a process of its own: the package may crash, hang and print."""

from __future__ import annotations

import functools
import multiprocessing
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from verify.spec import COMPUTED, UsageError
from verify.targets.course import importing
from verify.targets.course.library import DEVICES, Library
from verify.targets.course.place import find

SECONDS = 120.0
_LINES = 6  # of a traceback


@dataclass(frozen=True, slots=True)
class Found:
    """A subject: where it is, what it has. `path` is what a worker is told."""

    path: str
    package: str
    devices: Mapping[str, str]  # name -> why it cannot be used; empty: it can
    worlds: Mapping[str, str]  # device -> what lies under a Tensor
    dtypes: tuple[str, ...]  # that it really computes on all its devices
    names: tuple[str, ...]  # of those asked about
    broken: tuple[str, ...] = ()  # parts that cannot be imported, each with its error

    @property
    def usable(self) -> tuple[str, ...]:
        """Devices that work here."""
        return tuple(name for name, why in self.devices.items() if not why)

    def says(self, asked: Sequence[str]) -> str:
        """A line for the header of a run, and one for each part that cannot be imported."""
        devices = ", ".join(f"{name} ({self.worlds[name]})" for name in self.usable)
        absent = [name for name in asked if name not in self.names]
        text = f"target {self.package}: {devices}; {', '.join(self.dtypes)}; "
        text += f"{len(asked) - len(absent)} of {len(asked)} names"
        text += f", without {', '.join(absent)}" if absent else ""
        coarse = "float64" not in self.dtypes
        text += "; gradients against differences in float32" if coarse else ""
        return "\n".join([text, *self.broken])


def load(path: str) -> Library:
    """The library at a path, imported into this process, whose output goes nowhere from now on."""
    place = find(path)
    importing.silence()
    return Library(place, *importing.load(place))


def probe(path: str, names: Sequence[str]) -> Found:
    """What lies at a path. Raises: UsageError when nothing does, or it cannot be imported."""
    found: Found = ask(path, functools.partial(_found, path, names))
    return found


def ask(path: str, question: Callable[[Library], Any]) -> Any:
    """What a process that imports it answers. Raises: UsageError, its own too."""
    place = find(path)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_look, args=(theirs, path, question), daemon=True)
    process.start()
    theirs.close()
    answer: Any = _Failed("it did not come back")
    try:
        if ours.poll(SECONDS):
            answer = ours.recv()
        else:
            answer = _Failed(f"importing it takes more than {SECONDS:g} s")
    except EOFError:
        process.join(10)
        answer = _Failed(f"importing it ended the process (exit code {process.exitcode})")
    finally:
        process.kill()
        process.join()
        ours.close()
    if isinstance(answer, _Failed):
        chosen = Path(path).expanduser().resolve() != place.package
        where = f", found below target={path}," if chosen else ""
        raise UsageError(f"[target] {place.package}{where} cannot be used: {answer.why}")
    if isinstance(answer, UsageError):
        raise answer
    return answer


@dataclass(frozen=True, slots=True)
class _Failed:
    why: str


def _look(pipe: Connection, path: str, question: Callable[[Library], Any]) -> None:
    try:
        pipe.send(question(load(path)))
    except UsageError as error:
        pipe.send(error)
    except BaseException as error:
        lines = traceback.format_exception(error)[-_LINES:]
        pipe.send(_Failed("it cannot be imported\n" + "".join(lines).rstrip()))


def _found(path: str, names: Sequence[str], library: Library) -> Found | _Failed:
    devices = {name: library.device_status(name) or "" for name in DEVICES}
    usable = [name for name, why in devices.items() if not why]
    if not usable:
        return _Failed("no device works\n" + "\n".join(devices.values()))
    return Found(
        path=path,
        package=str(library.place.package),
        devices=devices,
        worlds={name: library.world(name) for name in usable},
        dtypes=tuple(t for t in COMPUTED if any(library.computes(d, t) == t for d in usable)),
        names=tuple(name for name in names if library.has(name)),
        broken=tuple(library.why_not(part) for part in library.broken),
    )
