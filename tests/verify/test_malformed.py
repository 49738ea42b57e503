"""An id that does not fit its row is a usage error; a target that raises fails."""

from __future__ import annotations

from typing import Any

import pytest

from verify import checks, registry
from verify.plan import check_case
from verify.spec import MALFORMED, Case, Status, UsageError
from verify.targets import call
from verify.worker import answer

REST = "compact/interior/seed0"


@pytest.mark.parametrize(
    ("case_id", "words"),
    [
        (f"relu/forward/cpu/float32/3/stride=2/{REST}", "unexpected keyword argument 'stride'"),
        (f"matmul/forward/cpu/float32/3x4/-/{REST}", "missing 1 required"),
        (f"add/forward/cpu/float32/3,3,3/-/{REST}", "takes 3 positional"),
        (f"matmul/vjp/cpu/float32/3x4,5x2/-/{REST}", "cannot be multiplied"),
        (f"add/fd/cpu/float64/3,4/-/{REST}", "must match"),
        (f"relu/forward/cpu/float32/-3/-/{REST}", "negative dimensions"),
        (f"getitem/forward/cpu/float32/3/-/{REST}", "index"),
        ("relu/forward/cpu/float32/3/-/compact/nowhere/seed0", "region='nowhere'"),
        (f"sinc/forward/cpu/float32/3/-/{REST}", "op=sinc"),
        (f"summation/forward/cpu/float32/3x4/axes=7/{REST}", "axis 7 is out of bounds"),
        (f"softmax/vjp/cpu/float32/3x4/axis=-3/{REST}", "axis -3 is out of bounds"),
        (f"unsqueeze/forward/cpu/float32/3x4/axes=7/{REST}", "axis 7 is out of bounds"),
        (f"dilate/fd/cpu/float64/3x4/axes=2,dilation=1/{REST}", "axis 2 is out of bounds"),
        ("add/algebra/cpu/float32/3,3/-/compact/special/seed0", "region='special'"),
    ],
)
def test_a_malformed_question_is_a_usage_error(case_id: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        checks.run_case(Case.parse(case_id))
    verdict = answer(case_id, checks.run_case, {})
    assert (verdict.status, verdict.attribution) == (Status.FAIL, MALFORMED)


def test_a_target_that_raises_on_a_good_question_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any, **__: Any) -> None:
        raise ValueError("[relu] no")

    monkeypatch.setattr(call, "resolve", lambda name: refuses)
    verdict = checks.run_case(Case.parse(f"relu/forward/cpu/float32/3/-/{REST}"))
    assert verdict.status is Status.FAIL
    assert "it raised ValueError: [relu] no" in verdict.message


@pytest.mark.parametrize("judge_and_dtype", ["vjp/cpu/float64", "fd/cpu/float32"])
def test_a_judge_that_does_not_apply_is_a_usage_error(judge_and_dtype: str) -> None:
    op = "greater" if "vjp" in judge_and_dtype else "relu"
    with pytest.raises(UsageError, match=f"does not apply to {op}"):
        check_case(Case.parse(f"{op}/{judge_and_dtype}/3,3/-/{REST}"), registry)
