"""Gradients against finite differences of the device's own results; torch has no say.

`fd` holds the gradient against differences of the forward, `second` the gradient of the gradient
against differences of the gradient.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from verify import fd, reference, regularity, sampling
from verify.budget import Array
from verify.fd_float32 import CoarseProber
from verify.judges.impostors import passing_impostors
from verify.judges.question import Finding, Question, call, number, times, wrong
from verify.sampling import domain_of
from verify.spec import IMPOSTORS, Status, UsageError


def judge_fd(question: Question) -> Finding:
    """The gradient of the forward."""
    point = question.values
    target = call(question.target)
    outputs = call(target.evaluate, point)
    cotangents = [question.cotangent(i, y.shape) for i, y in enumerate(outputs)]
    alone = int(sampling.generator(question.case, "alone").integers(len(point)))
    gradients = call(target.vjp, cotangents, alone)
    weights = [laid.value for laid in cotangents]
    for i in range(len(outputs) - question.row.without_gradient, len(outputs)):
        weights[i] = np.zeros_like(weights[i])
    return _held(
        question,
        lambda values: call(target.evaluate, values),
        point,
        weights,
        gradients,
        question.gradient_names,
    )


def judge_second(question: Question) -> Finding:
    """The gradient of the gradient, with respect to the inputs and to the cotangents."""
    target = call(question.target)
    inputs = question.values
    shapes = [y.shape for y in call(target.evaluate, inputs)]  # a user's may have no reference
    laid = [question.cotangent(i, shape) for i, shape in enumerate(shapes)]
    seeds = [c.value for c in laid]
    point = [*inputs, *seeds]

    def first(values: Sequence[Array]) -> list[Array]:
        gradients: list[Array] = call(
            target.gradients, values[: len(inputs)], values[len(inputs) :]
        )
        return gradients

    directions = [question.cotangent(len(seeds) + i, v.shape).value for i, v in enumerate(inputs)]
    gradients = call(target.second, laid, directions)
    names = [f"d2{name[1:]}" for name in question.gradient_names]
    names += ["dg"] if len(seeds) == 1 else [f"dg{i}" for i in range(len(seeds))]
    if distances(question).min(initial=math.inf) == 0:
        raise UsageError(f"[case] a kink has no second derivative, got id={question.case.id}")
    return _held(question, first, point, directions, gradients, names)


def distances(question: Question) -> Array:
    """How far the point is from its kinks."""
    if question.row.kinks is None:
        return np.zeros(0)
    return np.ravel(question.row.kinks(*question.values, **question.arguments))


def _edges(question: Question) -> list[Array]:
    """How far the inputs are from the ends of their domains."""
    return [
        np.abs(np.ravel(value) - end)
        for i, value in enumerate(question.values)
        for domain in [domain_of(question.row, i)]
        for end in (domain.low, domain.high, 0.0 if domain.nonzero else math.inf)
        if math.isfinite(end)
    ]


def _held(
    question: Question,
    function: Callable[[Sequence[Array]], Sequence[Array]],
    point: Sequence[Array],
    weights: Sequence[Array],
    gradients: Sequence[Array],
    names: Sequence[str],
) -> Finding:
    """Claimed gradients of <weights, function> at a point against its slopes there."""
    for name, g, x in zip(names, gradients, point, strict=True):
        if g.shape != x.shape:
            return wrong(f"{name} has shape {g.shape}, should have {x.shape}")
    gaps = distances(question)
    room = np.concatenate([gaps, *_edges(question)])
    probing = fd.Prober if question.case.dtype == "float64" else CoarseProber
    prober = probing(
        function,
        point,
        weights,
        sampling.generator(question.case, "directions"),
        margin=float(np.min(room[room > 0], initial=math.inf)),
        at_kink=bool(np.any(gaps == 0)),
        rounding=functools.cache(lambda: _rounding(question, weights)),
    )
    gradient = fd.concatenate(gradients)
    outcome = prober.accuse(gradient)
    checked = sum(p.slope.kind in regularity.EVIDENCE for p in prober.probes)
    finding = Finding(
        status=Status.PASS if outcome.ok else Status.FAIL,
        rho=outcome.rho if prober.probes else None,
        # where every probe is noise nothing was told, whatever noise would say of an impostor
        impostors=passing_impostors(
            question, gradients, lambda fakes: prober.judge(fd.concatenate(fakes)).ok
        )
        if checked or not outcome.ok
        else IMPOSTORS,
        checked=checked,
    )
    if not outcome.ok and question.locate:
        outcome = prober.localise(gradient, outcome)
    if outcome.probe is not None:
        slope = outcome.probe.slope
        finding.terms = {
            "disagreement and noise": slope.tolerance,
            "rounding of the gradient": outcome.floor,
            "noise": slope.noise,
            "step": slope.step,
            **{f"probes: {kind}": float(n) for kind, n in prober.classes().items()},
        }
        finding.worst = _slope_equation(prober, outcome, names)
    return finding


def _rounding(question: Question, weights: Sequence[Array]) -> float:
    """What rounding can do to the weighted sum of the results, as the oracle derives it."""
    if question.case.judge == "fd":
        found = reference.forward(question.row, question.values, question.arguments, question.fmt)
    else:
        found = question.expected()
    if not found:  # a user's function that nothing is compared with
        return 0.0
    total = sum(float(np.sum(np.abs(w) * e.error)) for w, e in zip(weights, found, strict=True))
    return total if math.isfinite(total) else 0.0


def _slope_equation(prober: fd.Prober, outcome: fd.Outcome, names: Sequence[str]) -> str:
    assert outcome.probe is not None
    slope = outcome.probe.slope
    if outcome.element >= 0:
        which, index = prober.index(outcome.element)
        name = names[which] + (f"[{','.join(map(str, index))}]" if index else "")
    else:
        moved = int(np.count_nonzero(outcome.probe.direction))
        name = f"the slope along a direction through {moved} elements"
    should = f"{number(slope.value)} by finite differences"
    if slope.kink:
        should = f"in [{number(slope.low)}, {number(slope.high)}] (a kink)"
    elif slope.kind == regularity.OUTSIDE:
        should += " (outside the domain: not finite beside the point, a jump, or infinitely steep)"
    text = f"{name} = {number(outcome.claimed)}, should be {should}"
    return text + (f"; error {times(outcome.rho)} x budget" if math.isfinite(outcome.rho) else "")
