"""needle.backend_ndarray as the course's third homework uses it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import needle.backend_ndarray as nd
from needle.backend_ndarray import BackendDevice, NDArray

X = np.arange(24.0, dtype="float32").reshape(2, 3, 4)


def test_course_nd_backend_makes_arrays(device: BackendDevice) -> None:
    for a in (
        NDArray(X, device=device),
        nd.array(X, device=device),
        nd.array(X.tolist(), "float32", device),
    ):
        assert (a.shape, a.strides, a.ndim, a.size) == ((2, 3, 4), (12, 4, 1), 3, 24)
        assert (a.dtype, a.device, a._offset) == ("float32", device, 0)
        assert a.is_compact()
        np.testing.assert_array_equal(a.numpy(), X)
    assert nd.array(X.astype("float64")).dtype == "float32"
    assert NDArray(NDArray(X), device=device).device == device
    assert nd.empty((2, 3), device=device).shape == (2, 3)
    np.testing.assert_array_equal(nd.full((2,), 7, device=device).numpy(), [7, 7])
    np.testing.assert_array_equal(device.full((2,), 7).numpy(), [7, 7])
    assert device.empty((2, 3)).shape == (2, 3)


def test_course_nd_backend_make_views_over_handles(device: BackendDevice) -> None:
    a = nd.array(X, device=device)
    b = NDArray.make((3, 2), strides=(4, 2), device=device, handle=a._handle, offset=13)
    np.testing.assert_array_equal(b.numpy(), X.reshape(-1)[13:][[[0, 2], [4, 6], [8, 10]]])
    assert b._handle.ptr() == a._handle.ptr()
    assert a._handle.size == 24
    b[0, 0] = -1
    assert a.numpy()[1, 0, 1] == -1
    fresh = NDArray.make((2, 2), device=device)
    fresh.fill(3)
    assert fresh.is_compact()
    assert fresh.numpy().tolist() == [[3, 3], [3, 3]]
    assert not b.is_compact()
    assert b.compact().is_compact()
    assert b.compact()._handle.ptr() != a._handle.ptr()
    with pytest.raises(ValueError, match="inside the storage"):
        NDArray.make((3, 2), strides=(4, 20), handle=a._handle, offset=13)


VIEWS = {
    "reshape": (lambda a: a.reshape((6, 4)), lambda x: x.reshape(6, 4)),
    "permute": (lambda a: a.permute((2, 0, 1)), lambda x: x.transpose(2, 0, 1)),
    "permute negative": (lambda a: a.permute((-1, 0, -2)), lambda x: x.transpose(-1, 0, -2)),
    "broadcast_to": (
        lambda a: a.reshape((2, 1, 3, 4)).broadcast_to((2, 5, 3, 4)),
        lambda x: np.broadcast_to(x.reshape(2, 1, 3, 4), (2, 5, 3, 4)),
    ),
    "slices": (lambda a: a[:, 1:3, ::2], lambda x: x[:, 1:3, ::2]),
    "slices past the end": (lambda a: a[:9, 1:99], lambda x: x[:9, 1:99]),
    "negative": (lambda a: a[-1:, :-1, -3:-1], lambda x: x[-1:, :-1, -3:-1]),
    "integers drop their axis": (lambda a: a[1, :, -2], lambda x: x[1, :, -2]),
    "view of a view": (
        lambda a: a[1:, 1:, 1:].permute((1, 2, 0))[1:, ::2],
        lambda x: x[1:, 1:, 1:].transpose(1, 2, 0)[1:, ::2],
    ),
    "flip": (lambda a: a.flip((0, -1)), lambda x: np.flip(x, (0, -1))),
    "flip of an offset view": (lambda a: a[1:, :, 1:].flip((2,)), lambda x: x[1:, :, :0:-1]),
}


@pytest.mark.parametrize("name", VIEWS)
def test_course_nd_backend_views_share_memory(device: BackendDevice, name: str) -> None:
    """Semantic 12: views share memory, with numpy's strides."""
    ours, theirs = VIEWS[name]
    a = nd.array(X, device=device)
    view, want = ours(a), theirs(X)
    np.testing.assert_array_equal(view.numpy(), want)
    assert view._handle.ptr() == a._handle.ptr()
    if min(want.shape) > 1:
        assert view.strides == tuple(s // X.itemsize for s in want.strides)
    np.testing.assert_array_equal(view.compact().numpy(), want)


@pytest.mark.parametrize(
    "index",
    [(0,), (slice(None), 1), (slice(0, 2), slice(1, 3), slice(0, 4, 3)), (-1, -1, -1), (..., 0)],
)
def test_course_nd_backend_setitem_is_in_place(device: BackendDevice, index: Any) -> None:
    for value in (5.0, X[index] * 3):
        a, x = nd.array(X, device=device), X.copy()
        pointer = a._handle.ptr()
        a[index] = value if np.ndim(value) == 0 else nd.array(value, device=device)
        x[index] = value
        np.testing.assert_array_equal(a.numpy(), x)
        assert a._handle.ptr() == pointer


def test_course_nd_backend_flat_writes_through(device: BackendDevice) -> None:
    a = nd.array(X, device=device)
    a.flat[3] += 0.5
    assert a.numpy()[0, 0, 3] == 3.5
    a.permute((2, 1, 0)).flat[1] = -1
    assert a.numpy()[1, 0, 0] == -1
    assert len(a.flat) == 24
    t = nd.NDArray(2.0, device=device)
    t.flat[0] += 1
    assert t.numpy() == 3


ELEMENTWISE = {
    "a + b": lambda a, b: a + b,
    "a - b": lambda a, b: a - b,
    "a * b": lambda a, b: a * b,
    "a / b": lambda a, b: a / b,
    "a + 2": lambda a, b: a + 2.0,
    "2 - a": lambda a, b: 2.0 - a,
    "2 / a": lambda a, b: 2.0 / (a + 1),
    "-a": lambda a, b: -a,
    "a ** 2": lambda a, b: a**2,
    "a == b": lambda a, b: a == b,
    "a != b": lambda a, b: a != b,
    "a >= b": lambda a, b: a >= b,
    "a > 7": lambda a, b: a > 7,
    "a <= b": lambda a, b: a <= b,
    "a < b": lambda a, b: a < b,
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_course_nd_backend_operators(device: BackendDevice, name: str) -> None:
    y = X[::-1].copy() + (X % 2) + 1
    a, b = nd.array(X, device=device), nd.array(y, device=device)
    got = ELEMENTWISE[name](a, b)
    assert got.dtype == "float32"  # comparisons too: 0 or 1
    np.testing.assert_allclose(got.numpy(), ELEMENTWISE[name](X, y).astype("float32"), rtol=1e-6)
    view = a.permute((0, 2, 1)), b.permute((0, 2, 1))
    np.testing.assert_array_equal(ELEMENTWISE[name](*view).permute((0, 2, 1)).numpy(), got.numpy())


def test_course_nd_backend_functions(device: BackendDevice) -> None:
    x = X / 10 + 0.1
    a = nd.array(x, device=device)
    for name in ("log", "exp", "tanh"):
        for got in (getattr(nd, name)(a), getattr(a, name)()):
            np.testing.assert_allclose(got.numpy(), getattr(np, name)(x), rtol=1e-5)
    for got in (nd.maximum(a, 1.0), a.maximum(nd.full((2, 3, 4), 1.0, device=device))):
        np.testing.assert_array_equal(got.numpy(), np.maximum(x, 1))
    np.testing.assert_array_equal(nd.reshape(a, (4, 6)).numpy(), x.reshape(4, 6))
    np.testing.assert_array_equal(nd.flip(a, (1,)).numpy(), np.flip(x, 1))
    np.testing.assert_array_equal(nd.broadcast_to(a, (3, 2, 3, 4)).numpy()[2], x)
    np.testing.assert_allclose(
        nd.sum(a, axis=1, keepdims=True).numpy(), x.sum(1, keepdims=True), rtol=1e-6
    )
    assert a.to(nd.cpu_numpy()).device == nd.cpu_numpy()


@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, (0,), (2,)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_course_nd_backend_reductions(device: BackendDevice, axis: Any, keepdims: bool) -> None:
    a = nd.array(X, device=device)
    for name in ("sum", "max"):
        got = getattr(a.permute((1, 0, 2)), name)(axis=axis, keepdims=keepdims)
        want = getattr(X.transpose(1, 0, 2), name)(axis=axis, keepdims=keepdims)
        np.testing.assert_array_equal(got.numpy(), want)


@pytest.mark.parametrize(("m", "n", "p"), [(1, 1, 1), (4, 5, 6), (8, 16, 24), (72, 73, 74)])
def test_course_nd_backend_matmul(device: BackendDevice, m: int, n: int, p: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((m, n)), rng.standard_normal((n, p))
    got = nd.array(x, device=device) @ nd.array(y, device=device)
    np.testing.assert_allclose(got.numpy(), x @ y, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("widths", [((0, 0), (1, 2), (3, 0)), ((1, 1), (0, 0), (0, 0))])
def test_course_nd_backend_pad(device: BackendDevice, widths: Any) -> None:
    got = nd.array(X, device=device).pad(widths)
    np.testing.assert_array_equal(got.numpy(), np.pad(X, widths))


def test_course_nd_backend_subclass_with_its_own_getitem() -> None:
    class Slices(NDArray):
        def __getitem__(self, index: Any) -> Any:
            return tuple(self.process_slice(s, i) for i, s in enumerate(index))

    a = Slices(nd.array(X))
    assert a[1:, :, ::2] == (slice(1, 2, 1), slice(0, 3, 1), slice(0, 4, 2))
    assert a[-1:, :99, -3:-1] == (slice(1, 2, 1), slice(0, 3, 1), slice(1, 3, 1))
    np.testing.assert_array_equal((a + 1).numpy(), X + 1)
    back = nd.array(X)
    (item,) = Slices(nd.array(X))[(slice(None, None, -1),)]
    np.testing.assert_array_equal(back[item].numpy(), X[::-1])
