"""A row's result does not depend on its neighbours: on which they are, how many, in what order.

The whole lies within the bound of the oracle, row by row; so do rows without the others, the first
half, and all in another order. Where the kernels guarantee it, the bits are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from verify import budget, reference, sampling
from verify.budget import Array
from verify.judges.impostors import passing_impostors
from verify.judges.question import Finding, Question, both, call, number, times, wrong
from verify.reference import Expected
from verify.spec import IMPOSTORS, Batch, Status

Rows: TypeAlias = npt.NDArray[np.int64]


def judge_batch(question: Question) -> Finding:
    """Every choice of rows gives what the whole gives there."""
    row, values, arguments = question.row, question.values, question.problem.arguments
    batch = row.batch
    places = None if batch is None else batch.axes(question.case.shapes, **arguments)
    if batch is None or places is None:
        return Finding(Status.PASS, impostors=IMPOSTORS)
    inputs, axis = places
    n = next(v.shape[d] for v, d in zip(values, inputs, strict=True) if d is not None)
    target = call(question.target)
    want = reference.forward(row, values, question.arguments, question.fmt)
    whole = call(target.evaluate, values)
    same_bits = batch.bitwise(question.case.device, question.case.shapes, **arguments)
    worst: budget.Comparison | None = None
    differing = 0
    # the last results may be statistics of all rows
    results = len(want) - row.without_gradient
    whole, want = whole[:results], want[:results]
    for what, rows in _choices(question, batch, n):
        chosen = [_take(v, rows, d) for v, d in zip(values, inputs, strict=True)]
        got = call(target.evaluate, chosen)
        for i, (g, w, expected) in enumerate(zip(got[: len(want)], whole, want, strict=True)):
            should = _take(w, rows, axis)
            if g.shape != should.shape:
                return wrong(f"{what}: y{i} has shape {g.shape}, should have {should.shape}")
            found = _compare(question, g, expected, rows, axis)
            if not found.ok:
                return wrong(f"{what}: {_equation(i, found)}")
            bits = _differing(g, should)
            differing += len(bits)
            if len(bits) and same_bits:
                index = tuple(int(k) for k in bits[0])
                return wrong(
                    f"{what}: y{i}[{','.join(map(str, index))}] = {number(float(g[index]))}, "
                    f"with the others {number(float(should[index]))}; the kernels guarantee bits"
                )
            if worst is None or (found.rho or 0.0) > (worst.rho or 0.0):
                worst = found
    rows = np.arange(n)
    return Finding(
        Status.PASS,
        rho=None if worst is None else worst.rho,
        terms={"elements of other bits": float(differing)} if differing else {},
        checked=sum(w.size for w in whole),
        impostors=passing_impostors(
            question,
            [w.value for w in want],
            lambda fakes: all(
                _compare(question, f, w, rows, axis).ok for f, w in zip(fakes, want, strict=True)
            ),
        ),
    )


def _choices(question: Question, batch: Batch, n: int) -> Iterator[tuple[str, Rows]]:
    """Rows to ask for, and what they are called."""
    rng = sampling.generator(question.case, "rows")
    yield "all rows", np.arange(n)
    for start in dict.fromkeys((0, int(rng.integers(n)), n - 1)):
        start = min(start, n - batch.least)
        if start >= 0 and n > batch.least:
            yield f"row {start} alone", np.arange(start, start + batch.least)
    if n > 2 and n // 2 >= batch.least:
        yield "the first half", np.arange(n // 2)
    yield "another order", rng.permutation(n)


def _take(a: Array, rows: Rows, axis: int | None) -> Any:
    return a if axis is None else np.take(a, rows, axis)


def _compare(
    question: Question, got: Any, want: Expected, rows: Rows, axis: int
) -> budget.Comparison:
    """Against the oracle's rows."""
    value, error = (_take(a, rows, axis) for a in (want.value, want.error))
    return budget.compare(question.fmt, got, value, error, question.row.signed_zero)


def _differing(a: Array, b: Array) -> Rows:
    """Indices of elements with other bits."""
    if np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes():
        return np.zeros((0, a.ndim), int)
    view = f"u{a.itemsize}"
    return np.argwhere(np.ascontiguousarray(a).view(view) != np.ascontiguousarray(b).view(view))


def _equation(i: int, c: budget.Comparison) -> str:
    index = f"[{','.join(map(str, c.index))}]" if c.index else ""
    given, wanted = both(c.got, c.want)
    text = f"y{i}{index} = {given}, should be {wanted}"
    return text + (f"; error {times(c.rho)} x budget" if c.rho and np.isfinite(c.rho) else "")
