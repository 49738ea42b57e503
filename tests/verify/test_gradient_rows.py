"""Every op of needle is asked: as what a function makes, or by its class; gradients of gradients
too.
"""

from __future__ import annotations

import inspect

import pytest

import needle as ndl
from needle.autograd import Op, Tensor, TensorTuple
from needle.backend_ndarray import graph
from verify import registry
from verify.sampling import problem
from verify.spec import Case, Row
from verify.targets import Call
from verify.targets.call import listed
from verify.targets.devices import UNNAMED

ROWS = registry.rows()
CLASSES = {n: c for n, c in vars(ndl.ops).items() if inspect.isclass(c) and issubclass(c, Op)}
# Classes that no row makes, and why.
ELSEWHERE = {"FusedAddScalars": "registry.NOT_JUDGED has its function"}


def nodes(value: Tensor | TensorTuple, found: set[type[Op]]) -> None:
    """The classes of all ops that a value was computed by."""
    if value.op is not None:
        found.add(type(value.op))
        for x in value.inputs:
            nodes(x, found)


def made(row: Row) -> set[type[Op]]:
    """The classes of ops that make the results of its smallest samples."""
    found: set[type[Op]] = set()
    for s in row.samples[:6]:
        region = "integer" if row.name == "one_hot" else s.region
        case = Case(row.name, "vjp", "cpu", "float64", s.shapes, s.kwargs, region=region)
        call = Call(row, problem(case, row), "cpu", "float64")
        _, tensors = call._place(call.problem.inputs, grad=True)
        for y in listed(call.function(tensors)):
            if isinstance(y, Tensor):
                nodes(y, found)
    return found


def test_every_op_class_is_made_by_a_row() -> None:
    """By the row's call itself: what only its gradient makes is judged where it happens to lead."""
    found = set[type[Op]]().union(*(made(r) for n, r in ROWS.items() if "." not in n))
    # without a gradient a result knows no op, and functions have rows (test_registry.py)
    wanted = {n for n, c in CLASSES.items() if c not in found and getattr(c, "differentiable", 1)}
    missing = wanted - ELSEWHERE.keys()
    assert not missing, "op classes without a row in verify/registry: " + ", ".join(missing)
    assert ELSEWHERE.keys() <= CLASSES.keys()


@pytest.mark.parametrize("name", [n for n, r in ROWS.items() if r.family == "gradient"])
def test_gradients_are_asked_for_gradients_of_their_own(name: str) -> None:
    for judge in ("forward", "vjp", "fd", "second"):
        assert registry.plan_cases(ROWS[name], "cpu", "float64", judge, 0, "smoke"), judge
    assert name in CLASSES


def test_nothing_is_left_of_a_pretended_capture() -> None:
    case = Case("captured_cross_entropy", "forward", "cpu", "float64", ((2, 3),), ())
    row = ROWS["captured_cross_entropy"]
    call = Call(row, problem(case, row), "cpu", "float64")
    _, (logits,) = call._place(call.problem.inputs, grad=False)
    UNNAMED["captured_cross_entropy"](logits, labels=(0, 1))
    assert graph.current_graph(ndl.cpu()) is None
    with pytest.raises(ValueError, match="a label for each row"):
        UNNAMED["captured_cross_entropy"](logits, labels=(0,))
    assert graph.current_graph(ndl.cpu()) is None
