"""A case in, a verdict out; a failure is explained.

`run_case` never raises for a wrong op. What the op did wrong is told by a failure text: the shrunk
counterexample, an equation at the worst element, the budget's terms, who is wrong, and the line
that replays it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from verify import budget, reference, registry, sampling, targets
from verify.judges import Finding, Question, examine
from verify.spec import Case, Row, Status, UsageError, Verdict


def warm_up(threads: int = 1) -> dict[str, str]:
    """Called once in a worker: imports what cases need, pins threads; gives the environment."""
    relu = registry.rows()["relu"]  # the first reference pays for torch's start
    point = [np.ones((2, 2))]
    reference.vjp(relu, point, {}, point, budget.format_of("float32"))
    return targets.environment(threads)


def run_case(case: Case) -> Verdict:
    """The verdict of a case. Raises UsageError for a case that cannot be asked."""
    row = registry.rows().get(case.op)
    if row is None:
        raise UsageError(f"[case] the registry has no row of that name, got op={case.op}")
    return judge(case, row)


def judge(case: Case, row: Row) -> Verdict:
    """The verdict of a case of `row`. Raises UsageError for a case that cannot be asked."""
    askable = case.judge != "errors"  # which asks for what the reference refuses
    try:
        finding = examine(case, row)
    except Exception:
        if askable:
            require_askable(case, row)
        raise
    if askable and finding.status is Status.FAIL:
        require_askable(case, row)
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
        explain(case, row, finding, verdict)
    return verdict


def require_askable(case: Case, row: Row) -> None:
    """UsageError unless the reference takes the inputs that the case names.

    Asked once something went wrong: a target that refuses a well-formed question fails.
    """
    try:
        question = Question(case, row)
        reference.output_shapes(row, question.values, question.arguments)
    except UsageError:
        raise
    except Exception as error:
        text = str(error).strip().splitlines() or [""]
        raise UsageError(
            f"[case] shapes and arguments do not fit {row.name}, got id={case.id!r}: "
            f"the reference raised {type(error).__name__}: {text[0]}"
        ) from error


def explain(case: Case, row: Row, finding: Finding, verdict: Verdict) -> None:
    """Fills in attribution, terms, a smaller counterexample and the failure text."""
    verdict.attribution = attribute(case, row, finding)
    verdict.budget |= _terms(case, row, finding)
    small, small_finding = shrink(case, row, finding)
    lines = []
    if small is not case:
        lines += [f"smallest counterexample: {small.id}", f"  {small_finding.worst}"]
    lines.append(finding.worst)
    if verdict.budget:
        lines.append("budget: " + ", ".join(f"{k} {v:.3g}" for k, v in verdict.budget.items()))
    lines.append(f"attribution: {verdict.attribution}")
    lines.append(f"replay: {small.replay_line()}")
    verdict.message = "\n".join(lines)


def _terms(case: Case, row: Row, finding: Finding) -> dict[str, float]:
    """What each operation adds to the bound at the worst element: all less all without it."""
    worst = finding.comparison
    if worst is None or not worst.bound or not math.isfinite(worst.bound):
        return {}
    question = Question(case, row)
    cotangents = question.cotangents if case.judge == "vjp" else None
    names = reference.operations(row, question.values, question.arguments, cotangents, question.fmt)
    bounds = {
        name: float(question.expected(name)[finding.part].error[worst.index])
        for name in ("", *names)
    }
    shares = {f"rounding of {name}": bounds[""] - bounds[name] for name in names}
    return {name: share for name, share in shares.items() if share > 0}


def attribute(case: Case, row: Row, finding: Finding) -> str:
    """Who is wrong, with every other usable device asked the same question."""
    wrong, right = [case.device], []
    for name in targets.DEVICES:
        if name == case.device or targets.device_status(name) is not None:
            continue
        other = examine(replace(case, device=name), row, locate=False)
        if other.status is Status.FAIL:
            wrong.append(name)
        elif other.status is Status.PASS:
            right.append(name)
    if right:
        return f"this device is wrong: {', '.join(wrong)} failed, {', '.join(right)} passed"
    if case.judge == "fd" or finding.comparison is None:
        beside = (
            f"{', '.join(wrong)} alike (the formula)"
            if len(wrong) > 1
            else "no other device to compare with"
        )
        return f"wrong: {beside}"
    if _ill_conditioned(case, row, finding):
        return "the input is ill-conditioned: changing it by one ULP changes the result as much"
    worst = finding.comparison
    values = Question(case, row).values
    if reference.oracle_is_worse(row, values, worst.index, worst.got, worst.want, case.judge):
        return "torch is less accurate: 50 digits agree with the device"
    if len(wrong) > 1:
        return f"several devices are wrong alike (the formula): {', '.join(wrong)}"
    return f"{case.device} is wrong; there was no other device to compare with"


def _ill_conditioned(case: Case, row: Row, finding: Finding) -> bool:
    """Whether moving the inputs by one ULP of the dtype explains the error."""
    worst = finding.comparison
    if worst is None or not math.isfinite(worst.got) or not math.isfinite(worst.want):
        return False
    question = Question(case, row)
    with np.errstate(over="ignore"):
        up = {id(v): np.nextafter(v, np.asarray(np.inf, v.dtype)) for v in question.values}
    moved = question.expected(values=[up[id(v)] for v in question.values])[finding.part]
    change = abs(float(moved.value[worst.index]) - worst.want)
    return change >= abs(worst.got - worst.want) > 0


def shrink(case: Case, row: Row, finding: Finding) -> tuple[Case, Finding]:
    """The smallest of the row's samples that fails too, compact and interior if it does."""
    best, best_finding = case, finding
    if case.judge == "errors":
        return best, best_finding
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
        found = examine(candidate, row)
        if found.status is Status.FAIL:
            return candidate, found
    return best, best_finding
