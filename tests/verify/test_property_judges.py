"""algebra, batch, growth and across: right ops pass, each planted fault is found by its judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import needle as ndl
from verify import checks, registry, summary
from verify.judges import across, algebra, examine, taylor
from verify.judges.claims import claim, holding
from verify.judges.question import Question
from verify.registry.batches import BATCHES
from verify.registry.growing import GROWTHS
from verify.registry.identities import IDENTITIES, MULTILINEAR
from verify.spec import IMPOSTORS, Case, Exit, Status, Verdict

Plant = Callable[[str, Callable[..., Any]], None]
OPS = {
    name: getattr(ndl.ops, name)
    for name in (
        "add",
        "conv",
        "sigmoid",
        "exp",
        "flip",
        "matmul",
        "mul_scalar",
        "negate",
        "softmax",
        "tanh",
    )
} | {"summation": ndl.ops.summation, "cumsum": ndl.ops.cumsum}


class Planted(ndl.autograd.TensorOp):
    """Any forward and any gradient."""

    def __init__(self, compute: Callable[..., Any], gradient: Callable[..., Any]) -> None:
        self.compute_, self.gradient_ = compute, gradient

    def compute(self, *arrays: Any) -> Any:
        return self.compute_(*arrays)

    def gradient(self, out_grad: Any, node: Any) -> Any:
        return self.gradient_(out_grad, node)


def like(values: Any, a: Any) -> Any:
    return ndl.Tensor(values, device=a.device, dtype=a.dtype)


def planned(name: str, judge: str, device: str = "numpy", dtype: str = "float64") -> list[Case]:
    return registry.plan_cases(registry.rows()[name], device, dtype, judge, 0)


def verdicts(cases: list[Case]) -> list[Verdict]:
    assert cases
    return [checks.run_case(case) for case in cases]


def fails(cases: list[Case], *texts: str) -> None:
    """Some of the cases fail, and say so; none crashes."""
    found = [v for v in verdicts(cases) if v.status is Status.FAIL]
    assert found
    for text in (*texts, "replay: needle-verify --replay", "attribution: "):
        assert any(text in v.message for v in found), found[0].message


def passes(cases: list[Case]) -> list[Verdict]:
    found = verdicts(cases)
    assert [v.message for v in found if v.status is not Status.PASS] == []
    return found


def claims_of(case: Case) -> set[str]:
    """What the adjoint of a case claims and does not hold."""
    operator = algebra._Operator(Question(case, registry.rows()[case.op]))
    return {c.says for c in algebra._linear(operator, operator) if c.rho > 1}


RIGHT = {
    "algebra": ("add", "mul_scalar", "flip", "conv", "einsum", "tanh", "log", "softmax", "mean"),
    "batch": ("exp", "equal", "summation", "softmax", "matmul", "conv", "nn.LSTM", "batch_norm"),
    "growth": ("exp", "summation", "matmul", "cumsum", "softmax"),
    "across": ("negate", "sqrt", "summation", "argmax", "matmul", "nn.Linear"),
}


@pytest.mark.parametrize(("judge", "name"), [(j, n) for j, names in RIGHT.items() for n in names])
def test_right_ops_pass_and_are_told_from_impostors(judge: str, name: str) -> None:
    found = passes(planned(name, judge, "cpu", "float64") or planned(name, judge, "cpu", "float32"))
    assert summary.impostors(found) == ()
    assert any(v.checked for v in found)


@pytest.mark.parametrize("budget", ["smoke", "default"])
def test_smoke_has_cases_of_each(budget: str) -> None:
    for judge, names in RIGHT.items():
        for name in names:
            rows = registry.rows()
            assert registry.plan_cases(rows[name], "cpu", "float32", judge, 0, budget) or (
                name == "tanh"  # neither linear nor an identity: Taylor asks in float64
            )


# --- algebra


def test_a_gradient_that_is_no_adjoint(plant: Plant) -> None:
    plant("flip", lambda a, axes: Planted(lambda x: x.flip(axes), lambda g, node: g)(a))
    fails(planned("flip", "algebra"), "<J x, y> = <x, J^T y>")


def test_an_op_that_is_not_linear(plant: Plant) -> None:
    bent = Planted(lambda a: -a + (a > 300) * 1.0, lambda g, node: -g)
    plant("negate", bent)
    fails(planned("negate", "algebra"), "<J x, y> = <x, J^T y>")
    shifted = claims_of(Case("negate", "algebra", "numpy", "float64", ((33,),), region="integer"))
    assert "f(a + b) + f(0) = f(a) + f(b)" in shifted


def test_a_swapped_gradient_of_a_product(plant: Plant) -> None:
    right = OPS["matmul"]

    def gradient(g: Any, node: Any) -> Any:
        a, b = node.inputs
        return ndl.ops.flip(right(g, ndl.ops.transpose(b)), (0,)), right(ndl.ops.transpose(a), g)

    plant("matmul", lambda a, b: Planted(lambda x, y: x @ y, gradient)(a, b))
    square = [c for c in planned("matmul", "algebra") if {len(s) for s in c.shapes} == {2}]
    fails(square, "<f with x0 = z, y> = <z, dx0>")


def test_a_right_adjoint_of_the_wrong_operator(plant: Plant) -> None:
    """<0, y> = <x, 0>: only an identity tells."""
    plant("flip", lambda a, axes: a * 1.0)
    fails(planned("flip", "algebra"), "x[::-1]")
    plant("flip", lambda a, axes: a * 0.0)
    fails(planned("flip", "algebra"), "x[::-1]")


def test_one_tap_of_a_convolution_too_few(plant: Plant) -> None:
    def short(x: Any, w: Any, **geometry: Any) -> Any:
        kept = np.ones(w.shape)
        kept[-1, -1] = 0
        return OPS["conv"](x, w * like(kept, w), **geometry)

    plant("conv", short)
    fails(planned("conv", "algebra"), "the sum over the taps of matmuls")


GRADIENTS: dict[str, Callable[..., Any]] = {
    "zero": lambda g, y: g * 0.0,
    "sign": lambda g, y: -g * (1.0 - y * y),
    "a dropped term": lambda g, y: g,
    "a thousandth off": lambda g, y: g * (1.0 - y * y) * 1.001,
    "nan": lambda g, y: g * np.nan,
}


@pytest.mark.parametrize("fault", GRADIENTS)
def test_the_remainder_of_a_wrong_gradient(plant: Plant, fault: str) -> None:
    plant("tanh", Planted(lambda a: a.tanh(), GRADIENTS[fault]))
    cases = [replace(c, seed=s) for c in planned("tanh", "algebra") for s in range(3)]
    assert all(v.status is Status.FAIL for v in verdicts(cases))
    fails(cases, "the order in h")


def order(changes: Callable[[float], float], slope: float, noise: float = 1e-16) -> Any:
    """What is claimed of a function of one variable with these changes."""
    steps = [(h, np.longdouble(changes(h))) for h in taylor._STEPS]
    return taylor._claims(steps, [np.array(slope)], [np.array(1.0)], noise, 1.0)


def test_remainders_near_the_noise_and_those_that_cross_zero() -> None:
    assert holding(order(lambda h: 3 * h + h * h, 3.0))
    assert not holding(order(lambda h: 3 * h + h * h, 3.001))
    assert holding(order(lambda h: 3 * h + h**3, 3.0))
    crossing = 2.0**-16  # C h^2 and D h^3 cancel at one step
    assert holding(order(lambda h: 3 * h + 1e3 * (h * h - h**3 / crossing), 3.0))
    (linear,) = order(lambda h: 3 * h, 3.0)
    assert linear.rho == 0
    assert order(lambda h: 0.0, 0.0) == []  # nothing stands out: no evidence
    assert order(lambda h: 1e-13, 0.0) == []


def test_a_claim_at_its_worst_element() -> None:
    made = claim("a = b", [1.0, 2.0, 3.0], [1.0, 2.5, 3.0], 0.1)
    assert made.rho == pytest.approx(5.0)
    assert made.equation == "a = b: [1] = 2 on the left, 2.5 on the right; error 5 x budget"
    assert claim("a = b", [np.nan], [np.nan], np.inf).rho == np.inf
    assert claim("a = b", [1.0], [2.0], np.inf).rho == np.inf
    assert claim("a = b", [1.0, 2.0], [1.0, 2.0, 3.0], 1.0).rho == np.inf


# --- batch


def test_a_row_that_sees_its_neighbours(plant: Plant) -> None:
    """It is right of the whole, and of a row of it."""

    def counting(a: Any, axis: Any = -1) -> Any:
        return OPS["softmax"](a, axis) * (1.001 if a.shape[0] == 1 else 1.0)

    plant("softmax", counting)
    fails(planned("softmax", "batch"), "alone: y0")


def test_bits_that_depend_on_the_size(plant: Plant) -> None:
    def odd(a: Any) -> Any:
        y = OPS["sigmoid"](a).numpy()  # whose bound leaves room for another last bit
        return like(np.nextafter(y, np.inf, dtype=y.dtype) if y.size < 9 else y, a)

    case = Case("sigmoid", "batch", "cpu", "float32", ((33,),))
    plant("sigmoid", odd)
    fails([case], "the kernels guarantee bits")
    found = checks.run_case(replace(case, device="numpy"))  # which guarantees none
    assert found.status is Status.PASS
    assert found.budget["elements of other bits"] > 0


# --- growth


def sequential(a: Any, **_: Any) -> Any:
    """A sum one after another, right under gamma_n alone."""
    return like(np.asarray(np.add.accumulate(a.numpy())[-1]), a)


@pytest.mark.parametrize("device", ["cpu", "numpy"])
def test_a_sum_one_after_another_is_not_what_the_kernels_guarantee(
    plant: Plant, device: str
) -> None:
    plant("summation", sequential)
    long = Case("summation", "forward", device, "float32", ((40000,),))
    assert checks.run_case(long).status is Status.PASS
    fails(planned("summation", "growth", device, "float32"), "terms: y = ")


def test_the_exponent_is_reported() -> None:
    (found,) = passes(planned("cumsum", "growth", "cpu", "float32"))
    assert {f"exponent, {kind}" for kind in ("signed", "positive", "constant")} <= set(found.budget)
    assert found.budget["exponent, constant"] > 0.5  # one after another
    (pairwise,) = passes(planned("summation", "growth", "cpu", "float32"))
    assert pairwise.budget.get("exponent, constant", 0.0) < 0.5


def test_millions_of_elements_with_one_wrong(plant: Plant) -> None:
    def late(a: Any) -> Any:
        y = OPS["exp"](a).numpy()
        y[2_000_001:2_000_002] *= 2
        return like(y, a)

    plant("exp", late)
    fails(planned("exp", "growth", "cpu", "float32"), "y[2000001] of 2", "the same bits")


# --- across


def test_a_device_with_other_zeros(plant: Plant) -> None:
    def unsigned(a: Any) -> Any:
        return 0.0 - a if a.device == ndl.cpu() else OPS["negate"](a)

    plant("negate", unsigned)
    fails(planned("negate", "across", "cpu"), "numpy's")


def test_a_device_beyond_both_bounds(plant: Plant) -> None:
    plant("exp", lambda a: OPS["exp"](a) * (1.000002 if a.device == ndl.cpu() else 1.0))
    fails(planned("exp", "across", "cpu", "float32"), "x budget", "cpu failed, cuda_sim passed")


def test_where_nothing_is_bounded_kinds_of_numbers_are_told() -> None:
    question = Question(Case("exp", "across", "cpu", "float32", ((2,),)), registry.rows()["exp"])
    want, unbounded = np.array([1.0, 2.0]), np.full(2, np.inf)
    assert across._compare(question, want * 3, want, unbounded, True).ok
    assert not across._compare(question, want * np.nan, want, unbounded, True).ok
    assert not across._compare(question, want * np.inf, want, unbounded, True).ok
    assert across._compare(question, want * np.inf, want, unbounded, False).ok


def test_numpy_is_not_held_against_itself() -> None:
    assert planned("exp", "across", "numpy") == []
    case = Case("exp", "across", "numpy", "float32", ((7,),))
    assert examine(case, registry.rows()["exp"]).status is Status.SKIP


# --- evidence


def test_tables_name_rows() -> None:
    known = registry.rows().keys()
    for table in (IDENTITIES, MULTILINEAR, BATCHES, GROWTHS):
        assert set(table) <= known


@pytest.mark.parametrize(("name", "judge", "shape"), [("exp", "batch", ()), ("exp", "growth", ())])
def test_a_case_that_asks_nothing_is_no_evidence(name: str, judge: str, shape: Any) -> None:
    found = checks.run_case(Case(name, judge, "cpu", "float32", (shape,)))
    assert (found.status, found.checked) == (Status.PASS, 0)
    assert set(found.impostors) == set(IMPOSTORS)


def test_where_nothing_is_claimed_the_evidence_is_weak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every bound is infinite: an intermediate of the reference leaves float32's range."""
    row = replace(registry.rows()["exp"], reference=lambda t, a: t.exp(a) * 1e300 * 1e-300)
    monkeypatch.setattr(registry, "rows", lambda: {"exp": row})
    verdict = checks.run_case(Case("exp", "forward", "numpy", "float32", ((5, 13),)))
    assert (verdict.status, verdict.checked) == (Status.PASS, 0)
    assert set(verdict.impostors) == set(IMPOSTORS)
    found = summary.summarize([verdict], 1)
    assert found.counts[Status.WEAK] == 1
    assert found.exit is Exit.WEAK


@pytest.mark.parametrize("op", sorted(IDENTITIES))
def test_every_law_takes_the_arguments_of_every_sample(op: str) -> None:
    """The plan's own choice leaves some of them to larger budgets."""
    cases = {
        (c.kwargs, c.region): c
        for budget in ("default", "deep")
        for c in registry.plan_cases(registry.rows()[op], "cpu", "float64", "algebra", 0, budget)
    }
    for case in cases.values():
        assert checks.run_case(case).status is Status.PASS, case.id


def test_a_running_sum_by_doubling_is_right_where_the_first_term_is_minus_zero(
    plant: Plant,
) -> None:
    def doubling(a: Any, axis: int, reverse: bool = False) -> Any:
        sums = np.moveaxis(a.numpy(), axis, 0).copy()
        apart = 1
        while apart < len(sums):
            sums[apart:] = sums[:-apart] + sums[apart:]
            apart *= 2
        return ndl.Tensor(np.moveaxis(sums, 0, axis), device=a.device, dtype=a.dtype)

    plant("cumsum", doubling)
    case = Case.parse("cumsum/forward/cpu/float32/5x13/axis=1/transposed/zeros/seed0")
    verdict = checks.run_case(case)
    assert verdict.status is Status.PASS, verdict.message
