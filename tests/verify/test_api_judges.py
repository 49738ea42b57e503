"""verify.check asks a user's function what an op is asked: again, twice derived, with bad input."""

from __future__ import annotations

import importlib
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
from verify.spec import Case, Status, UsageError

pytestmark = pytest.mark.timeout(120)
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def odd(fake: ModuleType) -> ModuleType:  # fake puts this folder on sys.path
    return importlib.import_module("odd_ops")


def identity(x: Any) -> Any:
    return x * 1.0


def square(x: Any) -> Any:
    return x * x


def judged(report: verify.Report, *statuses: Status) -> set[str]:
    return {Case.parse(v.id).judge for v in report.verdicts if v.status in (statuses or Status)}


def failed(report: verify.Report) -> set[str]:
    return judged(report, Status.FAIL)


# --- ops that other people make


def test_an_op_that_is_made_with_arguments(odd: ModuleType) -> None:
    report = verify.check(
        odd.Scale, lambda x, factor: x * factor, (3, 4), arguments={"factor": 3.0}, linear=True
    )
    report.assert_ok()
    assert judged(report) == {"forward", "vjp", "fd", "second"}
    assert "/factor=3.0/" in report.verdicts[0].id


def test_an_op_of_several_results(odd: ModuleType) -> None:
    report = verify.check(odd.Both(), lambda a, b: (a + b, a * b), (3, 4), (3, 4))
    report.assert_ok()
    assert judged(report) == {"forward", "vjp", "fd", "second"}
    assert verify.check(
        lambda a, b: ndl.ops.make_tuple(a + b, a * b), lambda a, b: (a + b, a * b), (3,), (3,)
    ).ok


def test_an_op_that_says_it_has_no_gradient(odd: ModuleType) -> None:
    report = verify.check(odd.Step, lambda x: (x >= 0).to(x.dtype), (3, 4))
    report.assert_ok()
    assert judged(report) == {"forward"}


# --- second order


@pytest.mark.parametrize(("name", "device"), [("ConstantGradient", "numpy"), ("Detached", "cpu")])
def test_a_gradient_without_one_of_its_own_fails_second_order_alone(
    odd: ModuleType, name: str, device: str
) -> None:
    report = verify.check(
        getattr(odd, name), square, (3, 4), layouts=[], dtype="float64", device=device, save=None
    )
    assert failed(report) == {"second"}
    assert "should be" in str(report)


def test_once_differentiable_is_a_note_and_no_failure(odd: ModuleType) -> None:
    report = verify.check(odd.Once, square, (3, 4))
    report.assert_ok()
    assert judged(report) == {"forward", "vjp", "fd"}
    assert "note: second order is not judged: torch cannot derive its backward" in str(report)
    with pytest.raises(UsageError, match="nothing is left to judge"):
        verify.check(odd.Once, square, (3, 4), judges=["second"])


def test_numpy_has_no_second_order_and_that_is_said() -> None:
    double = lambda x: x * 2  # noqa: E731
    report = verify.check(double, double, (3, 4), gradient=lambda c, x: c * 2)
    report.assert_ok()
    assert "note: second order is not judged: a function of numpy arrays" in str(report)


# --- what holds for every call


@pytest.mark.parametrize(
    ("name", "options", "judges", "words"),
    [
        ("drifts", {"via": "numpy"}, {"forward"}, "the same call again gave other bits: part 0[0,"),
        (
            "torch_drifts",
            {"differentiable": False, "via": "torch"},
            {"forward"},
            "call again gave other bits",
        ),
        ("GradientDrifts", {"judges": ["vjp"]}, {"vjp"}, "gradient again gave other bits"),
    ],
)
def test_another_answer_to_the_same_call(
    odd: ModuleType, name: str, options: dict[str, Any], judges: set[str], words: str
) -> None:
    report = verify.check(getattr(odd, name), identity, (3, 4), save=None, **options)
    assert failed(report) == judges
    assert words in str(report)


def test_a_gradient_that_drifts(odd: ModuleType) -> None:
    drifts = lambda cotangent, x: odd.drifts(cotangent)  # noqa: E731
    report = verify.check(identity, identity, (3, 4), gradient=drifts, judges=["vjp"], save=None)
    assert "the same gradient again gave other bits" in str(report)
    damages = odd.damages_its_cotangent
    report = verify.check(identity, identity, (3, 4), gradient=damages, judges=["vjp"], save=None)
    assert "cotangent 0 was changed by the call" in str(report)


@pytest.mark.parametrize("via", ["needle", "numpy", "torch"])
def test_results_share_no_memory_unless_that_is_said(via: str) -> None:
    row = lambda x: x[1:2]  # noqa: E731
    report = verify.check(row, row, (3, 4), via=via, save=None, judges=["forward"])
    assert failed(report) == {"forward"}
    assert "result 0 shares memory with an input" in str(report)
    assert "note: view=True says" in str(report)
    verify.check(row, row, (3, 4), via=via, view=True, judges=["forward"]).assert_ok()


def test_a_gradient_that_is_wrong_where_no_other_is_wanted(odd: ModuleType) -> None:
    report = verify.check(odd.WrongAlone, torch.mul, (3, 4), (3, 4), save=None)
    assert "vjp" in failed(report)
    assert "da[" in str(report)
    report = verify.check(odd.WrongAlone, None, (3, 4), (3, 4), save=None)
    assert "fd" in failed(report)


# --- refusals


def test_calls_that_must_fail(odd: ModuleType) -> None:
    wants = verify.refuses((3,), raises=ValueError, says="two axes")
    for via in ("needle", "numpy", "torch"):
        report = verify.check(
            odd.of_two_axes, lambda x: x * 2, (3, 4), via=via, refusals=[wants], judges=["errors"]
        )
        report.assert_ok()
        assert judged(report) == {"errors"}
        other = verify.refuses((3,), raises="TypeError")
        report = verify.check(odd.of_two_axes, None, (3, 4), via=via, refusals=[other], save=None)
        assert "errors" in failed(report)
        assert "it raised ValueError: two axes are needed, not 1; should raise TypeError" in str(
            report
        )
        report = verify.check(
            lambda x: x * 2, None, (3, 4), via=via, refusals=[wants], judges=["errors"], save=None
        )
        assert "it gave a result, should raise ValueError" in str(report)


def test_inputs_of_two_dtypes(odd: ModuleType) -> None:
    mixtures: dict[str, Any] = {"refusals": ["dtypes", "devices"], "judges": ["errors"]}
    report = verify.check(ndl.ops.multiply, torch.mul, (3, 4), (3, 4), **mixtures)
    report.assert_ok()
    assert {Case.parse(v.id).region for v in report.verdicts} == {"dtypes", "devices"}
    report = verify.check(odd.looks_away, torch.mul, (3, 4), (3, 4), save=None, **mixtures)
    assert failed(report) == {"errors"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"refusals": ["dtype"]}, "refusals='dtype'"),
        ({"refusals": ["dtypes"]}, "several Tensors of needle"),
        ({"refusals": [verify.refuses((3,), f=print)]}, "literals"),
        ({"layouts": ["diagonal"]}, "diagonal"),
    ],
)
def test_questions_that_cannot_be_asked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        verify.check(torch.relu, torch.relu, (3, 4), **options)


def test_layouts_are_those_that_were_named() -> None:
    report = verify.check(ndl.ops.exp, torch.exp, (3, 4), layouts=["strided"], judges=["forward"])
    report.assert_ok()
    assert {Case.parse(v.id).layout for v in report.verdicts} == {"compact", "strided"}


# --- where it is called from


def test_a_refusal_is_saved_and_replays(odd: ModuleType, tmp_path: Path, start: Start) -> None:
    wants = verify.refuses((3, 4), raises="ValueError")
    values = np.linspace(-2, 2, 12).reshape(3, 4)
    report = verify.check(
        odd.of_two_axes, identity, values, via="numpy", judges=["errors"], refusals=[wants],
        save=tmp_path,
    )  # fmt: skip
    process = start("-m", "verify", "--replay", str(next(iter(report.files.values()))))
    out, err = process.communicate()
    assert process.returncode == 1, out + err
    assert "it gave a result, should raise ValueError" in out


SCRIPT = """
import needle as ndl, torch, verify
from needle.autograd import TensorOp

class Cube(TensorOp):
    def compute(self, a):
        return a * a * a
    def gradient(self, out_grad, node):
        return out_grad * node.inputs[0] * node.inputs[0] * 3

report = verify.check(Cube, lambda x: x**3, (3, 4))
report.assert_ok()
print(repr(report))
report = verify.check(Cube, lambda x: x**2, (3, 4), save=None, judges=["forward"], layouts=[])
assert not report.ok
"""


def test_from_main_with_every_warning_an_error(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "notebook.py"
    path.write_text(SCRIPT)
    process = start("-W", "error", str(path))
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert out.startswith("user.Cube: ok\n")
    assert not err
