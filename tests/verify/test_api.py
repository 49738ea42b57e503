"""verify.check: right functions of every kind pass, planted faults fail, and failures replay."""

from __future__ import annotations

import importlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import needle as ndl
import verify
from verify import counterexample
from verify.cli import main
from verify.spec import Case, Domain, Status, UsageError
from verify.targets import devices

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def ops(fake: ModuleType) -> ModuleType:  # fake puts this folder on sys.path
    return importlib.import_module("user_ops")


def failed(report: verify.Report) -> set[str]:
    return {Case.parse(v.id).judge for v in report.verdicts if v.status is Status.FAIL}


RIGHT: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    # function, options, judges
    "op": ("Square", {}, {"forward", "vjp", "fd", "second"}),
    "function of Tensors": ("square", {}, {"forward", "vjp", "fd", "second"}),
    "autograd.Function": ("TorchSquare", {}, {"forward", "vjp", "fd", "second"}),
    "function of tensors": ("square", {"via": "torch"}, {"forward", "vjp", "fd", "second"}),
    "function of arrays": ("np_square", {"via": "numpy"}, {"forward"}),
    "with its gradient": ("np_square", {"gradient": "np_gradient"}, {"forward", "vjp", "fd"}),
}
WRONG: dict[str, tuple[str, dict[str, Any], set[str], str]] = {
    # function, options, judges that must fail, words of the text
    "op": ("WrongGradient", {}, {"vjp", "fd"}, "should be"),
    "autograd.Function": ("TorchWrong", {}, {"vjp", "fd"}, "should be"),
    "value": ("np_wrong_at_the_end", {}, {"forward"}, "should be"),
    "gradient": ("np_square", {"gradient": "np_wrong_gradient"}, {"vjp", "fd"}, "should be"),
    "dtype": ("np_wider", {}, {"forward"}, "has dtype float64, should have float32"),
    "mutation": ("np_changes_its_input", {"via": "numpy"}, {"forward"}, "input 0 was changed"),
    "raises": ("np_raises_on_strides", {}, {"forward"}, "wants contiguous memory"),
}


def options(ops: ModuleType, given: dict[str, Any]) -> dict[str, Any]:
    return {k: getattr(ops, v) if k == "gradient" else v for k, v in given.items()}


@pytest.mark.parametrize("kind", RIGHT)
@pytest.mark.parametrize("inputs", [((3, 4),), (np.linspace(-2, 2, 12).reshape(3, 4),)])
def test_right_functions_pass(ops: ModuleType, kind: str, inputs: Any, tmp_path: Path) -> None:
    name, given, judges = RIGHT[kind]
    report = verify.check(
        getattr(ops, name), ops.square, *inputs, save=tmp_path, **options(ops, given)
    )
    report.assert_ok()
    assert report.ok
    assert {Case.parse(v.id).judge for v in report.verdicts} == judges
    assert not list(tmp_path.iterdir())
    assert f"user.{name}: ok" in str(report)


@pytest.mark.parametrize("kind", WRONG)
def test_planted_faults_fail(ops: ModuleType, kind: str, tmp_path: Path) -> None:
    name, given, judges, words = WRONG[kind]
    report = verify.check(
        getattr(ops, name), ops.square, (3, 4), save=tmp_path, **options(ops, given)
    )
    assert not report.ok
    assert failed(report) == judges
    assert words in str(report)
    with pytest.raises(AssertionError, match="NOT OK"):
        report.assert_ok()


def test_layers_and_modules_and_several_inputs() -> None:
    for flatten in (ndl.nn.Flatten(), torch.nn.Flatten()):
        report = verify.check(
            flatten, lambda x: x.reshape(x.shape[0], -1), (2, 3, 4), view=True, linear=True
        )
        report.assert_ok()
    report = verify.check(ndl.ops.matmul, torch.matmul, (2, 3), (3, 4), device="numpy")
    report.assert_ok()
    assert all("/numpy/" in v.id for v in report.verdicts)


@pytest.mark.parametrize("module", [np, torch, ndl])
@pytest.mark.parametrize("name", ["exp", "log", "tanh"])
def test_elementary_functions_are_held_to_the_accuracy_of_their_library(
    module: Any, name: str
) -> None:
    domains = Domain(low=0) if name == "log" else ()
    report = verify.check(getattr(module, name), getattr(torch, name), (30, 40), domains=domains)
    report.assert_ok()


def test_a_root_that_torch_does_not_round_correctly_is_no_failure() -> None:
    """0.75 ULP at 0x4d7fe961: SLEEF's, where torch's vectors are 8 floats wide."""
    a = np.append(np.linspace(1, 9, 64), [268342800.0] * 64).astype(np.float32)
    verify.check(torch.sqrt, torch.sqrt, a, judges=["forward"]).assert_ok()


def test_keyword_arguments_kinks_and_domains() -> None:
    def slope(x: Any, scalar: float) -> Any:
        return ndl.ops.relu(x) * scalar

    def reference(x: Any, scalar: float) -> Any:
        return torch.relu(x) * scalar

    arguments = {"scalar": 0.5}
    kinks = lambda x, scalar: np.abs(x)  # noqa: E731
    report = verify.check(slope, reference, (4, 5), arguments=arguments, kinks=kinks)
    report.assert_ok()
    assert "/scalar=0.5/" in report.verdicts[0].id
    verify.check(ndl.ops.log, torch.log, (9,), domains=Domain(low=0)).assert_ok()


def test_without_a_reference_only_differences_judge_and_that_is_said(ops: ModuleType) -> None:
    report = verify.check(ops.Square(), None, (3, 4))
    report.assert_ok()
    assert {Case.parse(v.id).judge for v in report.verdicts} == {"fd", "second"}
    assert "no reference: nothing but finite differences" in str(report)
    assert failed(verify.check(ops.WrongGradient(), None, (3, 4), save=None)) == {"fd"}


def test_weak_evidence_is_not_ok() -> None:
    report = verify.check(lambda x: ndl.ops.relu(x), torch.relu, -np.ones((3, 4)), judges=["vjp"])
    assert not report.ok
    assert "WEAK" in str(report)
    assert "zeros, constant would have passed" in str(report)


@pytest.mark.parametrize(
    ("arguments", "keywords", "words"),
    [
        ((1, torch.relu, (3,)), {}, "function=1"),
        ((torch.relu, torch.relu), {}, "at least one input"),
        ((torch.relu, torch.relu, (3,)), {"via": "jax"}, "via='jax'"),
        ((torch.relu, torch.relu, (3,)), {"dtype": "float16"}, "float16"),
        ((torch.relu, torch.relu, (3,)), {"judges": ["bwd"]}, "bwd"),
        ((torch.relu, torch.relu, (3,)), {"budget": "5"}, "unknown budget"),
        ((torch.relu, torch.relu, (3,)), {"device": "numpy"}, "torch is on the cpu"),
        ((torch.relu, torch.relu, (3,)), {"device": "tpu"}, "tpu"),
        ((torch.relu, torch.relu, (3,)), {"arguments": {"f": print}}, "literals"),
        ((torch.relu, torch.matmul, (3,)), {}, "do not fit"),
        ((torch.relu, torch.special.i0, (3,)), {}, "cannot be bounded"),
        ((torch.relu, np.exp, (3,)), {}, "the reference"),
        ((torch.matmul, torch.matmul, (3, 4), (5, 6)), {}, "takes neither"),
        ((torch.relu, torch.relu, "three"), {}, "input='three'"),
        ((torch.relu, torch.relu, np.ones(3) * 1j), {}, "of reals, got dtype=complex128"),
        ((torch.relu, torch.relu, (-1, 3)), {}, "no negative sizes"),
        ((torch.relu, torch.relu, (3,)), {"domains": 3}, "domains=3"),
        ((torch.relu, None, (3,)), {"dtype": "float32"}, "nothing is left to judge"),
    ],
)
def test_questions_that_cannot_be_asked(arguments: Any, keywords: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        verify.check(*arguments, **keywords)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_differences_are_taken_from_nan_or_infinity(value: float) -> None:
    a = np.array([0.5, -1.5, value])
    report = verify.check(torch.tanh, torch.tanh, a, save=None)
    assert not failed(report)
    assert not {Case.parse(v.id).judge for v in report.verdicts} & {"fd", "second"}
    assert "holds NaN or infinity: fd and second were not asked" in str(report)


def test_one_judge_may_be_a_word() -> None:
    report = verify.check(torch.tanh, torch.tanh, (3, 4), judges="fd")
    assert {Case.parse(v.id).judge for v in report.verdicts} == {"fd"}


def test_the_process_is_left_as_it_was(ops: ModuleType) -> None:
    verify.check(ops.Square(), ops.square, (3,))
    assert not devices._CHECKED


@pytest.mark.parametrize("given", [False, True])
def test_a_failure_is_saved_and_replays_in_a_worker(
    ops: ModuleType, tmp_path: Path, given: bool, start: Callable[..., subprocess.Popen[str]]
) -> None:
    inputs = np.linspace(-2, 2, 12).reshape(3, 4) if given else (3, 4)
    report = verify.check(ops.np_wrong_at_the_end, ops.square, inputs, save=tmp_path)
    path = next(iter(report.files.values()))
    assert f"needle-verify --replay {path}" in str(report)
    assert path.with_suffix(".npz").exists() == given
    first = report.verdicts[0]
    process = start("-m", "verify", "--replay", str(path))
    out, err = process.communicate()
    assert process.returncode == 1, out + err
    assert first.id in out
    assert first.worst in out, "the same numbers"


def test_what_cannot_be_imported_says_so(tmp_path: Path, capsys: Any) -> None:
    def local(x: Any) -> Any:
        return x * x

    report = verify.check(local, torch.relu, (3, 4), save=tmp_path)
    path = next(iter(report.files.values()))
    assert "function cannot be imported by name" in str(report)
    assert json.loads(path.read_text())["case"].startswith("user.local/forward/")
    assert main(["--replay", str(path)]) == 2
    assert "call verify.check again" in capsys.readouterr().err


def test_damaged_files_are_usage_errors(ops: ModuleType, tmp_path: Path, capsys: Any) -> None:
    values = np.linspace(-2, 2, 12).reshape(3, 4)
    report = verify.check(ops.np_wrong_at_the_end, ops.square, values, save=tmp_path)
    path = next(iter(report.files.values()))
    path.with_suffix(".npz").write_bytes(b"PK no zip")
    assert main(["--replay", str(path)]) == 2
    assert "no inputs" in capsys.readouterr().err
    path.write_text(f'{{"needle_verify_saved": {counterexample.FORMAT}}}')
    assert main(["--replay", str(path)]) == 2
    assert "the file lacks case" in capsys.readouterr().err
