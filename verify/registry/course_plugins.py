"""Rows of plugins for somebody else's needle: read where it is imported, planned elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from verify import registry, targets
from verify.registry import course, plugins
from verify.spec import Case, Row, UsageError


@functools.cache
def rows() -> dict[str, Row]:
    """The rows of this process's plugin files, as the library that it judges is asked.

    Those of installed packages are for our needle. Raises: UsageError.
    """
    table: dict[str, Row] = {}
    for row in plugins.rows_of(registry.given_plugins(), installed=False):
        if row.name in table or row.name in course.rows():
            where = table[row.name].place if row.name in table else "the course's own rows"
            raise UsageError(
                f"[plugin] a name has one row, got name={row.name!r} at {row.place} and in {where}"
            )
        # what takes arrays of numpy or torch is not made of the library
        table[row.name] = row if row.accuracy else _of_the_library(row)
    return table


def _of_the_library(row: Row) -> Row:
    return replace(
        row,
        mixtures=(),  # of the library's own Tensors, which the course leaves open
        layouts=course.layouts(row),
        view=True,
        apart=True,
        outside=_outside,
        accuracy=dict.fromkeys(targets.DEVICES, "course"),
    )


def _outside(case: Case, finding: Any = None) -> str:
    """A plugin asks what it means to hold, but for a dtype that is not there."""
    return course.cast_down(case)


def outlines(paths: Sequence[str], library: targets.Library) -> dict[str, Row]:
    """The rows of plugin files without what only the process that imports them can call."""
    registry.use_plugins(paths, elsewhere=True)
    return {
        name: replace(
            row,
            reference=_elsewhere,
            target=_elsewhere,
            kinks=_elsewhere if row.kinks else None,
            outside=None,
            domains=[replace(d, huge=_elsewhere, tiny=_elsewhere) for d in row.domains],
        )
        for name, row in rows().items()
    }


def _elsewhere(*_: Any, **__: Any) -> Any:
    raise UsageError("[plugin] a plan calls nothing of a plugin")
