"""Memory of NDArray: leaks are numbers, guards see stray writes, exhaustion is an exception."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator

import numpy as np
import pytest

import needle.backend_ndarray as nd
from needle.backend_ndarray import BackendDevice, NDArray


@pytest.fixture
def checked(device: BackendDevice) -> Iterator[BackendDevice]:
    device.check_guards()
    device.empty_cache()
    device.set_checked(True)
    yield device
    device.set_checked(False)
    device.empty_cache()


def work(device: BackendDevice) -> None:
    a = NDArray(np.arange(24.0).reshape(4, 6), device=device)
    b = (a.T[::-1] + 1).compact() * 2 - a.T
    b[1:3] = a.T[:2]
    (b @ a).sum(axis=0).exp().numpy()
    x = a.reshape(1, 4, 6, 1)
    y = x.conv2d(a.reshape(2, 2, 1, 6), padding=1)
    y.conv2d_grad_input(a.reshape(2, 2, 1, 6), x.shape, padding=1)
    x.conv2d_grad_weight(y, (2, 2, 1, 6), padding=1)
    for bad in (lambda: a + b, lambda: a[9], lambda: a.reshape(5), lambda: a.conv2d(a)):
        with pytest.raises((ValueError, IndexError)):
            bad()


def test_nd_backend_leaks_nothing(device: BackendDevice) -> None:
    work(device)
    gc.collect()  # what an earlier test's error still holds goes now, not meanwhile
    before = device.memory_stats()
    for _ in range(20):
        work(device)
    after = device.memory_stats()
    assert after["live_bytes"] == before["live_bytes"]
    assert after["live_blocks"] == before["live_blocks"]
    assert after["allocations"] > before["allocations"]


def test_nd_backend_statistics_and_cache(device: BackendDevice) -> None:
    device.empty_cache()
    start = device.memory_stats()
    assert start["cached_bytes"] == 0
    a = device.empty((1000,))
    held = device.memory_stats()
    assert held["live_bytes"] == start["live_bytes"] + 4000
    assert held["live_blocks"] == start["live_blocks"] + 1
    del a
    assert device.memory_stats()["cached_bytes"] >= 4000
    b = device.empty((1000,))
    assert device.memory_stats()["cache_hits"] == held["cache_hits"] + 1
    del b
    device.empty_cache()
    assert device.memory_stats()["cached_bytes"] == 0


def test_nd_backend_peak(device: BackendDevice) -> None:
    device.reset_peak()
    start = device.memory_stats()
    assert start["peak_bytes"] == start["live_bytes"]
    a = device.empty((2000,))
    del a
    assert device.memory_stats()["peak_bytes"] == start["live_bytes"] + 8000


def test_nd_backend_checked_memory_is_poisoned(checked: BackendDevice) -> None:
    assert np.isnan(checked.empty((5, 7)).numpy()).all()
    assert np.isnan(checked.empty((3,), dtype="float64").numpy()).all()


def test_nd_backend_guards_stay_whole_under_work(checked: BackendDevice) -> None:
    work(checked)
    assert checked.check_guards() == []


@pytest.mark.parametrize("position", [-1, 7])
@pytest.mark.parametrize("host", [pytest.param(d, id=d.name) for d in (nd.cpu(), nd.cpu_numpy())])
def test_nd_backend_guards_see_a_stray_write(host: BackendDevice, position: int) -> None:
    host.check_guards()
    host.set_checked(True)
    try:
        a = host.empty((7,))
        element = ctypes.c_float.from_address(a._handle.ptr() + 4 * position)
        kept, element.value = element.value, 1.0
        damage = host.check_guards()
        assert len(damage) == 1
        assert "28" in damage[0]  # the block's size
        element.value = kept
        del a
    finally:
        host.set_checked(False)
        host.check_guards()
        host.empty_cache()


def test_nd_backend_exhausted_memory_is_an_exception(device: BackendDevice) -> None:
    with pytest.raises(MemoryError, match="bytes=4611686018427387904"):
        device.empty((1 << 60,))
    with pytest.raises(ValueError, match="empty"):
        device.empty((1 << 40, 1 << 40))
    a = NDArray([1.0], device=device).broadcast_to((1 << 50,))
    with pytest.raises(MemoryError):
        a.compact()
    assert a[1 << 40].item() == 1


def test_nd_backend_empty_arrays_have_no_bytes(device: BackendDevice) -> None:
    a = device.empty((0, 5))
    assert (a.size, a.nbytes) == (0, 0)
    assert a.numpy().shape == (0, 5)
    assert (a + 1).exp().sum(axis=0).tolist() == [0] * 5
