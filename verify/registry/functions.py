"""Elementary and special functions, elementwise."""

from __future__ import annotations

import math

import numpy as np

from verify.registry.elementwise import REGIONS, UNARY, row
from verify.spec import Domain

_POSITIVE = Domain(low=0, huge=lambda largest: largest)

ROWS = (
    row(
        "abs",
        lambda t, a: t.abs(a),
        UNARY,
        regions=(*REGIONS, "ties"),
        kinks=lambda a: np.abs(a),
    ),
    row(
        "sign",
        lambda t, a: t.where((a == 0) | t.isnan(a), a, t.sign(a)),  # zeros and NaN stay
        UNARY,
        regions=(*REGIONS, "ties"),
        differentiable=False,  # its gradient is 0: a test shows that it is not None
    ),
    row("sqrt", lambda t, a: t.sqrt(a), UNARY, domains=(_POSITIVE,), regions=(*REGIONS, "ties")),
    row(
        "rsqrt",
        lambda t, a: t.rsqrt(a),
        UNARY,
        domains=(_POSITIVE,),
        # not "zeros": at -0 the sign of the infinite slope depends on the formula
        regions=("tiny", "huge", "special", "edge", "integer", "denormal", "ties"),
    ),
    row("sin", lambda t, a: t.sin(a), UNARY, domains=(Domain(spread=5.0),)),
    row("cos", lambda t, a: t.cos(a), UNARY, domains=(Domain(spread=5.0),)),
    row(
        "log1p",
        lambda t, a: t.log1p(a),
        UNARY,
        domains=(Domain(low=-1, spread=0.2, huge=lambda largest: largest),),
    ),
    row(
        "expm1",
        # for the derivative: torch's own, expm1(a) + 1, cancels
        lambda t, a: t.exp(a) - 1 if a.requires_grad else t.expm1(a),
        UNARY,
        domains=(Domain(spread=5.0, huge=lambda largest: 1.1 * math.log(largest)),),
    ),
    row("erf", lambda t, a: t.erf(a), UNARY, domains=(Domain(spread=2.0),)),
    row("erfc", lambda t, a: t.erfc(a), UNARY, domains=(Domain(spread=3.0),)),
)
