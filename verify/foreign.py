"""Somebody else's needle on the command line: found, looked at, and what a run defaults to."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path

from verify import counterexample, targets
from verify.output import say, tell
from verify.registry import course, course_plugins
from verify.results import read
from verify.spec import Row, UsageError


def look(options: argparse.Namespace) -> targets.Found | None:
    """What lies where --target says, or said when the run of a results file began.

    Raises: UsageError when nothing is there.
    """
    path = None if options.target is None else str(Path(options.target).expanduser().resolve())
    for name in ("resume", "replay"):
        file = getattr(options, name)
        if file is None or not Path(file).is_file():  # an id
            continue
        before = _recorded(Path(file))
        if path is not None and path != before:
            raise UsageError(f"[{name}] the run was of target={before}, got target={path}")
        path = before
    if path is None:
        return None
    found = targets.probe(path, (*course.ARGUMENTS, *course.BEYOND))
    if options.resume is None:
        options.device = options.device or list(found.usable[:1])
        options.check = options.check or list(course.JUDGES)
    if not options.quiet:  # a list of ids is for other programs
        (tell if options.list else say)(found.says(tuple(course.ARGUMENTS)))
    return found


def added(found: targets.Found, plugins: Sequence[str]) -> dict[str, Row]:
    """The rows of plugin files, which may import it. Raises: UsageError."""
    if not plugins:
        return {}
    rows: dict[str, Row] = targets.ask(
        found.path, functools.partial(course_plugins.outlines, tuple(plugins))
    )
    return rows


def _recorded(path: Path) -> str | None:
    """The target that a results file, or the file of one failure, names; None: it was of ours."""
    if path.suffix == ".json" and (saved := counterexample.read(path)) is not None:
        found: str | None = saved["environment"].get("target")
        return found
    found = read(path, header_optional=True).header.get("target", {}).get("path")
    return found
