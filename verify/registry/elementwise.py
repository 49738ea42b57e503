"""Elementwise ops: arithmetic, elementary functions, comparisons; broadcast, and with scalars."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from verify.registry.planning import sample
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

_UNARY = tuple(sample(s) for s in _SHAPES)
_BINARY = tuple(sample(a, b) for a, b in _PAIRS)
_REGIONS = ("tiny", "huge", "zeros", "special", "edge", "integer", "denormal")
_COMPARED = ("ties", "zeros", "special", "edge", "integer", "denormal")
_SMALL = tuple(s for s in _SHAPES if len(s) != 1 or s[0] in (1, 7, 16, 33, 65))


def _scalars(*scalars: float) -> tuple[Sample, ...]:
    """Every scalar with a shape of its own, the shapes in turn."""
    return tuple(sample(s, scalar=scalars[i % len(scalars)]) for i, s in enumerate(_SMALL)) + tuple(
        sample((9,), scalar=c) for c in scalars
    )


def _elements(shapes: tuple[Shape, ...], **_: Any) -> float:
    return float(math.prod(np.broadcast_shapes(*shapes)))


def _row(name: str, reference: Any, samples: Any, **more: Any) -> Row:
    return Row(
        **{
            "name": name,
            "family": "elementwise",
            "reference": reference,
            "samples": samples,
            "regions": _REGIONS,
            "flops": _elements,
            **more,
        }
    )


def _comparison(name: str, reference: Any) -> Row:
    return _row(
        name,
        lambda t, a, b: reference(a, b).to(a.dtype),
        _BINARY,
        regions=_COMPARED,
        differentiable=False,
    )


# Positive bases; exponents so that a ** b stays in float32's range.
_BASE = Domain(low=0, spread=0.7, huge=lambda _: 2.0**20, tiny=lambda _: 2.0**-20)
_EXPONENT = Domain(spread=1.5, huge=lambda _: 6.0, tiny=lambda _: 2.0**-20)

ROWS = (
    _row("add", lambda t, a, b: a + b, _BINARY, linear=True),
    _row(
        "add_scalar", lambda t, a, scalar: a + scalar, _scalars(1.5, -0.375, 0.1, 0.0), linear=True
    ),
    _row("multiply", lambda t, a, b: a * b, _BINARY),
    _row("mul_scalar", lambda t, a, scalar: a * scalar, _scalars(1.5, -2.0, 0.1, 0.0), linear=True),
    _row(
        "divide",
        lambda t, a, b: a / b,
        _BINARY,
        regions=("tiny", "huge", "special", "edge", "integer", "ties"),
        domains=(Domain(), Domain(low=0)),
    ),
    _row("divide_scalar", lambda t, a, scalar: a / scalar, _scalars(3.0, -0.5, 0.1), linear=True),
    _row("negate", lambda t, a: -a, _UNARY, linear=True),
    _row(
        "power",
        lambda t, a, b: a**b,
        _BINARY,
        regions=("tiny", "huge", "special", "edge", "integer", "ties"),
        domains=(_BASE, _EXPONENT),
    ),
    _row(
        "power_scalar",
        lambda t, a, scalar: a**scalar,
        (
            *_scalars(2, 3, 0.5, -1, -1.5, 1, 0),
            sample((33,), region="negative", scalar=3),
            sample((9,), region="negative", scalar=2),
            sample((17,), region="negative", scalar=-1),
        ),
        regions=("tiny", "huge", "special", "edge", "integer", "ties"),
        domains=(_BASE,),
    ),
    _row(
        "exp",
        lambda t, a: t.exp(a),
        _UNARY,
        domains=(Domain(spread=2.0, huge=lambda largest: 1.1 * math.log(largest)),),
    ),
    _row(
        "log",
        lambda t, a: t.log(a),
        _UNARY,
        domains=(Domain(low=0, huge=lambda largest: largest),),
        regions=(*_REGIONS, "ties"),
    ),
    # wide enough to pass where tanh rounds to 1: 9 in float32, 19 in float64
    _row("tanh", lambda t, a: t.tanh(a), _UNARY, domains=(Domain(spread=5.0),)),
    _row(
        "relu",
        # x where x is not negative, so that -0 and NaN pass; the gradient at 0 is 0
        lambda t, a: t.where(a == 0, a.detach(), t.relu(a)),
        _UNARY,
        regions=(*_REGIONS, "ties"),
        kinks=lambda a: np.abs(a),
    ),
    _row(
        "maximum",
        lambda t, a, b: t.maximum(a, b),
        _BINARY,
        regions=(*_REGIONS, "ties"),
        kinks=lambda a, b: np.abs(a - b),
        signed_zero=False,  # of +0 and -0 either is a largest
    ),
    _comparison("equal", lambda a, b: a == b),
    _comparison("not_equal", lambda a, b: a != b),
    _comparison("less", lambda a, b: a < b),
    _comparison("less_equal", lambda a, b: a <= b),
    _comparison("greater", lambda a, b: a > b),
    _comparison("greater_equal", lambda a, b: a >= b),
)
