"""Usual formulas that lose more than others: open where they do, and no leave to be wrong."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from verify import registry
from verify.cli import main
from verify.registry import course
from verify.results import read
from verify.spec import OUTSIDE, Case
from verify.summary import WRONG

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parent / "root_package"

_TEXTBOOK = "1 / (1 + numpy.exp(-a))"
_BY_TANH = "numpy.tanh(a * 0.5) * 0.5 + 0.5"
_SLOPE = "(out_grad * node * (1 + -node))"
_SIGMOID = """
class _Usual(Op):
    def compute(self, a):
        y = {y}
        return y.astype(a.dtype)

    def gradient(self, out_grad, node):
        return {slope}


class Sigmoid(Module):
    def forward(self, x):
        return _Usual()(x)
"""
_LSTM = """
class LSTMCell(Module):
    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype="float32"):
        self.W_ih = self.W_hh = self.bias_ih = self.bias_hh = None

    def forward(self, x, state=None):
        parts = [p if p is None else p.cached_data for p in (x, self.W_ih, self.W_hh)]
        gates = parts[0] @ parts[1]
        zeros = numpy.zeros((len(gates), parts[2].shape[0]), gates.dtype)
        h, c = [s.cached_data for s in state] if state else (zeros, zeros)
        gates = gates + h @ parts[2]
        for bias in (self.bias_ih, self.bias_hh):
            gates = gates if bias is None else gates + bias.cached_data

        def gate(a):
            return {y}

        i, f, g, o = numpy.split(gates, 4, axis=1)
        c = gate(f) * c + gate(i) * numpy.tanh(g)
        return ops.Tensor(gate(o) * numpy.tanh(c)), ops.Tensor(c)
"""
_LOGSOFTMAX = """

class LogSoftmax(Op):
    def compute(self, a):
        top = a.max(axis=1, keepdims=True)
        total = numpy.log(numpy.exp(a - top).sum(axis=1, keepdims=True))
        return {y}

    def gradient(self, out_grad, node):
        g = out_grad.cached_data
        return Tensor(g - {share} * g.sum(axis=1, keepdims=True))


def logsoftmax(a):
    return LogSoftmax()(a)
"""
_SHARE = "numpy.exp(node.cached_data)"
_LOSS = """
class SoftmaxLoss(Module):
    def forward(self, logits, y):
        a = logits.cached_data
        top = a.max(axis=1, keepdims=True)
        total = numpy.log(numpy.exp(a - top).sum(axis=1, keepdims=True))
        y = numpy.asarray(getattr(y, "cached_data", y), int)
        return ops.Tensor(-numpy.mean(({y})[numpy.arange(len(a)), y]))
"""


def found(
    folder: Path, file: str, text: str, op: str, check: str = "forward,vjp", *more: str
) -> Counter[str]:
    """What becomes of the cases of an op that a file has at its end; formulas apart."""
    copy = shutil.copytree(ROOT, folder / "it")
    with (copy / "needle" / file).open("a") as end:
        end.write(text)
    results = folder / "r.jsonl"
    options = ["--op", op, "--check", check, "--jobs", "1", "-q", "--json", str(results), *more]
    main(["--target", str(copy), *options])
    counts: Counter[str] = Counter()
    for verdict in read(results).verdicts:
        judge = Case.parse(verdict.id).judge
        if verdict.status in WRONG:
            counts[f"WRONG {judge}"] += 1
        elif verdict.attribution == OUTSIDE and "roundings of" in verdict.message:
            counts[f"OPEN {judge}"] += 1
        else:
            counts[str(verdict.status)] += 1
    return counts


def some(counts: Counter[str], word: str) -> set[str]:
    """The judges that said it."""
    return {name.partition(" ")[2] for name in counts if name.startswith(word)}


# --- the formulas


@pytest.mark.parametrize(
    ("y", "slope", "where"),
    [
        (_TEXTBOOK, _SLOPE, {"vjp"}),
        (_TEXTBOOK, "(out_grad * (node + -(node * node)))", {"vjp"}),
        (_BY_TANH, _SLOPE, {"forward", "vjp"}),
    ],
)
def test_a_sigmoid_may_be_right_to_roundings_of_one(
    y: str, slope: str, where: set[str], tmp_path: Path
) -> None:
    text = _SIGMOID.format(y=y, slope=slope)
    counts = found(tmp_path, "nn.py", text, "nn.Sigmoid", "forward,vjp,fd")
    assert some(counts, "OPEN") == where
    assert not some(counts, "WRONG")
    assert counts["PASS"] > 30


def test_gates_may_be_right_to_roundings_of_one(tmp_path: Path) -> None:
    counts = found(tmp_path, "nn.py", _LSTM.format(y=_BY_TANH), "nn.LSTMCell", "forward")
    assert some(counts, "OPEN") == {"forward"}
    assert not some(counts, "WRONG")
    assert counts["PASS"] > 10


def test_a_logsoftmax_may_be_right_to_roundings_of_the_largest(tmp_path: Path) -> None:
    text = _LOGSOFTMAX.format(y="a - (total + top)", share=_SHARE)
    counts = found(tmp_path, "ops.py", text, "logsoftmax")
    assert some(counts, "OPEN") == {"forward"}
    assert not some(counts, "WRONG")
    assert counts["PASS"] > 50


def test_a_loss_may_be_right_to_roundings_of_the_largest(tmp_path: Path) -> None:
    """Of huge logits that tie."""
    text = _LOSS.format(y="a - (total + top)")
    counts = found(tmp_path, "nn.py", text, "nn.SoftmaxLoss", "forward", "--budget", "deep")
    assert some(counts, "OPEN") == {"forward"}
    assert not some(counts, "WRONG")
    assert counts["PASS"] > 100


# --- and what is wrong


@pytest.mark.parametrize(
    ("y", "slope", "judge"),
    [
        (_TEXTBOOK, f"{_SLOPE} * 1.001", "vjp"),
        (_TEXTBOOK, f"{_SLOPE} + out_grad * 1e-6", "vjp"),
        (_TEXTBOOK, "out_grad * node", "vjp"),
        (f"numpy.where(abs(a) < 8, {_TEXTBOOK}, a > 0)", _SLOPE, "forward"),
        (f"numpy.where(abs(a) < 8, {_BY_TANH}, numpy.nan)", _SLOPE, "forward"),
        (f"{_BY_TANH} + 1e-6", _SLOPE, "forward"),
        ("numpy.tanh(a * 0.5) * 0.4999 + 0.5", _SLOPE, "forward"),
    ],
)
def test_a_sigmoid_that_is_wrong_fails(y: str, slope: str, judge: str, tmp_path: Path) -> None:
    text = _SIGMOID.format(y=y, slope=slope)
    assert judge in some(found(tmp_path, "nn.py", text, "nn.Sigmoid"), "WRONG")


def test_a_loss_that_is_wrong_fails(tmp_path: Path) -> None:
    text = _LOSS.format(y="a - (total * 1.001 + top)")
    counts = found(tmp_path, "nn.py", text, "nn.SoftmaxLoss", "forward")
    assert some(counts, "WRONG") == {"forward"}


@pytest.mark.parametrize("y", [f"{_BY_TANH} + 1e-5", f"({_BY_TANH}) * (a > -8)"])
def test_gates_that_are_wrong_fail(y: str, tmp_path: Path) -> None:
    counts = found(tmp_path, "nn.py", _LSTM.format(y=y), "nn.LSTMCell", "forward")
    assert some(counts, "WRONG") == {"forward"}


@pytest.mark.parametrize(
    ("y", "share", "judge"),
    [
        ("(a - (total + top)) * 1.001", _SHARE, "forward"),
        ("a - (total * 1.001 + top)", _SHARE, "forward"),
        ("a - numpy.log(numpy.exp(a).sum(axis=1, keepdims=True))", _SHARE, "forward"),
        ("a - (total + top)", f"{_SHARE} * 1.001", "vjp"),
        ("a - (total + top)", "numpy.nan", "vjp"),
    ],
)
def test_a_logsoftmax_that_is_wrong_fails(y: str, share: str, judge: str, tmp_path: Path) -> None:
    text = _LOGSOFTMAX.format(y=y, share=share)
    assert judge in some(found(tmp_path, "ops.py", text, "logsoftmax"), "WRONG")


def test_a_formula_with_an_infinite_bound_leaves_nothing_open(tmp_path: Path) -> None:
    """The shares of huge values that do not tie are 0 and 1 by every formula."""
    text = _LOGSOFTMAX.format(y="a - (total + top)", share=f"{_SHARE} * 0")
    found(tmp_path, "ops.py", text, "logsoftmax", "vjp")
    huge = [
        v
        for v in read(tmp_path / "r.jsonl").verdicts
        if re.search("/(compact|strided)/huge/", v.id)
    ]
    assert any(v.status in WRONG for v in huge)
    assert not any("roundings of" in v.message for v in huge)


def test_rows_of_our_own_have_one_formula() -> None:
    assert not any(row.usual for row in registry.rows().values())
    assert {name for name, row in course.rows().items() if row.usual} == {
        *("nn.Sigmoid", "nn.LSTMCell", "nn.LSTM", "logsoftmax", "nn.SoftmaxLoss")
    }
