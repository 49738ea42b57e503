"""What is not written is MISSING; what a subject's own code does wrong is a failure."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from verify.cli import main
from verify.results import read
from verify.spec import OUTSIDE, Case, Exit, Status, Verdict

pytestmark = pytest.mark.timeout(300)
HERE = Path(__file__).parent


def run(target: Path, *options: str) -> tuple[int, dict[str, list[Verdict]]]:
    """needle-verify over a target: exit code, and by op the verdicts of what is not open."""
    results = target.parent / "r.jsonl"
    chosen = ["--dtype", "float32", "--layout", "compact", "--budget", "smoke", "--jobs", "1"]
    code = main(["--target", str(target), *chosen, *options, "--json", str(results)])
    by_op: dict[str, list[Verdict]] = {}
    for verdict in read(results).verdicts:
        if verdict.attribution != OUTSIDE:
            by_op.setdefault(Case.parse(verdict.id).op, []).append(verdict)
    return code, by_op


# class of root_package -> what its gradient does, and what is said of it
WRONG = {
    "Log": ("return out_grad / node.inputs[0].exp()", "'Tensor' object has no attribute 'exp'"),
    "Tanh": ("from . import ops; return ops.sinh(node)", "'needle.ops' has no attribute 'sinh'"),
    "Max": ("from .ops import summations", "cannot import name 'summations'"),
    "Split": ("from .splitting import split", "No module named 'needle.splitting'"),
    "EWiseMul": ("return node.inputs[0].reshap", "'Tensor' object has no attribute 'reshap'"),
    "EWiseAdd": ("return self.axes", "'EWiseAdd' object has no attribute 'axes'"),
}
MISSING = {
    "Log": ("from . import ops; return ops.divide(out_grad, node)", "needle.ops has no divide"),
    "Tanh": ("from .ops import relu", "cannot import name 'relu'"),
    "Max": ("return out_grad.broadcast_to((33,))", "Tensor has no broadcast_to"),
    "Split": ("from .init import ones", "No module named 'needle.init'"),
    "EWiseMul": ("raise NotImplementedError", "it is not implemented"),
}
_OPS = {"EWiseMul": "multiply", "EWiseAdd": "add"}


def with_gradients(folder: Path, bodies: dict[str, tuple[str, str]]) -> Path:
    """A copy of root_package whose gradients begin with other lines."""
    copy = shutil.copytree(HERE / "root_package", folder / "it")
    text = (copy / "needle" / "ops.py").read_text()
    for name, (body, _) in bodies.items():
        at = text.index("node):\n", text.index(f"class {name}(Op)")) + len("node):\n")
        text = f"{text[:at]}        {body}\n{text[at:]}"
    (copy / "needle" / "ops.py").write_text(text)
    return copy


def test_what_a_gradient_does_wrong_is_a_failure_that_names_it(tmp_path: Path) -> None:
    ops = [_OPS.get(name, name.lower()) for name in WRONG]
    target = with_gradients(tmp_path, WRONG)
    code, found = run(target, "--op", ",".join(ops), "--check", "forward,vjp")
    assert code == Exit.WRONG
    for name, (_, says) in WRONG.items():
        for verdict in found[_OPS.get(name, name.lower())]:
            judge = Case.parse(verdict.id).judge
            assert verdict.status is (Status.PASS if judge == "forward" else Status.FAIL), verdict
            if judge == "vjp":
                assert says in verdict.worst
                assert f"({name}.gradient, ops.py:" in verdict.worst


def test_what_the_course_has_and_a_subject_has_not_is_missing(tmp_path: Path) -> None:
    ops = [_OPS.get(name, name.lower()) for name in MISSING]
    code, found = run(with_gradients(tmp_path, MISSING), "--op", ",".join(ops), "--check", "vjp")
    assert code == Exit.WEAK
    for name, (_, says) in MISSING.items():
        for verdict in found[_OPS.get(name, name.lower())]:
            assert verdict.status is Status.UNIMPLEMENTED, verdict
            assert says in verdict.message


def test_an_op_that_is_written_is_not_missing_where_it_is_asked_for_wrongly(tmp_path: Path) -> None:
    """The course's Tensor has sum; ops has summation, so the gradient could have called it."""
    bodies = {"Log": ("return out_grad.sum()", ""), "Tanh": ("import needle.nn; needle.nn.log", "")}
    code, found = run(with_gradients(tmp_path, bodies), "--op", "log,tanh", "--check", "vjp")
    assert code == Exit.WRONG
    assert {v.status for op in found.values() for v in op} == {Status.FAIL}


def test_members_that_are_asked_for_here_are_missing(tmp_path: Path) -> None:
    copy = shutil.copytree(HERE / "root_package", tmp_path / "it")
    optim = copy / "needle" / "optim.py"
    optim.write_text(optim.read_text().replace("def step(", "def stride("))
    code, found = run(copy, "--op", "optim.SGD", "--check", "forward")
    assert code == Exit.WEAK
    assert {v.message for v in found["optim.SGD"]} == {"SGD has no step"}


@pytest.mark.parametrize(
    ("line", "says", "status"),
    [
        ("x = (", "SyntaxError: '(' was never closed (needle/nn.py:14)", Status.FAIL),
        ("x = 1 / 0", "ZeroDivisionError: division by zero (needle/nn.py:14)", Status.FAIL),
        ("ops.reluu", "has no attribute 'reluu' (needle/nn.py:14)", Status.FAIL),
        ("ops.relu", "has no attribute 'relu' (needle/nn.py:14)", Status.UNIMPLEMENTED),
        ("raise NotImplementedError('later')", "later (needle/nn.py:14)", Status.UNIMPLEMENTED),
    ],
)
def test_a_part_that_cannot_be_imported_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], line: str, says: str, status: Status
) -> None:
    """mostly_stubs does not import its nn."""
    copy = shutil.copytree(HERE / "mostly_stubs", tmp_path / "it")
    nn = copy / "needle" / "nn.py"
    nn.write_text(f"{nn.read_text()}{line}\n")
    code, found = run(copy, "--op", "add,nn.ReLU", "--check", "forward")
    assert code == (Exit.WRONG if status is Status.FAIL else Exit.WEAK)
    assert says in capfd.readouterr().out.splitlines()[1]
    assert {v.status for v in found["add"]} == {Status.PASS}
    for verdict in found["nn.ReLU"]:
        assert verdict.status is status
        assert "needle.nn cannot be imported: " in verdict.message
        assert says in verdict.message
