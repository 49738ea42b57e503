"""The text of a Python file, its functions, and changes of small parts of it."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass

from verify.faults.fault import Fault
from verify.spec import UsageError

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Edit:
    """One change: the bytes from start to end become `new`."""

    kind: str
    start: int
    end: int
    new: str


class Source:
    """A file's text with the byte offsets that ast's positions mean."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text
        self.data = text.encode()
        self.tree = ast.parse(text)
        self._starts = [0]
        for line in self.data.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Where a node's text begins and ends."""
        line, end = node.lineno, node.end_lineno  # type: ignore[attr-defined]
        return (
            self._starts[line - 1] + node.col_offset,  # type: ignore[attr-defined]
            self._starts[end - 1] + node.end_col_offset,  # type: ignore[attr-defined]
        )

    def of(self, node: ast.AST) -> str:
        """A node's text."""
        start, end = self.span(node)
        return self.data[start:end].decode()

    def functions(self) -> Iterator[tuple[str, Function]]:
        """Every function with its class and the functions around it, from above."""
        return _functions(self.tree, "")

    def changed(self, edit: Edit) -> str:
        """The whole text with one change."""
        return (self.data[: edit.start] + edit.new.encode() + self.data[edit.end :]).decode()

    def fault(self, name: str, number: int, edit: Edit) -> Fault:
        """The change as a fault: the whole lines that differ."""
        first = self.data.rfind(b"\n", 0, edit.start) + 1
        last = self.data.find(b"\n", edit.end)
        last = len(self.data) if last < 0 else last
        before = self.data[first:last].decode().split("\n")
        after = self.data[first : edit.start].decode() + edit.new
        now = (after + self.data[edit.end : last].decode()).split("\n")
        line = self.data.count(b"\n", 0, first) + 1
        while len(before) > 1 and len(now) > 1 and before[0] == now[0]:
            before, now, line = before[1:], now[1:], line + 1
        while len(before) > 1 and len(now) > 1 and before[-1] == now[-1]:
            before, now = before[:-1], now[:-1]
        fault_id = f"{self.path}:{name}:{edit.kind}:{number}"
        return Fault(fault_id, self.path, line, "\n".join(before), "\n".join(now))


def _functions(scope: ast.AST, around: str) -> Iterator[tuple[str, Function]]:
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, (Function, ast.ClassDef)):
            name = f"{around}{node.name}"
            if isinstance(node, Function):
                yield name, node
            yield from _functions(node, f"{name}.")
        elif not isinstance(node, ast.expr) and not _for_types(node):
            yield from _functions(node, around)


def _for_types(node: ast.AST) -> bool:
    """Whether only type checkers read it."""
    return isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"


def planted(text: str, fault: Fault) -> str:
    """A file's text with a fault; UsageError where the lines are not those that it changes."""
    lines = text.split("\n")
    before, after = fault.before.split("\n"), fault.after.split("\n")
    at = slice(fault.line - 1, fault.line - 1 + len(before))
    if lines[at] != before:
        raise UsageError(
            f"[faults] the source is not the one that the fault was made of, got {fault.path}:"
            f"{fault.line}"
        )
    lines[at] = after
    return "\n".join(lines)


@functools.cache
def executed_as(qualified: str) -> str:
    """The function that a code object belongs to, as faults name it, from its co_qualname.

    Lambdas and comprehensions belong to the function around them.
    """
    parts = [part for part in qualified.split(".") if part != "<locals>"]
    while len(parts) > 1 and parts[-1].startswith("<"):
        parts.pop()
    return ".".join(part for part in parts if not part.startswith("<"))
