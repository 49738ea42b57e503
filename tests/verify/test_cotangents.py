"""Cotangents come in every layout, as backward of a sum sends them, and nobody may write them."""

from __future__ import annotations

from typing import Any

import pytest

from needle.ops import activation, elementwise
from verify import registry
from verify.checks import run_case
from verify.spec import Status, Verdict


def verdicts(op: str, judge: str = "vjp") -> list[Verdict]:
    cases = registry.plan_cases(registry.rows()[op], "numpy", "float64", judge, 0)
    return [run_case(case) for case in cases]


@pytest.mark.parametrize("judge", ["vjp", "fd"])
def test_a_gradient_wrong_for_strided_cotangents_fails(
    monkeypatch: pytest.MonkeyPatch, judge: str
) -> None:
    right = activation.ReLU.gradient

    def wrong(self: Any, out_grad: Any, node: Any) -> Any:
        compact = out_grad.realize_cached_data().is_compact()
        return right(self, out_grad, node) * (1.0 if compact else 0.5)

    monkeypatch.setattr(activation.ReLU, "gradient", wrong)
    found = verdicts("relu", judge)
    assert {v.status for v in found} == {Status.PASS, Status.FAIL}
    failed = {v.id.split("/")[6] for v in found if v.status is Status.FAIL}
    assert {"strided", "broadcast", "reversed"} <= failed


def test_a_cotangent_changed_in_place_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: Any, out_grad: Any, node: Any) -> Any:
        data = out_grad.realize_cached_data()
        if data.is_compact() and data.size:
            data[...] = -data
            return out_grad
        return -out_grad

    monkeypatch.setattr(elementwise.Negate, "gradient", wrong)
    messages = [v.message for v in verdicts("negate") if v.status is Status.FAIL]
    assert messages
    assert any("the cotangent was changed by backward" in m for m in messages)
