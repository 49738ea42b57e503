"""Rows of others: plugin files, and installed packages (entry points `needle_verify.rows`)."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NoReturn

from verify.spec import Row, UsageError

GROUP = "needle_verify.rows"
_VERIFY = str(Path(__file__).resolve().parents[1])


def rows_of(paths: Iterable[str], installed: bool = True) -> list[Row]:
    """The rows of installed packages, unless these are not wanted, then those of plugin files.

    Raises: UsageError with file and place for what cannot be imported, or lists no rows.
    """
    found: list[Row] = []
    for point in entry_points(group=GROUP) if installed else ():
        found += _rows_of_package(point)
    for path in paths:
        module = _asked(path, path, functools.partial(_module, Path(path)))
        found += _listed(path, getattr(module, "ROWS", None))
    return found


def _rows_of_package(point: EntryPoint) -> list[Row]:
    """module, which lists its ROWS, or module:ROWS."""
    what = f"{point.name} = {point.value}"
    loaded = _asked(what, "", point.load)
    return _listed(what, loaded if point.attr else getattr(loaded, "ROWS", None))


def _module(path: Path) -> Any:
    """The module of a file, which finds what lies beside it."""
    if not path.exists():
        raise UsageError("there is no such file")
    if not path.is_file():
        what = "a folder" if path.is_dir() else "a pipe or a device"
        raise UsageError(f"a plugin is one file of Python, my_ops.py, and this is {what}")
    digest = hashlib.blake2b(str(path.resolve()).encode(), digest_size=4).hexdigest()
    name = f"{path.stem}_{digest}"  # no module of another file has it
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError("a plugin is a file of Python, my_ops.py")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # last: a folder named needle or torch there stands for neither
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _asked(what: str, path: str, load: Callable[[], Any]) -> Any:
    """What load gives; whatever it raises, sys.exit included, is a UsageError with the place."""
    try:
        with _no_end():
            return load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        place = place_of(error, path)
        place = f"{what} ({place})" if not path else place or what
        text = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
        raise UsageError(f"[plugin] it cannot be used, got plugin={place}: {text}") from error


@contextlib.contextmanager
def _no_end() -> Iterator[None]:
    """os._exit raises SystemExit: the end of this process with status 0 would pass for a run."""
    leave, here = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        if os._exit is not refuse or os.getpid() != here:  # kept for later, or in a fork
            leave(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = leave


def place_of(error: BaseException, path: str) -> str:
    """file:line of the plugin's own last line that led to the error."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename == path] or [
        f for f in frames if not f.filename.startswith(("<frozen", _VERIFY))
    ]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def _listed(what: str, rows: Any) -> list[Row]:
    if not isinstance(rows, (tuple, list)) or not rows:
        raise UsageError(f"[plugin] it lists rows in ROWS, got plugin={what} with ROWS={rows!r}")
    for row in rows:
        if not isinstance(row, Row) or not row.place:
            raise UsageError(f"[plugin] verify.row makes a row, got plugin={what} with {row!r}")
    return list(rows)
