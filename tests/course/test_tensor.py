"""Tensor, TensorTuple and the graph: what the course's tests of autograd pin down."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

import needle as ndl
from needle import autograd
from needle.backend_ndarray import BackendDevice, NDArray

X = np.arange(1.0, 7.0, dtype="float32").reshape(2, 3)


def leaf(value: Any = X, **how: Any) -> ndl.Tensor:
    return ndl.Tensor(value, **how)


@pytest.mark.parametrize(
    "value",
    [
        [[1, 2, 3], [4, 5, 6]],
        X,
        X.astype("float64"),
        X.astype("int64"),
        X.astype("uint8"),
        X.astype("float16"),
        NDArray(X),
        ndl.Tensor(X),
        ndl.Tensor(X, device=ndl.cpu_numpy()),
    ],
)
def test_course_tensor_takes_any_array_on_any_device(device: BackendDevice, value: Any) -> None:
    t = leaf(value, device=device)
    assert (t.shape, t.dtype, t.device) == ((2, 3), "float32", device)
    assert isinstance(t.dtype, str)
    np.testing.assert_array_equal(t.numpy(), X)
    assert leaf(value, dtype="float64", requires_grad=False).dtype == "float64"
    assert ndl.Tensor(3, device=device).shape == ()


def test_course_tensor_members(device: BackendDevice) -> None:
    t = leaf(device=device)
    assert t.requires_grad
    assert t.is_leaf()
    assert t.op is None
    assert t.grad is None
    assert len(t.inputs) == 0
    assert isinstance(t.cached_data, NDArray)
    assert t.realize_cached_data() is t.cached_data
    y = t.reshape((3, 2)).transpose((0, 1)).sum(axes=(1,)).reshape((1, 2)).broadcast_to((4, 2))
    assert y.shape == (4, 2)
    assert not y.is_leaf()
    assert (t.matmul(t.transpose())).shape == (t @ t.transpose()).shape == (2, 2)
    detached = y.detach()
    assert (detached.op, detached.requires_grad) == (None, False)
    assert y.data.op is None
    with pytest.raises((TypeError, RuntimeError)):
        t.data = X  # type: ignore[assignment]
    assert repr(t).startswith("needle.Tensor(")


OPERATORS = {
    "t + u": lambda t, u: t + u,
    "t - u": lambda t, u: t - u,
    "t * u": lambda t, u: t * u,
    "t / u": lambda t, u: t / u,
    "t ** u": lambda t, u: t**u,
    "t + 2": lambda t, u: t + 2,
    "2 + t": lambda t, u: 2 + t,
    "t - 2": lambda t, u: t - 2,
    "1 - t": lambda t, u: 1 - t,
    "3 * t": lambda t, u: 3 * t,
    "t / 2": lambda t, u: t / 2,
    "1 / t": lambda t, u: 1 / t,
    "t ** 2": lambda t, u: t**2,
    "-t": lambda t, u: -t,
    "broadcast": lambda t, u: t * u[0] + u[:, :1],
    "0-d": lambda t, u: t - u[0, 0],
}


@pytest.mark.parametrize("name", OPERATORS)
def test_course_operators_equal_numpy(device: BackendDevice, name: str) -> None:
    u = X[::-1] / 2
    got = OPERATORS[name](leaf(device=device), leaf(u, device=device))
    np.testing.assert_allclose(got.numpy(), OPERATORS[name](X, u), rtol=1e-6)


def test_course_tensors_compare_by_identity() -> None:
    a, b = leaf(), leaf()
    assert a == a
    assert a != b
    assert (a != a) is False
    assert a is not None
    assert len({a, b, a}) == 2
    assert a in [b, a]


def test_course_graph_nodes() -> None:
    """Semantic 1: the nodes that operators build, and their order."""
    a, b = leaf(), leaf()
    difference = a - b
    assert type(difference.op) is ndl.ops.EWiseAdd
    assert type(difference.inputs[1].op) is ndl.ops.Negate
    assert autograd.find_topo_sort([difference]) == [a, b, difference.inputs[1], difference]
    triple = 3 * a
    assert type(triple.op) is ndl.ops.MulScalar
    assert triple.op.scalar == 3
    assert triple.inputs == (a,)
    assert type((a + 1).op) is ndl.ops.AddScalar
    assert type((a / 2).op) is ndl.ops.DivScalar
    assert type((a**2).op) is ndl.ops.PowerScalar
    c = a * b
    d = c + a
    assert autograd.find_topo_sort([d]) == [a, b, c, d]
    assert autograd.find_topo_sort([c, d]) == [a, b, c, d]


def test_course_backward_is_iterative() -> None:
    a = leaf(2.0)
    y = a
    for _ in range(100_000):
        y = y + 1
    assert len(autograd.find_topo_sort([y])) == 100_001
    y.backward()
    assert a.grad.numpy() == 1


def test_course_grad_is_overwritten_and_differentiable(device: BackendDevice) -> None:
    """Semantic 2."""
    a, fixed = leaf(device=device), leaf(device=device, requires_grad=False)
    for _ in range(2):
        (a * a * fixed).sum().backward()
        np.testing.assert_allclose(a.grad.numpy(), 2 * X * X, rtol=1e-6)
    assert fixed.grad is None
    (a * a * a).sum().backward()
    first = a.grad
    first.sum().backward()
    np.testing.assert_allclose(first.numpy(), 3 * X**2, rtol=1e-6)
    np.testing.assert_allclose(a.grad.numpy(), 6 * X, rtol=1e-6)
    a.backward(ndl.Tensor(X, device=device))
    np.testing.assert_array_equal(a.grad.numpy(), X)


def test_course_gradient_as_tuple() -> None:
    a, b = leaf(), leaf()
    for y, n in ((a * b, 2), (ndl.exp(a), 1), (a @ b.transpose(), 2), (ndl.split(a, 0)[1], 1)):
        g = ndl.init.ones(*y.shape)
        grads = y.op.gradient_as_tuple(g, y)
        assert isinstance(grads, tuple)
        assert len(grads) == n
    left, right = (a * b).op.gradient_as_tuple(ndl.init.ones(2, 3), a * b)
    np.testing.assert_array_equal(left.numpy(), b.numpy())
    np.testing.assert_array_equal(right.numpy(), a.numpy())


def test_course_data_setter(device: BackendDevice) -> None:
    """Semantic 3: another shape is taken, another dtype is not."""
    linear = ndl.nn.Linear(3, 2, device=device)
    linear.bias.data = ndl.Tensor([1.0, 2.0], device=device)
    assert linear.bias.shape == (2,)
    x = np.ones((4, 5, 3), "float32")
    got = linear(ndl.Tensor(x, device=device))
    want = x @ linear.weight.numpy() + [1, 2]
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-5, atol=1e-6)
    with pytest.raises((TypeError, AssertionError)):
        linear.bias.data = ndl.Tensor([1.0, 2.0], dtype="float64", device=device)
    linear.weight.data -= 0.5 * linear.weight.data
    assert linear.weight.is_leaf()


def test_course_full_sums_are_scalars(device: BackendDevice) -> None:
    assert ndl.summation(leaf(device=device)).shape == ()
    assert leaf(device=device).sum().numpy() == 21
    assert ndl.logsumexp(leaf(device=device)).shape == ()


def test_course_tensor_counter_counts_live_values() -> None:
    a = leaf()
    gc.collect()
    before = autograd.TENSOR_COUNTER
    b = a + 1
    assert before + 1 == autograd.TENSOR_COUNTER
    c = ndl.exp(b * 2)
    assert before + 3 == autograd.TENSOR_COUNTER  # the node between stays alive in the graph
    del c
    assert before + 1 == autograd.TENSOR_COUNTER
    del b
    assert before == autograd.TENSOR_COUNTER
    pair = ndl.make_tuple(a, a)
    assert before + 1 == autograd.TENSOR_COUNTER
    del pair
    assert before == autograd.TENSOR_COUNTER


def test_course_tensor_tuple(device: BackendDevice) -> None:
    a, b = leaf(device=device), leaf(2 * X, device=device)
    pair = ndl.make_tuple(a, b)
    assert isinstance(pair, ndl.TensorTuple)
    assert len(pair) == 2
    assert [t.shape for t in pair] == [(2, 3)] * 2
    assert isinstance(pair.tuple(), tuple)
    np.testing.assert_array_equal(pair[1].numpy(), 2 * X)
    np.testing.assert_array_equal((pair + pair)[0].numpy(), 2 * X)
    assert not pair.detach().requires_grad
    sums = ndl.ops.fused_add_scalars(a, 1, 2)
    np.testing.assert_array_equal((sums[0] + sums[1]).numpy(), 2 * X + 3)
    (sums[0] * 2 + sums[1]).sum().backward()
    np.testing.assert_array_equal(a.grad.numpy(), np.full((2, 3), 3))


def test_course_user_defined_op(device: BackendDevice) -> None:
    class Cube(autograd.TensorOp):
        def compute(self, a: NDArray) -> NDArray:
            return a * a * a

        def gradient(self, out_grad: ndl.Tensor, node: ndl.Tensor) -> ndl.Tensor:
            return out_grad * 3 * node.inputs[0] ** 2

    class TwoOfIt(autograd.TensorTupleOp):
        def compute(self, a: NDArray) -> tuple[NDArray, NDArray]:
            return a + 0, a * 2

        def gradient(self, out_grad: ndl.TensorTuple, node: ndl.TensorTuple) -> ndl.Tensor:
            return out_grad[0] + out_grad[1] * 2

    a = leaf(device=device)
    y = TwoOfIt()(Cube()(a))[1]
    y.sum().backward()
    np.testing.assert_allclose(y.numpy(), 2 * X**3, rtol=1e-6)
    np.testing.assert_allclose(a.grad.numpy(), 6 * X**2, rtol=1e-6)
