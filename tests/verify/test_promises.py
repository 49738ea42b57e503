"""Promises that no number shows: rows of autograd, Module and captured steps find them broken."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from typing import Any

import pytest

import needle as ndl
from needle import autograd, nn
from needle.autograd import TensorTuple, reverse
from needle.backend_ndarray.graph import Graph
from needle.optim import SGD, Adam, Optimizer, Schedule
from verify import checks, registry
from verify.faults.baseline import cases_of
from verify.faults.native_planting import Native
from verify.registry.planning import GRAPHS, plan_cases
from verify.spec import BUDGETS, COMPUTED, DTYPES, Broken, Case, Status

ROWS = registry.rows()
NORMALIZATION = importlib.import_module("needle.ops.normalization")


def told(name: str, device: str = "cpu", judge: str = "forward") -> list[str]:
    """What failing cases of a row say, in float64."""
    cases = registry.plan_cases(ROWS[name], device, "float64", judge, 0)
    verdicts = [checks.run_case(case) for case in cases]
    return [v.message for v in verdicts if v.status is Status.FAIL]


@pytest.fixture(autouse=True)
def only_the_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "explain", lambda *_: None)


def kept_by_the_result(output: Any) -> Any:
    """_count_uses, and a gradient on what is no leaf."""
    output.grad = output.detach()
    return _COUNT_USES(output)


def unfilled(graph: Any, values: Any) -> Any:
    """Graph.constant of zeros, whatever the values."""
    return graph.number(lambda: 0.0, "float64").broadcast_to(values.shape)


def accumulated(leaf: Any, cotangent: Any) -> None:
    """_set_grad as torch has it."""
    before = leaf.grad
    _SET_GRAD(leaf, cotangent if before is None else before.detach() + cotangent)


def unwrapped(leaf: Any, cotangent: Any) -> None:
    """_set_grad without the op that a cotangent given by the user needs."""
    leaf.grad = cotangent


_SET_GRAD, _COUNT_USES = reverse._set_grad, reverse._count_uses


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("_count_uses", kept_by_the_result, "only leaves keep a gradient"),
        ("_set_grad", accumulated, "overwrites"),
        ("_set_grad", unwrapped, "a gradient is a Tensor of its own"),
    ],
)
def test_gradients_of_leaves(
    name: str, wrong: Callable[..., Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reverse, name, wrong)
    assert any(says in text for text in told("autograd.Tensor"))


def test_values_that_nothing_computes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autograd.Value, "realize_cached_data", lambda self: self.cached_data)
    assert told("autograd.Tensor")


def test_no_grad_that_forgets_generators(monkeypatch: pytest.MonkeyPatch) -> None:
    def plain(self: Any, function: Any) -> Any:
        def inside(*arguments: Any) -> Any:
            with autograd.no_grad():
                return function(*arguments)

        return inside

    monkeypatch.setattr(autograd.no_grad, "__call__", plain)
    assert any("nothing is recorded inside" in text for text in told("autograd.no_grad"))


def test_tuples_that_are_added_to_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    def added(self: Any, other: Any) -> Any:
        return autograd.make_tuple(*(a + b for a, b in zip(self, other, strict=True)))

    monkeypatch.setattr(TensorTuple, "__add__", added)
    assert any("was added to a tuple" in text for text in told("autograd.TensorTuple"))


def shallow(self: nn.Module) -> list[nn.Module]:
    return [part for part in vars(self).values() if isinstance(part, nn.Module)]


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("_children", shallow, "eval() reaches every part"),
        ("__setattr__", object.__setattr__, "computed for a buffer becomes one"),
        ("parameters", lambda self: [], "zip"),
        ("state_dict", lambda self: {}, "state_dict has the names"),
    ],
)
def test_modules(name: str, wrong: Any, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.Module, name, wrong)
    assert any(says in text for text in told("nn.Module"))


def test_a_count_that_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    falling = itertools.count(10**6, -1)
    monkeypatch.setattr(autograd, "counted", lambda: next(falling))
    found = checks.run_case(Case("relu", "forward", "cpu", "float64", ((9,),)))
    assert "Tensors stay alive" in found.message


# --- what is captured


def test_captured_samples_are_asked_where_there_are_graphs() -> None:
    for row in (*filter(lambda row: row.captured, ROWS.values()), ROWS["relu"]):
        wanted = {(s.shapes, s.kwargs) for s in row.captured}
        for budget in BUDGETS:
            asked = {
                device: wanted
                & {
                    (case.shapes, case.kwargs)
                    for case in plan_cases(row, device, "float32", "forward", 0, budget)
                }
                for device in ("cpu", "numpy", *GRAPHS)
            }
            assert asked == {d: wanted if d in GRAPHS else set() for d in asked}, row.name
    asked_by_name = ("member", "autograd.Tensor")  # whose samples are asked there alone
    captured = [row for row in ROWS.values() if row.captured and row.name not in asked_by_name]
    assert {row.family for row in captured} == {"optimizer", "schedule", "layer", "softmax"}
    assert all(dict(s.kwargs)["captured"] for row in captured for s in row.captured)


def test_faults_of_python_are_asked_for_what_the_cpu_cannot_do() -> None:
    plain, both = (cases_of("optim.Adam", "cpu", "smoke", c) for c in ("", "cuda_sim"))
    beside = [case for case in both if case.device != "cpu"]
    assert [case for case in both if case.device == "cpu"] == list(plain)
    assert {case.device for case in beside} == {"cuda_sim"}
    computed = [case for case in beside if case.dtype in COMPUTED]
    assert computed
    assert all(dict(case.kwargs)["captured"] for case in computed)
    relu = cases_of("relu", "cpu", "smoke", "cuda_sim")
    assert {case.dtype for case in relu if case.device != "cpu"} == set(DTYPES) - set(COMPUTED)


def test_faults_of_cuda_are_asked_for_results_in_16_bits() -> None:
    plain, both = (cases_of("relu", "cuda_sim", "smoke", c) for c in ("", "cuda_sim"))
    few = [case for case in both if case.dtype not in COMPUTED]
    assert [case for case in both if case.dtype in COMPUTED] == list(plain)
    assert {(case.device, case.judge) for case in few} == {("cuda_sim", "forward")}
    assert [Native(name).beside for name in ("cuda_sim", "cpu")] == ["cuda_sim", ""]


@pytest.mark.skipif(not ndl.cuda_sim().enabled(), reason=f"{ndl.cuda_sim().reason}")
@pytest.mark.parametrize(
    ("row", "owner", "name", "wrong"),
    [
        ("optim.Adam", Adam, "_bias", lambda self, i, beta: 1.0 - beta),
        ("optim.SGD", Optimizer, "_require_memory", lambda self, i: None),
        ("optim.StepLR", Schedule, "step", lambda self: Schedule._apply(self)),
        (
            "optim.SGD",
            SGD,
            "_captured",
            lambda self, graph, i, value, grad: value - grad * self.lr,
        ),
        ("nn.BatchNorm1d", NORMALIZATION, "_resume", lambda running, captured: None),
        (
            "attention_weights",
            Graph,
            "constant",
            lambda self, values, dtype: unfilled(self, values),
        ),
        (
            "nn.Dropout",
            ndl.nn.Dropout,
            "forward",
            lambda self, x: x * ndl.init.randb(*x.shape, p=1.0, device=x.device, dtype=x.dtype),
        ),
    ],
)
def test_captured_steps(
    row: str, owner: Any, name: str, wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [
        Case(row, "forward", "cuda_sim", "float64", s.shapes, s.kwargs, "compact", s.region)
        for s in ROWS[row].captured
    ]
    assert all(checks.run_case(case).status is Status.PASS for case in cases)
    monkeypatch.setattr(owner, name, wrong)
    assert any(checks.run_case(case).status is Status.FAIL for case in cases)


def test_kept_says_what_is_not() -> None:
    from verify.registry.promises import kept

    kept(True, "it holds")
    with pytest.raises(Broken, match="it should be that it holds"):
        kept(False, "it holds")
