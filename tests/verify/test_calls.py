"""What holds for every call, whatever its values: each rule broken once, and found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import _core
from needle.autograd import Tensor, TensorOp
from verify import checks, registry
from verify.sampling import problem
from verify.spec import Case, Row, Status, Verdict
from verify.targets import devices
from verify.targets.lending import lent, spoil

Plant = Callable[[str, Callable[..., Any]], None]
TANH = Case("tanh", "forward", "cpu", "float64", ((9,),))
MULTIPLY = Case("multiply", "vjp", "cpu", "float64", ((3, 4), (3, 4)))


def failed(case: Case, text: str) -> Verdict:
    verdict = checks.run_case(case)
    assert verdict.status is Status.FAIL
    assert text in verdict.message, verdict.message
    return verdict


class Function(TensorOp):
    """An op with any forward and any gradient."""

    def __init__(self, compute: Callable[..., Any], gradient: Callable[..., Any]) -> None:
        self.compute_, self.gradient_ = compute, gradient

    def compute(self, *arrays: Any) -> Any:
        return self.compute_(*arrays)

    def gradient(self, out_grad: Any, node: Any) -> Any:
        return self.gradient_(out_grad, node)


def test_a_result_that_is_the_input(plant: Plant) -> None:
    plant("relu", lambda a: Tensor.make_const(a.realize_cached_data().reshape(a.shape)))
    case = Case("relu", "forward", "cpu", "float64", ((9,),), region="integer")
    failed(case, "result 0 shares memory with an input")


def test_a_result_that_depends_on_the_threads(plant: Plant) -> None:
    plant("tanh", lambda a: ndl.tanh(a) + (_core.get_num_threads() > 1) * 1e-17 * a)
    checks.warm_up(1)
    failed(TANH, "on other threads, gave other bits")


def test_a_gradient_that_depends_on_the_threads(plant: Plant) -> None:
    checks.warm_up(1)

    def gradient(g: Any, node: Any) -> Any:
        return g * (1.0 - node * node) * (1.0 + (_core.get_num_threads() > 1) * 2.0**-52)

    plant("tanh", Function(lambda a: a.tanh(), gradient))
    failed(Case("tanh", "vjp", "cpu", "float64", ((9,),)), "on other threads, gave other bits")


@pytest.mark.parametrize("judge", ["forward", "vjp"])
@pytest.mark.parametrize("garbage", [0, 50])
def test_memory_that_stays_alive(plant: Plant, judge: str, garbage: int) -> None:
    kept: list[Any] = []

    def hoarding(a: Any) -> Any:
        kept.append(ndl.tanh(a))
        return kept[-1]

    plant("tanh", hoarding)
    for _ in range(garbage):  # cycles that the collector frees meanwhile
        cycle: list[Any] = [ndl.Tensor(np.ones(9), dtype="float64")]
        cycle.append(cycle)
    failed(Case("tanh", judge, "cpu", "float64", ((9,),)), "stay alive after the call")


def test_a_gradient_that_needs_the_other_input_to_require_one(plant: Plant) -> None:
    def gradient(g: Any, node: Any) -> Any:
        a, b = node.inputs
        both = a.requires_grad and b.requires_grad
        return g * b * (1.0 if both else 2.0), g * a * (1.0 if both else 2.0)

    plant("multiply", Function(lambda a, b: a * b, gradient))
    failed(MULTIPLY, "alone, on other threads, gave other bits")


def test_a_gradient_for_an_input_that_requires_none(plant: Plant) -> None:
    def gradient(g: Any, node: Any) -> Any:
        a, b = node.inputs
        for t in (a, b):
            t.grad = g
        return g * b, g * a

    plant("multiply", Function(lambda a, b: a * b, gradient))
    failed(MULTIPLY, "an input that requires no gradient got one")


def test_inputs_that_are_one_tensor(plant: Plant) -> None:
    case = Case("multiply", "vjp", "cpu", "float64", ((3, 4), (3, 4)), layout="aliased")
    assert checks.run_case(case).status is Status.PASS

    def gradient(g: Any, node: Any) -> Any:
        a, b = node.inputs
        return (g * b, g * a) if a is not b else (g * b, g * 0.0)

    plant("multiply", Function(lambda a, b: a * b, gradient))
    failed(case, "da")
    plant("multiply", Function(lambda a, b: a * b, lambda g, node: (g * node.inputs[1],) * 2))
    assert checks.run_case(case).status is Status.PASS  # which is why it is one layout of several
    failed(MULTIPLY, "db")


def test_layouts_that_differ_between_inputs(plant: Plant) -> None:
    """An op that takes b's strides from a: right whenever both are alike."""

    def add(a: Any, b: Any) -> Any:
        x, y = a.realize_cached_data(), b.realize_cached_data()
        if x.strides != y.strides:
            y = y + 1.0
        return Tensor.make_const(x + y)

    plant("add", add)
    rows = registry.rows()["add"]
    cases = registry.plan_cases(rows, "cpu", "float64", "forward", 0)
    found = {c.layout for c in cases if checks.run_case(c).status is Status.FAIL}
    assert "mixed" in found


def test_every_layout_of_inputs_comes_up() -> None:
    row = registry.rows()["multiply"]
    strides = set()
    for seed in range(20):
        case = Case(
            "multiply", "forward", "cpu", "float64", ((3, 4), (3, 4)), layout="mixed", seed=seed
        )
        views = [laid.views for laid in problem(case, row).inputs]
        strides.add(tuple(v[0][0] if v else "compact" for v in views))
    assert len(strides) > 4


# --- second order


def test_a_gradient_without_a_graph(plant: Plant) -> None:
    """It passes the first-order judges: only the second order shows that it is a constant."""

    def gradient(g: Any, node: Any) -> Any:
        slope = 1.0 - node.detach() * node.detach()
        return g * slope

    plant("tanh", Function(lambda a: a.tanh(), gradient))
    for judge in ("vjp", "fd"):
        case = Case("tanh", judge, "cpu", "float64", ((9,),))
        assert checks.run_case(case).status is Status.PASS
    failed(Case("tanh", "second", "cpu", "float64", ((9,),)), "d2x")


def test_a_gradient_that_forgets_its_cotangent(plant: Plant) -> None:
    plant("negate", Function(lambda a: -a, lambda g, node: -(g.detach())))
    failed(Case("negate", "second", "cpu", "float64", ((9,),)), "dg")


def test_the_gradient_of_an_add_depends_on_its_cotangent() -> None:
    """The cotangent itself is the gradient: a regression of the reverse pass."""
    x = ndl.Tensor(np.ones(3), dtype="float64")
    seed = ndl.Tensor(np.array([1.0, 2.0, 3.0]), dtype="float64")
    (x + 1.0).backward(seed)
    (x.grad * x.grad).sum().backward()
    np.testing.assert_array_equal(seed.grad.numpy(), [2.0, 4.0, 6.0])


# --- bad input


def refuse(error: Exception | None) -> Callable[..., Any]:
    def op(a: Any, b: Any) -> Any:
        if error is not None:
            raise error
        return a

    return op


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (None, "it gave a result, should raise ValueError"),
        (KeyError("[matmul] rule, got a=1"), "should raise ValueError"),
        (ValueError("shapes differ"), "should read '[op] rule, got name=value'"),
        (ValueError("[matmul] something else, got a=1"), "should say"),
    ],
)
def test_bad_input_that_is_not_refused_as_it_should(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, error: Exception | None, text: str
) -> None:
    row: Row = registry.rows()["matmul"]
    refusal = row.errors[0]
    case = Case(
        "matmul", "errors", "cpu", "float32", refusal.shapes, refusal.kwargs, region="refused"
    )
    assert checks.run_case(case).status is Status.PASS
    plant("matmul", refuse(error))
    failed(case, text)


@pytest.mark.parametrize("region", ["dtypes", "devices"])
def test_mixtures_that_are_computed(plant: Plant, region: str) -> None:
    case = Case("add", "errors", "cpu", "float32", ((3,), (3,)), region=region)
    assert checks.run_case(case).status is Status.PASS

    def anything(a: Any, b: Any) -> Any:
        return ndl.Tensor(a.numpy() + b.numpy(), device=a.device, dtype=a.dtype)

    plant("add", anything)
    failed(case, "it gave a result, should raise")


def test_the_simulators_order_is_restored() -> None:
    device = devices.face("cuda_sim")
    if not device.enabled():
        pytest.skip(f"no simulator: {device.reason}")
    from needle import _cuda_sim

    before = _cuda_sim.seed(), _core.get_num_threads()
    with devices.other_circumstances(device):
        within = _cuda_sim.seed(), _core.get_num_threads()
    assert all(a != b for a, b in zip(before, within, strict=True))
    assert (_cuda_sim.seed(), _core.get_num_threads()) == before


# --- arguments that change after the call, views


class Reversed(TensorOp):
    """flip, which keeps its caller's axes."""

    def __init__(self, axes: Any) -> None:
        self.axes = axes

    def compute(self, a: Any) -> Any:
        return a.flip(self.axes)

    def gradient(self, out_grad: Any, node: Any) -> Any:
        return ndl.flip(out_grad, self.axes)


def test_an_op_that_keeps_its_callers_list(plant: Plant) -> None:
    case = Case("flip", "vjp", "cpu", "float64", ((5, 3),), (("axes", (0,)),))
    assert checks.run_case(case).status is Status.PASS
    plant("flip", lambda a, axes: Reversed(axes)(a))
    failed(case, "the same gradient again, on other threads, gave other bits")


def test_lists_within_lists_and_arrays_change_too() -> None:
    held = lent("padding", ((1, 2), (0, 3)))
    assert held == [[1, 2], [0, 3]]
    inner = held[0]
    spoil(held)
    assert held == inner == []
    places = np.array([0, 3, 1])
    own = lent("index", places)
    spoil(own)
    assert not np.any(own == places)
    assert places.tolist() == [0, 3, 1]
    # numpy reads a list in an index as an array
    assert lent("index", (1, 2)) == (1, 2)
    assert lent("axis", 3) == 3


def test_a_copy_where_a_view_is_documented(plant: Plant) -> None:
    case = Case("transpose", "forward", "cpu", "float64", ((5, 3),))
    assert checks.run_case(case).status is Status.PASS
    plant("transpose", lambda a: ndl.transpose(a) * 1.0)
    failed(case, "result 0 is a copy, should be a view of its input")
    of_sum = Case("einsum", "forward", "cpu", "float64", ((5, 13),), (("spec", "ij->"),))
    assert checks.run_case(of_sum).status is Status.PASS  # nothing that a view could be of
