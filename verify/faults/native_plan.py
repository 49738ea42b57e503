"""Native faults as text: which there are, and the sources with all of them behind switches."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from verify.faults.cpp import blank, functions
from verify.faults.fault import KINDS, Fault
from verify.faults.native_rules import changes
from verify.faults.native_scope import RULED, Change, Edit
from verify.spec import UsageError

_PATCHES = Path(__file__).with_name("native_patches.toml")


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault and how its switch is compiled in."""

    fault: Fault
    change: Change


def plan(source: Path) -> list[Planned]:
    """Every native fault of a source tree, in the order of their numbers from 1.

    Raises: UsageError where a patch written by hand no longer fits the sources.
    """
    by_file: dict[str, list[Change]] = {}
    patches: dict[str, list[dict[str, str]]] = {}
    for patch in tomllib.loads(_PATCHES.read_text())["patch"]:
        patches.setdefault(patch["file"], []).append(patch)
    for path in sorted({*RULED, *patches}):
        text = _read(source, path)
        by_hand = [_by_hand(path, text, patch) for patch in patches.get(path, ())]
        rules = [c for c in changes(path, text) if not _meet(c, by_hand)]
        by_file[path] = sorted([*rules, *by_hand], key=lambda c: (c.start, c.kind))
        by_file[path] = _distinct(text, by_file[path])
    return [
        Planned(fault, change)
        for path, found in by_file.items()
        for fault, change in zip(_named(path, _read(source, path), found), found, strict=True)
    ]


def _distinct(text: str, found: Iterable[Change]) -> list[Change]:
    """Changes of which no two give the same text."""
    return list({edited(text, change.plain): change for change in found}.values())


def _read(source: Path, path: str) -> str:
    file = source / path
    if not file.is_file():
        raise UsageError(f"[faults] the source tree has no such file, got path={path!r}")
    return file.read_text()


def _named(path: str, text: str, found: Iterable[Change]) -> list[Fault]:
    counted: Counter[tuple[str, str]] = Counter()
    named = []
    for change in found:
        key = (change.function, change.kind)
        counted[key] += 1
        first = text.rfind("\n", 0, change.start) + 1
        last = text.find("\n", max(edit.end for edit in change.plain))
        inside = [Edit(e.start - first, e.end - first, e.text) for e in change.plain]
        named.append(
            Fault(
                id=f"{path}:{change.function}:{change.kind}:{counted[key]}",
                path=path,
                line=text.count("\n", 0, first) + 1,
                before=text[first:last],
                after=edited(text[first:last], inside),
            )
        )
    return named


def _meet(rule: Change, by_hand: Iterable[Change]) -> bool:
    """Whether an edit of a rule touches what a patch rewrites: brackets of both would cross."""
    spans = [
        (min(e.start for e in patch.switched), max(e.end for e in patch.switched))
        for patch in by_hand
    ]
    return any(e.start <= last and first <= e.end for e in rule.switched for first, last in spans)


_GUARDS = re.compile(r"if \(!|!")


def edited(text: str, edits: Iterable[Edit]) -> str:
    """Edits applied; of those at one place guards of all that follows first, then the first."""
    done, at = [], 0
    for edit in sorted(edits, key=lambda e: (e.start, e.end, not _GUARDS.match(e.text))):
        if edit.start < at:
            raise ValueError(f"edits overlap at {text[edit.start : edit.start + 40]!r}")
        done += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*done, text[at:]])


_TOKEN = re.compile(r"\w+|\s+|.", re.DOTALL)


def _by_hand(path: str, text: str, patch: dict[str, str]) -> Change:
    """The change that an entry of native_patches.toml describes."""
    anchor, kind = patch["at"], patch["kind"]
    if kind not in KINDS:
        raise UsageError(f"[faults] a patch has a kind of fault.KINDS, got kind={kind!r}")
    count = text.count(anchor)
    if count != 1:
        raise UsageError(
            f"[faults] the anchor of a patch must be found once, got count={count}, "
            f"file={path!r}, anchor={anchor!r}: adapt {_PATCHES.name}"
        )
    at = text.index(anchor)
    after = patch.get("shown", _plain(patch["switched"]))
    change = _differences(anchor, patch["switched"], at)
    inside = next((f.name for f in functions(blank(text)) if f.start <= at < f.end), "")
    name = patch.get("in", inside)
    if not name:
        raise UsageError(f"[faults] a patch outside of functions needs 'in', got at={anchor!r}")
    return Change(name, kind, change, (Edit(at, at + len(anchor), after),))


def _differences(before: str, after: str, at: int) -> tuple[Edit, ...]:
    """Edits that turn one text into the other, most of them insertions: others fit between."""
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    edits, places = [], [0]
    for token in old:
        places.append(places[-1] + len(token))
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for what, i, j, k, m in matcher.get_opcodes():
        if what != "equal":
            edits.append(Edit(at + places[i], at + places[j], "".join(new[k:m])))
    return tuple(edits)


def _plain(switched: str) -> str:
    """What a switched text is while the switch is on, as a person would write it."""
    text = re.sub(r"\bif \(@\) ", "", switched)
    text = re.sub(r"\bif \(!@\) [^;]*;", "/* left out */", text)
    text = re.sub(
        r"(?<!\w)\(@ \? ([^:()]*(?:\([^()]*\))?[^:()]*) : [^()]*(?:\([^()]*\))?\)", r"\1", text
    )
    text = text.replace("!@ && ", "false && ").replace("@ || ", "true || ").replace("@ && ", "")
    text = text.replace("fault_coarse(@, ", "narrower(").replace("fault_flush(@, ", "flushed(")
    return text.replace("fault_minus(@) * ", "-").replace("@", "1")


def switched(source: Path, planned: Iterable[Planned]) -> dict[str, str]:
    """The text of every file that has faults, by its path: `fault_on(n)` is the switch of n."""
    edits: dict[str, list[Edit]] = {}
    for number, p in enumerate(planned, start=1):
        edits.setdefault(p.fault.path, []).extend(compiled(number, p.change))
    texts = {path: edited(_read(source, path), found) for path, found in edits.items()}
    return {  # a .def file is included in the middle of things, by files that have the header
        path: text if path.endswith(".def") else f'#include "faults.h"\n{text}'
        for path, text in texts.items()
    }


def compiled(number: int, change: Change) -> list[Edit]:
    """The edits that put a fault behind the switch of its number."""
    switch = f"fault_on({number})"
    return [Edit(e.start, e.end, e.text.replace("@", switch)) for e in change.switched]
