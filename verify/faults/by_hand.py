"""Faults that no rule makes, from python_patches.toml: a place by its text, and what is there."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from verify.faults.source import Edit, Source
from verify.spec import UsageError

_PATCHES = Path(__file__).with_name("python_patches.toml")


@functools.cache
def patches() -> tuple[Mapping[str, str], ...]:
    """Every patch: file, in (its function), kind, at (a text that stands once there), new."""
    return tuple(tomllib.loads(_PATCHES.read_text(encoding="utf-8"))["patch"])


def edits_by_hand(
    source: Source, every: Sequence[Mapping[str, str]] | None = None
) -> dict[str, list[Edit]]:
    """The patches of a file, by function. Raises: UsageError where one has no place."""
    known = dict(source.functions())
    found: dict[str, list[Edit]] = {}
    for patch in patches() if every is None else every:
        if patch["file"] != source.path:
            continue
        function, anchor = patch["in"], patch["at"].encode()
        start, end = source.span(known[function]) if function in known else (0, 0)
        times = source.data[start:end].count(anchor)
        if times != 1:
            raise UsageError(
                "[faults] the text of a patch stands once in its function, "
                f"got times={times}, {source.path}:{function}: {patch['at']!r}"
            )
        at = source.data.index(anchor, start)
        edit = Edit(patch["kind"], at, at + len(anchor), patch["new"].lstrip("\n"))
        found.setdefault(function, []).append(edit)
    return found
