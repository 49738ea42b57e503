"""Elements by mask and by index, running sums, argmax and further reductions of NDArray."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import needle.backend_ndarray as nd
from needle import _core
from needle.backend_ndarray import BackendDevice, NDArray

View = Callable[[Any], Any]
VIEWS: dict[str, View] = {
    "compact": lambda a: a,
    "transposed": lambda a: a.T,
    "reversed": lambda a: a[::-1, 1::2],
    "row": lambda a: a[1:2],
}
views = pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def same(got: NDArray, want: np.ndarray) -> None:
    assert (got.dtype, got.shape) == (want.dtype.name, want.shape)
    np.testing.assert_array_equal(got.numpy(), want)


@views
def test_where(device: BackendDevice, dtype: str, view: View) -> None:
    x, y = (view(normal(6, 7, seed=s).astype(dtype)) for s in (0, 1))
    m = view(np.where(normal(6, 7, seed=2) > 0, np.nan, 0).astype(dtype))  # NaN is not 0
    a, b, mask = (NDArray(v, device=device, dtype=dtype) for v in (x, y, m))
    same(mask.where(a, b), np.where(m != 0, x, y))
    same(mask.astype("bool").where(a, 2), np.where(m != 0, x, 2).astype(dtype))
    same(mask.where(-0.0, b), np.where(m != 0, -0.0, y).astype(dtype))
    same(mask.where(1, 0), (m != 0).astype(dtype))
    same(mask[:1].where(a, b[:, :1]), np.where(m[:1] != 0, x, y[:, :1]))
    same(mask[:0].where(a, b[:1]) if len(x) == 1 else mask[:0].where(1, 0), x[:0])


def scattered(x: np.ndarray, index: np.ndarray, axis: int, n: int) -> np.ndarray:
    shape = list(x.shape)
    shape[axis] = n
    result = np.zeros(shape, x.dtype)
    for at in np.ndindex(*x.shape):
        to = list(at)
        to[axis] = index[at]
        result[tuple(to)] += x[at]
    return result


@views
@pytest.mark.parametrize("axis", [0, -1])
def test_take_along_axis_and_scatter_add(
    device: BackendDevice, dtype: str, view: View, axis: int
) -> None:
    x = view(normal(6, 8).astype(dtype))
    a = NDArray(x, device=device, dtype=dtype)
    n = x.shape[axis]
    index = np.random.default_rng(1).integers(-n, n, x.shape)
    places = NDArray(index, device=device, dtype="int64")
    same(a.take_along_axis(places, axis), np.take_along_axis(x, index, axis))
    same(a.scatter_add(places, axis, n), scattered(x, index, axis, n))
    # one index for every row or column: what broadcasts stays so
    one = np.take(index, [0], axis=1 + axis)
    wide = np.broadcast_to(one, x.shape)
    few = NDArray(one, device=device, dtype="int64")
    same(a.take_along_axis(few, axis), np.take_along_axis(x, one, axis))
    same(a.take_along_axis(few.broadcast_to(x.shape), axis), np.take_along_axis(x, wide, axis))
    same(a.scatter_add(few, axis, n), scattered(x, wide, axis, n))


@pytest.mark.parametrize("dtype", ["int64", "bool", "float16"])
def test_take_along_axis_moves_any_dtype(device: BackendDevice, dtype: str) -> None:
    x = (normal(4, 5) * 3).astype(dtype)
    index = np.array([[3], [0], [-1]])
    a = NDArray(x, device=device, dtype=dtype)
    same(a.take_along_axis(NDArray(index, device=device, dtype="int64"), 0), x[index[:, 0]])


def summed(device: BackendDevice, x: np.ndarray) -> np.ndarray:
    """x where a device adds in numpy's order; whole numbers, exact in any, where it has its own."""
    return np.round(8 * x) if device == nd.cuda_sim() else x


@views
@pytest.mark.parametrize("axis", [0, -1])
def test_cumsum(device: BackendDevice, dtype: str, view: View, axis: int) -> None:
    x = view(np.where(normal(6, 70) > 1, -0.0, summed(device, normal(6, 70))).astype(dtype))
    a = NDArray(x, device=device, dtype=dtype)
    same(a.cumsum(axis), x.cumsum(axis))
    got, want = a.cumsum(axis, reverse=True), np.flip(np.flip(x, axis).cumsum(axis), axis)
    same(got, want)
    assert (np.signbit(got.numpy()) == np.signbit(want)).all()


@views
@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize("special", [0.0, np.nan, np.inf])
def test_argmax_and_argmin(
    device: BackendDevice, dtype: str, view: View, axis: int | None, special: float
) -> None:
    x = np.round(normal(6, 70).astype(dtype))  # ties
    x[2, 11] = x[4, 3] = special
    x = view(x)
    a = NDArray(x, device=device, dtype=dtype)
    for name in ("argmax", "argmin"):
        for keepdims in (False, True):
            same(
                getattr(a, name)(axis, keepdims),
                np.asarray(getattr(x, name)(axis, keepdims=keepdims)),
            )


@pytest.mark.parametrize("n", [1, 15, 64, 65, 2047, 2048, 2049, 5000])
def test_places_in_long_rows(device: BackendDevice, dtype: str, n: int) -> None:
    """The first of equal ones, and of NaNs, wherever blocks and vectors end."""
    rng = np.random.default_rng(n)
    rows = rng.integers(-3, 3, (9, n)).astype(dtype)
    for row, place in zip(rows[1:], (0, n // 2, n - 1, n // 3, -1, -1, 2 * n // 3, 0), strict=True):
        row[place] = 9
    rows[5, n // 3] = -9
    rows[6:8, n - 1] = rows[6, n // 2] = np.nan
    a = NDArray(rows, device=device, dtype=dtype)
    same(a.argmax(1), rows.argmax(1))
    same(a.argmin(1), rows.argmin(1))
    same(a[:, ::-1].argmax(1), rows[:, ::-1].argmax(1))
    sums = rows[:5].cumsum(1)
    same(a[:5].cumsum(1), sums)
    same(a[:5].cumsum(1, reverse=True), rows[:5, ::-1].cumsum(1)[:, ::-1])


@views
@pytest.mark.parametrize("axis", [None, 0, (0, 1), ()])
def test_min_and_prod(device: BackendDevice, dtype: str, view: View, axis: Any) -> None:
    x = view((1 + 0.1 * normal(6, 70)).astype(dtype))
    a = NDArray(x, device=device, dtype=dtype)
    same(a.min(axis, keepdims=True), x.min(axis, keepdims=True))
    tolerance = 420 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(a.prod(axis).numpy(), x.prod(axis), rtol=tolerance)
    x = x.copy()
    x[0, 0] = np.nan
    same(NDArray(x, device=device, dtype=dtype).min(axis), np.asarray(x.min(axis)))


def test_nothing_to_reduce(device: BackendDevice) -> None:
    a = NDArray(np.zeros((0, 3)), device=device)
    same(a.prod(0), np.ones(3, np.float32))
    same(a.argmax(1), np.zeros(0, np.int64))
    same(a.cumsum(0), np.zeros((0, 3), np.float32))
    for reduce in (a.min, a.argmax, a.argmin):
        with pytest.raises(ValueError, match=r"\[\w+\] needs at least one element"):
            reduce(0)
        with pytest.raises(ValueError, match=r"\[\w+\] needs at least one element"):
            reduce()


def test_concatenate(device: BackendDevice, dtype: str) -> None:
    x, y = normal(2, 3, 4).astype(dtype), normal(2, 5, 4, seed=1).astype(dtype)
    a, b = (NDArray(v, device=device, dtype=dtype) for v in (x, y))
    same(nd.concatenate([a, b[:, ::-1], b[:, :0]], -2), np.concatenate([x, y[:, ::-1]], 1))
    for arrays, axis, error in (
        ([], 0, ValueError),
        ([a, b], 0, ValueError),
        ([a, b[0]], 0, ValueError),
        ([a, a], 3, IndexError),
        ([a, a.astype("int64")], 0, TypeError),
    ):
        with pytest.raises(error, match=r"\[\w+\]"):
            nd.concatenate(arrays, axis)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_stack(device: BackendDevice, dtype: str, axis: int) -> None:
    x, y = normal(5, 3).astype(dtype), normal(3, 5, seed=1).astype(dtype)
    a, b = (NDArray(v, device=device, dtype=dtype) for v in (x, y))
    same(nd.stack([a, b.T, a[::-1]], axis), np.stack([x, y.T, x[::-1]], axis))
    same(nd.stack((a[:0], a[:0]), axis), np.stack([x[:0], x[:0]], axis))
    for arrays, error in (
        ([], ValueError),
        ([a, b], ValueError),
        ([a, x], TypeError),
        ([a, a.astype("int64")], TypeError),
    ):
        with pytest.raises(error, match=r"\[stack\]"):
            nd.stack(arrays, axis)
    with pytest.raises(IndexError, match=r"\[stack\] axis"):
        nd.stack([a], 3)
    with pytest.raises(TypeError, match=r"\[stack\] axis is an int, got axis=None"):
        nd.stack([a], None)


def test_one_hot_of_many_classes_takes_no_square(device: BackendDevice) -> None:
    hot = device.one_hot(1 << 20, [[5.0, (1 << 20) - 1]])  # an identity matrix would take 4 TiB
    assert hot.shape == (1, 2, 1 << 20)
    assert hot.argmax(2).tolist() == [[5, (1 << 20) - 1]]
    for odd in (0.5, np.nan, np.inf, 1e30):
        with pytest.raises(ValueError, match=r"\[one_hot\] takes whole numbers, got label="):
            device.one_hot(3, [odd])
    with pytest.raises(ValueError, match="whole"):
        device.one_hot(3, np.array([2**64 - 1], np.uint64))
    with pytest.raises(TypeError, match="dtype"):
        device.one_hot(3, ["1"])
    for odd in (-1, 3):
        with pytest.raises(
            IndexError, match=rf"\[one_hot\] labels lie in .* got label={odd}, classes=3"
        ):
            device.one_hot(3, [odd])


ERRORS: list[tuple[Callable[[NDArray, NDArray], Any], type[Exception], str]] = [
    (lambda a, i: a.where(a, "x"), TypeError, r"\[where\] operands are NDArrays or numbers"),
    (lambda a, i: a.where(a, a.astype("int64")), TypeError, r"\[where\] .* one dtype"),
    (lambda a, i: i.where(a, a), TypeError, r"\[where\] mask must be bool"),
    (lambda a, i: a.where(a[0, :2], a), ValueError, r"\[where\] shapes must broadcast"),
    (lambda a, i: a.take_along_axis(a, 0), TypeError, r"\[take_along_axis\] .* int64"),
    (lambda a, i: a.take_along_axis(i[0], 0), ValueError, r"\[take_along_axis\] .* axes"),
    (lambda a, i: a.take_along_axis(i, 2), IndexError, r"\[take_along_axis\] axis"),
    (lambda a, i: a.take_along_axis(i, 0), IndexError, r"index=2, n=2"),
    (lambda a, i: a.scatter_add(i, 1, 2), IndexError, r"\[scatter_add\] .*index=2, n=2"),
    (lambda a, i: a.scatter_add(i, 1, -1), IndexError, r"\[scatter_add\]"),
    (lambda a, i: a[:, :1].scatter_add(i, 1, 3), ValueError, r"\[scatter_add\] .* broadcast"),
    (lambda a, i: i.scatter_add(i, 1, 3), TypeError, r"\[scatter_add\] computes in"),
    (lambda a, i: a.cumsum(-3), IndexError, r"\[cumsum\] axis"),
    (lambda a, i: i.cumsum(0), TypeError, r"\[cumsum\] computes in"),
    (lambda a, i: a.argmax(2), IndexError, r"\[argmax\] axis"),
    (lambda a, i: i.argmin(), TypeError, r"\[argmin\] computes in"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[e[2][:28] for e in ERRORS])
def test_errors_name_the_op(
    call: Callable[..., Any], error: type[Exception], text: str, device: BackendDevice
) -> None:
    a = NDArray(normal(2, 3), device=device)
    with pytest.raises(error, match=text):
        call(a, NDArray([[0, 1, 2], [2, 1, 0]], device=device, dtype="int64"))


def test_operands_are_on_one_device() -> None:
    a, there = NDArray(normal(2, 3)), nd.cpu_numpy()
    index = NDArray(np.zeros((2, 3)), device=there, dtype="int64")
    for call in (
        lambda: a.to(there).where(a, a),
        lambda: a.take_along_axis(index, 0),
        lambda: a.scatter_add(index, 0, 2),
    ):
        with pytest.raises(ValueError, match="must be on one device"):
            call()


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_index_gives_what_numpy_gives_or_an_exception(
    device: BackendDevice, data: st.DataObject
) -> None:
    x = normal(*data.draw(array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))
    shape = data.draw(array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    places = st.integers(-5, 5) | st.integers(-(2**63), 2**63 - 1)
    count = int(np.prod(shape))
    index = np.array(data.draw(st.lists(places, min_size=count, max_size=count)), np.int64)
    index, axis = index.reshape(shape), data.draw(st.integers(-4, 4))
    a, i = (NDArray(v, device=device, dtype=v.dtype.name) for v in (x, index))
    calls: list[tuple[Callable[[], np.ndarray], Callable[[], NDArray]]] = [
        (lambda: np.take_along_axis(x, index, axis), lambda: a.take_along_axis(i, axis)),
        (lambda: np.where(index > 0, x, 1.0), lambda: (i.astype("float64") > 0).where(a, 1.0)),
    ]
    if x.ndim and x.size:  # numpy refuses what has no result at all
        calls.append((lambda: np.argmax(x, axis), lambda: a.argmax(axis)))
    if x.ndim:
        terms = summed(device, x)
        b = NDArray(terms, device=device, dtype="float64")
        calls.append((lambda: terms.cumsum(axis), lambda: b.cumsum(axis)))
    for theirs, ours in calls:
        try:
            want = np.asarray(theirs())
        except (ValueError, IndexError):
            with pytest.raises((ValueError, IndexError)):
                ours()
            continue
        np.testing.assert_array_equal(ours().numpy(), want)


def test_results_do_not_depend_on_the_thread_count() -> None:
    a = NDArray(normal(400, 300))
    index = NDArray(np.random.default_rng(1).integers(0, 9, (400, 300)), dtype="int64")
    threads, results = _core.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            _core.set_num_threads(count)
            got = [a.prod(0), a.min(1)]
            for axis in (0, 1):
                got += [a.cumsum(axis), a.scatter_add(index, axis, 9), a.argmax(axis)]
            results.append([r.numpy().tobytes() for r in got])
    finally:
        _core.set_num_threads(threads)
    assert results[0] == results[1] == results[2]
