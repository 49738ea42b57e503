"""The judges. Each asks one question of a case and returns a finding; what the target raises is
one too.
"""

from __future__ import annotations

from collections.abc import Callable

from verify import targets
from verify.judges.across import judge_across
from verify.judges.against_torch import judge_forward, judge_vjp
from verify.judges.algebra import judge_algebra
from verify.judges.batch import judge_batch
from verify.judges.differences import judge_fd, judge_second
from verify.judges.distribution import judge_distribution
from verify.judges.growth import judge_growth
from verify.judges.question import Finding, Question, Raised, wrong
from verify.judges.refusals import judge_errors
from verify.judges.training import judge_step, judge_trajectory
from verify.spec import Case, Row, Status, UsageError

__all__ = ["Finding", "Question", "examine"]

_JUDGES: dict[str, Callable[[Question], Finding]] = {
    "forward": judge_forward,
    "vjp": judge_vjp,
    "fd": judge_fd,
    "second": judge_second,
    "errors": judge_errors,
    "step": judge_step,
    "trajectory": judge_trajectory,
    "distribution": judge_distribution,
    "algebra": judge_algebra,
    "batch": judge_batch,
    "growth": judge_growth,
    "across": judge_across,
}


def examine(case: Case, row: Row, locate: bool = True) -> Finding:
    """The finding of the case's judge. Raises UsageError for a case that cannot be asked.

    locate: whether a failure is worth the search for its element.
    """
    if case.judge not in _JUDGES:
        raise UsageError(f"[case] a judge is one of {sorted(_JUDGES)}, got judge={case.judge!r}")
    question = Question(case, row, locate)
    try:
        return _JUDGES[case.judge](question)
    except (targets.Missing, NotImplementedError) as error:
        return Finding(Status.UNIMPLEMENTED, message=str(error) or "it is not implemented")
    except (targets.Broken, Raised) as error:
        return wrong(str(error))
