"""What is done to a place: each rule turns it into the faults of one kind.

A rule gives (node, text): the node's text is replaced.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterator

from verify.faults.walk import Place, called_name, is_guard

Change = tuple[ast.AST, str]
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
_BOUNDED = ("range", "slice")
# Calls that are not left out: without check_tensors an op itself refuses what is no Tensor, in
# other words; without its base's __init__ a layer only lacks the word whether it is being trained.
_KEPT = ("check_tensors", "__init__")
# functions that only look at what they are given
_ASKING = ("check", "require", "isinstance", "normalized", "length", "len", "type")
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


def _plain(p: Place) -> bool:
    """Neither an index nor an axis nor part of a refusal: a number that is computed with."""
    return not p.tags & {"index", "axis", "guard", "keepdims", "inside"}


def _numeric(node: ast.AST) -> bool:
    """No text, list or tuple, which + joins."""
    joined = (ast.Tuple, ast.List, ast.ListComp, ast.JoinedStr, ast.Dict)
    if isinstance(node, ast.BinOp):
        return _numeric(node.left) and _numeric(node.right)
    return not isinstance(node, joined) and not (
        isinstance(node, ast.Constant) and not isinstance(node.value, (int, float))
    )


def _arithmetic(p: Place, *operators: type[ast.operator]) -> bool:
    node = p.node
    return isinstance(node, ast.BinOp) and isinstance(node.op, operators) and _numeric(node)


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
    if _plain(p) and _arithmetic(p, ast.Add, ast.Sub):
        assert isinstance(node, ast.BinOp)
        other = "-" if isinstance(node.op, ast.Add) else "+"
        yield node, f"{p.text(node.left)} {other} {p.text(node.right)}"
    negated = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and _plain(p)
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
    if _plain(p) and _arithmetic(p, ast.Add, ast.Sub, ast.Mult, ast.Div):
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
        if _plain(p):
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


def axis(p: Place) -> Iterator[Change]:
    """Another axis, another order of axes, axes kept or not."""
    node = p.node
    if "keepdims" in p.tags and isinstance(node, ast.expr):
        flipped = {"True": "False", "False": "True"}
        yield node, flipped.get(p.source.of(node), f"(not {p.text(node)})")
    if "axis" not in p.tags or not isinstance(node, ast.expr):
        return
    value = _integer(node)
    if value is not None:
        yield node, str(value - 1 if value else 1)
        if value < 0:
            yield node, "0"
    elif isinstance(node, ast.Constant):
        yield node, "-1" if node.value is None else "None"
    elif isinstance(node, (ast.Tuple, ast.Name, ast.Attribute)) and called_name(
        p.parent or node
    ) not in ("Lanes",):
        if p.parent is not None and called_name(p.parent) == "permute":
            yield node, f"tuple({p.source.of(node)})[::-1]"
        else:
            yield node, "0"
            yield node, "-1"


def _integer(node: ast.AST) -> int | None:
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    inner = node.operand if negative else node  # type: ignore[attr-defined]
    if isinstance(inner, ast.Constant) and type(inner.value) is int:
        return -inner.value if negative else inner.value
    return None


def broadcast(p: Place) -> Iterator[Change]:
    """A sum over broadcast axes, or the repetition itself, left out."""
    if not isinstance(p.node, ast.Call) or not p.node.args:
        return
    if called_name(p.node) in ("sum_to_shape", "summation", "broadcast_to"):
        of = p.node.func.value if isinstance(p.node.func, ast.Attribute) else p.node.args[0]
        if p.source.of(of) != "ops":
            yield p.node, p.text(of)


def constant(p: Place) -> Iterator[Change]:
    """A number off by one, or doubled."""
    node = p.node
    if not isinstance(node, ast.Constant) or type(node.value) not in (int, float) or not _plain(p):
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


def eps(p: Place) -> Iterator[Change]:
    """A guard against zero or overflow left out."""
    node = p.node
    if isinstance(node, (ast.Name, ast.Attribute)) and "guard" not in p.tags:
        name = node.id if isinstance(node, ast.Name) else node.attr
        read = isinstance(node.ctx, ast.Load) and not isinstance(p.parent, ast.Attribute)
        called = called_name(p.parent) if p.parent is not None else ""
        if (
            (name == "eps" or name.endswith("_eps"))
            and read
            and not called.startswith(("require", "check", "real"))
        ):
            yield node, "0.0"
    shifted = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)
    if shifted and called_name(node.right) == "max":  # type: ignore[attr-defined]
        yield node, p.text(node.left)  # type: ignore[attr-defined]


def variance(p: Place) -> Iterator[Change]:
    """n - 1 for n, or n for n - 1."""
    node = p.node
    if _arithmetic(p, ast.Div) and called_name(node.right) == "size":  # type: ignore[attr-defined]
        assert isinstance(node, ast.BinOp)
        yield node, f"{p.text(node.left)} / ({p.text(node.right)} - 1)"
    if called_name(node) == "divide_scalar":
        assert isinstance(node, ast.Call)
        by = p.source.of(node.args[1])
        yield node, f"{p.source.of(node.func)}({p.source.of(node.args[0])}, ({by}) - 1)"


def correction(p: Place) -> Iterator[Change]:
    """Bias corrections: left out, or of another step."""
    node = p.node
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)):
        return
    power = node.right
    raised = isinstance(power, ast.BinOp) and isinstance(power.op, ast.Pow)
    if raised and p.source.of(node.left) in ("1", "1.0"):
        assert isinstance(power, ast.BinOp)
        base, t = p.text(power.left), p.text(power.right)
        yield node, "1.0"
        yield power, f"{base} ** ({t} - 1)"
        yield power, base


def off_by_one(p: Place) -> Iterator[Change]:
    """An index, or a bound of a range or slice, off by one."""
    node = p.node
    if "index" not in p.tags or not isinstance(node, ast.expr):
        return
    whole = isinstance(p.parent, (ast.Subscript, ast.Slice, ast.Call, ast.Tuple))
    value = _integer(node)
    if value is not None and whole:
        yield node, str(value + 1 if value >= 0 else value - 1)
    bound = isinstance(p.parent, (ast.Slice, ast.Call)) and called_name(node) not in _BOUNDED
    computed = isinstance(node, (ast.Name, ast.Attribute, ast.BinOp, ast.Call))
    if value is None and bound and computed and _numeric(node):
        yield node, f"{p.text(node)} - 1"
        yield node, f"{p.text(node)} + 1"


def transposed(p: Place) -> Iterator[Change]:
    """A transpose left out, or one too many."""
    node = p.node
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        yield node.right, f"{p.text(node.right)}.transpose()"
        yield node.left, f"{p.text(node.left)}.transpose()"
    if not isinstance(node, ast.Call):
        return
    name = called_name(node)
    if name in ("transpose", "permute"):
        of = node.func.value if isinstance(node.func, ast.Attribute) else node.args[0]
        if p.source.of(of) != "ops":
            yield node, p.text(of)
    elif name == "matmul" and len(node.args) == 2:
        for part in node.args:
            yield part, f"{p.text(part)}.transpose()"


def detached(p: Place) -> Iterator[Change]:
    """A Tensor cut off its graph where it goes into an op."""
    node, parent = p.node, p.parent
    if not isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)):
        return
    if not isinstance(node.ctx, ast.Load) or p.source.of(node) not in _tensors(p):
        return
    callee = called_name(parent) if parent is not None else ""
    into_op = (
        isinstance(parent, ast.Call)
        and node in parent.args
        and not callee.startswith(
            (
                "check",
                "_check",
                "require",
                "_require",
                "isinstance",
                "normalized",
                "len",
                "type",
                "_OfL",
            )
        )
    )
    if into_op or isinstance(parent, ast.BinOp):
        yield node, f"{p.text(node)}.detach()"


def _tensors(p: Place) -> set[str]:
    """What is surely a Tensor in a function: by annotations, names and node.inputs."""
    found = {"node.inputs[0]", "node.inputs[1]", "self.weight", "self.bias"}
    found |= {"self.W_ih", "self.W_hh", "self.bias_ih", "self.bias_hh"}
    args = p.function.args
    for a in (*args.posonlyargs, *args.args, *args.kwonlyargs):
        if a.annotation is not None and p.source.of(a.annotation) == "Tensor":
            found.add(a.arg)
    for statement in ast.walk(p.function):
        if isinstance(statement, ast.Assign) and p.source.of(statement.value) == "node.inputs":
            for target in ast.walk(statement.targets[0]):
                if isinstance(target, ast.Name):
                    found.add(target.id)
    return found


# The first rule that makes a change names its kind: special ones come before general ones.
RULES: dict[str, Callable[[Place], Iterator[Change]]] = {
    "eps": eps,
    "correction": correction,
    "variance": variance,
    "broadcast": broadcast,
    "transposed": transposed,
    "axis": axis,
    "off-by-one": off_by_one,
    "detached": detached,
    "comparison": comparison,
    "swapped": swapped,
    "sign": sign,
    "dropped": dropped,
    "constant": constant,
}
