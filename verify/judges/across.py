"""A device against numpy, on the same inputs: special values, signs of zeros, exact results.

numpy is the executable specification of every kernel, in float32 where the device computes in 16
bits: then its results are rounded here. Exact results are equal, signs of zeros included; others
lie within the sum of both devices' bounds. Where a bound is infinite the oracle claims nothing:
there an elementwise op still gives NaN, an infinity of one sign or a finite number on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from verify import budget, reference
from verify.budget import Array, Comparison
from verify.judges.impostors import passing_impostors
from verify.judges.question import Finding, Question, call, number, times, wrong
from verify.precision import PRECISIONS
from verify.sampling import widened
from verify.spec import Status

BESIDE = "numpy"


def judge_across(question: Question) -> Finding:
    """The results of the case's device against those of numpy."""
    case, row = question.case, question.row
    if case.device == BESIDE:
        return Finding(Status.SKIP, message="numpy is what the other devices are held against")
    beside = _beside(question)
    got, want = (call(call(q.target).forward) for q in (question, beside))
    with np.errstate(over="ignore"):
        want = [y.astype(g.dtype) for y, g in zip(want, got, strict=False)] + want[len(got) :]
    if [y.shape for y in got] != [y.shape for y in want]:
        shapes = [[y.shape for y in results] for results in (got, want)]
        return wrong(f"the results have shapes {shapes[0]}, {BESIDE}'s {shapes[1]}")
    errors = _bounds(question, beside)
    kinds = row.family == "elementwise"

    def compared(results: Sequence[Any]) -> list[Comparison]:
        return [
            _compare(question, g, w, e, kinds)
            for g, w, e in zip(results, want, errors, strict=True)
        ]

    found = compared(got)
    part = max(range(len(found)), key=lambda i: -1.0 if (r := found[i].rho) is None else r)
    worst = found[part]
    ok = all(c.ok for c in found)
    index = f"[{','.join(map(str, worst.index))}]" if worst.index else ""
    text = f"y{part}{index} = {number(worst.got)}, {BESIDE}'s {number(worst.want)}"
    if worst.rho is not None and np.isfinite(worst.rho):
        text += f"; difference {times(worst.rho)} x budget"
    return Finding(
        Status.PASS if ok else Status.FAIL,
        rho=worst.rho,
        worst=text if not ok or worst.rho is not None else "",
        checked=sum(c.checked for c in found),
        impostors=passing_impostors(
            question, want, lambda fakes: all(c.ok for c in compared(fakes))
        ),
    )


def _beside(question: Question) -> Question:
    """The same numbers for numpy, in a dtype that it computes in."""
    case = question.case
    inner = PRECISIONS[case.dtype].inner
    beside = Question(replace(case, device=BESIDE, dtype=inner or case.dtype), question.row)
    if inner:
        beside.take([widened(laid, inner) for laid in question.problem.inputs])
        beside.arguments = question.arguments
    return beside


def _bounds(question: Question, beside: Question) -> list[Array]:
    """How far a result may lie from numpy's: the sum of both bounds."""
    both = [reference.forward(q.row, q.values, q.arguments, q.fmt) for q in (question, beside)]
    fmt = question.fmt
    return [a.error + budget.stored(fmt, b.value, b.error) for a, b in zip(*both, strict=True)]


def _compare(question: Question, got: Any, want: Any, error: Array, kinds: bool) -> Comparison:
    """budget.compare; where nothing is bounded, NaN, infinities and finite numbers are told."""
    fmt, exact = question.fmt, want.astype(np.float64)
    found = budget.compare(fmt, got, exact, error, question.row.signed_zero)
    if not found.ok or not kinds:
        return found
    unbounded = ~np.isfinite(error) & np.isfinite(exact)
    g = got.astype(np.float64)
    other = unbounded & ~np.isfinite(g)
    if other.any():
        index = tuple(int(i) for i in np.argwhere(other)[0])
        return Comparison(False, np.inf, None, index, float(g[index]), float(exact[index]))
    return replace(found, checked=found.checked + int(np.count_nonzero(unbounded)))
