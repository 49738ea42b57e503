"""Planted faults: each yields exactly its status, and a text that says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import needle as ndl
from verify import checks, registry
from verify.judges.question import both
from verify.spec import Case, Status, UsageError, Verdict

EXP = Case("exp", "forward", "numpy", "float32", ((5, 13),))
TANH = Case("tanh", "vjp", "numpy", "float64", ((9,),))
RIGHT = {
    name: getattr(ndl.ops, name) for name in ("exp", "tanh", "multiply", "add", "matmul", "stack")
}

Plant = Callable[[str, Callable[..., Any]], None]


def run(case: Case) -> Verdict:
    verdict = checks.run_case(case)
    assert verdict.id == case.id
    return verdict


def failed(case: Case, *texts: str) -> Verdict:
    verdict = run(case)
    assert verdict.status is Status.FAIL
    for text in (*texts, "replay: needle-verify --replay", "attribution: "):
        assert text in verdict.message, verdict.message
    return verdict


class Wrong(ndl.autograd.TensorOp):
    """An elementwise op with any forward and any gradient."""

    def __init__(self, compute: Callable[..., Any], gradient: Callable[..., Any]) -> None:
        self.compute_, self.gradient_ = compute, gradient

    def compute(self, *arrays: Any) -> Any:
        return self.compute_(*arrays)

    def gradient(self, out_grad: Any, node: Any) -> Any:
        return self.gradient_(out_grad, node)


def tanh_with(gradient: Callable[..., Any]) -> Callable[..., Any]:
    return Wrong(lambda a: a.tanh(), gradient)


def right_tanh_gradient(g: Any, node: Any) -> Any:
    return g * (1.0 - node * node)


# --- right ones pass


@pytest.mark.parametrize("judge", ["forward", "vjp", "fd"])
def test_a_right_op_passes(judge: str) -> None:
    verdict = run(replace(TANH, judge=judge))
    assert verdict.status is Status.PASS, verdict.message
    assert verdict.rho is not None
    assert 0 <= verdict.rho <= 1
    assert verdict.checked > 0
    assert verdict.impostors == ()
    assert verdict.message == ""


def test_the_right_formula_written_otherwise_passes(plant: Plant) -> None:
    plant("tanh", tanh_with(right_tanh_gradient))
    assert run(TANH).status is Status.PASS
    assert run(replace(TANH, judge="fd")).status is Status.PASS


def test_an_exact_op_has_no_rho() -> None:
    verdict = run(Case("flip", "forward", "numpy", "float32", ((5, 3),), (("axes", (0,)),)))
    assert (verdict.status, verdict.rho) == (Status.PASS, None)


# --- wrong forwards


def test_a_slightly_wrong_forward(plant: Plant) -> None:
    plant("exp", lambda a: RIGHT["exp"](a) * 1.000002)
    verdict = failed(EXP, "y", "should be", "x budget", "rounding of exp")
    assert verdict.rho is not None
    assert 1 < verdict.rho < 100
    assert verdict.worst.startswith("y[")


def test_one_wrong_element(plant: Plant) -> None:
    def off(a: Any) -> Any:
        y = RIGHT["exp"](a).numpy()
        y[3, 7] *= 1.00001
        return ndl.Tensor(y, device=a.device, dtype=a.dtype)

    plant("exp", off)
    verdict = checks.run_case(EXP)
    assert verdict.status is Status.FAIL
    assert verdict.worst.startswith("y[3,7] = ")


def test_the_counterexample_is_shrunk(plant: Plant) -> None:
    plant("exp", lambda a: RIGHT["exp"](a) * 2.0)
    failed(EXP, "smallest counterexample: exp/forward/numpy/float32/0d/")


def test_another_shape(plant: Plant) -> None:
    plant("exp", lambda a: RIGHT["exp"](a).reshape((13, 5)))
    failed(EXP, "y has shape (13, 5), should have (5, 13)")


def test_another_dtype(plant: Plant) -> None:
    def narrow(a: Any) -> Any:
        return ndl.Tensor(RIGHT["exp"](a).numpy(), device=a.device, dtype="float32")

    plant("exp", narrow)
    failed(replace(EXP, dtype="float64"), "result 0 has dtype float32, should have float64")


def test_another_device(plant: Plant) -> None:
    plant("exp", lambda a: ndl.Tensor(RIGHT["exp"](a).numpy(), device=ndl.cpu(), dtype=a.dtype))
    failed(EXP, "result 0 is on cpu(), should be on cpu_numpy()")


def test_an_unwritten_element(plant: Plant) -> None:
    def partly(a: Any) -> Any:
        y = a.device.empty(a.shape, dtype=a.dtype)
        y[:4] = RIGHT["exp"](a).realize_cached_data()[:4]
        return ndl.Tensor.make_const(y)

    plant("exp", partly)
    failed(EXP, "y[4,0] = nan (memory that was never written)")


def test_a_changed_input(plant: Plant) -> None:
    def change(a: Any) -> Any:
        y = RIGHT["exp"](a)
        a.realize_cached_data()[2, 3] = 0.0
        return y

    plant("exp", change)
    failed(EXP, "input 0 was changed by the call")


def test_a_write_between_the_elements_of_a_strided_input(plant: Plant) -> None:
    case = Case("setitem", "forward", "numpy", "float32", ((7,), ()), (("index", "3"),), "strided")
    assert run(case).status is Status.PASS

    def spill(a: Any, b: Any, index: Any) -> Any:
        a[index] = b
        a.as_strided((14,), (1,))[7] = 0.0
        return a

    plant("setitem", spill)
    failed(case, "input 0 was changed by the call")


def test_a_write_outside_the_array(plant: Plant) -> None:
    import ctypes

    def stray(a: Any) -> Any:
        y = RIGHT["exp"](a)
        data = y.realize_cached_data()
        ctypes.c_float.from_address(data._handle.ptr() + 4 * data.size + 4).value = 1.0
        return y

    plant("exp", stray)
    failed(EXP, "memory outside an array was written")
    plant("exp", RIGHT["exp"])
    assert run(EXP).status is Status.PASS  # the damage is reported once, to its own case


def test_nan_is_not_swallowed(plant: Plant) -> None:
    def quiet_nan(a: Any) -> Any:
        y = np.nan_to_num(RIGHT["exp"](a).numpy(), nan=0.0, posinf=np.inf)
        return ndl.Tensor(y, device=a.device, dtype=a.dtype)

    plant("exp", quiet_nan)
    failed(replace(EXP, region="special"), "should be nan")


def test_the_sign_of_zero_counts(plant: Plant) -> None:
    case = Case("negate", "forward", "numpy", "float32", ((33,),), region="zeros")
    assert run(case).status is Status.PASS
    plant("negate", lambda a: 0.0 - a)
    failed(case, "the result is exact")


def test_wrong_integer_arithmetic_has_no_budget(plant: Plant) -> None:
    case = Case("matmul", "forward", "numpy", "float32", ((9, 300), (300, 7)), region="integer")
    assert run(case).status is Status.PASS
    plant("matmul", lambda a, b: RIGHT["matmul"](a, b) + 1.0)
    failed(case, "the result is exact")


# --- wrong gradients

GRADIENTS: dict[str, Callable[..., Any]] = {
    "zero": lambda g, y: g * 0.0,
    "sign": lambda g, y: -right_tanh_gradient(g, y),
    "without the cotangent": lambda g, y: 1.0 - y * y,
    "1 - y": lambda g, y: g * (1.0 - y),
    "a dropped term": lambda g, y: g,
    "a millionth off": lambda g, y: right_tanh_gradient(g, y) * 1.000001,
    "nan": lambda g, y: g * np.nan,
}


@pytest.mark.parametrize("judge", ["vjp", "fd"])
@pytest.mark.parametrize("fault", GRADIENTS)
@pytest.mark.parametrize("shape", [(1,), (9,), (65,), (1023,)])
def test_wrong_gradients(plant: Plant, judge: str, fault: str, shape: tuple[int, ...]) -> None:
    plant("tanh", tanh_with(GRADIENTS[fault]))
    verdict = failed(replace(TANH, judge=judge, shapes=(shape,)), "dx[", "should be")
    assert verdict.budget


def test_one_wrong_element_of_a_gradient_is_localised(plant: Plant) -> None:
    def one(g: Any, y: Any) -> Any:
        right = right_tanh_gradient(g, y).numpy()
        right.flat[right.size // 2] *= 1.01
        return ndl.Tensor(right, device=y.device, dtype=y.dtype)

    plant("tanh", tanh_with(one))
    for judge in ("vjp", "fd"):
        verdict = checks.run_case(replace(TANH, judge=judge, shapes=((31, 33),)))
        assert verdict.status is Status.FAIL
        assert verdict.worst.startswith("dx[15,16] = "), verdict.worst


def test_a_missing_sum_over_a_broadcast_axis(plant: Plant) -> None:
    mul = Wrong(lambda a, b: a * b, lambda g, node: (g * node.inputs[1], g * node.inputs[0]))
    plant("multiply", lambda a, b: mul(a, b))
    case = Case("multiply", "vjp", "numpy", "float32", ((4, 5), (5,)))
    failed(case, "raised ValueError")


def test_swapped_operands(plant: Plant) -> None:
    mul = Wrong(lambda a, b: a * b, lambda g, node: (g * node.inputs[0], g * node.inputs[1]))
    plant("multiply", lambda a, b: mul(a, b))
    case = Case("multiply", "vjp", "numpy", "float32", ((7,), (7,)))
    failed(case, "da[", "x budget")
    failed(replace(case, judge="fd", dtype="float64"), "da[", "by finite differences")


def test_a_gradient_that_never_arrives(plant: Plant) -> None:
    plant("tanh", lambda a: RIGHT["tanh"](a.detach()))
    failed(TANH, "raised RuntimeError")


def test_one_input_without_a_gradient(plant: Plant) -> None:
    plant("add", lambda a, b: RIGHT["add"](a, b.detach()))
    failed(
        Case("add", "vjp", "numpy", "float32", ((7,), (7,))), "backward gave input 1 no gradient"
    )


def test_a_forward_that_is_not_finite_fails_finite_differences(plant: Plant) -> None:
    plant("tanh", Wrong(lambda a: a.tanh() * float("nan"), right_tanh_gradient))
    failed(replace(TANH, judge="fd"), "should be nan by finite differences")


# --- exceptions


def test_an_op_that_raises(plant: Plant) -> None:
    def broken(a: Any) -> Any:
        raise ValueError("[exp] no such luck, got a=1")

    plant("exp", broken)
    failed(EXP, "it raised ValueError: [exp] no such luck, got a=1")


def test_an_op_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ndl.ops, "exp")
    verdict = run(EXP)
    assert (verdict.status, verdict.message) == (Status.UNIMPLEMENTED, "needle has no exp")


def test_an_op_that_is_a_stub(plant: Plant) -> None:
    def stub(a: Any) -> Any:
        raise NotImplementedError("later")

    plant("exp", stub)
    assert run(EXP).status is Status.UNIMPLEMENTED


def test_cases_that_cannot_be_asked() -> None:
    with pytest.raises(UsageError, match="op=cov"):
        checks.run_case(replace(EXP, op="cov"))
    with pytest.raises(UsageError, match="judge='mood'"):
        checks.run_case(replace(EXP, judge="mood"))
    with pytest.raises(UsageError, match="layout='spiral'"):
        checks.run_case(replace(EXP, layout="spiral"))


# --- attribution


def test_one_device_wrong(plant: Plant) -> None:
    def on_numpy(a: Any) -> Any:
        return RIGHT["exp"](a) * (1.5 if a.device == ndl.cpu_numpy() else 1.0)

    plant("exp", on_numpy)
    verdict = run(EXP)
    assert verdict.attribution.startswith("this device is wrong: numpy failed, ")
    assert "cpu" in verdict.attribution.partition("failed, ")[2]


def test_the_formula_wrong(plant: Plant) -> None:
    plant("exp", lambda a: RIGHT["exp"](a) * 1.5)
    attribution = run(EXP).attribution
    assert attribution.startswith("several devices are wrong alike (the formula): numpy, cpu")


@pytest.mark.parametrize("judge", ["forward", "vjp"])
@pytest.mark.parametrize("op", ["exp", "rsqrt", "erfc", "gelu", "power_scalar", "nn.SiLU"])
def test_torch_wrong(monkeypatch: pytest.MonkeyPatch, op: str, judge: str) -> None:
    right = registry.rows()[op]
    row = replace(right, reference=lambda t, a, **k: right.reference(t, a, **k) * 1.5)
    monkeypatch.setattr(registry, "rows", lambda: {op: row})
    kwargs = {"gelu": (("approximate", "tanh"),), "power_scalar": (("scalar", 2.5),)}.get(op, ())
    verdict = run(Case(op, judge, "numpy", "float32", ((9,),), kwargs))
    assert verdict.attribution == "torch is less accurate: 50 digits agree with the device"


def test_a_device_that_is_nearer_than_torch_but_wrong_is_wrong(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = replace(registry.rows()["exp"], reference=lambda t, a: t.exp(a) * 1.5)
    monkeypatch.setattr(registry, "rows", lambda: {"exp": row})
    plant("exp", lambda a: RIGHT["exp"](a) * 1.1)
    assert run(EXP).attribution.startswith("several devices are wrong alike")


def test_attribution_of_a_gradient(plant: Plant) -> None:
    plant("tanh", tanh_with(lambda g, y: g * 0.5))
    for judge in ("vjp", "fd"):
        attribution = run(replace(TANH, judge=judge)).attribution
        assert attribution.startswith("several devices are wrong alike (the formula): numpy, cpu")
    plant(
        "tanh",
        tanh_with(
            lambda g, y: right_tanh_gradient(g, y) * (2.0 if y.device == ndl.cpu_numpy() else 1.0)
        ),
    )
    for judge in ("vjp", "fd"):
        attribution = run(replace(TANH, judge=judge)).attribution
        assert attribution.startswith("this device is wrong: numpy failed, ")


def test_a_gradient_of_an_ill_conditioned_input(plant: Plant) -> None:
    """exp of inputs that were rounded once more is its own gradient."""

    def blurred(a: Any) -> Any:
        x = np.nextafter(a.numpy(), a.numpy().dtype.type(-np.inf))
        return ndl.Tensor(np.exp(x), device=a.device, dtype=a.dtype).realize_cached_data()

    plant("exp", Wrong(blurred, lambda g, node: g * node))
    verdict = run(replace(EXP, judge="vjp", region="huge"))
    assert verdict.status is Status.FAIL
    assert verdict.attribution.startswith("the input is ill-conditioned")


def test_a_device_that_cannot_be_asked_is_no_witness(plant: Plant) -> None:
    def op(a: Any) -> Any:
        if a.device != ndl.cpu_numpy():
            raise MemoryError
        return RIGHT["exp"](a) * 1.5

    plant("exp", op)
    assert run(EXP).attribution == "numpy is wrong; there was no other device to compare with"


def test_an_ill_conditioned_input(plant: Plant) -> None:
    """exp of inputs that were rounded once more."""

    def blurred(a: Any) -> Any:
        x = np.nextafter(a.numpy(), np.float32(-np.inf))
        return ndl.Tensor(np.exp(x), device=a.device, dtype=a.dtype)

    plant("exp", blurred)
    verdict = run(replace(EXP, region="huge"))
    assert verdict.status is Status.FAIL
    assert verdict.attribution.startswith("the input is ill-conditioned")


# --- impostors


def test_impostors_of_a_weak_case_are_named() -> None:
    zero = Case("mul_scalar", "forward", "numpy", "float32", ((9,),), (("scalar", 0.0),))
    assert "zeros" not in run(zero).impostors  # -0 for negative inputs: not all zeros alike
    empty = Case("exp", "forward", "numpy", "float32", ((0,),))
    assert set(run(empty).impostors) >= {"zeros", "constant", "stale", "nan"}
    assert run(empty).checked == 0
    copied = Case("reshape", "forward", "numpy", "float32", ((3,),), (("shape", (3,)),))
    assert run(copied).impostors == ("copy",)


def test_an_impostor_that_a_judge_lets_through_is_an_impostor_that_passes(plant: Plant) -> None:
    """the claim is checked by really planting the impostor"""
    case = Case("relu", "vjp", "numpy", "float32", ((33,),), region="zeros")
    names = run(case).impostors
    plant("relu", Wrong(lambda a: a.relu(), lambda g, node: g * 0.0))
    assert (run(case).status is Status.PASS) == ("zeros" in names)


def test_an_equation_has_the_digits_that_tell_its_sides_apart() -> None:
    assert both(1.25, 1.5) == ("1.25", "1.5")
    assert both(float("nan"), 2.0) == ("nan", "2")
    given, wanted = both(20.8737522001, 20.8737522002)
    assert (float(given), float(wanted)) == (20.8737522001, 20.8737522002)
