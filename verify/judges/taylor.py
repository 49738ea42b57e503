"""Taylor remainders: |f(x + h v) - f(x) - h <g, v>| shrinks as h^2; a wrong gradient's as h.

Only remainders far above the noise count, and only where the last two steps agree is a gradient
wrong: one remainder may be small by chance, where its terms cancel. Of a function that is linear
within the noise it says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from verify import fd, regularity, sampling
from verify.budget import Array
from verify.judges.claims import Claim, holding
from verify.judges.differences import distances
from verify.judges.impostors import passing_impostors
from verify.judges.question import Question, call

_STEPS = [2.0 ** -(4 + 2 * k) for k in range(12)]
_ABOVE = 1000.0  # times the noise: one that a table of differences missed in part does not matter
_SLACK = 0.5  # of the order 2, half way to the order of a wrong gradient
_SAYS = "the order in h of |f(x + h v) - f(x) - h <g, v>|"


def taylor(question: Question, impostors: tuple[str, ...]) -> tuple[list[Claim], tuple[str, ...]]:
    """The order of the remainder along a random direction; nothing claimed at a kink."""
    point = question.values
    gaps = distances(question)
    if np.any(gaps == 0):
        return [], impostors
    target = call(question.target)
    outputs = call(target.evaluate, point)
    laid = [sampling.cotangent(question.case, i, y.shape) for i, y in enumerate(outputs)]
    gradients = call(target.vjp, laid)
    weights = [np.asarray(s.value, np.longdouble) for s in laid]
    for i in range(len(outputs) - question.row.without_gradient, len(outputs)):
        weights[i] *= 0
    rng = sampling.generator(question.case, "direction")
    # on a grid, away from 0: every element counts and x + h v is exact
    moves = [rng.integers(32, 97, p.shape) / 64.0 * rng.choice([-1.0, 1.0], p.shape) for p in point]

    def line(t: float) -> np.longdouble:
        results = call(target.evaluate, [p + t * v for p, v in zip(point, moves, strict=True)])
        total = sum(np.sum(w * y) for w, y in zip(weights, results, strict=True))
        return np.longdouble(total)

    # rounding the results once is noise that a table of 7 values may miss
    floor = fd.U * math.sqrt(
        sum(float(np.sum((w * y) ** 2)) for w, y in zip(weights, outputs, strict=True))
    )
    epsilon = max(regularity.noise(line), floor)
    margin = float(np.min(gaps, initial=math.inf)) / 8.0
    steps = [h for h in _STEPS if h < margin]
    start = line(0.0)
    changes = [(h, line(h) - start) for h in steps]
    roots = math.sqrt(max(1, sum(y.size for y in outputs)))

    def claims(found: Sequence[Array]) -> list[Claim]:
        return _claims(changes, found, moves, epsilon, roots)

    made = claims(gradients)
    if not made:
        return [], impostors
    passing = passing_impostors(question, gradients, lambda fakes: holding(claims(fakes)))
    return made, tuple(name for name in impostors if name in passing)


def _claims(
    changes: Sequence[tuple[float, np.longdouble]],
    gradients: Sequence[Array],
    moves: Sequence[Array],
    epsilon: float,
    roots: float,
) -> list[Claim]:
    """The order at the smallest usable steps, where three stand out.

    Where none does, the function is linear within its noise, and the slope the right one if the
    change itself stands out; otherwise nothing is claimed.
    """
    with np.errstate(all="ignore"):
        parts = [np.asarray(g, np.longdouble) * v for g, v in zip(gradients, moves, strict=True)]
        slope = sum(np.sum(p) for p in parts)
        # the gradient rounds too: a sum over the results in each element
        rounded = 8.0 * fd.U * roots * sum(float(np.sum(np.abs(p))) for p in parts)
        usable = [
            (h, r)
            for h, change in changes
            if (r := abs(float(change - h * slope))) > _ABOVE * epsilon + 10.0 * rounded * h
            and math.isfinite(r)
        ]
    if not math.isfinite(float(slope)):
        return [Claim(_SAYS, math.inf, False, 1, math.nan, 2.0)]
    if len(usable) < 3:
        stands_out = any(abs(c) > 100 * _ABOVE * epsilon for _, c in changes)
        return [Claim(_SAYS, 0.0, True, 1)] if not usable and stands_out else []
    orders = [
        math.log(a[1] / b[1]) / math.log(a[0] / b[0])
        for a, b in zip(usable[-3:], usable[-2:], strict=False)
    ]
    order = max(orders)
    return [Claim(_SAYS, max(0.0, 2.0 - order) / _SLACK, False, len(usable), order, 2.0)]
