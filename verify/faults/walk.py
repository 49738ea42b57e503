"""Where in a function a fault may stand: not in texts, types, errors and inner functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from verify.faults.source import Function, Source

# keyword arguments, parameters and functions' positions that hold axes
AXES = ("axis", "axes", "dim", "dims")
_AXES_AT = {
    "summation": 1, "max": 1, "min": 1, "prod": 1, "mean": 1, "var": 1, "cumsum": 1, "flip": 1,
    "permute": 1, "squeeze": 1, "unsqueeze": 1, "split": 1, "stack": 1, "concatenate": 1,
    "softmax": 1, "logsoftmax": 1, "logsumexp": 1, "standardize": 1,
}  # fmt: skip
_SKIPPED = (
    ast.Raise, ast.Assert, ast.JoinedStr, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef,
    ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal,
)  # fmt: skip


Change = tuple[ast.AST, str]  # a node, and what its text becomes


@dataclass(frozen=True, slots=True)
class Place:
    """A node and what is around it."""

    node: ast.AST
    parent: ast.AST | None
    tags: frozenset[str]  # index, guard, default; axis, keepdims and inside of them; argument
    function: Function
    source: Source

    @property
    def name(self) -> str:
        """The name of the function that it is in."""
        return self.function.name

    def text(self, node: ast.AST) -> str:
        """A node's text as an operand: in parentheses unless it holds together anyway."""
        text = self.source.of(node)
        whole = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Constant, ast.List)
        return text if isinstance(node, whole) else f"({text})"


@dataclass(slots=True)
class _Walk:
    function: Function
    source: Source
    found: list[Place] = field(default_factory=list)

    def visit(self, node: ast.AST, parent: ast.AST | None, tags: frozenset[str]) -> None:
        if isinstance(node, _SKIPPED):
            return
        self.found.append(Place(node, parent, tags, self.function, self.source))
        for name, child in ast.iter_fields(node):
            for part in child if isinstance(child, list) else [child]:
                if isinstance(part, ast.AST) and name not in ("annotation", "ctx", "ops", "op"):
                    self.visit(part, node, self.within(node, name, part, tags))

    def within(
        self, node: ast.AST, name: str, part: ast.AST, tags: frozenset[str]
    ) -> frozenset[str]:
        if tags & {"axis", "keepdims"}:
            tags = tags | {"inside"}
        tags = tags - {"argument", "axis", "keepdims"}
        if isinstance(node, ast.Subscript) and name == "slice":
            return tags | {"index"}
        if isinstance(node, ast.If) and name == "test" and is_guard(node):
            return tags | {"guard"}
        if isinstance(node, ast.keyword):
            return tags | of_argument(node.arg or "")
        if isinstance(node, ast.Call) and name == "args":
            called = called_name(node)
            if called in ("range", "slice"):
                return tags | {"index"}
            if node.args.index(part) == _AXES_AT.get(called, -1):  # type: ignore[arg-type]
                return tags | {"axis"}
            return tags | {"argument"}
        return tags


def of_argument(name: str) -> frozenset[str]:
    """What an argument's name says of its value."""
    if name in AXES:
        return frozenset({"axis"})
    return frozenset({"keepdims" if name == "keepdims" else "argument"})


def is_guard(node: ast.AST) -> bool:
    """Whether this is a refusal: an if whose body only raises."""
    return isinstance(node, ast.If) and all(isinstance(s, ast.Raise) for s in node.body)


def called_name(node: ast.AST) -> str:
    """The last name of what is called; empty where it has none."""
    if not isinstance(node, ast.Call):
        return ""
    found = node.func
    return found.id if isinstance(found, ast.Name) else getattr(found, "attr", "")


def places(function: Function, source: Source) -> Iterator[Place]:
    """Every place of a function's defaults and body; the docstring is none.

    Nor are the defaults of an op class: its function hands on every argument.
    """
    walk = _Walk(function, source)
    told = function.name == "__init__" and source.path.startswith("needle/ops/")
    args = function.args
    given = [*args.posonlyargs, *args.args]
    pairs = [*zip(given[len(given) - len(args.defaults) :], args.defaults, strict=True)]
    pairs += [(a, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True) if d]
    for argument, default in [] if told else pairs:
        walk.visit(default, None, of_argument(argument.arg) - {"argument"} | {"default"})
    body = function.body
    documented = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    for statement in body[1:] if documented else body:
        walk.visit(statement, function, frozenset())
    yield from walk.found


def plain(p: Place) -> bool:
    """Neither an index nor an axis nor part of a refusal: a number that is computed with."""
    return not p.tags & {"index", "axis", "guard", "keepdims", "inside"}


def numeric(node: ast.AST) -> bool:
    """No text, list or tuple, which + joins."""
    joined = (ast.Tuple, ast.List, ast.ListComp, ast.JoinedStr, ast.Dict)
    if isinstance(node, ast.BinOp):
        return numeric(node.left) and numeric(node.right)
    return not isinstance(node, joined) and not (
        isinstance(node, ast.Constant) and not isinstance(node.value, (int, float))
    )


def arithmetic(p: Place, *operators: type[ast.operator]) -> bool:
    node = p.node
    return isinstance(node, ast.BinOp) and isinstance(node.op, operators) and numeric(node)


def integer(node: ast.AST) -> int | None:
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    inner = node.operand if negative else node  # type: ignore[attr-defined]
    if isinstance(inner, ast.Constant) and type(inner.value) is int:
        return -inner.value if negative else inner.value
    return None
