"""Who is wrong: this device, several alike (the formula), torch, or nobody (the input)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from verify import reference, targets
from verify.judges import Finding, Question, examine
from verify.spec import Case, Row, Status

_WITH_ORACLE = ("forward", "vjp")  # judges that hold every element against torch


def attribute(case: Case, row: Row, finding: Finding) -> str:
    """Who is wrong, with every other usable device asked the same question.

    Whether the oracle or the input explains the error is asked first where an element has a bound:
    then every device may well fail, and each for its own rounding.
    """
    wrong, right = [case.device], []

    def maker(device: str) -> str:
        """Equal where a function of a user's own computes the same."""
        return row.accuracy.get(device, device)

    for name in targets.DEVICES:
        if maker(name) == maker(case.device) or case.dtype not in _computed(name):
            continue
        status = _ask(replace(case, device=name), row)
        if status is Status.FAIL:
            wrong.append(name)
        elif status is Status.PASS:
            right.append(name)
    if right:
        return f"this device is wrong: {', '.join(wrong)} failed, {', '.join(right)} passed"
    if case.judge == "across":
        return f"{', '.join(wrong)} or numpy; the judge forward asks the oracle"
    if case.judge in _WITH_ORACLE and finding.comparison is not None:
        if _ill_conditioned(case, row, finding):
            return "the input is ill-conditioned: changing it by one ULP changes the result as much"
        if _oracle_is_worse(case, row, finding):
            return "torch is less accurate: 50 digits agree with the device"
    if len(wrong) > 1:
        return f"several devices are wrong alike (the formula): {', '.join(wrong)}"
    if (library := targets.foreign()) is not None:
        return f"{case.op} of {row.place or library.place.package} is wrong, on {case.device}"
    return f"{case.device} is wrong; there was no other device to compare with"


def _computed(device: str) -> Sequence[str]:
    """The dtypes that can be asked of a device."""
    return targets.computed_dtypes(device) or ()


def _ask(case: Case, row: Row) -> Status | None:
    """What another device gets; None where asking it fails."""
    try:
        return examine(case, row, locate=False).status
    except Exception:
        return None


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
    return change + worst.bound >= abs(worst.got - worst.want) > 0


def _oracle_is_worse(case: Case, row: Row, finding: Finding) -> bool:
    """Whether 50 digits side with the device: for functions of one variable."""
    worst = finding.comparison
    question = Question(case, row)
    if worst is None or len(question.values) != 1 or not worst.bound:
        return False
    cotangents = question.cotangents if case.judge == "vjp" else [None]
    if len(cotangents) != 1:
        return False
    return reference.sides_with_device(
        row.name,
        (question.values[0], cotangents[0]),
        question.arguments,
        worst.index,
        (worst.got, worst.want, worst.bound),
    )
