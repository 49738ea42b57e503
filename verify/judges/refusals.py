"""Bad input is refused: the exception's type, and a text that says the rule and what was given."""

from __future__ import annotations

import re

from verify import targets
from verify.judges.question import Finding, Question, Raised, wrong
from verify.sampling import MIXTURES
from verify.spec import Refusal, Status, UsageError

_FORM = re.compile(r"\[[^\]]+\] .+, got .+", re.DOTALL)


def judge_errors(question: Question) -> Finding:
    """The row's refusal of these shapes and arguments, or of a mixture of inputs."""
    wanted = _wanted(question)
    try:
        error = question.target().refusal(question.case.region)
    except (targets.Broken, targets.Missing):
        raise
    except Exception as odd:
        raise Raised(f"preparing the call raised {type(odd).__name__}: {odd}") from odd
    if error is None:
        return wrong(f"it gave a result, should raise {wanted.raises}")
    told = f"it raised {type(error).__name__}: {error}"
    if wanted.raises not in [kind.__name__ for kind in type(error).__mro__]:
        return wrong(f"{told}; should raise {wanted.raises}")
    ours = question.row.target is None  # a user's function words its errors as it likes
    if ours and not _FORM.match(str(error)):
        return wrong(f"{told}; should read '[op] rule, got name=value'")
    if not re.search(wanted.says, str(error)):
        return wrong(f"{told}; should say {wanted.says!r}")
    return Finding(Status.PASS, checked=1)


def _wanted(question: Question) -> Refusal:
    case = question.case
    if case.region in MIXTURES:
        raises = "ValueError" if case.region == "devices" else "TypeError"
        of_arrays = case.region == "arrays" and question.row.target is None
        return Refusal(case.shapes, case.kwargs, raises, "Tensor" if of_arrays else "")
    for refusal in question.row.errors:
        if (refusal.shapes, refusal.kwargs) == (case.shapes, case.kwargs):
            return refusal
    raise UsageError(f"[case] the row of {case.op} refuses no such input, got id={case.id}")
