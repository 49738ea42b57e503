"""Ops by mask, by index and along an axis: against torch to second order, and where they break."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import needle as ndl
import needle.backend_ndarray as nd

INDEX = np.array([[2, 0, 1, -1], [0, 0, -3, 2]])
PLACES = torch.tensor(INDEX % 3)


def tensor(a: Any, device: nd.BackendDevice, **how: Any) -> ndl.Tensor:
    return ndl.Tensor(a, device=device, **({"dtype": "float64"} | how))


@pytest.mark.parametrize("shapes", [[(2, 4), (2, 4)], [(4,), (2, 1)], [(), (2, 4)]], ids=str)
def test_where(shapes: list[Any], agree: Any, rng: Any, device: nd.BackendDevice) -> None:
    mask = rng.standard_normal((2, 4)) > 0
    arrays = [rng.standard_normal(s) for s in shapes]
    for given in (mask, tensor(mask, device), tensor(mask, device, dtype="int64"),
                  nd.NDArray(mask, device=device, dtype="bool")):  # fmt: skip
        agree(
            lambda a, b, m=given: ndl.where(m, a, b),
            lambda a, b: torch.where(torch.tensor(mask), a, b),
            *arrays,
        )
    agree(
        lambda a: ndl.where(mask, a, 2),
        lambda a: torch.where(torch.tensor(mask), a, 2.0),
        arrays[0],
    )


@pytest.mark.parametrize("kind", ["list", "Tensor", "float Tensor", "NDArray", "int32 array"])
def test_gather_takes_whole_numbers_of_any_kind(
    kind: str, agree: Any, rng: Any, device: nd.BackendDevice
) -> None:
    index: Any = {
        "list": INDEX.tolist(),
        "Tensor": tensor(INDEX, device, dtype="int64"),
        "float Tensor": tensor(INDEX, device, dtype="float32"),
        "NDArray": nd.NDArray(INDEX, device=device, dtype="int64"),
        "int32 array": INDEX.astype(np.int32),
    }[kind]
    x = rng.standard_normal((2, 3))
    agree(lambda a: ndl.gather(a, index, 1), lambda a: a.gather(1, PLACES), x)
    agree(lambda a: ndl.gather(a, index, -1), lambda a: a.gather(1, PLACES), x)
    agree(lambda a: ndl.take(a, index, 1), lambda a: a[:, PLACES.reshape(-1)].reshape(2, 2, 4), x)


def test_gather_broadcasts(agree: Any, rng: Any) -> None:
    index = INDEX[:, :1]
    wide = PLACES[:, :1]
    agree(
        lambda a: ndl.gather(a, index, 1), lambda a: a.expand(2, 3).gather(1, wide),
        rng.standard_normal((1, 3)),
    )  # fmt: skip
    agree(
        lambda a: ndl.gather(a, index[:1], 1), lambda a: a.gather(1, wide[:1].expand(2, 1)),
        rng.standard_normal((2, 3)),
    )  # fmt: skip


def test_scatter_add(agree: Any, rng: Any) -> None:
    def theirs(a: torch.Tensor) -> torch.Tensor:
        return torch.zeros(2, 3, dtype=a.dtype).scatter_add(1, PLACES, a)

    agree(lambda a: ndl.scatter_add(a, INDEX, 1, 3), theirs, rng.standard_normal((2, 4)))


@pytest.mark.parametrize("indices", [1, [], [2, 0, 2], [[0], [-1]]], ids=str)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_take_is_numpys(indices: Any, axis: int, device: nd.BackendDevice, rng: Any) -> None:
    x = rng.standard_normal((4, 3, 5))
    a = tensor(x, device)
    y = ndl.take(a, indices, axis)
    where = np.asarray(indices, np.int64)
    np.testing.assert_array_equal(y.numpy(), np.take(x, where, axis))
    y.sum().backward()
    counts = np.zeros(x.shape[axis])
    np.add.at(counts, where.ravel(), 1)
    shape = [-1 if d == axis % 3 else 1 for d in range(3)]
    np.testing.assert_array_equal(a.grad.numpy(), np.broadcast_to(counts.reshape(shape), x.shape))


def test_take_of_an_embedding_builds_no_one_hot(device: nd.BackendDevice) -> None:
    table = ndl.Tensor(device.full((20000, 4), 1.0))
    device.reset_peak()
    before = device.memory_stats()["live_bytes"]
    y = ndl.take(table, np.arange(1000) * 19, 0)
    y.sum().backward()
    peak = device.memory_stats()["peak_bytes"] - before
    assert peak < 8 * table.numpy().nbytes  # a one-hot matrix alone would be 250 times the table


def test_an_index_changed_later_changes_no_gradient(device: nd.BackendDevice) -> None:
    index = nd.NDArray([[0, 0]], device=device, dtype="int64")
    a = tensor([[1.0, 2.0, 3.0]], device)
    y = ndl.gather(a, index, 1)
    index.fill(2)
    y.sum().backward()
    assert a.grad.numpy().tolist() == [[2, 0, 0]]


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("reverse", [False, True])
def test_cumsum(axis: int, reverse: bool, agree: Any, rng: Any) -> None:
    def theirs(a: torch.Tensor) -> torch.Tensor:
        return a.flip(axis).cumsum(axis).flip(axis) if reverse else a.cumsum(axis)

    agree(lambda a: ndl.cumsum(a, axis, reverse), theirs, rng.standard_normal((4, 3)))


def _torch_prod(a: torch.Tensor, axes: tuple[int, ...], keepdims: bool) -> torch.Tensor:
    for axis in sorted(axes, reverse=True):
        y = None
        for part in a.unbind(axis):  # torch's own is wrong at second order with zeros
            y = part if y is None else y * part
        assert y is not None
        a = y.unsqueeze(axis) if keepdims else y
    return a


@pytest.mark.parametrize("zeros", [[], [(0, 1, 2)], [(0, 1, 2), (0, 2, 2)], [(1, 0, 0), (1, 0, 3)]])
@pytest.mark.parametrize("axes", [(0,), (1,), (-1,), (0, 2), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
def test_prod(
    zeros: list[Any], axes: tuple[int, ...], keepdims: bool, agree: Any, rng: Any
) -> None:
    x = rng.uniform(0.5, 1.5, (2, 3, 5)) * rng.choice([-1, 1], (2, 3, 5))
    for at in zeros:
        x[at] = 0
    positive = tuple(d % 3 for d in axes)
    agree(lambda a: ndl.prod(a, axes, keepdims), lambda a: _torch_prod(a, positive, keepdims), x)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ndl.min, torch.amin),
        (lambda a: ndl.min(a, (0, -1)), lambda a: a.amin((0, 3))),
        (lambda a: a.mean(), torch.mean),
        (lambda a: ndl.mean(a, (0, -1), True), lambda a: a.mean((0, 3), keepdim=True)),
        (lambda a: a.var(), lambda a: a.var(correction=0)),
        (lambda a: ndl.var(a, -2, True, 1), lambda a: a.var(2, correction=1, keepdim=True)),
        (lambda a: ndl.concatenate([a, a * a], -2), lambda a: torch.cat([a, a * a], 2)),
        (lambda a: a.squeeze() * a.squeeze(3), lambda a: a.squeeze() ** 2),
        (lambda a: a.unsqueeze((0, -1)) ** 2, lambda a: a[None, ..., None] ** 2),
    ],
)
def test_value_vjp_and_second_order(ours: Any, theirs: Any, agree: Any, rng: Any) -> None:
    agree(ours, theirs, rng.standard_normal((2, 3, 4, 1)))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_argmax_has_no_gradient(name: str, device: nd.BackendDevice, rng: Any) -> None:
    x = rng.standard_normal((3, 4))
    a = tensor(x, device)
    for got in (getattr(ndl, name)(a, 1), getattr(a, name)(1)):
        assert (got.dtype, got.requires_grad) == ("int64", False)
        np.testing.assert_array_equal(got.numpy(), getattr(x, name)(1))


def test_one_hot(device: nd.BackendDevice) -> None:
    labels = tensor([[0, 2]], device, dtype="float32")
    y = ndl.one_hot(labels, 3, dtype="float64")
    assert (y.device, y.dtype, y.requires_grad) == (device, "float64", False)
    np.testing.assert_array_equal(y.numpy(), np.eye(3)[[[0, 2]]])
    assert ndl.one_hot([], 2).shape == (0, 2)
    assert ndl.one_hot(1, 2, device=device).shape == (2,)


# --- an infinite cotangent


def _cotangent(n: int) -> list[float]:
    return [np.inf, -np.inf, np.inf, 1.0][:n]


@pytest.mark.parametrize(
    ("ours", "theirs", "arrays"),
    [
        (ndl.relu, torch.relu, [[-1.0, 0.0, 2.0, -3.0]]),
        (ndl.maximum, torch.maximum, [[1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 0.0, 5.0]]),
        (lambda a: ndl.max(a, 1), lambda a: a.amax(1), [[[1.0, 2], [4, 3]]]),
        (lambda a: ndl.min(a, 1), lambda a: a.amin(1), [[[1.0, 2.0], [4.0, 3.0]]]),
        (
            lambda a: ndl.where([True, False], a, 1.0),
            lambda a: torch.where(torch.tensor([True, False]), a, 1.0),
            [[1.0, 2.0]],
        ),
        (
            lambda a: ndl.max_pool(a.reshape((1, 2, 2, 1)), 2).reshape((1,)),
            lambda a: F.max_pool2d(a.reshape(1, 1, 2, 2), 2).reshape(1),
            [[1.0, 4.0, 3.0, 2.0]],
        ),
    ],
    ids=["relu", "maximum", "max", "min", "where", "max_pool"],
)
def test_infinite_cotangents_stay_where_they_belong(
    ours: Any, theirs: Any, arrays: list[Any], device: nd.BackendDevice
) -> None:
    leaves = [tensor(a, device) for a in arrays]
    y = ours(*leaves)
    y.backward(tensor(_cotangent(y.shape[0]), device))
    twins = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in arrays]
    z = theirs(*twins)
    z.backward(torch.tensor(_cotangent(z.shape[0]), dtype=torch.float64))
    for a, b in zip(leaves, twins, strict=True):
        # where torch multiplies by its mask itself (amax), inf * 0 is NaN: 0 is right
        np.testing.assert_array_equal(
            a.grad.numpy(), np.nan_to_num(b.grad.numpy(), posinf=np.inf, neginf=-np.inf)
        )


def test_gradients_at_nan_go_to_the_nan(device: nd.BackendDevice) -> None:
    for reduce in (ndl.max, ndl.min):
        a = tensor([[1.0, np.nan, np.nan], [3.0, 3.0, 3.0]], device)
        reduce(a, 1).sum().backward()
        np.testing.assert_allclose(a.grad.numpy(), [[0, 0.5, 0.5], [1 / 3] * 3])


ERRORS: list[tuple[Callable[[ndl.Tensor], Any], type[Exception], str]] = [
    (lambda a: ndl.where(a, 1, 2), TypeError, r"\[where\] a or b is a Tensor"),
    (lambda a: ndl.where(a, a, "x"), TypeError, r"\[where\] a and b are Tensors or numbers"),
    (lambda a: ndl.where(a, a, ndl.Tensor(1, device=a.device)), TypeError, r"\[where\] .* dtype"),
    (lambda a: ndl.where(a, a, a[0, :2]), ValueError, r"\[where\] shapes must broadcast"),
    (
        lambda a: ndl.gather(a, [[0.5]], 0),
        ValueError,
        r"\[gather\] takes whole numbers, got index=0.5",
    ),
    (lambda a: ndl.gather(a, [["0"]], 0), TypeError, r"\[gather\] takes whole numbers"),
    (lambda a: ndl.gather(a, [[2]], 0), IndexError, r"index=2, n=2"),
    (lambda a: ndl.gather(a, [0], 0), ValueError, r"as many axes"),
    (lambda a: ndl.take(a, [np.nan], 0), ValueError, r"\[take\] takes whole numbers"),
    (lambda a: ndl.take(a, [-3], 0), IndexError, r"index=-3, n=2"),
    (lambda a: ndl.take(a, [0], 2), IndexError, r"\[take\] axis"),
    (lambda a: ndl.scatter_add(a, [[0, 3, 0]], 1, 3), IndexError, r"\[scatter_add\]"),
    (lambda a: ndl.cumsum(a, 2), IndexError, r"\[cumsum\] axis"),
    (lambda a: ndl.argmax(a, 2), IndexError, r"\[argmax\] axis"),
    (lambda a: ndl.argmax(a[:0]), ValueError, r"\[argmax\]"),
    (lambda a: ndl.min(a[:0]), ValueError, r"\[min\]"),
    (lambda a: ndl.prod(a, (0, 0)), ValueError, r"\[prod\] axes must be distinct"),
    (lambda a: ndl.mean(a, 2), IndexError, r"axis=2"),
    (lambda a: ndl.concatenate([]), ValueError, r"\[concatenate\] at least one"),
    (lambda a: ndl.concatenate([a, a[0]]), ValueError, r"\[concatenate\] shapes"),
    (lambda a: ndl.concatenate([a, a], 2), IndexError, r"\[concatenate\] axis"),
    (lambda a: ndl.squeeze(a, 0), ValueError, r"\[squeeze\] axes have size 1"),
    (lambda a: ndl.unsqueeze(a, 3), IndexError, r"\[unsqueeze\] axis lies in"),
    (lambda a: ndl.unsqueeze(a, (0, 0)), ValueError, r"\[unsqueeze\] axes must be distinct"),
    (lambda a: ndl.one_hot(a, 2), ValueError, r"\[one_hot\]"),
    (lambda a: ndl.one_hot([], -1), ValueError, r"\[one_hot\] classes must not be negative"),
    (lambda a: ndl.one_hot([2], 2), IndexError, r"\[one_hot\]"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[e[2][:30] for e in ERRORS])
def test_errors_name_the_op(
    call: Callable[..., Any], error: type[Exception], text: str, device: nd.BackendDevice
) -> None:
    with pytest.raises(error, match=text):
        call(tensor([[0.5, 1.0, 2.0], [3.0, 4.0, 5.0]], device))


@pytest.mark.parametrize(
    "call",
    [
        lambda a: ndl.prod(a, 0),
        lambda a: ndl.cumsum(a, 0),
        lambda a: ndl.take(a, [], 0),
        lambda a: ndl.gather(a, np.zeros((0, 3)), 1),
        lambda a: ndl.where(np.ones((0, 1)), a, 0),
        lambda a: ndl.min(a, 1),
        lambda a: ndl.concatenate([a, a]),
    ],
)
def test_empty_tensors(call: Callable[..., ndl.Tensor], device: nd.BackendDevice) -> None:
    a = ndl.Tensor(np.ones((0, 3)), device=device)
    call(a).backward()
    assert a.grad is not None
    assert a.grad.shape == (0, 3)


def test_values_may_be_lazy(device: nd.BackendDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndl.autograd, "LAZY_MODE", True)
    a = tensor([[1.0, -2.0], [3.0, 4.0]], device)
    b = ndl.where(a * 2 > 0, a * a, 0.0)
    y = ndl.take(ndl.concatenate([b, ndl.prod(b, 1, True)], 1), [0, 2], 1) * ndl.min(b * 1.0)
    y.sum().backward()
    assert a.grad.shape == (2, 2)
