"""Rules for any code that computes: signs, terms, operands, numbers, conditions."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from verify.faults.walk import Change, Place, arithmetic, called_name, is_guard, plain

_FUNCTIONS = ("exp", "log", "sqrt", "sigmoid", "tanh", "abs", "relu", "log1p", "sign", "floor")
_METHODS = (*_FUNCTIONS, "copy", "compact", "maximum", "minimum", "clip", "astype")
_BINARY = ("multiply", "add")
_WITH_SCALAR = ("divide", "mul_scalar", "add_scalar", "divide_scalar", "power_scalar")
_ORDERED = ("divide", "power", "matmul", "less", "greater", "less_equal", "greater_equal")
_OTHERWISE = {
    "less": "less_equal", "less_equal": "less", "greater": "greater_equal",
    "greater_equal": "greater", "equal": "not_equal", "not_equal": "equal",
    "maximum": "minimum", "minimum": "maximum", "argmax": "argmin", "argmin": "argmax",
}  # fmt: skip
# Calls that are not left out: without check_tensors an op itself refuses what is no Tensor, in
# other words; without its base's __init__ a layer only lacks the word whether it is being trained.
_KEPT = ("check_tensors", "__init__")
_SYMBOLS: dict[type[ast.operator], str] = {
    ast.Sub: "-", ast.Div: "/", ast.Pow: "**", ast.MatMult: "@",
}  # fmt: skip
_COMPARED: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
_SIGNS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip


def _returned(p: Place) -> list[ast.expr]:
    """What an op or a layer gives: one value, or the elements of a tuple."""
    if p.name not in ("compute", "gradient", "forward"):
        return []
    annotation = p.source.of(p.function.returns) if p.function.returns else ""
    if not isinstance(p.node, ast.Return) or p.node.value is None:
        return []
    if annotation in ("Tensor", "NDArray"):
        return [p.node.value]
    if annotation.startswith("tuple[Tensor") and isinstance(p.node.value, ast.Tuple):
        return p.node.value.elts
    return []


def sign(p: Place) -> Iterator[Change]:
    """The other sign."""
    node = p.node
    if plain(p) and arithmetic(p, ast.Add, ast.Sub):
        assert isinstance(node, ast.BinOp)
        other = "-" if isinstance(node.op, ast.Add) else "+"
        yield node, f"{p.text(node.left)} {other} {p.text(node.right)}"
    negated = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and plain(p)
    if negated and not isinstance(node.operand, ast.Constant):  # type: ignore[attr-defined]
        yield node, p.text(node.operand)  # type: ignore[attr-defined]
    if isinstance(node, ast.Call) and not node.keywords:
        if called_name(node) == "negate" and len(node.args) == 1:
            yield node, p.text(node.args[0])
        if called_name(node) == "add" and len(node.args) == 2:
            yield node, f"({p.text(node.args[0])} - {p.text(node.args[1])})"
    for value in _returned(p):
        target = value.body if isinstance(value, ast.IfExp) else value
        if not isinstance(target, ast.Constant):
            yield target, f"-{p.text(target)}"


def dropped(p: Place) -> Iterator[Change]:
    """A term, factor, call or statement left out."""
    node = p.node
    if plain(p) and arithmetic(p, ast.Add, ast.Sub, ast.Mult, ast.Div):
        assert isinstance(node, ast.BinOp)
        yield node, p.text(node.left)
        if isinstance(node.op, (ast.Add, ast.Mult)):
            yield node, p.text(node.right)
    if isinstance(node, ast.Call):
        yield from _dropped_call(p, node)
    called = called_name(node.value) if isinstance(node, ast.Expr) else ""
    if (called and called not in _KEPT) or isinstance(node, ast.AugAssign) or is_guard(node):
        yield node, "pass"
    kept = isinstance(node, ast.Assign) and isinstance(
        node.targets[0], (ast.Attribute, ast.Subscript)
    )
    if kept and p.name != "__init__":
        yield node, "pass"
    if isinstance(node, ast.If) and not is_guard(node) and not node.orelse:
        yield node.test, "False"


def _dropped_call(p: Place, node: ast.Call) -> Iterator[Change]:
    name = called_name(node)
    if isinstance(node.func, ast.Name) and node.args:
        if name in _BINARY and len(node.args) == 2:
            yield node, p.text(node.args[0])
            yield node, p.text(node.args[1])
        elif name in (*_WITH_SCALAR, *_FUNCTIONS):
            yield node, p.text(node.args[0])
    elif isinstance(node.func, ast.Attribute) and name in _METHODS and not _of_module(p, node):
        yield node, p.text(node.func.value)


def _of_module(p: Place, node: ast.Call) -> bool:
    """Whether it calls a function of a module, and no method."""
    owner = p.source.of(node.func.value) if isinstance(node.func, ast.Attribute) else ""
    return owner in ("math", "np", "ops", "init")


def swapped(p: Place) -> Iterator[Change]:
    """Operands, arguments or returned gradients in the wrong order."""
    node = p.node
    if isinstance(node, ast.BinOp) and isinstance(
        node.op, (ast.Sub, ast.Div, ast.Pow, ast.MatMult)
    ):
        symbol = {ast.Sub: "-", ast.Div: "/", ast.Pow: "**", ast.MatMult: "@"}[type(node.op)]
        if plain(p):
            yield node, f"{p.text(node.right)} {symbol} {p.text(node.left)}"
    if isinstance(node, ast.Call):
        of_op = isinstance(node.func, ast.Call)  # Conv(stride)(x, w)
        if (of_op or called_name(node) in _ORDERED) and len(node.args) == 2:
            yield from _exchanged(p, node.args[0], node.args[1], node)
        elif called_name(node) in _ORDERED and len(node.args) == 1:
            if isinstance(node.func, ast.Attribute):
                first, second = p.text(node.func.value), p.text(node.args[0])
                if not isinstance(node.args[0], ast.Constant):
                    yield node, f"{second}.{node.func.attr}({first})"
        elif called_name(node) == "chosen" and len(node.args) == 3:
            yield from _exchanged(p, node.args[1], node.args[2], node)
        elif called_name(node) == "where" and len(node.args) == 2:
            yield from _exchanged(p, node.args[0], node.args[1], node)
    values = _returned(p)
    for one, next_one in itertools.pairwise(values):
        yield from _exchanged(p, one, next_one, p.node)


def _exchanged(p: Place, first: ast.AST, second: ast.AST, whole: ast.AST) -> Iterator[Change]:
    """The two parts of a node in each other's place."""
    if p.source.of(first) == p.source.of(second):
        return
    start, end = p.source.span(whole)
    (a, b), (c, d) = p.source.span(first), p.source.span(second)
    data = p.source.data
    yield whole, (data[start:a] + data[c:d] + data[b:c] + data[a:b] + data[d:end]).decode()


def constant(p: Place) -> Iterator[Change]:
    """A number off by one, or doubled."""
    node = p.node
    if not isinstance(node, ast.Constant) or type(node.value) not in (int, float) or not plain(p):
        return
    value: float = node.value  # type: ignore[assignment]
    if type(value) is int:
        yield node, str(value + 1)
        if value > 0:
            yield node, str(value - 1)
    else:
        yield node, repr(2 * value if value else 1.0)


def comparison(p: Place) -> Iterator[Change]:
    """A condition that holds elsewhere."""
    node = p.node
    if isinstance(node, ast.Compare):
        for i in {0, len(node.ops) - 1}:
            yield node, _compared(p, node, i)
    elif isinstance(node, ast.BoolOp):
        word = " or " if isinstance(node.op, ast.And) else " and "
        yield node, "(" + word.join(p.text(v) for v in node.values) + ")"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, p.text(node.operand)
    elif isinstance(node, ast.Attribute) and node.attr in _OTHERWISE:
        yield node, f"{p.text(node.value)}.{_OTHERWISE[node.attr]}"
    elif isinstance(node, (ast.If, ast.IfExp)) and isinstance(
        node.test, (ast.Name, ast.Attribute, ast.Call)
    ):
        yield node.test, f"not {p.text(node.test)}"


def _compared(p: Place, node: ast.Compare, changed: int) -> str:
    parts = [p.text(node.left)]
    for i, (op, right) in enumerate(zip(node.ops, node.comparators, strict=True)):
        parts += [(_COMPARED if i == changed else _SIGNS)[type(op)], p.text(right)]
    return " ".join(parts)
