"""CUDA arrays shared with torch: DLPack and __cuda_array_interface__, on the right stream."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import numpy as np
import pytest

import needle.backend_ndarray as nd
from needle.backend_ndarray import NDArray

sys.path.insert(0, str(Path(__file__).parent))  # runtime_devices.py lies beside this file
from runtime_devices import GPU, needs_gpu

torch = pytest.importorskip("torch", reason="torch is one side of the exchange")

pytestmark = [
    *needs_gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]
DTYPES = ["float32", "float64", "int32", "int64", "bool", "float16", "bfloat16"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_cuda_dlpack_to_torch_and_back_shares_memory(dtype: str) -> None:
    a = nd.array(np.arange(12).reshape(3, 4), dtype=dtype, device=GPU)
    for view in (a, a.T, a[1:, ::2]):
        tensor = torch.from_dlpack(view)
        assert (tensor.device.type, str(tensor.dtype)) == ("cuda", f"torch.{dtype}")
        assert tensor.data_ptr() == view._handle.ptr() + view._offset * tensor.element_size()
        assert tensor.double().tolist() == view.astype("float64").tolist()
        back = nd.from_dlpack(tensor)
        assert (back.device, back.strides, back.dtype) == (GPU, view.strides, dtype)
        tensor[0, 0] = 1
        assert back[0, 0].item() == view[0, 0].item() == 1


def test_cuda_dlpack_stream_argument() -> None:
    a = NDArray([1.0, 2.0], device=GPU)
    for stream in (None, -1, 1, 2, torch.cuda.Stream().cuda_stream):
        assert "dltensor" in repr(a.__dlpack__(stream=stream))
    for error, stream in ((ValueError, 0), (ValueError, -2), (TypeError, "1")):
        with pytest.raises(error, match="dlpack"):
            a.__dlpack__(stream=stream)
    on_host = np.from_dlpack(a, device="cpu", copy=True)
    assert on_host.tolist() == [1, 2]


def test_cuda_dlpack_orders_streams_of_both_sides() -> None:
    """Each side reads, on a stream of its own, what the other has just queued on one."""
    n, ours, theirs = 1 << 22, GPU.stream(), torch.cuda.Stream()
    for i in range(5):
        with ours:
            a = GPU.full((n,), 0)
            for _ in range(20):
                a = a + (i + 1)
        with torch.cuda.stream(theirs):
            with ours:
                tensor = torch.from_dlpack(a)
            doubled = tensor * 2
            for _ in range(20):
                doubled = doubled + 1
            del tensor, a
            with ours:
                b = nd.from_dlpack(doubled) + 0
        del doubled
        assert set(b.numpy()) == {40.0 * (i + 1) + 20}


def test_cuda_dlpack_memory_lives_and_dies_with_its_users() -> None:
    gc.collect()
    before = GPU.memory_stats()["live_blocks"]
    a = NDArray([1.0, 2.0], device=GPU)
    tensor = torch.from_dlpack(a)
    del a
    gc.collect()
    assert tensor.tolist() == [1, 2]
    assert GPU.memory_stats()["live_blocks"] == before + 1
    del tensor
    gc.collect()
    assert GPU.memory_stats()["live_blocks"] == before
    held = torch.cuda.memory_allocated()
    b = nd.from_dlpack(torch.ones(1000, device="cuda"))
    assert torch.cuda.memory_allocated() > held
    assert (b + 1).tolist() == [2] * 1000
    del b
    assert torch.cuda.memory_allocated() == held


def test_cuda_array_interface_with_torch() -> None:
    a = NDArray(np.arange(12.0).reshape(3, 4), device=GPU)
    interface = a[:, 1:].__cuda_array_interface__
    assert interface["version"] == 3
    assert interface["stream"] == 1
    assert interface["strides"] == (16, 4)
    tensor = torch.as_tensor(a, device="cuda")
    assert tensor.data_ptr() == a._handle.ptr()
    tensor[0, 0] = 9
    assert a[0, 0].item() == 9
    assert a.broadcast_to((2, 3, 4)).__cuda_array_interface__["data"][1] is True
    back = nd.from_cuda_array_interface(tensor.T)
    assert (back.device, back.shape, back.strides) == (GPU, (4, 3), (1, 4))
    back.fill(3)
    assert tensor.sum().item() == 36
    assert NDArray(tensor, device=GPU)._handle.ptr() != tensor.data_ptr()
    assert NDArray(tensor).device == nd.cpu()
    assert not hasattr(a.astype("bfloat16"), "__cuda_array_interface__")


def test_cuda_graph_of_torch_and_needle_is_refused() -> None:
    a = NDArray([1.0], device=GPU)
    with pytest.raises(RuntimeError, match="captured"), GPU.graph():
        torch.from_dlpack(a)
    assert (a + 1).item() == 2
