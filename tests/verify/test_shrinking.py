"""A failure made small: fewer elements, simpler numbers, the same failure; and its file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needle as ndl
from verify import checks, counterexample, registry, saved, shrinking
from verify.judges import Question, examine
from verify.shrinking import Shrunk, shrink
from verify.spec import Case, Status, UsageError, Verdict

Plant = Callable[[str, Callable[..., Any]], None]
EXP = Case("exp", "forward", "numpy", "float32", ((5, 13),))
MATMUL = Case("matmul", "forward", "numpy", "float64", ((9, 7), (7, 5)))


def smallest(case: Case, seconds: float = 30.0) -> Shrunk:
    row = registry.rows()[case.op]
    finding = examine(case, row)
    assert finding.status is Status.FAIL
    found = shrink(case, row, finding, seconds)
    assert examine(found.case, found.row).status is Status.FAIL, "it fails by itself"
    return found


def through_numpy(f: Callable[..., Any]) -> Callable[..., Any]:
    def op(*tensors: Any) -> Any:
        a = tensors[0]
        return ndl.Tensor(f(*(t.numpy() for t in tensors)), device=a.device, dtype=a.dtype)

    return op


def test_one_bad_number_is_found_among_many(plant: Plant) -> None:
    plant("exp", through_numpy(lambda x: np.exp(x) * np.where(x > 2.7, 1.001, 1.0)))
    case = next(
        case
        for seed in range(99)
        if examine(case := replace(EXP, seed=seed), registry.rows()["exp"]).status is Status.FAIL
    )
    found = smallest(case)
    (x,) = Question(found.case, found.row).values
    assert x.size == 1
    assert x.flat[0] > 2.7
    assert x.flat[0] * 4 == np.rint(x.flat[0] * 4), "few bits"
    assert found.shown() == [f"x = {shrinking._text(x)}"]


def test_axes_that_belong_together_are_cut_together(plant: Plant) -> None:
    right = ndl.ops.matmul

    def wrong(a: Any, b: Any) -> Any:
        return right(a, b) + (1.0 if a.shape[1] >= 3 else 0.0)

    plant("matmul", wrong)
    found = smallest(MATMUL)
    (rows, k), (same, columns) = found.case.shapes
    assert k == same
    assert 3 <= k <= 5
    assert (rows, columns) == (1, 1)
    assert np.all(np.concatenate([v.ravel() for v in Question(found.case, found.row).values]) == 1)


def test_a_wrong_gradient_keeps_a_cotangent_that_shows_it(plant: Plant) -> None:
    class Tanh(ndl.autograd.TensorOp):
        def compute(self, *arrays: Any) -> Any:
            return arrays[0].tanh()

        def gradient(self, out_grad: Any, node: Any) -> Any:
            return 1.0 - node * node  # without the cotangent

    plant("tanh", Tanh())
    found = smallest(Case("tanh", "vjp", "numpy", "float64", ((9, 4),)))
    (g,) = found.row.cotangents
    assert g.size == 1
    assert g.flat[0] != 1
    assert [line.partition(" =")[0] for line in found.shown()] == ["x", "g"]


def test_numbers_stay_where_the_op_is_specified(plant: Plant) -> None:
    plant("log", through_numpy(lambda x: np.log(x) * 1.001))
    found = smallest(Case("log", "forward", "numpy", "float64", ((33,),)))
    assert np.all(Question(found.case, found.row).values[0] > 0)


def test_another_failure_is_not_taken_for_a_smaller_one(plant: Plant) -> None:
    def op(a: Any) -> Any:
        if a.shape != (5, 13):
            raise ValueError("[exp] another shape, got a=1")
        return ndl.ops.exp(a) * 2.0

    plant("exp", op)
    found = smallest(EXP)
    assert found.case.shapes == ((5, 13),)
    assert "raised" not in found.finding.message


def test_questions_and_time_are_bounded(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant("exp", lambda a: ndl.ops.exp(a) * 2.0 if a.shape == (5, 13) else ndl.ops.exp(a))
    asked: list[Case] = []

    def counting(case: Case, row: Any) -> Any:
        asked.append(case)
        return examine(case, row)

    monkeypatch.setattr(shrinking, "examine", counting)
    row = registry.rows()["exp"]
    shrink(EXP, row, examine(EXP, row), 60.0)
    assert 20 < len(asked) <= shrinking.CALLS
    asked.clear()
    shrink(EXP, row, examine(EXP, row), 0.0)
    assert not asked


def test_a_counterexample_comes_back_from_its_file(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant("matmul", lambda a, b: ndl.ops.matmul(a, b) * 1.001)
    monkeypatch.setattr(checks, "_explaining", checks._Explaining(folder=tmp_path, seconds=30.0))
    told: list[Verdict] = []
    checks._explaining.tell = told.append
    verdict = checks.run_case(replace(MATMUL, judge="vjp"))
    assert [bool(v.attribution) for v in told] == [True, True], "the same verdict, growing"
    (path,) = tmp_path.glob("*.json")
    assert f"replay: needle-verify --replay {path}" in verdict.message
    assert f"replay: {Case.parse(verdict.id).replay_line()}" in verdict.message
    data = json.loads(path.read_text())
    assert data["original"] == verdict.id
    case = Case.parse(data["case"])
    inputs, _ = counterexample.arrays(path, data, 2)
    assert [v.shape for v in inputs] == list(case.shapes)
    assert [str(v.dtype) for v in inputs] == ["float64"] * 2
    monkeypatch.setenv(saved.VARIABLE, str(path))
    again = saved.run_case(case)
    assert again.status is Status.FAIL
    assert again.worst == data["worst"]
    assert again.digest == data["digest"], "bit for bit"
    plant("matmul", ndl.ops.matmul)
    assert saved.run_case(case).status is Status.PASS
    path.write_text(path.read_text().replace("matmul/", "matmull/"))
    with pytest.raises(UsageError, match="no matmull any more"):
        saved.run_case(replace(case, op="matmull"))


def test_a_worker_explains_the_first_failures_of_a_group(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plant("exp", lambda a: ndl.ops.exp(a) * 2.0)
    monkeypatch.setattr(checks, "_explaining", checks._Explaining())
    checks.in_worker(lambda verdict: None, str(tmp_path))
    verdicts = [checks.run_case(replace(EXP, seed=i)) for i in range(5)]
    verdicts += [checks.run_case(replace(EXP, dtype="float64"))]
    assert [bool(v.attribution) for v in verdicts] == [True, True, False, False, False, True]
    assert ["smallest" in v.message for v in verdicts] == [True] + [False] * 5
    assert len(list(tmp_path.glob("*.json"))) == 1
    for v in verdicts:
        assert v.worst in v.message
        assert "budget: error" in v.message
        assert f"replay: {Case.parse(v.id).replay_line()}" in v.message
