"""NEEDLE_BACKEND=np: homeworks 1 and 2, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PRELUDE = """
import numpy as np
import needle as ndl
rng = np.random.default_rng(0)
"""
SCRIPTS = {
    "dtype and device": """
assert ndl.default_device() == ndl.cpu() == ndl.cpu_numpy()
assert ndl.backend_selection.array_api is np
assert ndl.Tensor([1.0, 2.0]).dtype == "float64"
assert ndl.Tensor(np.ones(2, "float32")).dtype == "float32"
assert ndl.Tensor(np.ones(2), dtype="float32").dtype == "float32"
assert ndl.init.rand(2).dtype == "float32"
assert ndl.init.randb(2, dtype="float64").dtype == "float64"
""",
    "cached_data is as good as a numpy array": """
x = rng.standard_normal((4, 3))
c = ndl.Tensor(x).cached_data
assert c.astype(np.uint8).dtype == np.uint8 and c.astype("float32").dtype == "float32"
assert c.mean() == x.mean() and (c.argmax(axis=1) == x.argmax(axis=1)).all()
assert c.swapaxes(0, 1).shape == c.T.shape == (3, 4) and len(c) == 4
for f in (np.sum, np.max, np.mean, np.exp, np.abs, np.linalg.norm, np.array, np.argmax, np.ravel):
    assert np.array_equal(f(c), f(x)), f
assert np.array_equal(np.concatenate([c, x]), np.concatenate([x, x]))
assert [a.shape for a in np.array_split(c, 3)] == [(2, 3), (1, 3), (1, 3)]
assert np.array_equal(c[c > 0], x[x > 0]) and np.array_equal(c[[0, 2]], x[[0, 2]])
assert (c == x).all() and np.array_equal(c - x, x - c) and np.array_equal(x @ c.T, x @ x.T)
assert np.allclose(c @ c.T + 1, x @ x.T + 1)
np.testing.assert_allclose(c, x)
before = ndl.Tensor(x)
before.cached_data.flat[0] += 1
assert before.numpy()[0, 0] == x[0, 0] + 1
""",
    "cached_data is changed and computed with as a numpy array is": """
x = rng.standard_normal((4, 3))
STATEMENTS = [
    "a[a > 0] = 1", "a[np.arange(3), [0, 1, 2]] -= 1", "a[[0, 1]] = 0", "a[a > 0] *= 2",
    "a[[True, False, True, False]] = a[1]", "a[1:] = a[0]", "a[0, 0] = 5", "a[a < 0] = -a[a < 0]",
]
for statement in STATEMENTS:
    want, t = x.copy(), ndl.Tensor(x)
    exec(statement, {"a": want, "np": np})
    exec(statement, {"a": t.cached_data, "np": np})
    assert np.array_equal(t.numpy(), want) and not np.array_equal(want, x), statement
RESULTS = [
    "abs(a)", "+a", "a // 1", "1 // a", "a % 1", "1 % a", "divmod(a, 1)", "a.squeeze()",
    "a[:1].squeeze(0)", "a.cumsum()", "a.cumsum(1)", "a.transpose(1, 0)", "a.transpose()",
    "a.astype('f4', copy=False)", "a.sum(dtype='f4')", "a.max(initial=9)", "a.reshape(2, 6)",
    "a.reshape((2, 6), order='F')", "0.5 in a", "(a > 0) & (a < 1)", "a // a", "a % a[0]",
]
for expression in RESULTS:
    want, got = eval(expression, {"a": x}), eval(expression, {"a": ndl.Tensor(x).cached_data})
    assert np.array_equal(got, want), expression
try:
    ndl.Tensor(x).cached_data.sum(axis="rows")
except TypeError:
    pass
else:
    raise AssertionError("an axis is an int")
""",
    "layers of float32 take float64": """
x = ndl.Tensor(rng.standard_normal((6, 4)))
norm = ndl.nn.BatchNorm1d(4)
y = norm(x)
assert y.dtype == "float64" and norm.running_mean.dtype == norm.running_var.dtype == "float32"
assert np.allclose(y.numpy().mean(0), 0)
assert np.allclose(norm.running_mean.numpy(), x.numpy().mean(0) / 10)
y.sum().backward()
assert norm.eval()(x).dtype == "float64"
model = ndl.models.MLPResNet(4, hidden_dim=4, num_blocks=1, num_classes=2)
opt = ndl.optim.SGD(model.parameters(), lr=0.1)
ndl.nn.SoftmaxLoss()(model(x), [0, 1] * 3).backward()
opt.step()
assert model(x).shape == (6, 2)
images, conv = ndl.Tensor(rng.standard_normal((2, 3, 5, 5))), ndl.nn.Conv(3, 4, 3)
y = conv(images)
y.sum().backward()
assert y.dtype == "float64" and images.grad.shape == images.shape
assert np.allclose(conv.bias.grad.numpy(), 2 * 5 * 5)
""",
    "dtypes promote": """
a, b = ndl.Tensor(np.ones((2, 2), "float32")), ndl.Tensor(rng.random((2, 2)))
y = a * b + b @ a
assert y.dtype == "float64"
y.sum().backward()
assert np.allclose(a.grad.numpy(), b.numpy() + b.numpy().sum(0)[:, None])
""",
    "user-defined ops compute with numpy": """
class Cube(ndl.autograd.TensorOp):
    def compute(self, a):
        return np.power(a, 3)
    def gradient(self, out_grad, node):
        (a,) = node.inputs
        return out_grad * ndl.Tensor(3 * np.square(a.realize_cached_data()))
class Parts(ndl.autograd.TensorTupleOp):
    def compute(self, a):
        return tuple(np.split(a, 2))
    def gradient(self, out_grad, node):
        return ndl.reshape(ndl.stack(out_grad, 0), node.inputs[0].shape)
a = ndl.Tensor(rng.standard_normal((4, 3)))
y = Cube()(a)
assert isinstance(y.cached_data, ndl.backend_ndarray.NDArray) and y.dtype == "float64"
Parts()(y)[1].sum().backward()
want = 3 * a.numpy() ** 2
want[:2] = 0
assert np.allclose(a.grad.numpy(), want)
""",
    "gradients by finite differences in float64": """
def check(f, *args, eps=1e-6):
    f(*args).sum().backward()
    for a in args:
        numeric = np.zeros(a.shape)
        for i in range(numeric.size):
            values = []
            for step in (eps, -2 * eps):
                a.realize_cached_data().flat[i] += step
                values.append(float(f(*args).numpy().sum()))
            a.realize_cached_data().flat[i] += eps
            numeric.flat[i] = (values[0] - values[1]) / (2 * eps)
        assert np.linalg.norm(a.grad.numpy() - numeric) < 1e-6
t = lambda *s: ndl.Tensor(rng.random(s) + 0.5)
check(lambda a, b, c: ndl.summation((a @ b + c) * (a @ b)), t(3, 4), t(4, 2), t(3, 2))
check(lambda a, b: ndl.tanh(a / b) ** 2, t(3, 2), t(2))
check(lambda a: ndl.logsumexp(ndl.exp(a), axes=(1,)), t(3, 4))
""",
    "a training step": """
np.random.seed(0)
model = ndl.nn.Sequential(ndl.nn.Linear(5, 4), ndl.nn.ReLU(), ndl.nn.Linear(4, 2))
opt = ndl.optim.Adam(model.parameters(), lr=0.1)
X = ndl.Tensor(rng.random((8, 5)), dtype="float32").cached_data
y = ndl.Tensor(rng.integers(0, 2, 8)).cached_data.astype(np.uint8)
losses = []
for _ in range(30):
    for X0, y0 in zip(np.array_split(X, 2), np.array_split(y, 2)):
        opt.reset_grad()
        out = model(ndl.Tensor(X0, dtype="float32"))
        hot = ndl.init.one_hot(2, ndl.Tensor(y0))
        loss = (ndl.logsumexp(out, axes=(1,)) - (out * hot).sum(axes=(1,))).sum() / 4
        loss.backward()
        opt.step()
    losses.append(np.array(loss.cached_data))
assert losses[-1] < losses[0] / 2 and losses[-1].dtype == np.float32
model.modules[0].weight.cached_data = np.zeros((5, 4), "float32")
assert model(ndl.Tensor(X, dtype="float32")).shape == (8, 2)
""",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_course_numpy_world(name: str) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + SCRIPTS[name]],
        env={**os.environ, "NEEDLE_BACKEND": "np"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert (run.stdout, run.stderr) == ("", "")


def test_course_backend_must_be_known() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "import needle"],
        env={**os.environ, "NEEDLE_BACKEND": "tpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ValueError: [needle] NEEDLE_BACKEND is nd or np, got NEEDLE_BACKEND=tpu" in run.stderr
