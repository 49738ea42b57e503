"""Streams, events, several devices and forks of CUDA, on the GPU and on the simulator."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import needle.backend_ndarray as nd
from needle.backend_ndarray import BackendDevice, NDArray

sys.path.insert(0, str(Path(__file__).parent))  # runtime_devices.py lies beside this file
from runtime_devices import DEVICES, GPU, SIM, needs_gpu, needs_sim, pretend

on_each = pytest.mark.parametrize("device", DEVICES)


def numbers(n: int = 100_000) -> np.ndarray:
    return np.random.default_rng(0).normal(size=n).astype("float32")


# --- streams and events


@on_each
def test_cuda_stream_and_default_stream_wait_for_each_other(device: BackendDevice) -> None:
    x = NDArray(numbers(), device=device)
    stream = device.stream()
    with stream as entered:
        assert entered is stream
        y = x * 2
        for _ in range(20):
            y = y + x
    np.testing.assert_allclose(y.numpy(), numbers() * 22, rtol=1e-5)
    stream.synchronize()
    assert stream.handle != 0


@on_each
def test_cuda_streams_nest_and_end_with_an_error(device: BackendDevice) -> None:
    a, b = device.stream(), device.stream()
    assert a.handle != b.handle
    with pytest.raises(KeyError), a, b:
        raise KeyError
    with pytest.raises(RuntimeError, match="left first"):
        a.__exit__(None, None, None)
    assert (NDArray([1.0], device=device) + 1).item() == 2


@on_each
def test_cuda_stream_that_is_dropped_is_left(device: BackendDevice) -> None:
    x = NDArray([1.0], device=device)
    with device.stream() as outer:
        device.stream().__enter__()  # dropped at once
        y = x + 1
    inner = device.stream()
    inner.__enter__()
    kept = inner.handle
    del inner
    others = [device.stream() for _ in range(3)]
    for other in others:
        with pytest.raises(RuntimeError, match="left first"):
            other.__exit__(None, None, None)
        with other, outer:
            y = y + x
    assert y.item() == 5
    assert kept != 0


@on_each
def test_cuda_events(device: BackendDevice) -> None:
    x, first, second = NDArray(numbers(), device=device), device.event(), device.event()
    for ask in (first.query, first.synchronize, lambda: device.stream().wait(first)):
        with pytest.raises(RuntimeError, match="has not been recorded"):
            ask()
    first.record()
    (x + 1).exp()
    second.record()
    assert first.elapsed_ms(second) >= 0
    second.synchronize()
    assert second.query() is True


@on_each
def test_cuda_memory_of_one_stream_is_not_reused_while_another_reads_it(
    device: BackendDevice,
) -> None:
    """A block that `theirs` still reads is freed; `ours` gets it again and overwrites it."""
    ours, theirs, made = device.stream(), device.stream(), device.event()
    n = 1 << 20 if device == GPU else 1 << 12
    total = device.full((n,), 0)
    device.synchronize()
    for i in range(20):
        with ours:
            x = device.full((n,), i)
            made.record()
        theirs.wait(made)
        with theirs:
            for _ in range(4):
                total = total + x
        del x
    assert set(total.numpy()) == {4.0 * sum(range(20))}


@on_each
def test_cuda_streams_have_memory_of_their_own(device: BackendDevice) -> None:
    stream = device.stream()
    with stream:
        x = device.empty((1000,))
        place = x._handle.ptr()
        del x
    y = device.empty((1000,))
    assert y._handle.ptr() != place
    with stream:
        assert device.empty((1000,))._handle.ptr() == place


def test_cuda_streams_are_for_cuda_devices() -> None:
    for make in (nd.cpu().stream, nd.cpu().event, nd.cpu().graph, nd.cpu().properties):
        with pytest.raises(RuntimeError, match=r"only CUDA devices have it.*device=cpu\(\)"):
            make()


# --- devices and processes


@on_each
def test_cuda_properties(device: BackendDevice) -> None:
    found = device.properties()
    assert found["name"]
    assert 0 < found["free_bytes"] <= found["total_bytes"]
    assert found["multiprocessors"] > 0
    assert len(found["capability"]) == 2


def exchange(first: BackendDevice, second: BackendDevice) -> None:
    x = NDArray(numbers(), device=first)
    y = (x + 1).to(second)
    assert y.device == second
    z = (y * 2).to(first) - x
    np.testing.assert_array_equal(z.numpy(), (numbers() + 1) * 2 - numbers())
    with pytest.raises(ValueError, match="one device"):
        x + y
    with pytest.raises(RuntimeError, match="captured"), first.graph():
        x.to(second)


@pytest.mark.gpu
@pytest.mark.skipif(not nd.cuda(1).enabled(), reason=str(nd.cuda(1).reason))
def test_cuda_two_gpus_exchange_arrays() -> None:
    exchange(GPU, nd.cuda(1))


@needs_sim
def test_cuda_sim_two_devices_exchange_arrays() -> None:
    with pretend(devices=2):
        exchange(SIM, nd.cuda_sim(1))
        assert nd.cuda_sim(7).reason == "there are 2 devices, got index=7"


@needs_sim
@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        ({"driver": 0}, "no CUDA driver"),
        ({"devices": 0}, "no CUDA device"),
        ({"driver": 12020}, r"driver too old \(it supports CUDA 12.2, needle was built with 13.0"),
    ],
)
def test_cuda_sim_says_why_it_is_unavailable(machine: dict[str, int], reason: str) -> None:
    module = importlib.import_module("needle._cuda_sim")
    with pretend(**machine):
        assert re.match(reason, module.unavailable_reason())
        assert module.device_count() == 0
        with pytest.raises(IndexError, match="no CUDA device of this index"):
            module.backend(0)


FORK = """
import os, sys
import needle.backend_ndarray as nd
device = nd.{name}()
{before}
x = nd.NDArray([1.0, 2.0], device=device)
child = os.fork()
if child == 0:
    try:
        x + 1
        os._exit(0)
    except RuntimeError as error:
        os._exit(3 if "] CUDA cannot be used in a process forked" in str(error) else 4)
    except BaseException:
        os._exit(5)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert (x + 1).tolist() == [2, 3]
sys.exit(status)
"""


@pytest.mark.parametrize(
    ("name", "before", "status"),
    [
        pytest.param("cuda", "", 3, id="cuda", marks=needs_gpu),
        pytest.param(
            "cuda_sim",
            "import needle._cuda_sim as sim; sim.pretend(survives_fork=False)",
            3,
            id="cuda_sim",
            marks=needs_sim,
        ),
        pytest.param("cuda_sim", "", 0, id="cuda_sim-by-default", marks=needs_sim),
    ],
)
def test_cuda_in_a_forked_process_is_an_error(name: str, before: str, status: int) -> None:
    program = FORK.format(name=name, before=before)
    result = subprocess.run([sys.executable, "-c", program], timeout=120)
    assert result.returncode == status


NO_DRIVER = """
import os, sys
import needle._cuda_sim as sim
sim.pretend(survives_fork=False, {machine})
reason = sim.unavailable_reason()
child = os.fork()
if child == 0:
    os._exit(0 if sim.unavailable_reason() == reason else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@needs_sim
@pytest.mark.parametrize("machine", ["driver=0", "devices=0", "driver=12020"])
def test_cuda_a_fork_without_a_driver_gives_the_same_reason(machine: str) -> None:
    program = NO_DRIVER.format(machine=machine)
    assert subprocess.run([sys.executable, "-c", program], timeout=120).returncode == 0


@pytest.mark.parametrize("make", [nd.cuda, nd.cuda_sim])
def test_cuda_a_device_has_a_number(make: Any) -> None:
    for index in ("a", 0.0, None):
        with pytest.raises(TypeError, match="index is an int"):
            make(index)
    with pytest.raises(ValueError, match="index=-1"):
        make(-1)
    assert make() is make(0) is make(np.int64(0))
