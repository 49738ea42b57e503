"""Faults that no rule makes: a place named by its text, and what stands there instead."""

from __future__ import annotations

from dataclasses import dataclass

from verify.faults.source import Edit, Source
from verify.spec import UsageError


@dataclass(frozen=True, slots=True)
class Patch:
    """One fault: `anchor` stands exactly once in the function."""

    path: str
    function: str
    kind: str
    anchor: str
    new: str


PATCHES: tuple[Patch, ...] = ()


def edits_by_hand(source: Source, patches: tuple[Patch, ...] = PATCHES) -> dict[str, list[Edit]]:
    """The patches of a file, by function. UsageError where one has no place."""
    known = dict(source.functions())
    found: dict[str, list[Edit]] = {}
    for patch in patches:
        if patch.path != source.path:
            continue
        times = 0
        if patch.function in known:
            start, end = source.span(known[patch.function])
            text = source.data[start:end]
            anchor = patch.anchor.encode()
            times = text.count(anchor)
        if times != 1:
            raise UsageError(
                f"[faults] a patch's anchor stands once in its function, got times={times}, "
                f"{patch.path}:{patch.function}: {patch.anchor!r}"
            )
        at = start + text.index(anchor)
        edit = Edit(patch.kind, at, at + len(anchor), patch.new)
        found.setdefault(patch.function, []).append(edit)
    return found
