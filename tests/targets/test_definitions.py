"""What the course defines is asked of a target, and what it leaves open is no failure of it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from copies import HERE, asked, changed, wrong

import needle
from verify.spec import OUTSIDE, Case, Status
from verify.summary import WRONG

pytestmark = pytest.mark.timeout(300)


NN, OPS, OPTIM = (f"python/needle/{name}.py" for name in ("nn", "ops", "optim"))
_SGD = """
            grad = p.grad.detach() + p.data * self.weight_decay
            old = self.u.get(p, init.zeros(*p.shape))
"""
_ITS_OWN = re.compile(r"\n            # a defect: the gradient itself.*?init.zeros.*?\n", re.DOTALL)


def plain_sgd(folder: Path) -> str:
    """numpy_world's SGD without its defect."""
    text = (folder / OPTIM).read_text()
    assert len(_ITS_OWN.findall(text)) == 1
    return _ITS_OWN.sub(_SGD, text)


# name -> op, file, what is wrong, what alone may fail for it
ONCE: dict[str, tuple[str, str, tuple[str, str], str]] = {
    "nothing": ("optim.SGD", OPTIM, ("", ""), "-"),
    "an optimizer of one parameter": (
        "optim.SGD",
        OPTIM,
        ("for p in self.params:\n            grad", "for p in self.params[:1]:\n            grad"),
        "/count=2,",
    ),
    "one momentum for all parameters": (
        "optim.SGD",
        OPTIM,
        (
            "self.u[p] = old",
            "self.u = dict.fromkeys(self.params, p.data * 0)\n            self.u[p] = old",
        ),
        "/count=2,",
    ),
    "gradients that stay": ("optim.SGD", OPTIM, ("p.grad = None", "pass"), ",reset=True/"),
    "children in training": (
        "nn.Module",
        NN,
        ("module.training = False", "self.training = False"),
        "nn.Module/",
    ),
    "parameters of lists": (
        "nn.Module",
        NN,
        ("if isinstance(value, (list, tuple)):", "if isinstance(value, tuple):"),
        "nn.Module/",
    ),
}


@pytest.mark.parametrize("name", ONCE)
def test_what_few_samples_show_is_found_there_and_nowhere_else(name: str, tmp_path: Path) -> None:
    op, file, change, where = ONCE[name]
    target = shutil.copytree(HERE / "numpy_world", tmp_path / "it")
    (target / OPTIM).write_text(plain_sgd(target))
    text = (target / file).read_text()
    assert change[0] in text
    (target / file).write_text(text.replace(*change, 1))
    found = wrong(asked(target, "--op", op, "--dtype", "float32", "--check", "forward"))
    assert bool(found) == bool(change[0])
    assert all(re.search(where, name) for name in found), found


def test_our_own_needle_is_right_where_the_course_asks_otherwise(tmp_path: Path) -> None:
    package = shutil.copytree(Path(needle.__file__).parent, tmp_path / "ours" / "needle")
    shutil.copy(needle._core.__file__, package)  # an editable install has it elsewhere
    ops = "nn.RNNCell,nn.RNN,nn.LSTMCell,nn.LSTM,nn.Module,optim.SGD,optim.Adam"
    verdicts = asked(package.parent, "--op", ops, "--layout", "compact")
    assert not wrong(verdicts)
    for part in ("RNNCell/vjp.*fresh", "LSTMCell/vjp.*fresh", "RNN/forward.*fresh", "Module/"):
        assert any(re.search(part, v.id) and v.status is Status.PASS for v in verdicts), part
    for part in ("LSTM/forward.*fresh", "SGD/.*reset", "Adam/.*reset", "SGD/.*count=2.*weight"):
        assert any(re.search(part, v.id) and v.status is Status.PASS for v in verdicts), part


def test_a_module_without_parameters_is_not_written_yet(tmp_path: Path) -> None:
    copy = changed(tmp_path, "numpy_world", NN, ("def parameters(", "def all_parameters("))
    verdicts = asked(copy, "--op", "nn.Module", "--dtype", "float32")
    assert {v.status for v in verdicts} == {Status.UNIMPLEMENTED}
    assert {v.message for v in verdicts} == {"Module has no parameters"}


# --- axes in the forms that an implementation takes

_SUM = "array_api.sum(a, axis=self.axes)"
_RIGHT = (  # the gradient of numpy_world forgets negative axes
    "[1 if i in axes else n for i, n in enumerate(shape)]",
    "[1 if i in [k % len(shape) for k in axes] else n for i, n in enumerate(shape)]",
)


def by_form(folder: Path, body: str, check: str = "forward,vjp") -> dict[str, set[Status]]:
    """What becomes of one axis, and of several."""
    copy = changed(folder, "numpy_world", OPS, (f"return {_SUM}", body), _RIGHT)
    options = ("--op", "summation", "--dtype", "float32", "--check", check)
    found: dict[str, set[Status]] = {"one": set(), "several": set(), "open": set()}
    for verdict in asked(copy, *options):
        axes = dict(Case.parse(verdict.id).kwargs).get("axes")
        form = "several" if isinstance(axes, tuple) and len(axes) > 1 else "one"
        if verdict.attribution == OUTSIDE:
            reason = "a reduction over several of the axes" in verdict.message
            form = "open" if reason else ""
        if form:
            found[form].add(verdict.status)
    return found


@pytest.mark.parametrize("error", ["AssertionError", "TypeError", "ValueError"])
def test_a_sum_that_refuses_tuples_is_left_open(error: str, tmp_path: Path) -> None:
    body = f"if isinstance(self.axes, tuple): raise {error}('an int')\n        return {_SUM}"
    found = by_form(tmp_path, body)
    assert found == {"one": {Status.PASS}, "several": set(), "open": {Status.UNIMPLEMENTED}}


@pytest.mark.parametrize(
    "body",
    [
        "if not isinstance(self.axes, tuple): return array_api.sum(a, axis=self.axes)\n"
        "        for k in self.axes: a = a.sum(k)  # of what is left\n        return a",
        "return array_api.sum(a, axis=self.axes[0] if isinstance(self.axes, tuple) else self.axes)",
    ],
)
def test_a_sum_that_takes_tuples_must_get_them_right(body: str, tmp_path: Path) -> None:
    found = by_form(tmp_path, body, "forward")
    assert Status.FAIL in found.pop("several")  # (0, -1) may be right
    assert found == {"one": {Status.PASS}, "open": set()}


def test_a_sum_that_refuses_every_axis_fails(tmp_path: Path) -> None:
    found = by_form(tmp_path, f"assert self.axes is None, 'no axes'\n        return {_SUM}")
    assert Status.FAIL in found["one"]


# --- gradients at the ends of the range


def test_a_power_at_zero_is_open_for_every_judge_of_gradients(tmp_path: Path) -> None:
    """a ** (0 - 1) is infinite there, a ** (2 - 1) is not."""
    options = ("--op", "power_scalar", "--dtype", "float64", "--check", "vjp,fd")
    verdicts = asked(shutil.copytree(HERE / "root_package", tmp_path / "it"), *options)
    open_ = {Case.parse(v.id).judge for v in verdicts if v.attribution == OUTSIDE}
    assert open_ == {"vjp", "fd"}
    assert not wrong(verdicts)


def test_sigmoid_may_lose_a_square_but_gives_no_nan(tmp_path: Path) -> None:
    """(1 + exp(-x)) ** -1, whose gradient has (1 + exp(-x)) ** -2."""
    verdicts = asked(
        shutil.copytree(HERE / "root_package", tmp_path / "it"),
        *("--op", "nn.Sigmoid", "--check", "vjp"),
    )
    assert any(v.attribution == OUTSIDE and "leaves the range" in v.message for v in verdicts)
    failed = [v for v in verdicts if v.status in WRONG]
    assert failed
    assert all("= nan, should be" in v.worst for v in failed)
