"""flip, dilate, undilate, pad, stack, split and indexing against numpy, and what they share."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import needle as ndl
import needle.backend_ndarray as nd


def numbers(*shape: int) -> np.ndarray:
    return np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)


def tensor(a: np.ndarray, device: nd.BackendDevice) -> ndl.Tensor:
    return ndl.Tensor(a, device=device, dtype="float64")


def backward(y: ndl.Tensor, x: ndl.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """A random cotangent of y, and the one of x that it leads to."""
    g = np.random.default_rng(3).standard_normal(y.shape)
    y.backward(tensor(g, y.device))
    assert x.grad is not None
    return g, x.grad.numpy()


SHAPES = [(), (0,), (1,), (5,), (2, 3), (2, 0, 3), (2, 3, 4), (1, 2, 1, 3)]
SHAPES_AND_AXES = [
    (shape, axes)
    for shape in SHAPES
    for n in range(min(len(shape), 2) + 1)
    for axes in itertools.permutations(range(-len(shape), len(shape)), n)
    if len({axis % len(shape) for axis in axes}) == n
]
shapes_and_axes = pytest.mark.parametrize(("shape", "axes"), SHAPES_AND_AXES)


def dilated(a: np.ndarray, axes: tuple[int, ...], dilation: int) -> np.ndarray:
    step = [dilation + 1 if d in {axis % a.ndim for axis in axes} else 1 for d in range(a.ndim)]
    out = np.zeros([n * s for n, s in zip(a.shape, step, strict=True)])
    out[tuple(slice(None, None, s) for s in step)] = a
    return out


@shapes_and_axes
def test_flip(shape: tuple[int, ...], axes: tuple[int, ...], device: nd.BackendDevice) -> None:
    a = numbers(*shape)
    x = tensor(a, device)
    y = ndl.flip(x, axes)
    np.testing.assert_array_equal(y.numpy(), np.flip(a, axes))
    g, dx = backward(y, x)
    np.testing.assert_array_equal(dx, np.flip(g, axes))


@pytest.mark.parametrize("dilation", [0, 1, 3])
@shapes_and_axes
def test_dilate_and_undilate(
    shape: tuple[int, ...], axes: tuple[int, ...], dilation: int, device: nd.BackendDevice
) -> None:
    a = numbers(*shape)
    x = tensor(a, device)
    y = ndl.dilate(x, axes, dilation)
    np.testing.assert_array_equal(y.numpy(), dilated(a, axes, dilation))
    np.testing.assert_array_equal(ndl.undilate(y, axes, dilation).numpy(), a)
    g, dx = backward(y, x)
    np.testing.assert_array_equal(dx, ndl.undilate(tensor(g, device), axes, dilation).numpy())


@pytest.mark.parametrize("size", range(9))
def test_undilate_of_a_size_that_is_no_multiple(size: int, device: nd.BackendDevice) -> None:
    a = numbers(2, size)
    x = tensor(a, device)
    y = ndl.undilate(x, (1,), 2)
    np.testing.assert_array_equal(y.numpy(), a[:, ::3])
    g, dx = backward(y, x)
    expected = np.zeros_like(a)
    expected[:, ::3] = g
    np.testing.assert_array_equal(dx, expected)


def test_dilate_takes_an_axis_and_keywords(device: nd.BackendDevice) -> None:
    x = tensor(numbers(2, 2), device)
    y = ndl.dilate(x, axes=-1, dilation=1)
    np.testing.assert_array_equal(y.numpy(), [[1, 0, 2, 0], [3, 0, 4, 0]])
    np.testing.assert_array_equal(ndl.undilate(y, dilation=1, axes=1).numpy(), x.numpy())


def test_zeros_among_elements_keep_their_sign(device: nd.BackendDevice) -> None:
    y = ndl.dilate(tensor(np.array([-0.0, 1.0]), device), 0, 1)
    assert np.signbit(y.numpy()).tolist() == [True, False, False, False]


def test_pad(device: nd.BackendDevice) -> None:
    a = numbers(2, 3)
    x = tensor(a, device)
    y = ndl.pad(x, ((1, 0), (0, 2)))
    np.testing.assert_array_equal(y.numpy(), np.pad(a, ((1, 0), (0, 2))))
    g, dx = backward(y, x)
    np.testing.assert_array_equal(dx, g[1:, :3])


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_stack(axis: int, n: int, device: nd.BackendDevice) -> None:
    arrays = [numbers(2, 3) * (i + 1) for i in range(n)]
    leaves = [tensor(a, device) for a in arrays]
    y = ndl.stack(leaves, axis=axis)
    np.testing.assert_array_equal(y.numpy(), np.stack(arrays, axis))
    g = np.random.default_rng(0).standard_normal(y.shape)
    y.backward(tensor(g, device))
    for i, leaf in enumerate(leaves):
        assert leaf.grad is not None
        np.testing.assert_array_equal(leaf.grad.numpy(), np.take(g, i, axis))


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
def test_split(axis: int, device: nd.BackendDevice) -> None:
    a = numbers(2, 3)
    x = tensor(a, device)
    parts = ndl.split(x, axis=axis)
    assert len(parts) == a.shape[axis]
    total = None
    for i, part in enumerate(parts):
        np.testing.assert_array_equal(part.numpy(), np.take(a, i, axis))
        term = (part * float(i + 1)).sum()
        total = term if total is None else total + term
    assert total is not None
    total.backward()
    assert x.grad is not None
    weights = np.arange(1.0, a.shape[axis] + 1)
    expected = np.broadcast_to(weights[:, None] if axis in (0, -2) else weights, a.shape)
    np.testing.assert_array_equal(x.grad.numpy(), expected)


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        (1, -2),
        (1, 2, 3),
        slice(None),
        slice(None, None, -1),
        (slice(1, 0), 1),
        (slice(-5, 100), slice(2, None, -2)),
        (..., 0),
        (None, 1, ..., slice(1, 3)),
        (),
        ...,
    ],
    ids=repr,
)
def test_getitem(index: Any, device: nd.BackendDevice) -> None:
    a = numbers(2, 3, 4)
    x = tensor(a, device)
    y = x[index]
    np.testing.assert_array_equal(y.numpy(), a[index])
    g, dx = backward(y, x)
    expected = np.zeros_like(a)
    expected[index] = g
    np.testing.assert_array_equal(dx, expected)


def test_views_share_memory(device: nd.BackendDevice) -> None:
    x = tensor(numbers(4, 6), device)
    for view in (
        ndl.flip(x, 0),
        ndl.undilate(x, 0, 1),
        ndl.transpose(x),
        ndl.permute(x, (1, 0)),
        ndl.reshape(x, (2, 12)),
        ndl.broadcast_to(x, (3, 4, 6)),
        x[1:, ::2],
        ndl.split(x, 1)[2],
    ):
        assert view.cached_data._handle.ptr() == x.cached_data._handle.ptr()
    for copy in (ndl.dilate(x, 0, 1), ndl.pad(x, ((0, 0), (0, 0))), ndl.stack([x], 0)):
        assert copy.cached_data._handle.ptr() != x.cached_data._handle.ptr()
