"""A case in, a verdict out; a failure is explained.

`run_case` never raises for a wrong op. What the op did wrong is told by a failure text: the shrunk
counterexample, an equation at the worst element, the budget's terms, who is wrong, and the lines
that replay it. A broken op fails thousands of times: a worker explains the first failures of a
group (op, judge, device, dtype) in full and shrinks the first of each op and judge; the others keep
their equation, their budget and the line that explains them.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from verify import budget, counterexample, reference, registry, targets
from verify.attribution import attribute
from verify.judges import Finding, Question, examine
from verify.judges.leeway import left_open
from verify.registry import course, course_plugins
from verify.registry.plugins import place_of
from verify.shrinking import SECONDS, Shrunk, shrink
from verify.spec import (
    MALFORMED,
    OUTSIDE,
    OWN_INPUTS,
    Case,
    Row,
    Status,
    Unanswered,
    UsageError,
    Verdict,
    with_plugins,
)

IN_FULL = 2  # failures of a group that a worker explains in full


@dataclass
class _Explaining:
    """How failures are explained in this process: all of them, unless it is a worker."""

    limit: float = math.inf
    seconds: float = 0.5  # that shrinking one may take
    folder: Path | None = None  # where counterexamples are saved
    tell: Callable[[Verdict], None] = lambda verdict: None  # is told what stands so far
    done: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def first(self, key: tuple[str, ...], limit: float) -> bool:
        """Whether this is one of the first `limit` with that key."""
        self.done[key] += 1
        return self.done[key] <= limit


_explaining = _Explaining()


def in_worker(tell: Callable[[Verdict], None], folder: str, in_full: int = IN_FULL) -> None:
    """Called once in a worker, before its first case.

    tell: is given a failure before it is explained, and again when who is wrong is known: should
    another device or a smaller input end the process, that verdict stands. folder: for
    counterexamples; empty: none are saved. in_full: failures of a group that are explained.
    """
    global _explaining
    _explaining = _Explaining(in_full, SECONDS, Path(folder) if folder else None, tell)


def warm_up(threads: int = 1) -> dict[str, str]:
    """Called once in a worker: imports what cases need, pins threads; gives the environment."""
    warm_reference()
    return targets.environment(threads)


def warm_reference() -> None:
    """The first reference pays for torch's start."""
    point = [np.ones((2, 2))]
    reference.vjp(registry.rows()["relu"], point, {}, point, budget.format_of("float32"))


def run_case(case: Case) -> Verdict:
    """The verdict of a case. Raises UsageError for a case that cannot be asked."""
    row = row_of(case.op)
    try:
        return judge(case, row)
    except Unanswered as error:
        if not row.place:
            raise
        return _unanswered(case, row, error)


def _unanswered(case: Case, row: Row, error: Unanswered) -> Verdict:
    """Of a plugin's row whose reference raised: nothing is known of the op."""
    cause = error.__cause__ or error
    place = place_of(cause, row.place.rpartition(":")[0])
    text = (str(cause).strip().splitlines() or [""])[0]
    return Verdict(
        case.id,
        Status.UNIMPLEMENTED,
        attribution=MALFORMED,
        message=f"[{row.name}] a reference answers what its row asks, "
        f"got reference={place or row.place}, which raised {type(cause).__name__}: {text}",
    )


def row_of(name: str) -> Row:
    """The row of a name, as the library that this process judges is asked. Raises: UsageError."""
    ours = targets.foreign() is None
    rows = registry.rows() if ours else course.rows() | course_plugins.rows()
    if name not in rows:
        raise UsageError(f"[case] the registry has no row of that name, got op={name}")
    return rows[name]


def judge(case: Case, row: Row) -> Verdict:
    """The verdict of a case of `row`. Raises UsageError for a case that cannot be asked.

    What somebody else's needle gets wrong outside of the course's definition is no failure.
    """
    askable = case.judge not in OWN_INPUTS
    try:
        finding = examine(case, row)
    except Exception as error:
        if askable:
            require_askable(case, row)
        if row.family == "user" and not isinstance(error, UsageError):
            # the function's own are findings: this is the reference's
            raise Unanswered(
                "[check] the reference cannot be bounded: it may use torch operations that have an "
                "error rule, on its inputs and on numbers, "
                f"got {type(error).__name__}: {error}"
            ) from error
        raise
    unwritten = finding.status is Status.UNIMPLEMENTED and row.family == "user"
    if askable and (finding.status is Status.FAIL or unwritten):
        require_askable(case, row)
    verdict = Verdict(
        id=case.id,
        status=finding.status,
        rho=finding.rho,
        ulp=finding.ulp,
        torch_rho=finding.torch_rho,
        torch_ulp=finding.torch_ulp,
        worst=finding.worst,
        budget=finding.terms,
        message=finding.message,
        impostors=finding.impostors,
        vacuous_reason=finding.vacuous or row.constant_result,
        checked=finding.checked,
        digest=finding.digest,
    )
    wrong = finding.status in (Status.FAIL, Status.UNIMPLEMENTED)
    if wrong and (why := left_open(case, row, finding)):
        verdict.status, verdict.attribution = Status.UNIMPLEMENTED, OUTSIDE
        verdict.message = "\n".join(filter(None, (why, finding.worst or finding.message)))
        return verdict
    if finding.status is Status.FAIL:
        explain(case, row, finding, verdict)
    return verdict


def _environment() -> dict[str, str]:
    """Where this process judges, and with what rows."""
    return targets.environment() | with_plugins(registry.given_plugins())


def require_askable(case: Case, row: Row) -> None:
    """Unanswered unless the reference takes the inputs that the case names.

    Asked once something went wrong: a target that refuses a well-formed question fails.
    """
    try:
        question = Question(case, row)
        reference.output_shapes(row, question.values, question.arguments)
    except UsageError:
        raise
    except Exception as error:
        text = str(error).strip().splitlines() or [""]
        raise Unanswered(
            f"[case] shapes and arguments do not fit {row.name}, got id={case.id!r}: "
            f"the reference raised {type(error).__name__}: {text[0]}"
        ) from error


def explain(case: Case, row: Row, finding: Finding, verdict: Verdict) -> None:
    """Fills in attribution, terms, a smaller counterexample and the failure text."""
    group = (case.op, case.judge, case.device, case.dtype)
    replay = f"replay: {case.replay_line(_environment())}"
    if not _explaining.first(group, _explaining.limit):
        lines = [finding.worst, _budget(verdict), "the line below explains it in full", replay]
        verdict.message = "\n".join(filter(None, lines))
        return
    lines = [finding.worst]
    verdict.message = "\n".join([*lines, replay])
    _explaining.tell(verdict)
    verdict.attribution = attribute(case, row, finding)
    verdict.budget |= _terms(case, row, finding)
    lines += [_budget(verdict), f"attribution: {verdict.attribution}", replay]
    verdict.message = "\n".join(filter(None, lines))
    _explaining.tell(verdict)
    if not _explaining.first((case.op, case.judge), math.inf if _explaining.folder is None else 1):
        return
    small = shrink(case, row, finding, _explaining.seconds)
    if small.finding is not finding:
        first = [f"smallest counterexample: {small.case.id}", *small.shown(), small.finding.worst]
        lines = ["\n  ".join(first), *lines]
        if line := _kept(case, small):
            lines.append(f"replay: {line}")
        elif small.row is row:
            lines.append(f"replay: {small.case.replay_line(_environment())}")
    elif line := _kept(case, small):
        lines.append(f"replay: {line}")
    verdict.message = "\n".join(filter(None, lines))


def _budget(verdict: Verdict) -> str:
    terms = ", ".join(f"{k} {v:.3g}" for k, v in verdict.budget.items())
    return f"budget: {terms}" if terms else ""


def _kept(case: Case, small: Shrunk) -> str:
    """Saves a counterexample where a folder is known; the line that replays it."""
    if _explaining.folder is None:
        return ""
    question = Question(small.case, small.row)
    name = "-".join((case.op, case.judge, case.device, case.dtype))
    unique = hashlib.blake2b(case.id.encode(), digest_size=4).hexdigest()
    verdict = Verdict(
        small.case.id,
        Status.FAIL,
        worst=small.finding.worst,
        environment=_environment(),
        digest=small.finding.digest,
    )
    path = _explaining.folder / f"{name}-{unique}.json"
    try:
        return counterexample.write(
            path, verdict, question.values, small.row.cotangents, {"original": case.id}
        )
    except OSError as error:  # a full disk: the id's own line remains
        return f"[failures] cannot write, got file={path} ({error})"


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
