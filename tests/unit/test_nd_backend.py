"""Views, indexing and writes of NDArray, on every device, against numpy."""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest

import needle.backend_ndarray as nd
from needle.backend_ndarray import BackendDevice, NDArray


def sample(*shape: int, dtype: str = "float32") -> np.ndarray:
    """Distinct values, so that a wrong index shows."""
    return np.arange(1, math.prod(shape) + 1, dtype=dtype).reshape(shape)


def same(result: NDArray, expected: np.ndarray) -> None:
    assert result.shape == expected.shape
    np.testing.assert_array_equal(result.numpy(), expected)


def strides_of(x: np.ndarray) -> tuple[int, ...]:
    return tuple(s // x.itemsize for s in x.strides)


# Applied to the NDArray and to numpy alike: these are views in both.
VIEWS = {
    "transpose": lambda a: a.T,
    "slice": lambda a: a[1:3],
    "step": lambda a: a[::2, :, 1::2],
    "negative step": lambda a: a[::-1, ::-2],
    "beyond the end": lambda a: a[2:100, -100:2],
    "empty slice": lambda a: a[3:1],
    "integer": lambda a: a[1],
    "negative integer": lambda a: a[:, -1],
    "integers": lambda a: a[0, 1, 2],
    "ellipsis": lambda a: a[..., 1],
    "new axis": lambda a: a[:, None, 1, ..., None],
    "view of a view": lambda a: a[1:, 1:][1:, ::-1].T[::2],
    "reversed tail": lambda a: a[:, 2::-1, :0:-1],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_nd_backend_views_share_memory_with_numpys_strides(device: BackendDevice, view) -> None:
    x = sample(4, 3, 5)
    a = NDArray(x, device=device)
    result, expected = view(a), view(x)
    same(result, expected)
    if expected.size > 1:
        moving = [d for d in range(expected.ndim) if expected.shape[d] > 1]
        assert [result.strides[d] for d in moving] == [strides_of(expected)[d] for d in moving]
    assert result._handle.ptr() == a._handle.ptr()
    assert result.is_compact() == (result.size == 0 or expected.flags.c_contiguous)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_nd_backend_writes_through_views(device: BackendDevice, view) -> None:
    x = sample(4, 3, 5)
    a = NDArray(x, device=device)
    fresh = -sample(*view(x).shape) if view(x).ndim else np.float32(-7)
    target = view(x)
    if target.ndim:
        target[...] = fresh
        view(a)[...] = NDArray(fresh, device=device)
        same(a, x)
    view(a).fill(0.5)
    if target.ndim:
        target.fill(0.5)
        same(a, x)


SETITEMS = {
    "row": (np.s_[1], (3, 5)),
    "broadcast row": (np.s_[:, 1], (5,)),
    "steps": (np.s_[::-2, 1:, ::2], (2, 2, 3)),
    "one element": (np.s_[-1, -1, -1], ()),
    "all": (np.s_[...], (4, 3, 5)),
    "nothing": (np.s_[2:2], (1, 3, 5)),
}


@pytest.mark.parametrize(("index", "shape"), SETITEMS.values(), ids=SETITEMS.keys())
def test_nd_backend_setitem(device: BackendDevice, dtype: str, index, shape) -> None:
    x = sample(4, 3, 5, dtype=dtype)
    value = -sample(*shape, dtype=dtype)
    for source in (value, NDArray(value, device=device, dtype=dtype)):
        a = NDArray(x, device=device, dtype=dtype)
        expected = x.copy()
        a[index], expected[index] = source, value
        same(a, expected)
    a[index], expected[index] = 3, 3
    same(a, expected)


def test_nd_backend_overlapping_assignment_reads_before_it_writes(device: BackendDevice) -> None:
    x = sample(12)
    a = NDArray(x, device=device)
    a[1:] = a[:-1]
    x[1:] = x[:-1].copy()
    same(a, x)
    a[...] = a[::-1]
    same(a, x[::-1])


def test_nd_backend_in_place_operators_through_an_index(device: BackendDevice) -> None:
    x = sample(3, 4)
    a = NDArray(x, device=device)
    a[1] += 2
    x[1] += 2
    a[:, ::-1][0] *= a[2]
    x[:, ::-1][0] *= x[2]
    same(a, x)


@pytest.mark.parametrize(
    ("shape", "new"),
    [((4, 6), (2, 12)), ((4, 6), (24,)), ((4, 6), (-1, 3)), ((1,), ()), ((0, 3), (3, 0, 2))],
)
def test_nd_backend_reshape(device: BackendDevice, shape, new) -> None:
    x = sample(*shape)
    a = NDArray(x, device=device)
    same(a.reshape(new), x.reshape(new))
    same(a.reshape(*new), x.reshape(new)) if len(new) > 1 else None
    assert a.reshape(new)._handle.ptr() == a._handle.ptr()


def test_nd_backend_reshape_copies_only_where_no_view_exists(device: BackendDevice) -> None:
    x = sample(4, 6)
    a = NDArray(x, device=device)
    same(a.T.reshape(24), x.T.reshape(24))
    assert a.T.reshape(24)._handle.ptr() != a._handle.ptr()
    same(a[:, ::2].reshape(2, 2, 3), x[:, ::2].reshape(2, 2, 3))
    assert a[:, ::2].reshape(2, 2, 3)._handle.ptr() == a._handle.ptr()


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (-1, -3, -2), (1, 0, 2)])
def test_nd_backend_permute(device: BackendDevice, axes) -> None:
    x = sample(2, 3, 4)
    same(NDArray(x, device=device).permute(axes), x.transpose(axes))


def test_nd_backend_transpose_swaps_two_axes(device: BackendDevice) -> None:
    x = sample(2, 3, 4)
    a = NDArray(x, device=device)
    same(a.transpose(), x.swapaxes(-1, -2))
    same(a.transpose((0, 2)), x.swapaxes(0, 2))
    same(a.transpose((-1, 0)), x.swapaxes(-1, 0))


@pytest.mark.parametrize(
    ("shape", "target"),
    [((3,), (2, 3)), ((2, 1), (2, 5)), ((), (2, 2)), ((1, 1), (0, 4)), ((1, 3, 1), (2, 4, 3, 5))],
)
def test_nd_backend_broadcast_to(device: BackendDevice, shape, target) -> None:
    x = sample(*shape)
    view = NDArray(x, device=device).broadcast_to(target)
    same(view, np.broadcast_to(x, target))
    same(view.compact(), np.broadcast_to(x, target))
    assert view.size < 2 or not view.is_compact()


@pytest.mark.parametrize("axes", [0, (1,), (0, 2), (-1, -3), ()])
def test_nd_backend_flip(device: BackendDevice, axes) -> None:
    x = sample(2, 3, 4)
    a = NDArray(x, device=device)
    same(a.flip(axes), np.flip(x, axes))
    same(a[1:].flip(axes).flip(axes), x[1:])
    assert a.flip(axes)._handle.ptr() == a._handle.ptr()


def test_nd_backend_squeeze(device: BackendDevice) -> None:
    x = sample(1, 3, 1, 2)
    a = NDArray(x, device=device)
    same(a.squeeze((0, 2)), x.squeeze((0, 2)))
    same(a.squeeze(-2), x.squeeze(-2))


def test_nd_backend_as_strided_windows(device: BackendDevice) -> None:
    x = sample(10)
    a = NDArray(x, device=device)
    windows = a.as_strided((4, 3), (2, 1), 1)
    same(windows, np.lib.stride_tricks.sliding_window_view(x[1:], 3)[::2])
    with pytest.raises(ValueError, match="as_strided"):
        a.as_strided((4, 3), (3, 1), 0)
    with pytest.raises(ValueError, match="as_strided"):
        a.as_strided((2,), (-1,), 0)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_nd_backend_compact_and_copy(device: BackendDevice, view) -> None:
    x = sample(4, 3, 5)
    a = NDArray(x, device=device)
    same(view(a).compact(), view(x))
    assert view(a).compact().is_compact()
    copied = view(a).copy()
    same(copied, view(x))
    copied.fill(0)
    same(a, x)  # the original is untouched


def test_nd_backend_pad(device: BackendDevice) -> None:
    x = sample(2, 3)
    a = NDArray(x, device=device)
    same(a.pad(((1, 2), (0, 3))), np.pad(x, ((1, 2), (0, 3))))
    same(a.T.pad(((0, 0), (1, 0)), value=9), np.pad(x.T, ((0, 0), (1, 0)), constant_values=9))


def test_nd_backend_flat_writes_through_any_layout(device: BackendDevice) -> None:
    x = sample(3, 4)
    a = NDArray(x, device=device)
    for target, expected in ((a, x), (a.T, x.T), (a[::-1, ::2], x[::-1, ::2])):
        target.flat[5] += 0.25
        expected.flat[5] += 0.25
        target.flat[-1] = 8
        expected.flat[-1] = 8
        target.flat[1:3] = [6, 7]
        expected.flat[1:3] = [6, 7]
        same(a, x)
        assert [v.item() for v in target.flat] == list(expected.flat)
        same(target.flat[1::2], expected.flat[1::2])
    with pytest.raises(IndexError, match="flat"):
        a.flat[12]


def test_nd_backend_iteration_and_length(device: BackendDevice) -> None:
    x = sample(3, 2)
    a = NDArray(x, device=device)
    assert len(a) == 3
    for row, expected in zip(a, x, strict=True):
        same(row, expected)


def test_nd_backend_zero_dimensional_and_scalar_access(device: BackendDevice) -> None:
    a = NDArray(2.5, device=device)
    assert (a.shape, a.ndim, a.size, a.strides) == ((), 0, 1, ())
    assert (float(a), int(a), a.item(), bool(a)) == (2.5, 2, 2.5, True)
    same(a[...], np.float32(2.5).reshape(()))
    same(a[None], np.array([2.5]))
    same(a + 1, np.array(3.5))
    same(a.sum(), np.array(2.5))
    a[()] = 4
    assert a.item() == 4


def test_nd_backend_attributes(device: BackendDevice, dtype: str) -> None:
    a = NDArray(sample(4, 6), device=device, dtype=dtype)
    view = a[1:, 2:]
    itemsize = np.dtype(dtype).itemsize
    assert (view.shape, view.strides, view._offset) == ((3, 4), (6, 1), 8)
    assert (view.ndim, view.size, view.nbytes) == (2, 12, 12 * itemsize)
    assert (view.dtype, view.device) == (dtype, device)
    assert view._handle.ptr() == a._handle.ptr()
    assert a._handle.size == 24


def test_nd_backend_make_over_a_handle(device: BackendDevice) -> None:
    a = NDArray(sample(12), device=device)
    view = NDArray.make((2, 3), strides=(6, 2), device=device, handle=a._handle, offset=1)
    same(view, sample(12)[1:].reshape(-1)[[0, 2, 4, 6, 8, 10]].reshape(2, 3))
    view.fill(0)
    assert a.numpy()[1::2].tolist() == [0] * 6
    assert NDArray.make((2, 3), device=device).shape == (2, 3)


@pytest.mark.parametrize("held", ["float32", "float64", "int32", "int64", "bool"])
@pytest.mark.parametrize("wanted", ["float32", "float64", "int32", "int64", "bool"])
def test_nd_backend_astype(device: BackendDevice, held: str, wanted: str) -> None:
    x = np.array([[0, 1, -2], [3, 100, -128]]).astype(held)
    a = NDArray(x, device=device, dtype=held)
    assert a.dtype == held
    same(a.astype(wanted), x.astype(wanted))
    same(a.T[::-1].astype(wanted), x.T[::-1].astype(wanted))
    assert a.astype(wanted).dtype == wanted
    assert a.astype(wanted)._handle.ptr() != a._handle.ptr()


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_nd_backend_holds_and_casts_half_types(
    device: BackendDevice, dtype: str, half: str
) -> None:
    values = [0.0, -0.0, 1.0, -2.5, 3.14159265, 65504.0, 1e30, 1e-7, math.inf, -math.inf, math.nan]
    a = NDArray(np.array(values, dtype=dtype), device=device, dtype=dtype)
    held = a.astype(half)
    assert held.dtype == half
    reference = nd.array(values, dtype=dtype, device=nd.cpu_numpy()).astype(half)
    np.testing.assert_array_equal(held.numpy().view(np.uint16), reference.numpy().view(np.uint16))
    back = held.astype(dtype).numpy()
    np.testing.assert_array_equal(back, reference.numpy().astype(dtype))
    assert np.signbit(back[1])


def test_nd_backend_made_without_dtype_is_float32(device: BackendDevice) -> None:
    for data in (1, 2.5, [1, 2], [[True], [False]], np.arange(3), np.zeros((2, 0)), np.float64(3)):
        a = NDArray(data, device=device)
        assert a.dtype == "float32"
        same(a, np.asarray(data, dtype="float32"))
    kept = NDArray(np.ones(2), device=device, dtype="float64")
    assert NDArray(kept).dtype == "float64"  # an NDArray is copied as it is
    assert NDArray(kept).device == device
    assert NDArray(kept)._handle.ptr() != kept._handle.ptr()


@pytest.mark.parametrize("layout", ["F", "reversed", "byteswapped", "sliced"])
def test_nd_backend_takes_numpy_arrays_of_any_layout(device: BackendDevice, layout: str) -> None:
    x = sample(4, 6, dtype="float64")
    y = {
        "F": np.asfortranarray(x),
        "reversed": x[::-1, ::-1],
        "byteswapped": x.astype(">f8"),
        "sliced": x[1::2, 2:5],
    }[layout]
    same(NDArray(y, device=device, dtype="float64"), y)


def test_nd_backend_device_constructors(device: BackendDevice, dtype: str) -> None:
    assert device.empty((2, 3), dtype=dtype).shape == (2, 3)
    same(device.full((2, 2), 1.5, dtype=dtype), np.full((2, 2), 1.5))
    np.random.seed(3)
    drawn = device.rand(2, 3, dtype=dtype), device.randn(4, dtype=dtype)
    np.random.seed(3)
    expected = np.random.rand(2, 3).astype(dtype), np.random.randn(4).astype(dtype)
    for result, values in zip(drawn, expected, strict=True):
        assert result.dtype == dtype
        same(result, values)
    same(device.one_hot(4, [3, 0, 1], dtype=dtype), np.eye(4)[[3, 0, 1]])
    with pytest.raises(IndexError, match="one_hot"):
        device.one_hot(3, [3])


def test_nd_backend_module_functions(device: BackendDevice) -> None:
    x = np.abs(sample(2, 3)) / 4
    a = nd.array(x, device=device)
    same(nd.reshape(a, (3, 2)), x.reshape(3, 2))
    same(nd.broadcast_to(a, (2, 2, 3)), np.broadcast_to(x, (2, 2, 3)))
    same(nd.flip(a, (0,)), x[::-1])
    same(nd.maximum(a, 1), np.maximum(x, 1))
    same(nd.zeros((2,), device=device), np.zeros(2))
    same(nd.full((2,), 7, device=device), np.full(2, 7))
    for name in ("log", "exp", "tanh"):
        result = getattr(nd, name)(a).numpy()
        np.testing.assert_allclose(result, getattr(np, name)(x), rtol=1e-6)
    np.testing.assert_allclose(nd.sum(a, axis=1).numpy(), x.sum(1))
    assert nd.empty((3, 0), device=device).shape == (3, 0)


def test_nd_backend_subclass_with_its_own_getitem(device: BackendDevice) -> None:
    class Doubling(NDArray):
        def __getitem__(self, key):
            return super().__getitem__(key) * 2

    a = Doubling([1, 2, 3], device=device)
    assert operator.getitem(a, 1).item() == 4
    assert isinstance(a, NDArray)
    assert type(a + 1) is NDArray


def test_nd_backend_to_moves_between_devices(device: BackendDevice) -> None:
    x = sample(3, 4)
    a = NDArray(x, device=nd.cpu_numpy())[::-1, ::2]
    moved = a.to(device)
    assert moved.device == device
    same(moved, x[::-1, ::2])
    assert moved.to(device)._handle.ptr() == moved._handle.ptr()


def test_nd_backend_default_device_is_cpu() -> None:
    assert NDArray([1]).device == nd.default_device() == nd.cpu()
