"""The judges: forward and VJP against torch under the derived bound, VJP against differences.

A judge asks one question and returns a finding; whatever the target raises is a finding too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from verify import budget, fd, reference, sampling, targets
from verify.budget import Array, Comparison
from verify.reference import Expected
from verify.sampling import Laid
from verify.spec import IMPOSTORS, Case, Row, Status, UsageError


@dataclass(slots=True)
class Finding:
    """What a judge found."""

    status: Status
    rho: float | None = None
    ulp: float | None = None
    worst: str = ""
    terms: dict[str, float] = field(default_factory=dict)
    message: str = ""
    impostors: tuple[str, ...] = ()
    checked: int = 0
    part: int = 0  # the result or gradient with the worst element
    comparison: Comparison | None = None


def _wrong(text: str) -> Finding:
    return Finding(Status.FAIL, worst=text, message=text)


class Question:
    """A case with its numbers, for the target and for the oracle."""

    def __init__(self, case: Case, row: Row) -> None:
        self.case, self.row = case, row
        self.problem = sampling.problem(case, row)
        self.fmt = budget.format_of(case.dtype, case.device)
        self.values: list[Any] = [laid.value for laid in self.problem.inputs]
        # scalars as the device sees them: rounded to the dtype first
        self.arguments = {
            name: float(np.dtype(case.dtype).type(v)) if isinstance(v, float) else v
            for name, v in self.problem.arguments.items()
        }

    @functools.cached_property
    def laid_cotangents(self) -> list[Laid]:
        """One for each result, with its layout on the device."""
        shapes = reference.output_shapes(self.row, self.values, self.arguments)
        return [sampling.cotangent(self.case, i, shape) for i, shape in enumerate(shapes)]

    @property
    def cotangents(self) -> list[Any]:
        """Their values."""
        return [laid.value for laid in self.laid_cotangents]

    def target(self) -> targets.Target:
        """The target's op on the laid-out inputs."""
        make: Callable[..., targets.Target] = self.row.target or targets.Call
        return make(self.row, self.problem, self.case.device, self.case.dtype)

    def expected(self, without: str = "", values: list[Any] | None = None) -> list[Expected]:
        """What the judge should see; at other values, or bounds without an operation's rounding."""
        at = self.values if values is None else values
        if self.case.judge == "forward":
            return reference.forward(self.row, at, self.arguments, self.fmt, without)
        return reference.vjp(self.row, at, self.arguments, self.cotangents, self.fmt, without)

    @property
    def gradient_names(self) -> list[str]:
        """da, db, ... for the gradients with respect to the inputs."""
        n = len(self.values)
        return ["dx"] if n == 1 else ["da", "db"] if n == 2 else [f"dx{i}" for i in range(n)]


class _Raised(Exception):
    """The target raised where it should compute."""


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls the target: its exceptions are findings, those of verify are not."""
    try:
        return function(*arguments)
    except (targets.Missing, targets.Broken, NotImplementedError, UsageError, MemoryError):
        raise
    except Exception as error:
        text = str(error).strip().splitlines() or [""]
        raise _Raised(f"it raised {type(error).__name__}: {text[0]}") from error


def examine(case: Case, row: Row) -> Finding:
    """The finding of the case's judge. Raises UsageError for a case that cannot be asked."""
    if case.judge not in _JUDGES:
        raise UsageError(f"[case] a judge is one of {sorted(_JUDGES)}, got judge={case.judge!r}")
    question = Question(case, row)
    try:
        return _JUDGES[case.judge](question)
    except (targets.Missing, NotImplementedError) as error:
        return Finding(Status.UNIMPLEMENTED, message=str(error))
    except (targets.Broken, _Raised) as error:
        return _wrong(str(error))


# --- forward and VJP against torch


def judge_forward(question: Question) -> Finding:
    """The results against torch in float64, from the same inputs, under the derived bound."""
    got = _call(_call(question.target).forward)
    want = question.expected()
    names = ["y"] if len(want) == 1 else [f"y{i}" for i in range(len(want))]
    return _compare_all(question, got, want, names, question.row.signed_zero)


def judge_vjp(question: Question) -> Finding:
    """The analytic gradient against torch's, for a random signed cotangent."""
    got = _call(_call(question.target).vjp, question.laid_cotangents)
    return _compare_all(question, got, question.expected(), question.gradient_names, False)


def _compare_all(
    question: Question,
    got: Sequence[Any],
    want: Sequence[Expected],
    names: Sequence[str],
    signed_zero: bool,
) -> Finding:
    fmt = question.fmt
    if len(got) != len(want):
        return _wrong(f"it gave {len(got)} results, should give {len(want)}")
    comparisons = []
    for name, g, w in zip(names, got, want, strict=True):
        if g.shape != w.value.shape:
            return _wrong(f"{name} has shape {g.shape}, should have {w.value.shape}")
        comparisons.append(budget.compare(fmt, g, w.value, w.error, signed_zero))
    part = max(range(len(want)), key=lambda i: -1.0 if (r := comparisons[i].rho) is None else r)
    worst = comparisons[part]
    ok = all(c.ok for c in comparisons)
    terms = {}
    if worst.index or worst.bound:
        terms = {"error": abs(worst.got - worst.want), "bound": worst.bound}
    return Finding(
        status=Status.PASS if ok else Status.FAIL,
        rho=worst.rho,
        ulp=max((c.ulp for c in comparisons if c.ulp is not None), default=None),
        worst="" if worst.rho is None and ok else _equation(names[part], worst, got[part]),
        terms={k: v for k, v in terms.items() if math.isfinite(v)},
        impostors=_passing_impostors(
            question,
            [w.value for w in want],
            lambda fakes: all(
                budget.compare(fmt, f, w.value, w.error, signed_zero).ok
                for f, w in zip(fakes, want, strict=True)
            ),
        ),
        checked=sum(c.checked for c in comparisons),
        part=part,
        comparison=worst,
    )


def _number(x: float) -> str:
    return f"{x:.9g}"


def _equation(name: str, c: Comparison, got: Any) -> str:
    """`dx[0,7,7,2] = 1.3120, should be 1.3447; error 5,100 x budget`."""
    index = f"[{','.join(map(str, c.index))}]" if c.index else ""
    given = _number(c.got)
    if math.isnan(c.got) and got[c.index].tobytes() == b"\xff" * got.itemsize:
        given = "nan (memory that was never written)"
    text = f"{name}{index} = {given}, should be {_number(c.want)}"
    if c.rho is None:
        return text
    if math.isinf(c.rho):
        return text + ("; the result is exact" if c.bound == 0 else "")
    return text + f"; error {_times(c.rho)} x budget"


def _times(rho: float) -> str:
    return f"{rho:,.0f}" if rho >= 100 else f"{rho:.3g}"


# --- impostors


def _impostor(name: str, like: Array, stale: Array, source: Any, dtype: str) -> Any:
    """An output that a judge must tell from a right one; None where it cannot be made."""
    if name == "zeros":
        fake = np.zeros(like.shape)
    elif name == "constant":
        if like.size == 1:
            return None  # the right number itself
        fake = np.full(like.shape, like.flat[0] if like.size else 0.0)
    elif name == "nan":
        fake = np.full(like.shape, np.nan)
    elif name == "stale":
        fake = stale
    elif source is not None and source.shape == like.shape:
        fake = source
    else:
        return None
    with np.errstate(all="ignore"):
        return np.asarray(fake, dtype)


def _passing_impostors(
    question: Question,
    right: Sequence[Array],
    passes: Callable[[Sequence[Any]], bool],
) -> tuple[str, ...]:
    """Those of IMPOSTORS that the judge would have taken for right here."""
    rng = sampling.generator(question.case, "impostors")
    stale = [rng.standard_normal(r.shape) for r in right]
    sources = question.values
    found = []
    for name in IMPOSTORS:
        fakes = [
            _impostor(name, r, s, sources[min(i, len(sources) - 1)], question.case.dtype)
            for i, (r, s) in enumerate(zip(right, stale, strict=True))
        ]
        if all(f is not None for f in fakes) and passes(fakes):
            found.append(name)
    return tuple(found)


# --- finite differences


def judge_fd(question: Question) -> Finding:
    """The analytic gradient against differences of the device's own forward; torch has no say."""
    row, point, names = question.row, question.values, question.gradient_names
    call = _call(question.target)
    outputs = _call(call.evaluate, point)
    cotangents = [sampling.cotangent(question.case, i, y.shape) for i, y in enumerate(outputs)]
    gradients = _call(call.vjp, cotangents)
    weights = [laid.value for laid in cotangents]
    for name, g, x in zip(names, gradients, point, strict=True):
        if g.shape != x.shape:
            return _wrong(f"{name} has shape {g.shape}, should have {x.shape}")
    distances = np.zeros(0)
    if row.kinks is not None:
        distances = np.ravel(row.kinks(*point, **question.arguments))
    prober = fd.Prober(
        lambda values: _call(call.evaluate, values),
        point,
        weights,
        sampling.generator(question.case, "directions"),
        margin=float(np.min(distances[distances > 0], initial=math.inf)),
        at_kink=bool(np.any(distances == 0)),
    )
    gradient = fd.concatenate(gradients)
    outcome = prober.judge(gradient)
    finding = Finding(
        status=Status.PASS if outcome.ok else Status.FAIL,
        rho=outcome.rho if prober.probes else None,
        impostors=_passing_impostors(
            question, gradients, lambda fakes: prober.judge(fd.concatenate(fakes)).ok
        ),
        checked=sum(math.isfinite(p.slope.tolerance) for p in prober.probes),
    )
    if not outcome.ok:
        outcome = prober.localise(gradient, outcome)
    if outcome.probe is not None:
        slope = outcome.probe.slope
        finding.terms = {
            "disagreement and noise": slope.tolerance,
            "rounding of the gradient": outcome.floor,
            "noise": slope.noise,
            "step": slope.step,
        }
        finding.worst = _slope_equation(prober, outcome, names)
    return finding


def _slope_equation(prober: fd.Prober, outcome: fd.Outcome, names: Sequence[str]) -> str:
    assert outcome.probe is not None
    slope = outcome.probe.slope
    if outcome.element >= 0:
        which, index = prober.index(outcome.element)
        name = names[which] + (f"[{','.join(map(str, index))}]" if index else "")
    else:
        moved = int(np.count_nonzero(outcome.probe.direction))
        name = f"the slope along a direction through {moved} elements"
    should = f"{_number(slope.value)} by finite differences"
    if slope.kink:
        should = f"in [{_number(slope.low)}, {_number(slope.high)}] (a kink)"
    text = f"{name} = {_number(outcome.claimed)}, should be {should}"
    return text + (f"; error {_times(outcome.rho)} x budget" if math.isfinite(outcome.rho) else "")


_JUDGES: dict[str, Callable[[Question], Finding]] = {
    "forward": judge_forward,
    "vjp": judge_vjp,
    "fd": judge_fd,
}
