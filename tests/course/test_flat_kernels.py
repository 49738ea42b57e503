"""The flat kernels of the course's third homework, on every device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import needle.backend_ndarray as nd
from needle.backend_ndarray import BackendDevice

X = np.array([0.5, 1.0, 2.0, 3.0, 4.0, 5.0], dtype="float32")
Y = np.array([2.0, 1.0, 0.5, 3.0, 5.0, 4.0], dtype="float32")


@pytest.fixture
def put(device: BackendDevice) -> Callable[[Any], Any]:
    return lambda values: nd.array(values, device=device)._handle


def held(device: BackendDevice, handle: Any) -> np.ndarray:
    return device.to_numpy(handle, (handle.size,), (1,), 0)


def test_course_flat_array_and_copies(device: BackendDevice) -> None:
    a = device.Array(6)
    assert a.size == 6
    assert a.ptr() != device.Array(6).ptr()
    device.from_numpy(X.reshape(2, 3), a)
    np.testing.assert_array_equal(held(device, a), X)
    np.testing.assert_array_equal(device.to_numpy(a, (2, 2), (2, 1), 1), [X[1:3], X[3:5]])
    device.fill(a, 7.5)
    np.testing.assert_array_equal(held(device, a), np.full(6, 7.5))


EWISE = {
    "add": np.add,
    "mul": np.multiply,
    "div": np.divide,
    "maximum": np.maximum,
    "eq": np.equal,
    "ge": np.greater_equal,
}


@pytest.mark.parametrize("op", [*EWISE, "power"])
def test_course_flat_binary_kernels(device: BackendDevice, put: Any, op: str) -> None:
    function = EWISE.get(op, np.power)
    out = device.Array(6)
    if op in EWISE:
        getattr(device, f"ewise_{op}")(put(X), put(Y), out)
        np.testing.assert_allclose(held(device, out), function(X, Y), rtol=1e-6)
    getattr(device, f"scalar_{op}")(put(X), 2.0, out)
    np.testing.assert_allclose(held(device, out), function(X, np.float32(2)), rtol=1e-6)


@pytest.mark.parametrize("op", ["log", "exp", "tanh"])
def test_course_flat_unary_kernels(device: BackendDevice, put: Any, op: str) -> None:
    out = device.Array(6)
    getattr(device, f"ewise_{op}")(put(X), out)
    np.testing.assert_allclose(held(device, out), getattr(np, op)(X), rtol=1e-5)


def test_course_flat_compact_and_setitem(device: BackendDevice, put: Any) -> None:
    a, out = put(X), device.Array(4)
    device.compact(a, out, (2, 2), (1, 3), 1)
    np.testing.assert_array_equal(held(device, out), X[[1, 4, 2, 5]])
    device.ewise_setitem(put([10, 20]), a, (2, 1), (-2, 1), 5)
    np.testing.assert_array_equal(held(device, a), [*X[:3], 20, 4, 10])
    device.scalar_setitem(3, -1.0, a, (3,), (2,), 0)
    np.testing.assert_array_equal(held(device, a), [-1, 1, -1, 20, -1, 10])


def test_course_flat_out_may_be_an_input(device: BackendDevice, put: Any) -> None:
    a = put(X)
    device.ewise_add(a, a, a)
    device.compact(a, a, (6,), (-1,), 5)
    np.testing.assert_array_equal(held(device, a), 2 * X[::-1])


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_course_flat_reductions(device: BackendDevice, put: Any, size: int) -> None:
    for name, function in (("reduce_max", np.max), ("reduce_sum", np.sum)):
        out = device.Array(6 // size)
        getattr(device, name)(put(X), out, size)
        np.testing.assert_allclose(held(device, out), function(X.reshape(-1, size), axis=1))


@pytest.mark.parametrize(("m", "n", "p"), [(1, 1, 1), (2, 3, 4), (8, 8, 8), (17, 9, 5), (0, 2, 3)])
def test_course_flat_matmul(device: BackendDevice, put: Any, m: int, n: int, p: int) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((m, n)), rng.standard_normal((n, p))
    out = device.Array(m * p)
    device.matmul(put(a), put(b), out, m, n, p)
    np.testing.assert_allclose(held(device, out).reshape(m, p), a @ b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tiles", [(1, 1, 1), (1, 2, 3), (2, 1, 2)])
def test_course_matmul_tiled(device: BackendDevice, put: Any, tiles: tuple[int, int, int]) -> None:
    """Operands and result have shape (rows / T, columns / T, T, T); fresh memory will do."""
    t = device.__tile_size__
    m, n, p = tiles
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((m, n, t, t)), rng.standard_normal((n, p, t, t))
    out = nd.NDArray.make((m, p, t, t), device=device)
    out.fill(np.nan)  # what fresh memory may hold
    device.matmul_tiled(put(a), put(b), out._handle, m * t, n * t, p * t)
    flat_a, flat_b = (x.transpose(0, 2, 1, 3).reshape(-1, x.shape[1] * t) for x in (a, b))
    got = out.numpy().transpose(0, 2, 1, 3).reshape(m * t, p * t)
    np.testing.assert_allclose(got, flat_a @ flat_b, rtol=1e-4, atol=1e-4)


ERRORS = {
    "view past the end": (lambda d, h: d.to_numpy(h, (7,), (1,), 0), ValueError),
    "offset past the end": (lambda d, h: d.to_numpy(h, (2,), (1,), 5), ValueError),
    "negative offset": (lambda d, h: d.to_numpy(h, (2,), (1,), -1), ValueError),
    "strides past the end": (lambda d, h: d.to_numpy(h, (2, 2), (3, 3), 0), ValueError),
    "stride before the start": (lambda d, h: d.to_numpy(h, (2,), (-1,), 0), ValueError),
    "huge offset": (lambda d, h: d.to_numpy(h, (1,), (1,), 1 << 64), ValueError),
    "huge stride": (lambda d, h: d.to_numpy(h, (3,), (1 << 62,), 0), ValueError),
    "negative shape": (lambda d, h: d.to_numpy(h, (-1,), (1,), 0), ValueError),
    "one stride too few": (lambda d, h: d.to_numpy(h, (2, 3), (1,), 0), ValueError),
    "negative array": (lambda d, h: d.Array(-1), ValueError),
    "array of a float": (lambda d, h: d.Array(1.5), TypeError),
    "from_numpy size": (lambda d, h: d.from_numpy(X[:5], h), ValueError),
    "compact size": (lambda d, h: d.compact(h, d.Array(3), (2, 2), (1, 1), 0), ValueError),
    "setitem size": (lambda d, h: d.ewise_setitem(d.Array(3), h, (2, 2), (2, 1), 0), ValueError),
    "setitem outside": (lambda d, h: d.ewise_setitem(d.Array(2), h, (2,), (6,), 0), ValueError),
    "setitem twice": (lambda d, h: d.ewise_setitem(d.Array(2), h, (2,), (0,), 0), ValueError),
    "scalar_setitem size": (lambda d, h: d.scalar_setitem(4, 1.0, h, (3,), (1,), 0), ValueError),
    "ewise sizes": (lambda d, h: d.ewise_add(h, d.Array(5), d.Array(6)), ValueError),
    "ewise out": (lambda d, h: d.ewise_add(h, h, d.Array(7)), ValueError),
    "unary out": (lambda d, h: d.ewise_exp(h, d.Array(1)), ValueError),
    "scalar text": (lambda d, h: d.scalar_add(h, "x", h), TypeError),
    "scalar array": (lambda d, h: d.scalar_add(h, d.full((6,), 1), h), TypeError),
    "no handle": (lambda d, h: d.ewise_exp(h, 3), TypeError),
    "an array for a handle": (lambda d, h: d.ewise_exp(d.full((6,), 1), h), TypeError),
    "matmul sizes": (lambda d, h: d.matmul(h, h, h, 2, 3, 3), ValueError),
    "matmul negative": (lambda d, h: d.matmul(h, h, h, -2, -3, 2), ValueError),
    "matmul_tiled sizes": (lambda d, h: d.matmul_tiled(h, h, h, 2, 3, 2), ValueError),
    "reduce size": (lambda d, h: d.reduce_sum(h, d.Array(2), 2), ValueError),
    "reduce negative": (lambda d, h: d.reduce_sum(h, d.Array(2), -3), ValueError),
    "reduce max of nothing": (lambda d, h: d.reduce_max(d.Array(0), d.Array(2), 0), ValueError),
}


@pytest.mark.parametrize(("call", "error"), ERRORS.values(), ids=ERRORS)
def test_course_flat_kernels_check_everything(
    device: BackendDevice, put: Any, call: Any, error: type[Exception]
) -> None:
    handle = put(X)
    with pytest.raises(error, match=r"^\[\w+\] .+"):
        call(device, handle)
    np.testing.assert_array_equal(held(device, handle), X)


def test_course_flat_kernels_refuse_another_devices_handles() -> None:
    with pytest.raises(ValueError, match="handles must be of the device"):
        nd.cpu().ewise_exp(nd.cpu_numpy().Array(1), nd.cpu_numpy().Array(1))
