"""What a layer's results alone do not show: what its constructor made, and its second call."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from copies import asked, changed, wrong

from verify.spec import OUTSIDE, Status
from verify.targets.course.layers import alike

pytestmark = pytest.mark.timeout(300)
NN, OPTIM = "python/needle/nn.py", "python/needle/optim.py"
_UNBIASED = ("unbiased = var * (n / max(n - 1, 1))", "unbiased = var")
_SCALED = (
    "return x * init.randb(*x.shape, p=1 - self.p)",
    "return x * init.randb(*x.shape, p=1 - self.p) / (1 - self.p)",
)
_WEIGHT = "init.kaiming_uniform(in_features, out_features)"
_MASK = "init.randb(*x.shape, p=1 - self.p) / (1 - self.p)"
_ZEROS = "init.zeros(dim)"
_ADDED = "return self.fn(x) + x"
_INDENT = " " * 12
_DATA = f"{_INDENT}grad = p.grad.data\n"
_PLAIN = (  # numpy_world's optimizer without its defect
    """            grad = p.grad.realize_cached_data()
            if self.weight_decay:
                grad += grad.dtype.type(self.weight_decay) * p.numpy()
            grad = p.grad.detach()
""",
    "            grad = p.grad.detach() + p.data * self.weight_decay\n",
)

_END = "\n\ndef tanh(a):"

# what is wrong -> op, file, changes, what is said of it
WRONG: dict[str, tuple[str, str, tuple[tuple[str, str], ...], str]] = {
    "nothing of a norm": ("nn.BatchNorm1d", NN, (_UNBIASED,), ""),
    "nothing of a product": ("nn.Linear", NN, (), ""),
    "nothing of a dropout": ("nn.Dropout", NN, (_SCALED,), ""),
    "nothing of an optimizer": ("optim.SGD", OPTIM, (_PLAIN,), ""),
    "a weight that is no Parameter": (
        "nn.Linear",
        NN,
        ((f"Parameter({_WEIGHT})", _WEIGHT),),
        "Linear's weight is no Parameter: parameters() does not find it",
    ),
    "a weight of another size": (
        "nn.Linear",
        NN,
        ((_WEIGHT, "init.kaiming_uniform(in_features, 1)"),),
        "Linear's weight is made with shape",
    ),
    "statistics that an optimizer moves": (
        "nn.BatchNorm1d",
        NN,
        (
            _UNBIASED,
            ("running_mean = init.zeros(dim)", "running_mean = Parameter(init.zeros(dim))"),
        ),
        "BatchNorm1d's running_mean is a Parameter: optimizers would move it",
    ),
    "a second batch that replaces the first": (
        "nn.BatchNorm1d",
        NN,
        (
            _UNBIASED,
            (
                "keep = 1 - self.momentum",
                "keep = (1 - self.momentum) * (not hasattr(self, 'y'))",
            ),
            ("y = centred / (wide(var)", "self.y = y = centred / (wide(var)"),
        ),
        "a second batch is taken as the first is",
    ),
    "a dropout that drops the same for ever": (
        "nn.Dropout",
        NN,
        (
            (
                _SCALED[0],
                f"self.mask = getattr(self, 'mask', {_MASK})\n        return x * self.mask",
            ),
        ),
        "each call of a dropout drops others",
    ),
    "a layer that remembers": (
        "nn.Residual",
        NN,
        ((_ADDED, "self.x = getattr(self, 'x', x * 0) + x\n        return self.fn(x) + self.x"),),
        "called again with the same input it gives something else",
    ),
    "a gradient that is another after the step": (
        "optim.SGD",
        OPTIM,
        ((_PLAIN[0], f"{_INDENT}p.grad.data = p.grad.data + p.data * self.weight_decay\n{_DATA}"),),
        "was changed by the call",
    ),
    "graphs in a state two levels deep": (
        "optim.SGD",
        OPTIM,
        (
            (_PLAIN[0], f"{_INDENT}grad = p.grad + p.data * self.weight_decay\n"),
            ("self.u.get(p, init.zeros(*p.shape))", "self.u.get(p, [init.zeros(*p.shape)])[0]"),
            (
                "self.u[p] = old * self.momentum + grad * (1",
                f"self.u[p] = [old] * 1\n{_INDENT}self.u[p][0] = old * self.momentum + grad * (1",
            ),
            ("p.data - self.u[p] * self.lr", "p.data - self.u[p][0].data * self.lr"),
        ),
        "u holds the graph that made it",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_results_do_not_show(name: str, tmp_path: Path) -> None:
    op, file, changes, says = WRONG[name]
    target = changed(tmp_path, "numpy_world", file, *changes)
    verdicts = asked(target, "--op", op, "--dtype", "float32", "--check", "forward")
    failed = [v for v in verdicts if v.id in set(wrong(verdicts))]
    assert bool(failed) == bool(says), failed
    assert all(says in v.message for v in failed), failed


def test_a_dropout_that_keeps_the_greatest_draws_is_judged_as_one(tmp_path: Path) -> None:
    greatest = "return x * Tensor((np.random.rand(*x.shape) > self.p) / (1 - self.p))"
    imported = ("from . import", "import numpy as np\nfrom . import")
    options = ("--op", "nn.Dropout", "--dtype", "float32")
    target = changed(tmp_path / "right", "numpy_world", NN, (_SCALED[0], greatest), imported)
    verdicts = asked(target, *options)
    assert not wrong(verdicts)
    assert not [v for v in verdicts if "which draws" in v.message]
    unscaled = greatest.replace(" / (1 - self.p)", " * 1.0")
    target = changed(tmp_path / "wrong", "numpy_world", NN, (_SCALED[0], unscaled), imported)
    assert wrong(asked(target, *options))


def test_an_axis_more_is_open_only_where_it_is_refused(tmp_path: Path) -> None:
    """ndarray_world's broadcast_to refuses it, one of numpy's forgets the sum of its gradient."""
    path = "python/needle/ops/ops_mathematic.py"
    options = ("--op", "broadcast_to", "--dtype", "float32", "--check", "vjp")
    more = (
        "\n\nclass BroadcastTo(TensorOp):"
        + """
    def __init__(self, shape):
        self.shape = shape

    def compute(self, a):
        return NDArray(numpy.broadcast_to(a.numpy(), self.shape), device=a.device)

    def gradient(self, out_grad, node):
        (x,) = node.inputs
        g = out_grad.numpy()
        g = g[(0,) * (g.ndim - len(x.shape))]
        axes = tuple(i for i, n in enumerate(x.shape) if n != g.shape[i])
        return Tensor(g.sum(axis=axes, keepdims=True), device=x.device)
"""
    )
    for name, changes in (("refuses", ()), ("takes", ((_END, more + _END),))):
        target = changed(tmp_path / name, "ndarray_world", path, *changes)
        verdicts = asked(target, *options)
        deeper = [v for v in verdicts if "/5/shape=(4,5)/" in v.id]
        assert deeper
        if name == "refuses":
            assert {v.attribution for v in deeper} == {OUTSIDE}
        else:
            assert {v.status for v in deeper} == {Status.FAIL}


def test_alike_allows_orders_of_sums_alone() -> None:
    a = np.array([1.0, np.nan, np.inf, -2.0])
    assert alike(a, a * (1 + 1e-6))
    assert not alike(a, a * 1.01)
    assert not alike(a, a[:2])
    assert not alike(a, np.zeros(4))
