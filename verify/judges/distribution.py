"""What is drawn: the numbers of its law, in order, from numpy's generator; and as distributed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from verify import sampling
from verify.judges.impostors import passing_impostors
from verify.judges.question import Finding, Question, both, call, times, wrong
from verify.laws import Evidence, Law
from verify.sampling import Array
from verify.spec import Status, UsageError
from verify.targets.draws import DrawCall, own_generator

_HEAD = 1024  # elements of a result that impostors are held against


def judge_distribution(question: Question) -> Finding:
    """Draws of two seeds, several of one: shapes, repetition, the very numbers, distribution."""
    case, draws = question.case, question.row.draws
    if draws is None:
        raise UsageError(f"[case] {case.op} draws nothing, got id={case.id}")
    try:
        laws: Mapping[str, Law] = draws.laws(**dict(case.kwargs))
    except Exception as error:  # a typed id
        raise UsageError(
            f"[case] arguments do not fit {case.op}, got id={case.id!r}: "
            f"{type(error).__name__}: {error}"
        ) from error
    seeds = [int(s) for s in sampling.generator(case, "seeds").integers(1 << 32, size=2)]
    unit = question.fmt.u
    with own_generator():
        target = DrawCall(draws, case)
        series = call(target.series, seeds[0])
        other = call(target.another, seeds[1])
        np.random.seed(seeds[0])
        # each of four roundings may be that of a denormal number
        room = 4.0 * question.fmt.eta if question.fmt.inner is not None else 0.0
        replayed = [(v, e + room) for v, e in (law.replay(unit) for law in laws.values())]
    if text := _shapes(laws, series[0]):
        return wrong(text)
    worst = _numbers(laws, series[0], replayed)
    if worst.ratio <= 1:  # the draws that follow, and those of another seed
        parts = zip(*series, other, strict=True)
        found = (
            _named(name, law.evidence(drawn, unit))
            for (name, law), drawn in zip(laws.items(), parts, strict=True)
        )
        worst = max((worst, *found), key=lambda e: e.ratio)
    head = [(value.ravel()[:_HEAD], error.ravel()[:_HEAD]) for value, error in replayed]
    return Finding(
        Status.PASS if worst.ratio <= 1 else Status.FAIL,
        rho=worst.ratio,
        worst=worst.text,
        message=worst.text,
        impostors=passing_impostors(
            question,
            [value for value, _ in head],
            lambda fakes: _numbers(laws, fakes, head).ratio <= 1,
        ),
        vacuous=draws.constant,
        checked=sum(a.size for drawn in (*series, other) for a in drawn),
    )


def _shapes(laws: Mapping[str, Law], drawn: Sequence[Array]) -> str:
    if len(drawn) != len(laws):
        return f"it gave {len(drawn)} results, should give {len(laws)}: {', '.join(laws)}"
    for (name, law), a in zip(laws.items(), drawn, strict=True):
        if a.shape != law.shape:
            return f"{name} has shape {a.shape}, should have {law.shape}"
    return ""


def _numbers(
    laws: Mapping[str, Law], drawn: Sequence[Array], replayed: Sequence[tuple[Array, Array]]
) -> Evidence:
    """The numbers themselves: drawn in this order, of the shapes of the laws."""
    found = [Evidence(0.0, "")]
    for name, a, (value, error) in zip(laws, drawn, replayed, strict=True):
        if not a.size:
            continue
        away = np.abs(a.astype(np.float64) - value)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(away == 0, 0.0, away / error)
        ratio = np.where(np.isnan(ratio), math.inf, ratio)
        index = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
        place = f"[{','.join(map(str, index))}]" if index else ""
        given, wanted = both(float(a[index]), float(value[index]))
        text = f"{name}{place} = {given}, should be {wanted}"
        worst = float(ratio[index])
        beside = f"; error {times(worst)} x budget" if math.isfinite(worst) else ""
        found.append(Evidence(worst, text + beside))
    return max(found, key=lambda e: e.ratio)


def _named(name: str, evidence: Evidence) -> Evidence:
    return Evidence(evidence.ratio, f"{name}: {evidence.text}" if evidence.text else "")
