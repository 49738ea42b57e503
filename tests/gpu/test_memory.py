"""Memory of CUDA devices, and what others may offer of it through __cuda_array_interface__."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import needle.backend_ndarray as nd
from needle.backend_ndarray import BackendDevice, NDArray

sys.path.insert(0, str(Path(__file__).parent))  # runtime_devices.py lies beside this file
from runtime_devices import DEVICES, SIM, needs_sim, pretend

on_each = pytest.mark.parametrize("device", DEVICES)


# --- memory


@on_each
def test_cuda_kernels_own_memory_is_counted(device: BackendDevice) -> None:
    x = NDArray(np.ones(1 << 16), device=device)
    before = device.memory_stats()
    total = x.sum()  # slices, then their sums
    after = device.memory_stats()
    assert after["allocations"] >= before["allocations"] + 2
    assert after["live_blocks"] == before["live_blocks"] + 1
    assert total.item() == 1 << 16


@on_each
def test_cuda_out_of_memory_names_the_sizes(device: BackendDevice) -> None:
    total = device.properties()["total_bytes"]
    with pytest.raises(
        MemoryError,
        match=rf"no memory left on {device.name}\(\), got bytes={4 * total}, live_bytes=\d+, "
        rf"cached_bytes=\d+, device_free_bytes=\d+, device_total_bytes={total}",
    ):
        device.empty((total,))
    assert (NDArray([1.0], device=device) + 1).item() == 2


@needs_sim
def test_cuda_sim_out_of_memory_empties_the_cache_and_retries() -> None:
    SIM.empty_cache()
    room = SIM.properties()["total_bytes"] - SIM.properties()["free_bytes"] + (64 << 20)
    with pretend(memory=room):
        a = SIM.empty((10 << 20,))
        del a
        assert SIM.memory_stats()["cached_bytes"] >= 40 << 20
        b = SIM.empty((13 << 20,))  # fits only beside nothing else
        assert SIM.memory_stats()["cached_bytes"] < 40 << 20
        with pytest.raises(MemoryError):
            SIM.empty((13 << 20,))
        del b
    SIM.empty_cache()


@on_each
def test_cuda_checked_mode_sees_a_stray_write_and_poisons(device: BackendDevice) -> None:
    device.check_guards()
    device.set_checked(True)
    try:
        x = device.empty((7,))
        assert np.isnan(x.numpy()).all()
        nd.from_cuda_array_interface(Offer(x._handle.ptr() + 28), device).fill(1.0)
        (damage,) = device.check_guards()
        assert "first_byte_at=28" in damage
        assert "block_bytes=28" in damage
    finally:
        device.set_checked(False)


# --- __cuda_array_interface__


class Offer:
    """Somebody's array of float32 numbers at an address."""

    def __init__(self, address: int, shape: tuple[int, ...] = (1,), **changed: object) -> None:
        self.__cuda_array_interface__ = {
            "shape": shape,
            "typestr": "<f4",
            "data": (address, False),
            "version": 3,
        } | changed


@on_each
def test_cuda_array_interface_is_taken_without_a_copy(device: BackendDevice) -> None:
    base = NDArray(np.arange(12.0).reshape(3, 4), device=device)
    offer = Offer(base._handle.ptr() + 4, (3, 2), strides=(16, 8), stream=1)
    x = nd.from_cuda_array_interface(offer, device)
    assert (x.shape, x.strides, x.device) == ((3, 2), (4, 2), device)
    assert x.tolist() == [[1, 3], [5, 7], [9, 11]]
    x.fill(-1)
    assert base.tolist()[0] == [0, -1, 2, -1]
    copied = NDArray(offer, device=device)
    copied.fill(5)
    assert x[0, 0].item() == -1
    assert NDArray(offer).device == nd.cpu()
    held = sys.getrefcount(offer)
    del x
    assert sys.getrefcount(offer) == held - 1


@on_each
def test_cuda_array_interface_read_only_and_bad_offers(device: BackendDevice) -> None:
    base = NDArray(np.arange(4.0), device=device)
    address = base._handle.ptr()
    locked = nd.from_cuda_array_interface(Offer(address, data=(address, True)), device)
    with pytest.raises(ValueError, match="read-only"):
        locked.fill(0)
    empty = nd.from_cuda_array_interface(Offer(0, (0, 3)), device)
    assert empty.shape == (0, 3)
    on_host = np.zeros(4, "float32")
    for error, offer in (
        (TypeError, [1, 2]),
        (TypeError, Offer(address, typestr="<u4")),
        (ValueError, Offer(address, mask=on_host)),
        (ValueError, Offer(address, strides=(3,))),
        (ValueError, Offer(address, stream=0)),
        (ValueError, Offer(address, data="here")),
        (ValueError, Offer(address + 1)),
        (ValueError, Offer(on_host.ctypes.data)),
        (ValueError, Offer(0)),
    ):
        with pytest.raises(error, match=r"cuda_array_interface|foreign"):
            nd.from_cuda_array_interface(offer, device)


@needs_sim
def test_cuda_sim_never_offers_its_memory_as_a_gpus() -> None:
    x = NDArray([1.0], device=SIM)
    assert x.__dlpack_device__() == (12, 0)
    assert not hasattr(x, "__cuda_array_interface__")
    assert not hasattr(NDArray([1.0]), "__cuda_array_interface__")
