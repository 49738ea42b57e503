"""float16 and bfloat16 where a device computes in them: in float32, each result rounded once.

The reference is numpy's float32 arithmetic, rounded by ml_dtypes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

import needle as ndl
import needle.backend_ndarray as nd
from needle import nn
from needle.backend_ndarray import BackendDevice, NDArray

DEVICES = [d for d in (nd.cuda_sim(), nd.cuda()) if d.enabled()]
HALVES: dict[str, Any] = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
UNITS = {name: float(ml_dtypes.finfo(held).eps) for name, held in HALVES.items()}
Array = npt.NDArray[Any]
Compute = Callable[[Any], Any]

devices = pytest.mark.parametrize("device", DEVICES, ids=repr)
halves = pytest.mark.parametrize("dtype", HALVES)


def some(dtype: str, *shape: int, seed: int = 0) -> Array:
    """Values of any bits, as float32."""
    bits = np.random.default_rng(seed).integers(0, 1 << 16, shape).astype(np.uint16)
    return wide(bits.view(HALVES[dtype]))


def whole(*shape: int, seed: int = 0) -> Array:
    """Small whole numbers: their sums are exact in float32, and few of them in 16 bits."""
    return np.random.default_rng(seed).integers(0, 9, shape).astype(np.float32)


def wide(x: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return x.astype(np.float32)


def on(device: BackendDevice, x: Array, dtype: str) -> NDArray:
    return NDArray(x, device=device, dtype=dtype)


def same_bits(got: NDArray, want: Array, dtype: str) -> None:
    """got holds want, rounded; the bits of a NaN do not count."""
    assert got.dtype == dtype
    with np.errstate(all="ignore"):
        rounded = np.asarray(want, np.float32).astype(HALVES[dtype])
    nan = np.isnan(wide(rounded))
    np.testing.assert_array_equal(np.isnan(wide(got.numpy())), nan)
    np.testing.assert_array_equal(got.numpy().view(np.uint16)[~nan], rounded.view(np.uint16)[~nan])


def test_computed_dtypes() -> None:
    assert nd.cpu().computed_dtypes == nd.cpu_numpy().computed_dtypes == ("float32", "float64")
    for device in DEVICES:
        assert device.computed_dtypes == ("float32", "float64", "float16", "bfloat16")


@pytest.mark.parametrize("device", [nd.cpu(), nd.cpu_numpy()], ids=repr)
@halves
def test_other_devices_say_what_they_compute_in(device: BackendDevice, dtype: str) -> None:
    a = nd.zeros((2,), device=device, dtype=dtype)
    with pytest.raises(TypeError) as caught:
        a + a
    assert str(caught.value) == (
        "[add] computes in float32 and float64 (use .astype()), "
        f"got dtype={dtype}, device={device!r}"
    )
    with pytest.raises(TypeError, match=r"\[matmul\] computes in float32 and float64"):
        a @ a


EXACT: dict[str, Compute] = {
    "times one": lambda a: a * 1.0,
    "negate": lambda a: -a,
    "abs": lambda a: a.abs() if isinstance(a, NDArray) else np.abs(a),
    "strided": lambda a: a.reshape((256, 256)).T * 1.0,
    "minus zero": lambda a: a.reshape((256, 256))[:, 1:] + -0.0,
}


@devices
@halves
@pytest.mark.parametrize("op", EXACT)
def test_every_bit_pattern(device: BackendDevice, dtype: str, op: str) -> None:
    x = wide(np.arange(1 << 16, dtype=np.uint16).view(HALVES[dtype]))
    same_bits(EXACT[op](on(device, x, dtype)), EXACT[op](x), dtype)


ROUNDED: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "less": lambda a, b: a < b,
    "row": lambda a, b: a - b[:1],
    "column": lambda a, b: a - b[:, :1],
    "transposed": lambda a, b: a.T + b.reshape((384, 64)),
}


@devices
@halves
@pytest.mark.parametrize("op", ROUNDED)
def test_results_are_rounded_once(device: BackendDevice, dtype: str, op: str) -> None:
    x, y = some(dtype, 64, 384), some(dtype, 64, 384, seed=1)
    with np.errstate(all="ignore"):
        want = ROUNDED[op](x, y)
    same_bits(ROUNDED[op](on(device, x, dtype), on(device, y, dtype)), want, dtype)


@devices
@halves
@pytest.mark.parametrize("layout", [slice(None), slice(None, None, 3)], ids=["compact", "strided"])
def test_scalars_of_arithmetic_are_float32(
    device: BackendDevice, dtype: str, layout: slice
) -> None:
    x = whole(100)[layout]
    a = on(device, whole(100), dtype)[layout]
    for scalar in (0.1, 70000.0, 1e-8, 3e-6):
        s = np.float32(scalar)
        with np.errstate(all="ignore"):
            same_bits(a * scalar, x * s, dtype)
            same_bits(a / scalar, x / s, dtype)
            same_bits(scalar / a, s / x, dtype)
            same_bits(a + scalar, x + s, dtype)
            same_bits(scalar - a, s - x, dtype)
    root = x.astype(np.float64) ** float(np.float32(0.1))  # far from where roundings part
    np.testing.assert_allclose((a**0.1).numpy().astype(np.float64), root, rtol=UNITS[dtype] * 0.51)


@devices
@halves
def test_scalars_of_comparisons_are_rounded_to_the_arrays_dtype(
    device: BackendDevice, dtype: str
) -> None:
    tenth = wide(np.full(3, 0.1).astype(HALVES[dtype]))
    a = on(device, tenth, dtype)
    same_bits(a == 0.1, np.ones(3, np.float32), dtype)
    same_bits(a <= 0.1, np.ones(3, np.float32), dtype)
    same_bits(a > 0.1, np.zeros(3, np.float32), dtype)
    same_bits(a.maximum(0.1), tenth, dtype)


@devices
@halves
@pytest.mark.parametrize("shape", [(40000,), (3, 5000), (5000, 3), (40, 8, 16)])
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_sums_are_float32(
    device: BackendDevice, dtype: str, shape: tuple[int, ...], axis: int | None
) -> None:
    x = whole(*shape)
    a = on(device, x, dtype)
    same_bits(a.sum(axis=axis), x.sum(axis), dtype)
    same_bits(a.max(axis=axis), x.max(axis), dtype)
    if axis is not None:
        same_bits(a.cumsum(axis), x.cumsum(axis), dtype)
        same_bits(a.cumsum(axis, reverse=True), np.flip(np.flip(x, axis).cumsum(axis), axis), dtype)
        np.testing.assert_array_equal(a.argmax(axis).numpy(), x.argmax(axis))


@devices
@halves
def test_scatter_add_sums_in_float32(device: BackendDevice, dtype: str) -> None:
    x = whole(3000, 4)
    index = nd.zeros((3000, 4), device=device, dtype="int64")
    same_bits(on(device, x, dtype).scatter_add(index, 0, 1), x.sum(0, keepdims=True), dtype)


@devices
@halves
def test_where_takes_masks_of_the_operands_dtype(device: BackendDevice, dtype: str) -> None:
    mask = np.array([0.0, -0.0, np.nan, 1e-7, np.inf, -1.0], np.float32)
    x = np.arange(6, dtype=np.float32)
    chosen = np.asarray(wide(mask.astype(HALVES[dtype])) != 0)
    a = on(device, x, dtype)
    same_bits(on(device, mask, dtype).where(a, -a), np.where(chosen, x, -x), dtype)
    same_bits(on(device, chosen, "bool").where(a, -a), np.where(chosen, x, -x), dtype)


@devices
@halves
def test_autograd_of_half_tensors(device: BackendDevice, dtype: str) -> None:
    x = whole(4, 5)
    a = ndl.Tensor(x, device=device, dtype=dtype)
    y = ndl.summation(ndl.logsumexp(a * 0.5, axes=(1,)))
    y.backward()
    assert y.dtype == a.grad.dtype == dtype
    share = np.exp(x * 0.5) / np.exp(x * 0.5).sum(1, keepdims=True)
    unit = float(ml_dtypes.finfo(dtype).eps)
    np.testing.assert_allclose(wide(a.grad.numpy()), 0.5 * share, rtol=0, atol=4 * unit)


MEANS: dict[str, tuple[Callable[[Any], Any], Array, float]] = {
    "mean": (ndl.mean, np.full(30_000, 3.0), 3.0),
    "mean of large": (ndl.mean, np.full((4, 9), 60_000.0), 60_000.0),
    "var": (ndl.var, np.resize([-90.0, 90.0], 30_000), 8100.0),
    "avg_pool": (lambda x: ndl.avg_pool(x, 8)[0, 0, 0, 0], np.full((1, 8, 8, 1), 4096.0), 4096.0),
    "MSELoss": (
        lambda x: nn.MSELoss()(x, ndl.init.zeros_like(x)),
        np.full(30_000, 16.0),
        256.0,
    ),
    "cross_entropy": (
        lambda x: ndl.cross_entropy(x, np.zeros(x.shape[0])),
        np.tile(np.float64([0.0, 32.0]), (4_000, 1)),
        32.0,
    ),
}


@devices
@halves
@pytest.mark.parametrize("name", MEANS)
def test_means_do_not_overflow_in_their_sum(device: BackendDevice, dtype: str, name: str) -> None:
    function, values, want = MEANS[name]
    y = function(ndl.Tensor(values, device=device, dtype=dtype))
    same_bits(y.realize_cached_data(), np.float32(want), dtype)


@devices
@halves
def test_second_order_of_norms_does_not_overflow_in_its_sums(
    device: BackendDevice, dtype: str
) -> None:
    """4096 products of 900 are more than float16 holds, their mean is not."""
    values = np.random.default_rng(0).normal(size=(2, 4096))
    x = ndl.Tensor(values, device=device, dtype=dtype)
    h = ndl.Tensor(np.full(x.shape, 30.0), device=device, dtype=dtype)
    ndl.standardize(x).backward(h)
    x.grad.backward(h)
    assert np.isfinite(wide(x.grad.numpy())).all()
