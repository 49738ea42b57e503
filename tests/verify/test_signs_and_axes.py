"""Negative numbers and axes from the end are asked of every op, such that a wrong sign shows.

A wrong kernel that takes a divisor's absolute value, or axis -1 for axis 0, must fail at smoke.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from needle import ops
from needle.autograd import Op
from verify import checks, registry, sampling
from verify.spec import Case, Row, Sample, Shape, Status

ROWS = registry.rows()
_AXES = ("axis", "axes")
# Ways to go wrong with a negative axis, of n.
WRONG: dict[str, Callable[[int, int], int]] = {
    "abs(a) - 1": lambda a, n: abs(a) - 1,
    "abs(a)": lambda a, n: abs(a),
    "abs(a) % n": lambda a, n: abs(a) % n,
}
# Rows whose axes are another op's, which has a row of its own.
OF_OTHERS = {name for name in ROWS if name.startswith("memory.")} | {"part"}
ORDERED = ("permute",)  # the order of the axes counts
FROM_THE_START = ("gather", "scatter_add")  # their functions hand no negative axis to an op
# Inputs that hold nothing below 0, and why; power's bases do where exponents are whole.
POSITIVE = {
    **dict.fromkeys((("log", 0), ("sqrt", 0), ("rsqrt", 0)), "no real result"),
    **dict.fromkeys(
        (("batch_norm", 4), ("nn.BatchNorm1d", 4), ("nn.BatchNorm2d", 4)), "a variance"
    ),
    **dict.fromkeys((("running_statistics", 4),), "a variance"),
    ("one_hot", 0): "an index from the start",
    ("optim.clip_grad_norm", 2): "a single number",
}
# Arguments of either sign.
SIGNED = ("scalar", "slope", "scale", "value", "numbers", "mean", "high")


def smoke(name: str, judge: str) -> list[Case]:
    return registry.plan_cases(ROWS[name], "cpu", "float64", judge, 0, "smoke")


def several(given: Any) -> tuple[int, ...]:
    return given if isinstance(given, tuple) else (given,)


def axis_of(row: Row, kwargs: Any) -> Any:
    """The axes among the arguments; None: there are none, or all are meant."""
    return next((v for k, v in dict(kwargs).items() if k in _AXES), None)


def sizes(row: Row, shapes: tuple[Shape, ...], axes: Any) -> tuple[int, ...]:
    """Of the axes that a call's count from: those of the result where it has more of them."""
    if row.name == "stack":
        return (*shapes[0], -1)
    return (
        shapes[0] + tuple(range(-len(several(axes)), 0)) if row.name == "unsqueeze" else shapes[0]
    )


def seen(row: Row, shape: Shape, axes: tuple[int, ...]) -> Any:
    """What the result shows of axes; None: they are refused."""
    if len(set(axes)) < len(axes) or not all(0 <= a < len(shape) for a in axes):
        return None
    found = axes if row.name in ("stack", "unsqueeze") else [shape[a] for a in axes]
    return list(found) if row.name in ORDERED else sorted(found)


def tells(row: Row, shapes: tuple[Shape, ...], kwargs: Any) -> bool:
    """Whether every wrong way gives something else."""
    axes = axis_of(row, kwargs)
    if axes is None or not all(math.prod(s) for s in shapes):
        return False
    shape = sizes(row, shapes, axes)
    n, given = len(shape), several(axes)
    right = seen(row, shape, tuple(a % n for a in given))
    return all(
        seen(row, shape, tuple(wrong(a, n) if a < 0 else a for a in given)) != right
        for wrong in WRONG.values()
    )


def plain(row: Row) -> list[Sample]:
    """Samples without arguments, beside the axes, that others do without."""
    needed = set.intersection(*({k for k, _ in s.kwargs} - {*_AXES} for s in row.samples))
    return [s for s in row.samples if {k for k, _ in s.kwargs} - {*_AXES} == needed]


def of_axes() -> Iterator[str]:
    for name, row in ROWS.items():
        if name not in OF_OTHERS and any(k in _AXES for s in row.samples for k, _ in s.kwargs):
            yield name


def holes_of_axes(row: Row) -> Iterator[str]:
    """What the samples of a row do not tell."""
    asked = [s for s in plain(row) if axis_of(row, s.kwargs) is not None]
    telling = [s for s in asked if tells(row, s.shapes, s.kwargs)]
    given = [axis_of(row, s.kwargs) for s in row.samples]
    told = [axis_of(row, s.kwargs) for s in telling]
    ints = any(isinstance(a, int) for a in given)
    if ints and not any(isinstance(a, int) for a in told):
        yield "an axis from the end, which no wrong one looks like"
    tuples = any(isinstance(a, tuple) and len(a) > 1 for a in given)
    if tuples and not any(isinstance(a, tuple) and min(a) < 0 <= max(a) for a in told):
        yield "a tuple with axes from both ends, which no wrong one looks like"
    if not any(
        min(several(axis_of(row, s.kwargs))) == -len(shape) < -2
        for s in asked
        for shape in [sizes(row, s.shapes, axis_of(row, s.kwargs))]
    ):
        yield "axis -n, of three or more"
    for judge in ("forward", "vjp", "fd"):
        planned = smoke(row.name, judge)
        if planned and not any(tells(row, c.shapes, c.kwargs) for c in planned):
            yield f"an axis from the end in smoke's {judge}"


@pytest.mark.parametrize("name", [*of_axes()])
def test_axes_from_the_end_are_asked(name: str) -> None:
    assert not list(holes_of_axes(ROWS[name]))


def test_a_new_op_with_mirrored_axes_alone_is_named() -> None:
    """As most ops were asked before: of two axes, or of the middle one of three."""
    weak = (((5, 13), -1), ((4, 9, 8), -2), ((2, 3, 4), 1))
    row = replace(
        ROWS["split"], samples=[Sample((shape,), (("axis", axis),)) for shape, axis in weak]
    )
    assert len(list(holes_of_axes(row))) == 2


def failed(row: Row, cases: list[Case]) -> bool:
    return any(checks.judge(case, row).status is Status.FAIL for case in cases)


def misread(axes: Any, n: int, wrong: Callable[[int, int], int]) -> Any:
    if axes is None:
        return None
    read = tuple(wrong(a, n) if a < 0 else a for a in several(axes))
    return read if isinstance(axes, tuple) else read[0]


@pytest.mark.parametrize("name", [*of_axes()])
def test_an_op_that_misreads_negative_axes_fails_at_smoke(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "explain", lambda *_: None)  # the finding is enough
    row = ROWS[name]
    right = row.call or (lambda found, tensors, where, **how: found(*tensors, **how))
    for judge in ("forward", "vjp") if row.differentiable else ("forward",):
        for wrong in WRONG.values():

            def call(found: Any, tensors: Any, where: Any, wrong: Any = wrong, **how: Any) -> Any:
                shapes = tuple(tuple(t.shape) for t in tensors)
                for k in {*_AXES} & how.keys():
                    n = len(sizes(row, shapes, how[k]))
                    how[k] = misread(how[k], n, wrong)
                return right(found, tensors, where, **how)

            planted = replace(row, call=call)
            assert failed(planted, smoke(name, judge)), (judge, wrong)


def op_classes() -> Iterator[tuple[str, type[Any]]]:
    """Rows of the op classes that keep an axis."""
    left = [Op]
    while left:
        found = left.pop()
        left += found.__subclasses__()
        slots = {s for c in found.__mro__ for s in getattr(c, "__slots__", ())}
        for name, row in ROWS.items():
            same = name.replace("_", "").lower() == found.__name__.lower()
            if same and row.differentiable and slots & {*_AXES} and name not in FROM_THE_START:
                yield name, found


@pytest.mark.parametrize(("name", "op"), [*op_classes()], ids=lambda v: v if type(v) is str else "")
def test_a_gradient_that_misreads_negative_axes_fails_at_smoke(
    name: str, op: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "explain", lambda *_: None)
    gradient = op.gradient
    for wrong in WRONG.values():

        def misled(self: Any, g: Any, node: Any, wrong: Any = wrong) -> Any:
            other = copy.copy(self)
            shapes = tuple(tuple(t.shape) for t in node.inputs)
            for k in _AXES:
                if hasattr(self, k):
                    axes = getattr(self, k)
                    setattr(other, k, misread(axes, len(sizes(ROWS[name], shapes, axes)), wrong))
            return gradient(other, g, node)

        monkeypatch.setattr(op, "gradient", misled)
        for judge in ("vjp", "fd"):
            assert failed(ROWS[name], smoke(name, judge)), (judge, wrong)


# --- signs


def below(name: str, judge: str) -> set[int]:
    """The inputs that are negative somewhere in smoke, infinities and NaN apart."""
    found: set[int] = set()
    for case in smoke(name, judge):
        if case.region != "special":
            inputs = sampling.problem(case, ROWS[name]).inputs
            found |= {i for i, laid in enumerate(inputs) if np.any(laid.value < 0)}
    return found


@pytest.mark.parametrize("judge", ["forward", "vjp", "fd"])
def test_every_input_of_every_op_is_negative_somewhere(judge: str) -> None:
    holes = []
    for name in ROWS:
        cases = smoke(name, judge)
        wanted = {i for c in cases for i, s in enumerate(c.shapes) if math.prod(s)}
        wanted -= {i for i in wanted if (name, i) in POSITIVE}
        if (name, judge) == ("power", "fd"):
            wanted -= {0}  # between whole exponents a negative base has no power
        if wanted - below(name, judge):
            holes.append((name, sorted(wanted - below(name, judge))))
    assert not holes


def test_every_number_among_the_arguments_is_negative_somewhere() -> None:
    holes = []
    for name, row in ROWS.items():
        for word in SIGNED:
            given = [
                v
                for s in (*row.samples, *(row.draws.samples if row.draws else ()))
                for k, values in s.kwargs
                if k == word
                for v in (values if isinstance(values, tuple) else (values,))
                if isinstance(v, (int, float))
            ]
            if given and min(given) >= 0 and (name, word) != ("init.rand", "high"):
                holes.append((name, word, given))
    assert not holes


def of_magnitude(op: type[Any], which: int, method: str) -> tuple[type[Any], str, Any]:
    """An op whose compute, or gradient, takes the absolute value of an input."""
    right = getattr(op, method)

    def compute(self: Any, *arrays: Any) -> Any:
        return right(self, *(a.abs() if i == which else a for i, a in enumerate(arrays)))

    def gradient(self: Any, g: Any, node: Any) -> Any:
        other = copy.copy(node)
        other.inputs = [ops.abs(x) if i == which else x for i, x in enumerate(node.inputs)]
        return right(self, g, other)

    return op, method, {"compute": compute, "gradient": gradient}[method]


FAULTS = [
    ("divide", of_magnitude(ops.elementwise.EWiseDiv, 1, "compute")),
    ("divide", of_magnitude(ops.elementwise.EWiseDiv, 1, "gradient")),
    ("ScalarDiv", of_magnitude(ops.scalar.ScalarDiv, 0, "compute")),
    ("ScalarDiv", of_magnitude(ops.scalar.ScalarDiv, 0, "gradient")),
    ("power", of_magnitude(ops.elementwise.EWisePow, 0, "compute")),
    ("power", of_magnitude(ops.elementwise.EWisePow, 0, "gradient")),
    ("power_scalar", of_magnitude(ops.scalar.PowerScalar, 0, "compute")),
    ("power_scalar", of_magnitude(ops.scalar.PowerScalar, 0, "gradient")),
    ("prod", of_magnitude(ops.reduction.Prod, 0, "compute")),
    ("prod", of_magnitude(ops.reduction.Prod, 0, "gradient")),
]


@pytest.mark.parametrize(
    ("name", "fault"), FAULTS, ids=[f"{name}-{fault[1]}" for name, fault in FAULTS]
)
def test_an_absolute_value_in_a_quotient_or_power_fails_at_smoke(
    name: str, fault: tuple[Any, str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "explain", lambda *_: None)
    monkeypatch.setattr(*fault)
    judges = ["forward"] if fault[1] == "compute" else ["vjp", *(["fd"] if name != "power" else [])]
    for judge in judges:
        found = [c for c in smoke(name, judge) if c.region != "special"]
        assert failed(ROWS[name], found), judge


def test_a_divisor_is_negative_for_every_judge() -> None:
    for judge in ("forward", "vjp", "fd", "second", "algebra", "batch", "growth", "across"):
        cases = registry.plan_cases(ROWS["divide"], "cpu", "float32", judge, 0, "smoke")
        cases = cases or smoke("divide", judge)
        values = [sampling.problem(c, ROWS["divide"]).inputs[1].value for c in cases]
        assert any(np.any(v < 0) for v in values), judge
