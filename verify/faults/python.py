"""Faults of the Python sources: rules over every function, and a table of those made by hand."""

from __future__ import annotations

import ast
import functools
import itertools
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from verify.faults.by_hand import edits_by_hand
from verify.faults.fault import Fault
from verify.faults.rules import RULES
from verify.faults.source import Edit, Function, Source
from verify.faults.walk import places

PACKAGES = ("needle/ops", "needle/nn", "needle/optim", "needle/init", "needle/autograd")
# By rule a function has one fault of a kind; one that computes has two, the first and the last;
# kinds that have few places have all.
_COMPUTING = ("compute", "gradient", "forward", "step")
_ONCE = ("sign", "detached")  # wherever they are, the same judges see them
_ALL = ("eps", "variance", "correction", "broadcast")
# files, and names of functions and classes, without faults: needle-verify says nothing of them
ELSEWHERE = {
    "needle/autograd/numpy_world.py": "needs NEEDLE_BACKEND=np",
    "FusedAddScalars": "for graph rewrites",
    "fused_add_scalars": "for graph rewrites",
    "find_topo_sort": "the course's name for what backward does otherwise",
    "load_state_dict": "loading: tests/unit",
    "saved_count": "loading",
    "saved_rate": "loading",
    "_saved_number": "loading",
    "check_mapping": "loading",
    "fitting": "loading",
    "composed": "a second formula of an op, that unit tests hold against the first",
    "divisors": "of composed",
    "_inside": "of composed",
    "__repr__": "a text",
    "__str__": "a text",
}


@functools.cache
def faults(source: Path) -> tuple[Fault, ...]:
    """Every Python fault of a source tree (a folder with needle/), in the order of files."""
    found: list[Fault] = []
    for package in PACKAGES:
        for path in sorted((source / package).rglob("*.py")):
            name = path.relative_to(source).as_posix()
            if name not in ELSEWHERE:
                found += faults_of(name, path.read_text(encoding="utf-8"))
    return tuple(found)


def faults_of(path: str, text: str) -> list[Fault]:
    """The faults of one file, function by function, from above."""
    source = Source(path, text)
    by_hand = edits_by_hand(source)
    found: list[Fault] = []
    for name, function in source.functions():
        if not ELSEWHERE.keys().isdisjoint(name.split(".")):
            continue
        edits = [*_by_rules(source, function), *by_hand.get(name, ())]
        numbers: dict[str, int] = defaultdict(int)
        for edit in sorted(edits, key=lambda e: (e.start, e.end, e.new)):
            numbers[edit.kind] += 1
            found.append(source.fault(name, numbers[edit.kind], edit))
    return found


def _by_rules(source: Source, function: Function) -> Iterator[Edit]:
    """What the rules make of a function: each change once, the first and last of a kind."""
    known = {_meaning(source, function, None)}

    def new(edits: Iterable[Edit]) -> Iterator[Edit]:
        """Those that no other one, and the text as it is, means the same as."""
        for edit in edits:
            meaning = _meaning(source, function, edit)
            if meaning not in known:
                known.add(meaning)
                yield edit

    where = list(places(function, source))
    for kind, rule in RULES.items():
        changes = (change for place in where for change in rule(place))
        edits = [Edit(kind, *source.span(node), text) for node, text in changes]
        edits.sort(key=lambda e: (e.start, e.end))
        if kind in _ALL:
            yield from new(edits)
            continue
        yield from itertools.islice(new(edits), 1)
        if function.name in _COMPUTING and kind not in _ONCE:
            yield from itertools.islice(new(reversed(edits)), 1)


def _meaning(source: Source, function: Function, edit: Edit | None) -> str:
    """A function after a change as a syntax tree: texts that differ in parentheses are equal."""
    start, end = source.span(function)
    text = source.data[start:end]
    if edit is not None:
        new = edit.new.encode()
        text = source.data[start : edit.start] + new + source.data[edit.end : end]
    return ast.dump(ast.parse(textwrap.dedent(" " * function.col_offset + text.decode())))
