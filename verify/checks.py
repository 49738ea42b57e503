"""The judges: a case in, a verdict out.

`run_case` never raises for a wrong op. What the op did wrong is told by a failure text: the shrunk counterexample,
an equation at the worst element, the budget's terms, who is wrong, and the line that replays it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from verify import budget, fd, reference, registry, sampling, targets
from verify.budget import Array, Comparison, Format
from verify.reference import Expected
from verify.sampling import Problem
from verify.spec import IMPOSTORS, Case, Row, Status, UsageError, Verdict


def warm_up(threads: int = 1) -> dict[str, str]:
    """Called once in a worker: imports what a case needs and pins thread counts; the environment."""
    relu = registry.rows()["relu"]  # the first reference pays for torch's start
    point = [np.ones((2, 2))]
    reference.vjp(relu, point, {}, point, budget.format_of("float32"))
    return targets.environment(threads)


def run_case(case: Case) -> Verdict:
    """The verdict of a case. Raises UsageError for a case that cannot be asked."""
    row = registry.rows().get(case.op)
    if row is None:
        raise UsageError(f"[case] the registry has no row of that name, got op={case.op}")
    judges = {"forward": judge_forward, "vjp": judge_vjp, "fd": judge_fd}
    if case.judge not in judges:
        raise UsageError(f"[case] a judge is one of {sorted(judges)}, got judge={case.judge!r}")
    judge = judges[case.judge]
    finding = _examine(case, row, judge)
    verdict = Verdict(
        id=case.id,
        status=finding.status,
        rho=finding.rho,
        ulp=finding.ulp,
        worst=finding.worst,
        budget=finding.terms,
        message=finding.message,
        impostors=finding.impostors,
        vacuous_reason=row.constant_result,
        checked=finding.checked,
    )
    if finding.status is Status.FAIL:
        explain(case, row, judge, finding, verdict)
    return verdict


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


Judge = Callable[[Case, Row], Finding]


def _examine(case: Case, row: Row, judge: Judge) -> Finding:
    """The judge's finding; whatever the target raises is a finding too."""
    try:
        return judge(case, row)
    except UsageError:
        raise
    except (targets.Missing, NotImplementedError) as error:
        return Finding(Status.UNIMPLEMENTED, message=str(error))
    except targets.Broken as error:
        return Finding(Status.FAIL, worst=str(error), message=str(error))
    except _Raised as error:
        return Finding(Status.FAIL, worst=str(error), message=str(error))


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


# --- the oracle's arguments


def _reference_arguments(problem: Problem, dtype: str) -> dict[str, Any]:
    """Scalars as the device sees them: rounded to the dtype first."""
    return {
        name: float(np.dtype(dtype).type(v)) if isinstance(v, float) else v
        for name, v in problem.arguments.items()
    }


def _values(problem: Problem) -> list[Any]:
    return [laid.value for laid in problem.inputs]


def _cotangents(case: Case, row: Row, problem: Problem) -> list[Any]:
    arguments = _reference_arguments(problem, case.dtype)
    shapes = reference.output_shapes(row, _values(problem), arguments)
    return [sampling.cotangent(case, i, shape) for i, shape in enumerate(shapes)]


# --- forward and VJP against torch


def judge_forward(case: Case, row: Row) -> Finding:
    """The results against torch in float64, from the same inputs, under the derived bound."""
    problem = sampling.problem(case, row)
    got = _call(_call(targets.Call, row, problem, case.device, case.dtype).forward)
    fmt = budget.format_of(case.dtype, case.device)
    arguments = _reference_arguments(problem, case.dtype)
    want = reference.forward(row, _values(problem), arguments, fmt)
    names = ["y"] if len(want) == 1 else [f"y{i}" for i in range(len(want))]
    return _compare_all(case, fmt, got, want, names, problem, row.signed_zero)


def judge_vjp(case: Case, row: Row) -> Finding:
    """The analytic gradient against torch's, for a random signed cotangent."""
    problem = sampling.problem(case, row)
    cotangents = _cotangents(case, row, problem)
    got = _call(_call(targets.Call, row, problem, case.device, case.dtype).vjp, cotangents)
    fmt = budget.format_of(case.dtype, case.device)
    arguments = _reference_arguments(problem, case.dtype)
    want = reference.vjp(row, _values(problem), arguments, cotangents, fmt)
    return _compare_all(case, fmt, got, want, _gradient_names(len(want)), problem, False)


def _gradient_names(n: int) -> list[str]:
    return ["dx"] if n == 1 else ["da", "db"] if n == 2 else [f"dx{i}" for i in range(n)]


def _compare_all(
    case: Case,
    fmt: Format,
    got: Sequence[Any],
    want: Sequence[Expected],
    names: Sequence[str],
    problem: Problem,
    signed_zero: bool,
) -> Finding:
    if len(got) != len(want):
        text = f"it gave {len(got)} results, should give {len(want)}"
        return Finding(Status.FAIL, worst=text, message=text)
    comparisons = []
    for name, g, w in zip(names, got, want, strict=True):
        if g.shape != w.value.shape:
            text = f"{name} has shape {g.shape}, should have {w.value.shape}"
            return Finding(Status.FAIL, worst=text, message=text)
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
            case,
            problem,
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
    case: Case,
    problem: Problem,
    right: Sequence[Array],
    passes: Callable[[Sequence[Any]], bool],
) -> tuple[str, ...]:
    """Those of IMPOSTORS that the judge would have taken for right here."""
    rng = sampling.generator(case, "impostors")
    stale = [rng.standard_normal(r.shape) for r in right]
    sources = [laid.value for laid in problem.inputs]
    found = []
    for name in IMPOSTORS:
        fakes = [
            _impostor(name, r, s, sources[min(i, len(sources) - 1)], case.dtype)
            for i, (r, s) in enumerate(zip(right, stale, strict=True))
        ]
        if all(f is not None for f in fakes) and passes(fakes):
            found.append(name)
    return tuple(found)


# --- finite differences


def judge_fd(case: Case, row: Row) -> Finding:
    """The analytic gradient against differences of the device's own forward; torch has no say."""
    problem = sampling.problem(case, row)
    call = _call(targets.Call, row, problem, case.device, case.dtype)
    point = _values(problem)
    outputs = _call(call.evaluate, point)
    cotangents = [sampling.cotangent(case, i, y.shape) for i, y in enumerate(outputs)]
    gradients = _call(call.vjp, cotangents)
    for i, (g, x) in enumerate(zip(gradients, point, strict=True)):
        if g.shape != x.shape:
            text = f"{_gradient_names(len(point))[i]} has shape {g.shape}, should have {x.shape}"
            return Finding(Status.FAIL, worst=text, message=text)
    distances = np.ravel(row.kinks(*point, **problem.arguments)) if row.kinks else np.zeros(0)
    apart = distances[distances > 0]
    prober = fd.Prober(
        lambda values: _call(call.evaluate, values),
        point,
        cotangents,
        sampling.generator(case, "directions"),
        margin=float(np.min(apart, initial=math.inf)),
        at_kink=bool(np.any(distances == 0)),
    )
    gradient = fd.concatenate(gradients)
    outcome = prober.judge(gradient)
    finding = Finding(
        status=Status.PASS if outcome.ok else Status.FAIL,
        rho=outcome.rho if prober.probes else None,
        impostors=_passing_impostors(
            case,
            problem,
            gradients,
            lambda fakes: prober.judge(fd.concatenate(fakes)).ok,
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
        finding.worst = _slope_equation(prober, outcome, _gradient_names(len(point)))
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


# --- a failure, explained


def explain(case: Case, row: Row, judge: Judge, finding: Finding, verdict: Verdict) -> None:
    """Fills in attribution, terms, a smaller counterexample and the failure text."""
    verdict.attribution = attribute(case, row, judge, finding)
    if case.judge != "fd" and finding.comparison is not None:
        verdict.budget |= _terms(case, row, finding)
    small, small_finding = shrink(case, row, judge, finding)
    lines = []
    if small is not case:
        lines += [f"smallest counterexample: {small.id}", f"  {small_finding.worst}"]
    lines.append(f"{finding.worst}")
    if verdict.budget:
        lines.append("budget: " + ", ".join(f"{k} {v:.3g}" for k, v in verdict.budget.items()))
    lines.append(f"attribution: {verdict.attribution}")
    lines.append(f"replay: {small.replay_line()}")
    verdict.message = "\n".join(lines)


def _oracle(case: Case, row: Row, without: str = "") -> list[Expected]:
    problem = sampling.problem(case, row)
    fmt = budget.format_of(case.dtype, case.device)
    arguments = _reference_arguments(problem, case.dtype)
    if case.judge == "forward":
        return reference.forward(row, _values(problem), arguments, fmt, without)
    cotangents = _cotangents(case, row, problem)
    return reference.vjp(row, _values(problem), arguments, cotangents, fmt, without)


def _terms(case: Case, row: Row, finding: Finding) -> dict[str, float]:
    """What each operation adds to the bound at the worst element: the bound less that without it."""
    worst = finding.comparison
    if worst is None or not worst.bound or not math.isfinite(worst.bound):
        return {}
    problem = sampling.problem(case, row)
    fmt = budget.format_of(case.dtype, case.device)
    cotangents = _cotangents(case, row, problem) if case.judge == "vjp" else None
    arguments = _reference_arguments(problem, case.dtype)
    full = float(_oracle(case, row)[finding.part].error[worst.index])
    terms = {}
    for name in reference.operations(row, _values(problem), arguments, cotangents, fmt):
        share = full - float(_oracle(case, row, name)[finding.part].error[worst.index])
        if share > 0:
            terms[f"rounding of {name}"] = share
    return terms


def attribute(case: Case, row: Row, judge: Judge, finding: Finding) -> str:
    """Who is wrong, with every other usable device asked the same question."""
    wrong, right = [case.device], []
    for name in targets.DEVICES:
        if name == case.device or targets.device_status(name) is not None:
            continue
        other = _examine(replace(case, device=name), row, judge)
        if other.status is Status.FAIL:
            wrong.append(name)
        elif other.status is Status.PASS:
            right.append(name)
    if right:
        return f"this device is wrong: {', '.join(wrong)} failed, {', '.join(right)} passed"
    if case.judge == "fd" or finding.comparison is None:
        beside = f"{', '.join(wrong)} alike (the formula)" if len(wrong) > 1 else "no other device to compare with"
        return f"wrong: {beside}"
    if _ill_conditioned(case, row, finding):
        return "the input is ill-conditioned: changing it by one ULP changes the result as much"
    if reference.oracle_is_worse(
        row, _values(sampling.problem(case, row)), finding.comparison.index,
        finding.comparison.got, finding.comparison.want, case.judge,
    ):
        return "torch is less accurate: 50 digits agree with the device"
    if len(wrong) > 1:
        return f"several devices are wrong alike (the formula): {', '.join(wrong)}"
    return f"{case.device} is wrong; there was no other device to compare with"


def _ill_conditioned(case: Case, row: Row, finding: Finding) -> bool:
    """Whether moving the inputs by one ULP of the dtype explains the error."""
    worst = finding.comparison
    if worst is None or not math.isfinite(worst.got) or not math.isfinite(worst.want):
        return False
    problem = sampling.problem(case, row)
    fmt = budget.format_of(case.dtype, case.device)
    arguments = _reference_arguments(problem, case.dtype)
    nudged = [np.nextafter(v, np.asarray(np.inf, v.dtype)) for v in _values(problem)]
    if case.judge == "forward":
        moved = reference.forward(row, nudged, arguments, fmt)
    else:
        moved = reference.vjp(row, nudged, arguments, _cotangents(case, row, problem), fmt)
    change = abs(float(moved[finding.part].value[worst.index]) - worst.want)
    return change >= abs(worst.got - worst.want) > 0


def shrink(case: Case, row: Row, judge: Judge, finding: Finding) -> tuple[Case, Finding]:
    """The smallest of the row's own samples that fails the same way, compact and interior where it does."""
    best, best_finding = case, finding
    smaller = sorted(
        (s for s in row.samples if sampling.size(s.shapes) < sampling.size(case.shapes)),
        key=lambda s: sampling.size(s.shapes),
    )
    candidates = [
        replace(case, shapes=s.shapes, kwargs=s.kwargs, layout=layout, region=region)
        for s in smaller
        if s.region == "interior"
        for layout, region in dict.fromkeys(
            [("compact", "interior"), (case.layout, "interior"), (case.layout, case.region)]
        )
    ]
    simpler = [replace(case, layout="compact", region="interior"), replace(case, layout="compact")]
    for candidate in [*candidates[:40], *simpler]:
        if candidate == case:
            continue
        found = _examine(candidate, row, judge)
        if found.status is Status.FAIL:
            return candidate, found
    return best, best_finding
