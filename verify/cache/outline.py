"""needle's sources in parts: what stands behind every verdict, and functions, each by itself.

A function's body matters to the cases that execute it. Everything else of a module (constants,
classes, signatures, decorators, which names there are) is read at import and matters to all.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from verify.cache.sources import digest
from verify.tracing import is_whole

_Function = ast.FunctionDef | ast.AsyncFunctionDef
# Decorators under which a body runs with every call; any other may remember.
_PLAIN = {
    "property", "setter", "getter", "deleter", "staticmethod", "classmethod", "abstractmethod",
    "overload", "override", "final", "contextmanager",
}  # fmt: skip
# Methods that change what they are called on: as a statement, or (_TAKING) anywhere.
_CHANGING = {"add", "append", "clear", "discard", "extend", "insert", "remove", "update"}
_TAKING = {"pop", "popitem", "setdefault"}
# Names whose attributes are switched and set back, and never hold what was computed.
_SWITCHES = {"grad_mode"}


@dataclass
class Outline:
    """The sources of a package."""

    shared: str = ""  # of all that is no body of a function
    functions: dict[str, str] = field(default_factory=dict)  # path:name -> hash

    @property
    def current(self) -> set[str]:
        """Every function with its hash: what a verdict depends on must be among these."""
        return {f"{name} {value}" for name, value in self.functions.items()}


def outline(root: Path) -> Outline:
    """The parts of a package of Python. Raises: SyntaxError, OSError."""
    found, shared = Outline(), []
    for path, module in _modules(root):
        for qualified, function in list(_outermost(module)):
            if not is_whole(path):
                key, text = f"{path}:{qualified}", ast.dump(function)  # without comments
                found.functions[key] = digest(found.functions.get(key, ""), text)
                function.body = []
        shared += [path, ast.dump(module)]
    found.shared = digest(*shared)
    return found


def lasting(root: Path, plain: Iterable[str] = ()) -> set[str]:
    """path:name of the functions of a package that may remember: a later call of them, or of a
    reader of the same variable, need not execute what made the result.

    plain: further decorators that remember no longer than a case takes.
    """
    harmless = _PLAIN.union(plain)
    decorated: set[str] = set()
    names: dict[str, set[str]] = {}
    kept: dict[str, set[str]] = {}
    for path, module in _modules(root):
        for name, function in _outermost(module):
            key, nodes = f"{path}:{name}", list(ast.walk(function))
            if any(_last_name(d) not in harmless for d in function.decorator_list):
                decorated.add(key)
            own, aliases = _own(nodes)
            names[key] = {n.id for n in nodes if isinstance(n, ast.Name)} - own
            names[key] |= {
                n.attr for n in nodes if isinstance(n, ast.Attribute) and _root(n) not in own
            }
            kept[key] = set(_kept(nodes, own, aliases))
    variables = {name for found in kept.values() for name in found if name} - _SWITCHES
    remember = {key for key in kept if "" in kept[key] or names[key] & variables}
    return decorated | remember


def _modules(root: Path) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(root.rglob("*.py")):
        yield path.relative_to(root).as_posix(), ast.parse(path.read_bytes())


def _outermost(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, _Function]]:
    """Functions of modules and classes, by qualified name; those inside of functions are theirs."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _Function):
            yield prefix + child.name, child
        elif isinstance(child, ast.ClassDef):
            yield from _outermost(child, f"{prefix}{child.name}.")
        elif not isinstance(child, ast.expr):
            yield from _outermost(child, prefix)


def _own(nodes: Sequence[ast.AST]) -> tuple[set[str], dict[str, str]]:
    """The names that a function of these nodes binds itself; those of them that stand for
    something from outside, and what for.
    """
    own = {n.arg for n in nodes if isinstance(n, ast.arg)} - {"cls"}
    own |= {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    own -= {name for n in nodes if isinstance(n, ast.Global) for name in n.names}
    aliases = {
        target.id: _root(n.value) or ""
        for n in nodes
        if isinstance(n, ast.Assign) and isinstance(n.value, ast.Name | ast.Attribute)
        if _root(n.value) not in own
        for target in n.targets
        if isinstance(target, ast.Name)
    }
    return own, aliases


def _kept(nodes: Sequence[ast.AST], own: set[str], aliases: Mapping[str, str]) -> Iterator[str]:
    """Variables from outside that a function of these nodes changes, other than to a constant, as a
    counter or a flag is; empty for what its class, or an expression, holds.
    """
    for n in nodes:
        changed: list[ast.expr] = []
        if isinstance(n, ast.Assign | ast.AugAssign | ast.AnnAssign):
            if not isinstance(n.value, ast.Constant):
                changed = n.targets if isinstance(n, ast.Assign) else [n.target]
        elif isinstance(n, ast.For | ast.AsyncFor):
            changed = [n.target]
        elif isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute):
            changed = [n.func] if n.func.attr in _TAKING else []
        elif isinstance(n, ast.Expr) and isinstance(n.value, ast.Call):
            made = n.value.func
            if isinstance(made, ast.Attribute) and made.attr in _CHANGING:
                changed = [made]
        for target in (t for c in changed for t in _parts(c)):
            name = _root(target)
            if not isinstance(target, ast.Name):  # such a one is bound anew, and nothing changed
                name = aliases.get(name or "", name)
            if name not in own:  # what a function from outside made is none of its variables
                called = any(isinstance(part, ast.Call) for part in ast.walk(target))
                yield "" if name is None or name == "cls" or called else name


def _parts(target: ast.expr) -> Iterator[ast.expr]:
    """Each target of an unpacking."""
    if isinstance(target, ast.Tuple | ast.List):
        for part in target.elts:
            yield from _parts(part)
    else:
        yield target.value if isinstance(target, ast.Starred) else target


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _root(node: ast.expr) -> str | None:
    """The name that an attribute, an element or a method's result is reached from; None: what
    another expression made.
    """
    while True:
        if isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            node = node.func
        else:
            break
    return node.id if isinstance(node, ast.Name) else None
