"""Rules for what only code of arrays and gradients has: axes, broadcasting, guards, graphs."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from verify.faults.walk import Change, Place, arithmetic, called_name, integer, numeric

_BOUNDED = ("range", "slice")
# functions that only look at what they are given
_ASKING = ("check", "require", "isinstance", "normalized", "length", "len", "type")


def axis(p: Place) -> Iterator[Change]:
    """Another axis, another order of axes, axes kept or not."""
    node = p.node
    if "keepdims" in p.tags and isinstance(node, ast.expr):
        flipped = {"True": "False", "False": "True"}
        yield node, flipped.get(p.source.of(node), f"(not {p.text(node)})")
    if "axis" not in p.tags or not isinstance(node, ast.expr):
        return
    value = integer(node)
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


def broadcast(p: Place) -> Iterator[Change]:
    """A sum over broadcast axes, or the repetition itself, left out."""
    if not isinstance(p.node, ast.Call) or not p.node.args:
        return
    if called_name(p.node) in ("sum_to", "sum_to_shape", "summation", "broadcast_to"):
        of = p.node.func.value if isinstance(p.node.func, ast.Attribute) else p.node.args[0]
        if p.source.of(of) != "ops":
            yield p.node, p.text(of)


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
    if arithmetic(p, ast.Div) and called_name(node.right) == "size":  # type: ignore[attr-defined]
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
    value = integer(node)
    if value is not None and whole:
        yield node, str(value + 1 if value >= 0 else value - 1)
    bound = isinstance(p.parent, (ast.Slice, ast.Call)) and called_name(node) not in _BOUNDED
    computed = isinstance(node, (ast.Name, ast.Attribute, ast.BinOp, ast.Call))
    if value is None and bound and computed and numeric(node):
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
