"""Exchange with numpy, torch, buffers, pickle and copy, on every device."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import weakref

import numpy as np
import pytest

import needle.backend_ndarray as nd
from needle.backend_ndarray import BackendDevice, NDArray

torch = pytest.importorskip("torch", reason="torch is one side of the exchange")

HOST = [pytest.param(d, id=d.name) for d in (nd.cpu(), nd.cpu_numpy())]
DTYPES = ["float32", "float64", "int32", "int64", "bool", "float16", "bfloat16"]


def sample(dtype: str = "float32") -> np.ndarray:
    return np.arange(12).reshape(3, 4).astype(dtype)


@pytest.mark.parametrize("host", HOST)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nd_backend_dlpack_to_torch_shares_memory(host: BackendDevice, dtype: str) -> None:
    a = nd.array(np.arange(12).reshape(3, 4), dtype=dtype, device=host)
    for view in (a, a.T, a[1:, ::2]):
        tensor = torch.from_dlpack(view)
        assert str(tensor.dtype) == f"torch.{dtype}"
        assert tensor.stride() == view.strides
        assert tensor.double().tolist() == view.astype("float64").tolist()
        tensor[0, 0] = 1
        assert view[0, 0].item() == 1


@pytest.mark.parametrize("host", HOST)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nd_backend_dlpack_from_torch_shares_memory(host: BackendDevice, dtype: str) -> None:
    tensor = torch.arange(12).reshape(3, 4).to(getattr(torch, dtype))
    for source in (tensor, tensor.T, tensor[1:, ::2]):
        a = nd.from_dlpack(source, device=host)
        assert (a.dtype, a.device, a.shape, a.strides) == (
            dtype,
            host,
            tuple(source.shape),
            source.stride(),
        )
        assert a.astype("float64").tolist() == source.double().tolist()
        a[0, 0] = 1
        assert source[0, 0].item() == 1


@pytest.mark.parametrize("host", HOST)
def test_nd_backend_dlpack_with_numpy(host: BackendDevice) -> None:
    x = sample()[::-1]
    a = NDArray.from_dlpack(x, device=host)
    assert a.strides == (-4, 1)
    a[0, 0] = 99
    assert x[0, 0] == 99
    assert np.shares_memory(x, np.from_dlpack(a[::-1]))
    with pytest.raises(BufferError, match="negative strides"):
        torch.from_dlpack(a)
    assert np.from_dlpack(a, copy=True).tolist() == x.tolist()
    locked = sample()
    locked.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        nd.from_dlpack(locked, device=host).fill(0)
    assert not np.from_dlpack(nd.from_dlpack(locked, device=host)).flags.writeable


def test_nd_backend_dlpack_keeps_the_owner_alive_and_lets_it_go() -> None:
    class Producer:
        def __init__(self, array: np.ndarray) -> None:
            self.array = array

        def __dlpack__(self, **how):
            return self.array.__dlpack__(**how)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    class Tracked(np.ndarray):
        pass

    owner = sample().view(Tracked)
    alive = weakref.ref(owner)
    a = nd.from_dlpack(Producer(owner))
    view = a[1]
    del owner, a
    gc.collect()
    assert alive() is not None
    assert view.tolist() == [4, 5, 6, 7]
    del view
    gc.collect()
    assert alive() is None


def test_nd_backend_dlpack_export_outlives_the_array(device: BackendDevice) -> None:
    before = device.memory_stats()["live_blocks"]
    exported = NDArray(sample(), device=device).__dlpack__(max_version=(1, 0))
    assert device.memory_stats()["live_blocks"] == before + 1
    del exported  # a capsule that nobody took frees its tensor
    assert device.memory_stats()["live_blocks"] == before


def test_nd_backend_dlpack_arguments(device: BackendDevice) -> None:
    a = NDArray(sample(), device=device)
    assert a.__dlpack_device__() == ({"cuda": 2, "cuda_sim": 12}.get(device.name, 1), 0)
    assert '"dltensor"' in repr(a.__dlpack__())
    assert '"dltensor_versioned"' in repr(a.__dlpack__(max_version=(1, 3)))
    on_host = np.from_dlpack(a, device="cpu", copy=True)
    on_host[...] = 0
    assert a.numpy().tolist() == sample().tolist()
    with pytest.raises(TypeError, match="__dlpack__"):
        nd.from_dlpack([1, 2])
    with pytest.raises(TypeError, match="from_dlpack"):
        nd.from_dlpack(np.zeros(2, dtype="uint8"))
    with pytest.raises(TypeError, match="from_dlpack"):
        nd.from_dlpack(np.zeros(2, dtype="complex64"))


class Offer:
    """An object with a capsule and a device of somebody's choice."""

    def __init__(self, capsule: object, place: object = (1, 0)) -> None:
        self.capsule, self.place = capsule, place

    def __dlpack__(self, **how: object) -> object:
        return self.capsule

    def __dlpack_device__(self) -> object:
        return self.place


def test_nd_backend_dlpack_errors_name_rule_and_value() -> None:
    a = NDArray([1.0, 2.0])
    capsule = a.__dlpack__()
    assert nd.from_dlpack(Offer(capsule)).tolist() == [1, 2]
    for error, text, call in (
        (TypeError, r"capsule, got type=int", lambda: nd.from_dlpack(Offer(5))),
        (ValueError, "nobody has taken, got name=used_", lambda: nd.from_dlpack(Offer(capsule))),
        (TypeError, "pair of ints, got value=None", lambda: nd.from_dlpack(Offer(0, None))),
        (TypeError, r"pair of ints, got value=\(1,\)", lambda: nd.from_dlpack(Offer(0, (1,)))),
    ):
        with pytest.raises(error, match=rf"^\[from_dlpack\] .*{text}"):
            call()


def test_nd_backend_dlpack_of_other_devices_takes_no_stream(device: BackendDevice) -> None:
    a = NDArray([1.0, 2.0], device=device)
    for how in ({"stream": None}, {"stream": -1}):
        assert "dltensor" in repr(a.__dlpack__(**how))
    for error, text, how in (
        (TypeError, "type=str", {"stream": "a"}),
        (ValueError, "stream=0", {"stream": 0}),
        (TypeError, "value=5", {"max_version": 5}),
        (TypeError, "value='cpu'", {"dl_device": "cpu"}),
    ):
        with pytest.raises(error, match=rf"^\[dlpack\] .*, got {text}"):
            a.__dlpack__(**how)
    if device.name != "cuda":
        with pytest.raises(ValueError, match=r"^\[dlpack\] .*, got stream=3"):
            a.__dlpack__(stream=3)


@pytest.mark.parametrize("host", HOST)
@pytest.mark.parametrize("dtype", DTYPES[:-1])
def test_nd_backend_buffer_protocol(host: BackendDevice, dtype: str) -> None:
    a = nd.array(sample(), dtype=dtype, device=host)
    x = sample(dtype)
    for view, expected in ((a, x), (a.T, x.T), (a[::-1, 1::2], x[::-1, 1::2])):
        buffer = memoryview(view)
        assert (buffer.shape, buffer.strides) == (expected.shape, expected.strides)
        assert buffer.format == memoryview(x).format or dtype == "int64"
        assert np.shares_memory(np.asarray(view), np.asarray(a))
        np.testing.assert_array_equal(np.asarray(buffer), expected)
    bytes_of = bytes(a)
    assert bytes_of == x.tobytes()
    memoryview(a).cast("B")[0:1] = b"\x01"
    assert a.numpy().tobytes()[:1] == b"\x01"


@pytest.mark.parametrize("host", HOST)
def test_nd_backend_buffer_of_a_broadcast_view_is_read_only(host: BackendDevice) -> None:
    a = NDArray([1, 2], device=host).broadcast_to((3, 2))
    assert memoryview(a).readonly
    assert not np.asarray(a).flags.writeable
    assert not np.from_dlpack(a).flags.writeable
    with pytest.raises((BufferError, TypeError)):
        io.BytesIO(bytes(24)).readinto(a)


@pytest.mark.parametrize("host", HOST)
def test_nd_backend_buffer_keeps_memory_alive(host: BackendDevice) -> None:
    x = np.asarray(NDArray(sample(), device=host)[1:])
    gc.collect()
    NDArray(np.full((3, 4), 7), device=host)
    assert x.tolist() == sample()[1:].tolist()


def test_nd_backend_array_protocol(device: BackendDevice) -> None:
    a = NDArray(sample(), device=device)
    np.testing.assert_array_equal(np.asarray(a.T), sample().T)
    assert np.asarray(a, dtype="float64").dtype == np.float64
    copied = np.array(a)
    copied[...] = -1
    assert a.numpy().tolist() == sample().tolist()
    with pytest.raises(ValueError, match="__array__"):
        a.__array__(dtype="float64", copy=False)


def test_nd_backend_numpy_is_always_a_copy(device: BackendDevice) -> None:
    a = NDArray(sample(), device=device)
    a.numpy()[...] = -1
    assert a.numpy().tolist() == sample().tolist()
    assert a.numpy().flags.writeable


@pytest.mark.parametrize("dtype", DTYPES)
def test_nd_backend_pickle(device: BackendDevice, dtype: str) -> None:
    a = nd.array(sample(), dtype=dtype, device=device)
    for view in (a, a.T[::-1], a[:0], a[1, 1]):
        again = pickle.loads(pickle.dumps(view))
        assert (again.dtype, again.device, again.shape) == (dtype, device, view.shape)
        assert again.tolist() == view.tolist()


def test_nd_backend_devices_pickle_to_themselves() -> None:
    for device in nd.all_devices():
        assert pickle.loads(pickle.dumps(device)) is device


def test_nd_backend_copy_and_deepcopy(device: BackendDevice) -> None:
    a = NDArray(sample(), device=device)
    for duplicate in (copy.copy(a), copy.deepcopy(a), copy.deepcopy([a])[0], a.copy()):
        duplicate.fill(0)
        assert a.numpy().tolist() == sample().tolist()


def test_nd_backend_numpy_leaves_mixed_operators_to_ndarray(device: BackendDevice) -> None:
    a = NDArray(sample(), device=device)
    assert isinstance(np.float32(2) * a, NDArray)
    assert isinstance(np.float64(2) - a, NDArray)
    assert isinstance(np.int64(2) < a, NDArray)
    for mixed in (lambda: sample() + a, lambda: a + sample(), lambda: a == np.array(1.0)):
        with pytest.raises(TypeError):
            mixed()


def test_nd_backend_reads_as_python(device: BackendDevice) -> None:
    a = NDArray(sample(), device=device)
    assert a.tolist() == sample().tolist()
    assert repr(NDArray([1.5, 2], device=device)) == f"NDArray([1.5, 2. ], device={device})"
    assert repr(nd.array([1], dtype="int64", device=device)).endswith(
        f"dtype=int64, device={device})"
    )
    weak = weakref.ref(a)
    del a
    assert weak() is None
