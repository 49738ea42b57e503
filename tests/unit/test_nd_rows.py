"""Kernels over rows, in every layout of rows, against numpy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import needle.backend_ndarray as nd
from needle import _core

# Short rows, rows along memory, a few long ones; rows side by side; rows in stretches.
LAYOUTS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((), ()),
    ((6,), ()),
    ((4, 1), (1,)),
    ((3, 5), (1,)),
    ((19, 33), (-1,)),
    ((5, 130), (1,)),
    ((9, 512), (1,)),
    ((2, 40000), (1,)),
    ((7, 3), (0,)),
    ((3, 9, 37), (1,)),
    ((2, 140, 70), (1,)),
    ((6000, 12), (0,)),
    ((3, 4, 5), (0, 2)),
    ((3, 2, 130), (2, 0)),
    ((3, 4, 5, 6), (0, 2)),
]


def softmax(a: Any, axes: tuple[int, ...]) -> Any:
    powers = np.exp(a - a.max(axis=axes, keepdims=True))
    return powers / powers.sum(axis=axes, keepdims=True)


@pytest.fixture(params=["row-major", "reversed", "strided"])
def lies(request: pytest.FixtureRequest) -> str:
    """How arrays lie in memory: as they are, compact in another order of axes, with gaps."""
    return str(request.param)


@pytest.fixture(params=LAYOUTS, ids=str)
def rows(request: pytest.FixtureRequest, lies: str, dtype: str, device: nd.BackendDevice) -> Any:
    """(a, g, the same in float64, axes)."""
    shape, axes = request.param
    rng = np.random.default_rng(3)
    values = [rng.standard_normal(shape).astype(dtype) for _ in range(2)]
    order = tuple(range(len(shape)))
    order = order[::-1] if lies == "reversed" else order

    def placed(v: Any) -> nd.NDArray:
        v = np.array(v.transpose(order), order="C")
        if lies == "strided":
            return nd.NDArray(np.stack((v, -v), -1), device=device, dtype=dtype)[..., 0]
        return nd.NDArray(v, device=device, dtype=dtype).permute(order)

    return [placed(v) for v in values], [v.astype(np.float64) for v in values], axes


def near(got: nd.NDArray, want: Any, dtype: str) -> None:
    assert got.shape == want.shape
    assert got.dtype == dtype
    scale = np.max(np.abs(want), initial=1)
    u = np.finfo(dtype).eps * 64
    np.testing.assert_allclose(got.numpy(), want, rtol=u, atol=u * scale)


def test_softmax_and_its_logarithms(rows: Any, dtype: str) -> None:
    (a, _), (x, _), axes = rows
    y = softmax(x, axes)
    near(a.softmax(axes), y, dtype)
    near(a.logsoftmax(axes), np.log(y), dtype)
    total = np.log(np.exp(x).sum(axis=axes, keepdims=True))
    near(a.logsumexp(axes, True), total, dtype)
    near(a.logsumexp(axes), total.squeeze(tuple(d % x.ndim for d in axes)), dtype)


def test_gradients_of_softmax_and_its_logarithm(rows: Any, dtype: str) -> None:
    (a, g), (x, dy), axes = rows
    y = softmax(x, axes)
    want = y * (dy - (dy * y).sum(axis=axes, keepdims=True))
    near(a.softmax(axes).softmax_grad(g, axes), want, dtype)
    want = dy - y * dy.sum(axis=axes, keepdims=True)
    near(a.logsoftmax(axes).logsoftmax_grad(g, axes), want, dtype)


def standardized(x: Any, axes: tuple[int, ...], eps: float) -> tuple[Any, Any, Any]:
    mean, variance = (f(x, axis=axes, keepdims=True) for f in (np.mean, np.var))
    return (x - mean) / np.sqrt(variance + eps), mean, variance


@pytest.mark.parametrize("affine", [False, True])
def test_standardize_and_its_gradient(
    affine: bool, rows: Any, dtype: str, device: nd.BackendDevice
) -> None:
    (a, g), (x, dy), axes = rows
    rng, kept = np.random.default_rng(4), x.sum(axis=axes, keepdims=True).shape
    weight, bias = (rng.standard_normal(kept).astype(dtype) if affine else None for _ in "wb")
    arrays = [
        None if w is None else nd.NDArray(w, device=device, dtype=dtype) for w in (weight, bias)
    ]
    y, mean, variance, inverse = a.standardize(axes, 0.01, *arrays)
    wanted, middle, spread = standardized(x, axes, 0.01)
    near(y, wanted * weight + bias if affine else wanted, dtype)
    near(mean, middle, dtype)
    near(variance, spread, dtype)
    near(inverse, 1 / np.sqrt(spread + 0.01), dtype)
    h = dy * weight if affine else dy
    means = [v.mean(axis=axes, keepdims=True) for v in (h, h * wanted)]
    want = (h - means[0] - wanted * means[1]) / np.sqrt(spread + 0.01)
    near(a.standardize_grad(g, mean, inverse, axes, arrays[0]), want, dtype)
    if arrays[0] is not None:
        dx, dweight, dbias = a.normalize_grad(g, mean, inverse, axes, arrays[0])
        near(dx, want, dtype)
        near(dweight, (dy * wanted).sum(axis=axes, keepdims=True), dtype)
        near(dbias, dy.sum(axis=axes, keepdims=True), dtype)


@pytest.mark.parametrize(
    "shape", [(3, 5), (4, 1), (2, 200), (2, 3, 130), (70, 97), (3000, 40), (0, 3)]
)
def test_standardize_with_weights_of_places(
    shape: tuple[int, ...], dtype: str, device: nd.BackendDevice
) -> None:
    rng = np.random.default_rng(5)
    x, dy = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    w, b = (rng.standard_normal(shape[-1]).astype(dtype) for _ in range(2))
    a, g, weight, bias = (nd.NDArray(v, device=device, dtype=dtype) for v in (x, dy, w, b))
    y, mean, _, inverse = a.standardize(-1, 0.1, weight, bias)
    wanted, _, spread = standardized(x.astype(np.float64), (-1,), 0.1)
    near(y, wanted * w + b, dtype)
    h = dy.astype(np.float64) * w
    means = [v.mean(-1, keepdims=True) for v in (h, h * wanted)]
    want = (h - means[0] - wanted * means[1]) / np.sqrt(spread + 0.1)
    near(a.standardize_grad(g, mean, inverse, -1, weight), want, dtype)
    dx, dweight, dbias = a.normalize_grad(g, mean, inverse, -1, weight)
    near(dx, want, dtype)
    before = tuple(range(x.ndim - 1))
    near(dweight, (dy * wanted).sum(before), dtype)
    near(dbias, dy.astype(np.float64).sum(before), dtype)


def test_results_do_not_depend_on_threads(rows: Any, device: nd.BackendDevice) -> None:
    (a, g), _, axes = rows
    threads = _core.get_num_threads()
    found = []
    for n in (1, 3):
        _core.set_num_threads(n)
        try:
            y = a.softmax(axes)
            z, mean, variance, inverse = a.standardize(axes, 0.1)
            dx = a.standardize_grad(g, mean, inverse, axes)
            all_three = a.normalize_grad(g, mean, inverse, axes, variance)
            results = (y, a.logsumexp(axes), y.softmax_grad(g, axes), z, variance, dx, *all_three)
            found.append([r.numpy() for r in results])
        finally:
            _core.set_num_threads(threads)
    for one, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, three)


def test_refusals(device: nd.BackendDevice) -> None:
    a = nd.NDArray(np.ones((2, 3)), device=device, dtype="float32")
    with pytest.raises(IndexError, match=r"\[softmax\] .*axis=2"):
        a.softmax(2)
    with pytest.raises(ValueError, match=r"\[logsumexp\] axes must be distinct"):
        a.logsumexp((0, -2))
    with pytest.raises(ValueError, match=r"\[softmax_grad\] .* got y.shape=\(2, 3\), dy.shape"):
        a.softmax_grad(a[:1], 1)
    with pytest.raises(TypeError, match=r"\[logsoftmax_grad\] .* one dtype"):
        a.logsoftmax_grad(a.astype("float64"), 1)
    with pytest.raises(TypeError, match=r"\[logsoftmax\] computes in"):
        a.astype("int32").logsoftmax(1)
    mean = a.sum(1, True)
    with pytest.raises(ValueError, match=r"\[standardize\] weight and bias are given together"):
        a.standardize(1, 0.1, mean)
    with pytest.raises(ValueError, match=r"\[standardize\] .*, got weight.shape=\(2,\)"):
        a.standardize(1, 0.1, mean.reshape(2), mean.reshape(2))
    with pytest.raises(ValueError, match=r"\[standardize_grad\] .* mean.shape=\(2, 3\)"):
        a.standardize_grad(a, a, a, 1)
    with pytest.raises(ValueError, match=r"\[standardize_grad\] .*, got weight.shape=\(2,\)"):
        a.normalize_grad(a, mean, mean, 1, mean.reshape(2))
