"""One part measured, in a worker: the case function of a calibration.

float32 results are held against the oracle in float64, whose own error is below 2^-28 of their ULP;
float64 results against 50 digits. torch's own gelu, which cancels in its tail and overflows early,
is measured in units of u |a|, for |a| below 2^16. What a verdict judges is what uses most of its
bound: the worst result of every block, and every result of the small parts.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from verify import reference, registry, targets
from verify.budget import Array, Format, compare, format_of
from verify.calibration import arguments, exact
from verify.calibration.errors import Measured, errors
from verify.calibration.parts import split
from verify.spec import Case, Row, Status, Verdict

_NEAR = 2.0**16
Numbers = npt.NDArray[Any]
Judged = tuple[Numbers, Numbers, Array, Array]  # x, got, want, errors


def warm_up(threads: int = 1) -> dict[str, str]:
    """Called once in a worker: pins threads, gives the environment."""
    reference.prepare()
    return targets.environment(threads)


def run_case(case: Case) -> Verdict:
    """The errors of a part, and whether they are within their bounds."""
    row = registry.rows()[case.op]
    own = reference.torchs_own(row) if case.device == "torch" else None
    row = own or row
    named, place = split(case)
    ((count,),) = case.shapes
    fmt = format_of(case.dtype, case.device)
    measured = Measured()
    judged: list[Judged] = []
    oracle = reference.unary(row, named)
    if case.device == "torch":
        subject = reference.unary(row, named, case.dtype)
    else:
        subject = targets.unary(row, named, case.device, case.dtype)

    def look(x: Numbers) -> Array:
        want = oracle(x)
        low: Array | float = 0.0
        if case.dtype == "float64":
            usual = np.isfinite(x) & (x != 0)
            low = np.zeros(x.size)
            want[usual], low[usual] = exact.values(row.name, x[usual], named)
        got = subject(x)
        e = errors(fmt, got, want, low, np.maximum(fmt.u * np.abs(x), fmt.eta) if own else None)
        measured.add(fmt, x, got, want, e)
        i = int(np.argmax(e))
        kept = slice(i, i + 1) if case.region == "patterns" else slice(None)
        judged.append((x[kept].copy(), got[kept].copy(), want[kept].copy(), e[kept].copy()))
        return e

    def look_near(x: Numbers) -> Array:
        e, near = np.zeros(x.size), np.abs(x) < _NEAR
        if near.any():
            e[near] = look(x[near])
        return e

    see = look_near if own else look
    if case.region == "patterns":
        for x in arguments.patterns(count=count, **place):
            see(x)
    elif case.region == "special":
        see(arguments.special(case.dtype))
    else:
        arguments.search(case, count, see)
    verdict = Verdict(case.id, Status.PASS, ulp=measured.most, checked=measured.count)
    verdict.budget = measured.to_terms()
    if judged:  # in some parts no argument is near
        _judge(case, row, fmt, judged, verdict)
    return verdict


def _judge(case: Case, row: Row, fmt: Format, judged: list[Judged], verdict: Verdict) -> None:
    """Fill in rho, the worst result as an equation, and the status."""
    x, got, want, e = (np.concatenate([block[k] for block in judged]) for k in range(4))
    named, _ = split(case)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        bound = reference.forward(row, [x], named, fmt)[0].error
        held = compare(fmt, got, want, bound, row.signed_zero)
    wrong = e == math.inf
    verdict.rho = math.inf if wrong.any() else held.rho
    i = int(np.argmax(wrong)) if wrong.any() else held.index[0]
    verdict.worst = f"{case.op}({_shown(x[i])}) = {got[i]!s}, should be {want[i]!s}"
    if wrong.any() or not held.ok:
        verdict.status = Status.FAIL
        verdict.message = (
            f"{verdict.worst}; {e[i]:.4g} ULP, the bound is {bound[i]:.3g}"
            if math.isfinite(e[i])
            else f"{verdict.worst}; a special value that should not be"
        )


def _shown(x: Any) -> str:
    """An argument in decimal and in bits."""
    return f"{x!s} = 0x{x.view(f'u{x.itemsize}'):0{2 * x.itemsize}x}"
