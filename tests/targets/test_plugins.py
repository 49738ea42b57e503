"""Rows of a plugin for somebody else's needle: their own op, in their own library."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from verify.cli import main
from verify.results import read
from verify.spec import OUTSIDE, Case, Exit, Status

pytestmark = pytest.mark.timeout(300)
HERE = Path(__file__).parent

# of the subject alone: our needle has no such class, and a softplus of its own
OPS = """

class Softplus(TensorOp):
    def __init__(self, b):
        self.b = b

    def compute(self, a):
        return array_api.log(array_api.exp(a * self.b) + 1)

    def gradient(self, out_grad, node):
        e = exp(node.inputs[0] * self.b)
        return out_grad * self.b * e / (e + 1)


def softplus_of_three(a):
    return Softplus(3)(a)
"""
PLUGIN = """
import numpy as np
import verify
from needle.ops import Softplus, softplus_of_three

import needle

assert needle.__file__ != {ours!r}


class Forgotten(Softplus):
    def gradient(self, out_grad, node):
        return super().gradient(out_grad, node) / self.b


def softplus(x, b=3):
    return ((x * b).exp() + 1).log()


SAMPLES = [verify.sample((33,), b=2), verify.sample((5, 13), b=3)]
ROWS = [
    verify.row("softplus", Softplus, softplus, SAMPLES, regions=()),
    verify.row("forgotten", Forgotten, softplus, SAMPLES, regions=()),
    verify.row("of_three", softplus_of_three, softplus, [verify.sample((7,))], regions=(),
               via="needle"),
    verify.row("of_arrays", np.negative, lambda x: -x, [verify.sample((7,))], via="numpy"),
]
"""


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A needle with an op of its own, and a plugin that imports it."""
    import needle

    folder = tmp_path_factory.mktemp("plugins")
    target = shutil.copytree(HERE / "numpy_world", folder / "it")
    ops = target / "python" / "needle" / "ops.py"
    ops.write_text(ops.read_text() + OPS)
    plugin = folder / "my_ops.py"
    plugin.write_text(PLUGIN.format(ours=needle.__file__))
    return target, plugin


def test_an_op_of_its_own_is_judged_in_the_library_that_has_it(
    subject: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    target, plugin = subject
    results = tmp_path / "r.jsonl"
    options = ["--target", str(target), "--plugin", str(plugin)]
    code = main([*options, "--op", "user,negate", "--jobs", "1", "--json", str(results)])
    assert code == Exit.WRONG, capfd.readouterr()
    verdicts = read(results).verdicts
    ops = {Case.parse(v.id).op for v in verdicts}
    assert ops == {"softplus", "forgotten", "of_three", "of_arrays", "negate"}
    judged = set()
    for verdict in verdicts:
        case = Case.parse(verdict.id)
        gradient = case.op == "forgotten" and case.judge in ("vjp", "fd")
        if verdict.attribution == OUTSIDE:
            assert "float64 is cast down silently" in verdict.message or case.op == "negate"
            continue
        assert verdict.status is (Status.FAIL if gradient else Status.PASS), verdict
        judged.add((case.op, case.judge))
    for op in ("softplus", "forgotten", "of_three"):
        assert {(op, judge) for judge in ("forward", "vjp", "fd")} <= judged

    wrong = next(v for v in verdicts if v.status is Status.FAIL)
    line = f"needle-verify --target {target} --plugin {plugin} --replay {wrong.id}"
    assert line in wrong.message
    assert main([*options, "--replay", wrong.id]) == Exit.WRONG
    header, *lines = results.read_text().splitlines(keepends=True)
    one = tmp_path / "one.jsonl"
    one.write_text(header + next(line for line in lines if '"FAIL"' in line))
    assert main(["--replay", str(one)]) == Exit.WRONG  # which says both
    results.write_text("".join([header, *lines[:-1]]))
    assert main(["--resume", str(results), "--jobs", "1"]) == Exit.WRONG
    assert len(read(results).verdicts) == len(verdicts)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("from needle.ops import absent", "cannot import name 'absent'"),
        ("import verify\nROWS = []", "it lists rows in ROWS"),
        (
            "import verify\nfrom needle.ops import Softplus\n"
            "ROWS = [verify.row('exp', Softplus, lambda x: x, [verify.sample((3,))])]",
            "a name has one row, got name='exp'",
        ),
    ],
)
def test_a_plugin_that_cannot_be_used_is_told_with_its_place(
    subject: tuple[Path, Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    text: str,
    says: str,
) -> None:
    target, _ = subject
    plugin = tmp_path / "odd.py"
    plugin.write_text(text)
    chosen = ["--target", str(target), "--plugin", str(plugin)]
    assert main([*chosen, "--op", "add"]) == Exit.USAGE
    told = capfd.readouterr().err
    assert says in told
    assert str(plugin) in told
