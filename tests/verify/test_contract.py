"""Sentences of the contract that have no better place: statuses, evidence, exit codes, dtypes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import needle as ndl
from verify import budget, checks, fd, registry
from verify.budget import compare
from verify.cli import main
from verify.output import Output
from verify.results import from_line, to_line
from verify.spec import IMPOSTORS, Case, Exit, Status, Verdict
from verify.summary import WRONG, impostors, summarize

Plant = Callable[[str, Callable[..., Any]], None]
ROOT = Path(__file__).resolve().parents[2]

# --- statuses add up to the plan, the smallest exit code wins

verdicts = st.builds(
    lambda op, judge, n, status, names, declared, rho: Verdict(
        Case(op, judge, "cpu", "float32", ((n,),)).id,
        status,
        rho=rho,
        impostors=tuple(names),
        vacuous_reason=declared,
    ),
    st.sampled_from("abc"),
    st.sampled_from(["forward", "vjp"]),
    st.integers(0, 5),
    st.sampled_from([s for s in Status if s is not Status.WEAK]),
    st.lists(st.sampled_from(IMPOSTORS), unique=True),
    st.sampled_from(["", "it is zero"]),
    st.none() | st.floats(),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a machine may be loaded
@given(
    st.lists(verdicts, unique_by=lambda v: v.id), st.integers(0, 3), st.lists(st.text(max_size=3))
)
def test_statuses_add_up_and_the_smallest_code_wins(
    found: list[Verdict], not_run: int, rotten: list[str]
) -> None:
    summary = summarize(found, len(found) + not_run, rotten=rotten)
    assert summary.counts.total() + summary.not_run == summary.planned
    assert sum(line.cases for line in summary.lines) == len(found)
    assert summary.counts[Status.PASS] + summary.counts[Status.WEAK] == sum(
        v.status is Status.PASS for v in found
    )
    wrong = any(v.status in WRONG for v in found)
    weak = summary.weak or summary.counts[Status.UNIMPLEMENTED] or not_run or rotten or not found
    assert summary.exit is (Exit.WRONG if wrong else Exit.WEAK if weak else Exit.GOOD)


def test_a_report_that_cannot_be_written_hides_no_failure(
    fake: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> int:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", refuse)
    arguments = ("--check", "fd", "--dtype", "float32", "--markdown", str(tmp_path / "r.md"))
    for op, code in (("wrong", 1), ("good", 2), ("weak", 2)):
        assert main(["--op", op, *arguments], fake.parts()) == code


def test_what_cannot_be_printed_is_graver_than_weak(
    fake: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Output, "prepare", classmethod(lambda cls: setattr(cls, "failed", "full")))
    arguments = ("--check", "fd", "--dtype", "float32")
    try:
        for op, code in (("wrong", 1), ("weak", 2), ("good", 2)):
            assert main(["--op", op, *arguments], fake.parts()) == code
    finally:
        Output.failed = ""


# --- weak evidence, per group


@pytest.mark.parametrize("name", IMPOSTORS)
def test_each_impostor_alone_makes_a_group_weak(name: str) -> None:
    def verdict(n: int, *names: str) -> Verdict:
        case = Case("a", "vjp", "cpu", "float32", ((n,),))
        return Verdict(case.id, Status.PASS, impostors=names)

    others = [other for other in IMPOSTORS if other != name]
    assert summarize([verdict(1, name), verdict(2, name, others[0])], 2).exit is Exit.WEAK
    assert summarize([verdict(1, name), verdict(2, *others)], 2).exit is Exit.GOOD


FAKES: dict[str, tuple[Case, Callable[[Any], Any]]] = {
    # a case in which the impostor passes -> an op that really gives it
    "zeros": (
        Case("relu", "forward", "numpy", "float32", ((9,),), region="negative"),
        lambda a: ndl.Tensor(np.zeros(a.shape), device=a.device, dtype=a.dtype),
    ),
    "copy": (
        Case("relu", "forward", "numpy", "float32", ((3,),), region="integer", seed=8),
        lambda a: ndl.Tensor(a.numpy(), device=a.device, dtype=a.dtype),
    ),
}


@pytest.mark.parametrize("name", FAKES)
def test_an_impostor_is_named_where_an_op_that_gives_it_passes(plant: Plant, name: str) -> None:
    case, op = FAKES[name]
    for seed in range(40):
        asked = replace(case, seed=seed)
        named = name in checks.run_case(asked).impostors
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("verify.targets.call.resolve", lambda _: op)
            assert (checks.run_case(asked).status is Status.PASS) == named, seed


def test_nothing_claimed_is_weak_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound that is infinite everywhere lets every impostor through."""
    fmt = budget.format_of("float32")
    want, unbounded = np.array([1.0, 2.0]), np.full(2, np.inf)
    for fake in (np.zeros(2), np.full(2, np.nan), np.full(2, 7.0)):
        found = compare(fmt, fake.astype(np.float32), want, unbounded)
        assert (found.ok, found.checked) == (True, 0)
    # the divisor may be 0 as far as its bound knows
    row = replace(registry.rows()["exp"], reference=lambda t, a: a / ((t.exp(a) + 1e10) - 1e10))
    monkeypatch.setattr(registry, "rows", lambda: {"exp": row})
    verdict = checks.run_case(Case("exp", "forward", "numpy", "float32", ((9,),)))
    assert (verdict.status, verdict.checked) == (Status.PASS, 0)
    assert {"zeros", "constant", "nan", "stale"} <= set(verdict.impostors)
    assert summarize([verdict], 1).exit is Exit.WEAK
    assert impostors([verdict])


# --- rho


def test_rho_is_undefined_for_exact_results_that_are_wrong_too(plant: Plant) -> None:
    case = Case("pad", "forward", "numpy", "float32", ((5, 3),), (("padding", ((1, 0), (0, 2))),))
    right = checks.run_case(case)
    assert (right.status, right.rho) == (Status.PASS, None)
    plant("pad", lambda a, padding: ndl.ops.pad(a, padding) * 1.0000001)
    wrong = checks.run_case(case)
    assert (wrong.status, wrong.rho) == (Status.FAIL, None)
    assert "; the result is exact" in wrong.worst


# --- dtypes


def test_finite_differences_never_run_in_another_dtype(plant: Plant) -> None:
    """In float32 wherever no gradient is asked for: only evaluate sees it."""

    def narrow(a: Any) -> Any:
        y = ndl.ops.tanh(a)
        if a.requires_grad:
            return y
        return ndl.Tensor(y.numpy(), device=a.device, dtype="float32")

    plant("tanh", narrow)
    verdict = checks.run_case(Case("tanh", "fd", "numpy", "float64", ((9,),)))
    assert verdict.status is Status.FAIL
    assert "result 0 has dtype float32, should have float64" in verdict.message


def test_the_differences_of_gradients_are_of_the_dtype_asked_for(plant: Plant) -> None:
    class Narrow(ndl.autograd.TensorOp):
        def compute(self, *arrays: Any) -> Any:
            return arrays[0].tanh()

        def gradient(self, out_grad: Any, node: Any) -> Any:
            slope = out_grad * (1.0 - node * node)
            if out_grad.requires_grad:  # the second gradient is asked for
                return slope
            return ndl.Tensor(slope.numpy(), device=node.device, dtype="float32")

    plant("tanh", Narrow())
    verdict = checks.run_case(Case("tanh", "second", "numpy", "float64", ((9,),)))
    assert verdict.status is Status.FAIL
    assert "float32" in verdict.message


# --- determinism


def test_no_kernel_uses_atomics() -> None:
    """Whose order would show; the simulator defines one for kernels that do not exist."""
    kernels = [*ROOT.glob("csrc/cuda/*.cu*"), *ROOT.glob("csrc/cuda/*.h")]
    assert kernels
    for path in kernels:
        assert not re.search(r"\batomic\w*\s*\(", path.read_text()), path


# --- replay


def test_a_digest_is_of_the_bits(plant: Plant) -> None:
    case = Case("relu", "forward", "numpy", "float32", ((9,),))
    first = checks.run_case(case)
    assert len(first.digest) == 16
    assert checks.run_case(case).digest == first.digest
    assert checks.run_case(replace(case, device="cpu")).digest == first.digest
    assert checks.run_case(replace(case, seed=1)).digest != first.digest
    assert checks.run_case(replace(case, judge="fd", dtype="float64")).digest == ""
    plant("exp", lambda a: ndl.ops.exp(a) * (1 + 2.0**-23))
    exp = replace(case, op="exp")
    close = checks.run_case(exp).digest
    plant("exp", ndl.ops.exp)
    assert checks.run_case(exp).digest != close


def test_lines_of_earlier_files_are_read() -> None:
    line = to_line(Verdict(Case("a", "fd", "cpu", "float32", ()).id, Status.PASS))
    old = json.loads(json.dumps(line))
    del old["digest"]
    assert from_line(old) == from_line(line)


# --- finite differences


def test_classes_of_probes_are_recorded(plant: Plant) -> None:
    case = Case("relu", "fd", "numpy", "float64", ((20,),), region="zeros")
    terms = checks.run_case(case).budget
    assert terms["probes: smooth"] + terms["probes: kink"] == fd._AT_KINKS
    assert terms["probes: kink"] > 0


def test_a_jump_is_no_evidence_for_any_gradient(plant: Plant) -> None:
    """A forward that jumps where the right one bends: its gradient fits on either side."""

    class Jump(ndl.autograd.TensorOp):
        def compute(self, *arrays: Any) -> Any:
            return arrays[0].relu() + (arrays[0] > arrays[0] * 0.0) * 0.25

        def gradient(self, out_grad: Any, node: Any) -> Any:
            return out_grad * ndl.Tensor(
                (node.inputs[0].numpy() > 0) * 1.0, device=node.device, dtype=node.dtype
            )

    plant("relu", Jump())
    case = Case("relu", "fd", "numpy", "float64", ((20,),), region="zeros")
    verdict = checks.run_case(case)
    assert verdict.status is Status.FAIL
    assert "outside the domain" in verdict.message
    assert checks.run_case(replace(case, region="interior")).status is Status.PASS
