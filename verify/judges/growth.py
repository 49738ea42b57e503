"""How errors grow with the length of a sum, and whether many elements are computed as few are.

Sums: at each length, of signed, of positive and of constant terms, the error stays under the bound,
which is tighter where the kernels guarantee that a term takes part in fewer roundings than there
are terms. How the error grows is reported: error ~ length ^ exponent.

Elementwise: results past the caches of the cpu, elements repeated, have the bits of the few, which
lie within the bound of the oracle.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from verify import budget, reference
from verify.budget import Array
from verify.judges.impostors import passing_impostors
from verify.judges.question import Finding, Question, both, call, number, times, wrong
from verify.reference import Expected
from verify.spec import IMPOSTORS, Growth, Sample, Status

LENGTHS = (17, 130, 1025, 8200)  # and that of the case: below and above the blocks of the kernels
_SHORT = 10_000  # up to here all kinds of terms are asked everywhere
# Results from here on bypass the caches of the cpu (csrc/cpu/loops.h: kStreamBytes).
_MANY_BYTES = 8 * 1024 * 1024


def judge_growth(question: Question) -> Finding:
    """Sums at growing lengths, or more and more elements."""
    if question.row.growth is None:
        return _many(question)
    return _sums(question, question.row.growth)


def _sums(question: Question, growth: Growth) -> Finding:
    longest = max(math.prod(shape) for shape in question.case.shapes)
    lengths = [k for k in LENGTHS if k < longest]
    worst: tuple[float, float, float] = (-1.0, 0.0, 0.0)
    errors: dict[str, list[tuple[int, float]]] = {}
    impostors: tuple[str, ...] | None = None
    checked = 0
    last = Sample(question.case.shapes, question.case.kwargs)
    for k, sample in [*((k, growth.sample(k)) for k in lengths), (_length(growth, last), last)]:
        case = replace(question.case, shapes=sample.shapes, kwargs=sample.kwargs)
        asked = Question(case, question.row)
        target = call(asked.target)
        for kind, values in _kinds(asked, k):
            if kind == "positive" and k > _SHORT and growth.exact is None:
                continue  # the oracle's time: constant terms round alike too
            want = _expected(asked, values, growth, k)
            (got,) = call(target.evaluate, values)
            if got.shape != want.value.shape:
                return wrong(f"{k} terms: y has shape {got.shape}, should be {want.value.shape}")
            found = budget.compare(asked.fmt, got, want.value, want.error, False)
            checked += found.checked
            if not found.ok:
                given, wanted = both(found.got, found.want)
                return wrong(
                    f"{k} {kind} terms: y{list(found.index) or ''} = {given}, should be {wanted}; "
                    f"error {times(found.rho or 0.0)} x budget"
                )
            worst = max(worst, (found.rho or 0.0, abs(found.got - found.want), found.bound))
            size = float(np.max(np.abs(want.value)))
            errors.setdefault(kind, []).append(
                (k, float(np.max(np.abs(got.astype(np.float64) - want.value))) / (size or 1.0))
            )
            if impostors is None:
                impostors = _impostors(asked, values, want)  # the others' bounds are wider
    terms = {"error": worst[1], "bound": worst[2]}
    terms |= {f"exponent, {kind}": e for kind, found in errors.items() if (e := _exponent(found))}
    return Finding(
        Status.PASS,
        rho=worst[0],
        worst=f"error {worst[1]:.3g} of {worst[2]:.3g}",
        terms=terms,
        checked=checked,
        impostors=impostors or (),
    )


def _length(growth: Growth, sample: Sample) -> int:
    """The k of which `sample` is a sample."""
    sides = sorted({n for shape in sample.shapes for n in shape}, reverse=True)
    return next(k for k in sides if growth.sample(k) == sample)


def _kinds(question: Question, k: int) -> Iterator[tuple[str, list[Array]]]:
    """Terms whose roundings cancel, terms whose roundings may not, and all alike."""
    values = question.values
    yield "signed", values
    yield "positive", [np.abs(v) for v in values]
    yield "constant", [np.full_like(v, 0.1) for v in values]


def _expected(question: Question, values: Sequence[Array], growth: Growth, k: int) -> Expected:
    """Under the bound of the depth that the kernels guarantee; without one, the reference's.

    In float64 torch's own sums round as often as it takes: the value comes from 64 bits, whose k
    roundings are fewer than the depth's of 53.
    """
    depth = growth.depth(question.case.device, k)
    if growth.exact is None or depth is None or depth >= k:
        (want,) = reference.forward(question.row, list(values), question.arguments, question.fmt)
        return want
    wide = [np.asarray(v, np.longdouble) for v in values]
    value, size = growth.exact(*wide), growth.exact(*(np.abs(v) for v in wide))
    fmt, value = question.fmt, np.asarray(value, np.float64)
    bound = budget.growth(fmt, depth, False, growth.results) * size + k * fmt.sums.eta
    return Expected(value, budget.stored(fmt, value, np.asarray(bound, np.float64)))


def _exponent(errors: Sequence[tuple[int, float]]) -> float | None:
    """The slope of log error over log length; None where too few lengths have an error."""
    seen = [(math.log(k), math.log(e)) for k, e in errors if 0 < e < math.inf]
    if len(seen) < 3:
        return None
    lengths, logs = zip(*seen, strict=True)
    return float(np.polyfit(lengths, logs, 1)[0])


def _impostors(question: Question, values: list[Array], want: Expected) -> tuple[str, ...]:
    def passes(fakes: Sequence[Any]) -> bool:
        return budget.compare(question.fmt, fakes[0], want.value, want.error, False).ok

    return passing_impostors(question, [want.value], passes)


def _many(question: Question) -> Finding:
    target, values = call(question.target), question.values
    (few,) = call(target.evaluate, values)
    if not few.ndim or not few.size:
        return Finding(Status.PASS, impostors=IMPOSTORS)
    (want,) = reference.forward(question.row, values, question.arguments, question.fmt)
    signed_zero = question.row.signed_zero
    found = budget.compare(question.fmt, few, want.value, want.error, signed_zero)
    if not found.ok:
        given, wanted = both(found.got, found.want)
        return wrong(f"y{list(found.index)} = {given}, should be {wanted}")
    times_ = 1 + _MANY_BYTES // few.nbytes
    (many,) = call(
        target.evaluate, [np.tile(v, (times_, *(1 for _ in v.shape[1:]))) for v in values]
    )
    if many.shape != (times_ * few.shape[0], *few.shape[1:]):
        return wrong(f"of {times_} times the elements y has shape {many.shape}")
    parts = many.reshape(times_, few.size).view(f"u{few.itemsize}")
    differing = np.argwhere(parts != few.reshape(-1).view(parts.dtype))
    if len(differing):
        place, element = (int(i) for i in differing[0])
        return wrong(
            f"y[{place * few.size + element}] of {many.size} elements = "
            f"{number(float(many.flat[place * few.size + element]))}, of {few.size} "
            f"{number(float(few.flat[element]))}: the same bits for the same input"
        )
    return Finding(
        Status.PASS,
        rho=found.rho,
        checked=many.size,
        impostors=_impostors(question, values, want),
    )
