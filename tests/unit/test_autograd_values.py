"""Truth, counting, copying and iterating of values; what ops keep of their arguments."""

from __future__ import annotations

import copy
import gc
import pickle
import re
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import pytest

import needle as ndl
import needle.backend_ndarray as nd
from needle import autograd
from needle.autograd import TensorOp


def tensor(values: Any, device: nd.BackendDevice) -> ndl.Tensor:
    return ndl.Tensor(values, device=device, dtype="float64")


# --- truth


def test_truth_is_that_of_any_object(device: nd.BackendDevice) -> None:
    """`if layer.bias:` asks whether there is one, as in code of the course."""
    for values in (0, 1, [0.0, 0.0], []):
        assert tensor(values, device)


def test_equality_stays_identity() -> None:
    many = ndl.Tensor([1.0, 2.0])
    assert many == many
    assert many != ndl.Tensor([1.0, 2.0])
    assert many in {many}


def test_length_item_and_absolute_value(device: nd.BackendDevice) -> None:
    x = tensor([[-1, 2], [3, -4]], device)
    assert len(x) == 2
    assert abs(x).numpy().tolist() == [[1, 2], [3, 4]]
    assert tensor([2.5], device).item() == 2.5
    with pytest.raises(TypeError, match=r"^\[len\]"):
        len(tensor(1, device))
    with pytest.raises(ValueError, match=r"^\[item\]"):
        x.item()


# --- no_grad


def test_no_grad_is_reentrant() -> None:
    off = ndl.no_grad()
    with off, off:
        assert not autograd.is_grad_enabled()
    assert autograd.is_grad_enabled()


def test_no_grad_generator_steps_without_grad() -> None:
    @ndl.no_grad()
    def steps() -> Generator[bool, str, str]:
        sent = yield autograd.is_grad_enabled()
        try:
            yield autograd.is_grad_enabled()
        except KeyError:
            yield autograd.is_grad_enabled()
        return sent

    run = steps()
    assert [next(run), autograd.is_grad_enabled(), run.send("x")] == [False, True, False]
    assert run.throw(KeyError()) is False
    with pytest.raises(StopIteration, match="x"):
        next(run)
    assert autograd.is_grad_enabled()
    closed = steps()
    next(closed)
    closed.close()
    assert autograd.is_grad_enabled()


# --- TENSOR_COUNTER


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_copy_of_a_tuple_holds_its_items_and_is_counted(copied: Callable[[Any], Any]) -> None:
    x = ndl.Tensor([[1.0, 2.0], [3.0, 4.0]])
    items = ndl.split(x, 0)
    gc.collect()
    before = autograd.TENSOR_COUNTER
    twin = copied(items)
    assert [t.numpy().tolist() for t in twin] == [[1, 2], [3, 4]]
    assert before < autograd.TENSOR_COUNTER
    if copied is not copy.copy:
        assert all(t.is_leaf() and t.requires_grad for t in twin)
    twin[0].sum().backward()
    del twin
    gc.collect()
    # The shallow copy's backward has given x a gradient.
    assert before + (x.grad is not None) == autograd.TENSOR_COUNTER


def test_failed_constructions_are_not_counted() -> None:
    gc.collect()
    before = autograd.TENSOR_COUNTER
    for bad in ("abc", object(), [[1], [2, 3]]):
        with pytest.raises((TypeError, ValueError)):
            ndl.Tensor(bad)
    ndl.Tensor.__new__(ndl.Tensor)
    gc.collect()
    assert before == autograd.TENSOR_COUNTER


# --- iteration


def test_iteration_is_one_split(device: nd.BackendDevice) -> None:
    x = tensor([[1, 2], [3, 4], [5, 6]], device)
    rows = list(x)
    assert len({row.inputs for row in rows}) == 1  # not one zero-filled cotangent for each row
    assert [row.numpy().tolist() for row in rows] == [[1, 2], [3, 4], [5, 6]]
    (rows[0] * rows[2]).sum().backward()
    assert x.grad is not None
    assert x.grad.numpy().tolist() == [[5, 6], [0, 0], [1, 2]]
    with pytest.raises(TypeError, match=r"^\[iter\]"):
        iter(tensor(1, device))


# --- cotangents that user ops give


class Wrong(TensorOp):
    """Its input; the gradient is another device's or dtype's."""

    def __init__(self, **kind: Any) -> None:
        self.kind = kind

    def compute(self, a: nd.NDArray) -> nd.NDArray:
        return a

    def gradient(self, out_grad: ndl.Tensor, node: ndl.Tensor) -> ndl.Tensor:
        return ndl.Tensor(out_grad, **self.kind)


@pytest.mark.parametrize(
    ("kind", "error"),
    [({"dtype": "float64"}, TypeError), ({"device": nd.cpu_numpy()}, ValueError)],
    ids=["dtype", "device"],
)
def test_a_cotangent_of_another_kind_is_refused(kind: Any, error: type[Exception]) -> None:
    x = ndl.Tensor([1.0, 2.0], device=nd.cpu())
    (name,) = kind
    with pytest.raises(error, match=rf"^\[Wrong\] gradient .* got {name}=.*, expected="):
        Wrong(**kind)(x).sum().backward()
    assert x.grad is None


# --- arguments that the caller changes after the call

X = np.arange(1.0, 13.0).reshape(3, 4)
IMAGES = np.arange(1.0, 33.0).reshape(1, 4, 4, 2)
KERNELS = np.arange(1.0, 17.0).reshape(2, 2, 2, 2)


def _conv(x: ndl.Tensor, held: Any) -> ndl.Tensor:
    w = ndl.Tensor(KERNELS, device=x.device, dtype=x.dtype)
    return ndl.conv(x, w, stride=held, padding=held, dilation=held)


@pytest.mark.parametrize(
    ("call", "held", "later", "x"),
    [
        (ndl.pad, [(1, 1), (0, 0)], [(0, 2), (9, 9)], X),
        (ndl.pad, np.array([[1, 1], [0, 0]]), np.array([[0, 2], [0, 0]]), X),
        (lambda x, p: ndl.pad(x, (p, p)), [1, 2], [3, 0], X),
        (ndl.reshape, [4, 3], [9, 9], X),
        (ndl.broadcast_to, [2, 3, 4], [9, 9, 9], X),
        (ndl.summation, [0], [1], X),
        (ndl.summation, np.array([0]), np.array([1]), X),
        (ndl.max, [0], [1], X),
        (ndl.min, [0], [1], X),
        (ndl.prod, [0], [1], X),
        (ndl.mean, [0], [1], X),
        (ndl.var, [0], [1], X),
        (ndl.logsumexp, [0], [1], X),
        (ndl.softmax, [0], [1], X),
        (ndl.standardize, [0], [1], X),
        (ndl.transpose, [0, 2], [0, 1], X[None]),
        (ndl.permute, [1, 2, 0], [0, 1, 2], X[None]),
        (ndl.flip, [0], [1], X),
        (lambda x, axes: ndl.dilate(x, axes, 1), [0], [1], X),
        (lambda x, axes: ndl.undilate(x, axes, 1), [0], [1], X),
        (ndl.squeeze, [0], [1], X[None]),
        (ndl.unsqueeze, [0], [1], X),
        (lambda x, i: ndl.gather(x, i, 0), [[0, 2, 1, 1]], [[0, 0, 0, 0]], X),
        (lambda x, i: ndl.scatter_add(x, i, 0, 4), [[0], [2], [3]], [[1], [1], [1]], X),
        (lambda x, i: ndl.take(x, i, 0), [2, 0], [1, 1], X),
        (lambda x, m: ndl.where(m, x, 0.0), [1, 0, 1, 0], [0, 0, 0, 1], X),
        (lambda x, m: ndl.where(m, x, 0.0), nd.array([1.0, 0, 1, 0]), nd.zeros((4,)), X),
        (lambda x, m: ndl.where(m, x, 0.0), nd.array([1, 0, 1, 0], "bool"), nd.zeros(4, "bool"), X),
        (lambda x, m: ndl.where(m, x, 0.0), np.array([1.0, 0, 1, 0]), np.zeros(4), X),
        (_conv, [1, 2], [2, 1], IMAGES),
        (_conv, np.array([1, 2]), np.array([2, 1]), IMAGES),
        (ndl.max_pool, [2, 1], [1, 2], IMAGES),
        (ndl.avg_pool, [2, 1], [1, 2], IMAGES),
    ],
)
def test_ops_keep_arguments_of_their_own(
    call: Callable[..., ndl.Tensor], held: Any, later: Any, x: Any
) -> None:
    def grad(change: bool) -> Any:
        given, leaf = copy.deepcopy(held), ndl.Tensor(x)
        y = call(leaf, given)
        if change:
            given[:] = later
        y.backward(ndl.Tensor(np.arange(y.numpy().size).reshape(y.shape) ** 2))
        assert leaf.grad is not None
        return leaf.grad.numpy()

    expected = grad(change=False)
    assert expected.any()
    np.testing.assert_array_equal(grad(change=True), expected)


# --- arguments of a wrong kind


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: ndl.gelu(x, approximate=[]), r"ValueError: \[gelu\] .*got approximate=\[\]"),
        (lambda x: ndl.one_hot([0], 2.5), r"TypeError: \[one_hot\] .*got type=float"),
        (lambda x: ndl.one_hot([0], 2**62), r"ValueError: \[one_hot\] .*got size="),
        (lambda x: ndl.var(x, correction="a"), r"TypeError: \[var\] .*got type=str"),
        (lambda x: ndl.var(x, correction=np.nan), r"ValueError: \[var\] .*got correction=nan"),
        (lambda x: ndl.concatenate(3), r"TypeError: \[concatenate\] .*got type=int"),
        (lambda x: ndl.concatenate([x], [0]), r"TypeError: \[concatenate\] .*got axis=\[0\]"),
        (lambda x: ndl.stack(3, 0), r"TypeError: \[stack\] .*got type=int"),
        (lambda x: ndl.dilate(x, (0,), 2**62), r"ValueError: \[dilate\] .*got size="),
        (lambda x: ndl.cumsum(x, None), r"TypeError: \[cumsum\] .*got axis=None"),
        (lambda x: ndl.argmax(x, (0, 1)), r"TypeError: \[argmax\] .*got axis=\(0, 1\)"),
        (lambda x: ndl.argmin(x, 1.5), r"TypeError: \[argmin\] .*got axis=1.5"),
        (lambda x: ndl.gather(x, [0], 1.5), r"TypeError: \[gather\] .*got axis=1.5"),
        (lambda x: ndl.gather(x, [[0]], 7), r"IndexError: \[gather\] .*got axis=7"),
        (lambda x: ndl.scatter_add(x, [[0]], 0, 2.5), r"TypeError: \[scatter_add\] .*got type="),
        (lambda x: ndl.scatter_add(x, [[0]], 0, -1), r"ValueError: \[scatter_add\] .*got "),
        (lambda x: ndl.unsqueeze(x, 1.5), r"TypeError: \[unsqueeze\] .*got axes="),
        (lambda x: ndl.unsqueeze(x, None), r"TypeError: \[unsqueeze\] .*got axes="),
        (
            lambda x: ndl.max_pool(x, 2.5),
            r"TypeError: \[max_pool\] kernel is an int, got type=float",
        ),
    ],
)
def test_wrong_arguments_are_named(call: Callable[[ndl.Tensor], Any], error: str) -> None:
    with pytest.raises((TypeError, ValueError, IndexError)) as caught:
        call(ndl.Tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert re.match(error, f"{caught.type.__name__}: {caught.value}")


def test_integers_of_numpy_are_integers() -> None:
    x = ndl.Tensor(IMAGES)
    n = np.int64(2)
    assert ndl.unsqueeze(x, n).shape == (1, 4, 1, 4, 2)
    assert ndl.max_pool(x, n).shape == ndl.avg_pool(x, (n, n), n).shape == (1, 2, 2, 2)
    assert ndl.cumsum(x, n).shape == ndl.flip(x, n).shape == x.shape
    assert ndl.argmax(x, n).shape == (1, 4, 2)
    assert ndl.one_hot([0], n).shape == (1, 2)
