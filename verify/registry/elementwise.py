"""Elementwise ops: arithmetic, elementary functions, comparisons; broadcast, and with scalars."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from verify.registry.planning import MANY, sample
from verify.spec import Domain, Row, Sample, Shape

# 0-d, empty, size 1, around the vector widths of 4 to 16 lanes and their unrolled multiples,
# several axes
_SHAPES: tuple[Shape, ...] = (
    (), (0,), (1,), (3,), (7,), (8,), (9,), (15,), (16,), (17,), (31,), (33,), (63,), (65,),
    (5, 13), (2, 3, 4), (3, 0, 2), (4, 1, 129), (2, 1, 3, 5), (1023,),
)  # fmt: skip
_PAIRS: tuple[tuple[Shape, Shape], ...] = (
    ((), ()), ((0,), (0,)), ((1,), (1,)), ((3,), (3,)), ((7,), (7,)), ((9,), (9,)), ((16,), (16,)),
    ((33,), (33,)), ((65,), (65,)), ((5, 13), (5, 13)), ((1023,), (1023,)),
    ((4, 5), (5,)), ((4, 5), (1,)), ((4, 1), (1, 5)), ((), (3,)), ((2, 3, 4), (3, 1)),
    ((0, 3), (1, 3)),    ((17, 1), (17, 31)), ((2, 1, 3, 1), (4, 1, 5)),
)  # fmt: skip

UNARY = tuple(sample(s) for s in _SHAPES)
BINARY = tuple(sample(a, b) for a, b in _PAIRS)
REGIONS = ("tiny", "huge", "zeros", "special", "edge", "integer", "denormal")
_COMPARED = ("ties", "zeros", "special", "edge", "integer", "denormal")
_SMALL = tuple(s for s in _SHAPES if len(s) != 1 or s[0] in (1, 7, 16, 33, 65))


def scalars(*numbers: float) -> tuple[Sample, ...]:
    """Every scalar with a shape of its own, the shapes in turn."""
    return tuple(sample(s, scalar=numbers[i % len(numbers)]) for i, s in enumerate(_SMALL)) + tuple(
        sample((9,), scalar=c) for c in numbers
    )


def _elements(shapes: tuple[Shape, ...], **_: Any) -> float:
    return float(math.prod(np.broadcast_shapes(*shapes)))


def row(name: str, reference: Any, samples: Any, **more: Any) -> Row:
    """A row of this family."""
    return Row(
        **{
            "name": name,
            "family": "elementwise",
            "reference": reference,
            "samples": samples,
            "regions": REGIONS,
            "flops": _elements,
            **more,
        }
    )


def _comparison(name: str, reference: Any) -> Row:
    return row(
        name,
        lambda t, a, b: reference(a, b).to(a.dtype),
        BINARY,
        regions=_COMPARED,
        differentiable=False,
    )


# So far that a square leaves the range, which a quotient does not.
_FAR = Domain(huge=lambda largest: largest**0.6, tiny=lambda largest: largest**-0.6)
# Positive bases; exponents so that a ** b stays in float32's range.
_BASE = Domain(low=0, spread=0.7, huge=lambda _: 2.0**20, tiny=lambda _: 2.0**-20)
_EXPONENT = Domain(spread=1.5, huge=lambda _: 6.0, tiny=lambda _: 2.0**-20)


def _of_scalar(found: Any, tensors: Any, where: Any, scalar: float) -> Any:
    """The op of a class that holds a number: c / a and c ** a have no function."""
    return found(scalar)(*tensors)


def _power_of_scalar(t: Any, a: Any, scalar: float) -> Any:
    """0 ** a is a step, flat beside it: torch's gradient is that of 0 ** a log(0)."""
    return t.full_like(a, scalar) ** a if scalar else t.full_like(a, 0.0) ** a.detach() + a * 0.0


ROWS = (
    row(
        "add",
        lambda t, a, b: a + b,
        (*BINARY, sample(MANY, MANY), sample(MANY, (257,)), sample((263, 1), MANY)),
        linear=True,
    ),
    row("add_scalar", lambda t, a, scalar: a + scalar, scalars(1.5, -0.375, 0.1, 0.0), linear=True),
    row("multiply", lambda t, a, b: a * b, (*BINARY, sample(MANY, MANY))),
    row("mul_scalar", lambda t, a, scalar: a * scalar, scalars(1.5, -2.0, 0.1, 0.0), linear=True),
    row(
        "divide",
        lambda t, a, b: a / b,
        BINARY,
        regions=("tiny", "huge", "special", "edge", "integer", "ties"),
        domains=(_FAR, replace(_FAR, nonzero=True)),
    ),
    row("divide_scalar", lambda t, a, scalar: a / scalar, scalars(3.0, -0.5, 0.1), linear=True),
    row(
        "ScalarDiv",
        lambda t, a, scalar: t.full_like(a, scalar) / a,
        scalars(3.0, -0.5, 0.1),
        regions=("tiny", "huge", "special", "edge", "integer"),
        domains=(Domain(nonzero=True),),
        call=_of_scalar,
    ),
    row(
        "ScalarPower",
        _power_of_scalar,
        (
            *scalars(2.0, 0.5, 1.5, 1.0),
            sample((9,), region="positive", scalar=0.0),
            sample((17,), region="whole", scalar=-2.0),
        ),
        regions=("tiny", "huge", "integer"),
        domains=(_EXPONENT,),
        call=_of_scalar,
    ),
    row("negate", lambda t, a: -a, UNARY, linear=True),
    row(
        "power",
        lambda t, a, b: a**b,
        BINARY,
        regions=("tiny", "huge", "zeros", "special", "edge", "integer", "ties", "whole"),
        domains=(_BASE, _EXPONENT),
    ),
    row(
        "power_scalar",
        # of the number 0.5 torch takes the square root, NaN at -inf; the power there is inf
        lambda t, a, scalar: t.pow(a, t.full_like(a, scalar)) if scalar == 0.5 else a**scalar,
        (
            *scalars(2, 3, 0.5, -1, -1.5, 1, 0),
            # of even powers the slope tells the sign, of odd ones the value
            sample((33,), region="negative", scalar=2),
            sample((9,), region="negative", scalar=3),
            sample((17,), region="negative", scalar=-1),
            sample((17,), region="whole", scalar=3),
            sample((9,), region="zeros", scalar=0),
        ),
        regions=("tiny", "huge", "special", "edge", "integer", "ties"),
        domains=(_BASE,),
    ),
    row(
        "exp",
        lambda t, a: t.exp(a),
        (*UNARY, sample(MANY)),
        domains=(Domain(spread=2.0, huge=lambda largest: 1.1 * math.log(largest)),),
    ),
    row(
        "log",
        lambda t, a: t.log(a),
        UNARY,
        domains=(Domain(low=0, huge=lambda largest: largest),),
        regions=(*REGIONS, "ties"),
    ),
    # wide enough to pass where tanh rounds to 1: 9 in float32, 19 in float64
    row("tanh", lambda t, a: t.tanh(a), UNARY, domains=(Domain(spread=5.0),)),
    row(
        "maximum",
        lambda t, a, b: t.maximum(a, b),
        BINARY,
        regions=(*REGIONS, "ties"),
        kinks=lambda a, b: np.abs(a - b),
        decided=("special",),
        signed_zero=False,  # of +0 and -0 either is a largest
    ),
    row(
        "minimum",
        lambda t, a, b: t.minimum(a, b),
        BINARY,
        regions=(*REGIONS, "ties"),
        kinks=lambda a, b: np.abs(a - b),
        decided=("special",),
        signed_zero=False,
    ),
    _comparison("equal", lambda a, b: a == b),
    _comparison("not_equal", lambda a, b: a != b),
    _comparison("less", lambda a, b: a < b),
    _comparison("less_equal", lambda a, b: a <= b),
    _comparison("greater", lambda a, b: a > b),
    _comparison("greater_equal", lambda a, b: a >= b),
)
