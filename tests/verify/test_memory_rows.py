"""Rows for memory: arrays where it ends, in an order, beside others; what stays, what is left."""

from __future__ import annotations

import ctypes
import mmap
import signal
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from needle import Tensor
from needle.backend_ndarray import NDArray, cpu, cpu_numpy
from verify import checks, registry
from verify.spec import Broken, Status
from verify.targets.circumstances import beside_infinity, in_order, of_a_part
from verify.targets.memory import _allocated, _in, leaves_nothing, on_threads, short

ROWS = [name for name in registry.rows() if name.startswith("memory.")]
ROWS += ["accumulate"]
WHERE = SimpleNamespace(name="cpu")
BEYOND = """
import ctypes, numpy as np
from verify.targets.memory import _last
a = _last(np.arange(5.0))
end = a.ctypes.data + a.nbytes
print(ctypes.string_at(end - 1, 1), flush=True)
ctypes.string_at(end, 1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory has an end on Linux")
def test_who_reads_beyond_the_last_element_dies() -> None:
    done = subprocess.run([sys.executable, "-c", BEYOND], capture_output=True, check=False)
    assert done.stdout == b"b'@'\n"
    assert done.returncode == -signal.SIGBUS


@pytest.mark.parametrize("form", ["plain", "turned", "spread", "sparse"])
def test_values_are_the_same_in_every_form(form: str) -> None:
    values = np.arange(12.0).reshape(3, 4)
    placed = _in(form, values)
    assert np.array_equal(placed, values)
    last = placed.__array_interface__["data"][0] + sum(
        (n - 1) * s for n, s in zip(placed.shape, placed.strides, strict=True)
    )
    assert (last + placed.itemsize) % 4096 == 0


@pytest.mark.skipif(not _allocated(), reason="the C library says what it has handed out")
@pytest.mark.parametrize("threads", [False, True])
def test_memory_that_stays_in_use_is_a_broken_promise(threads: bool) -> None:
    library = ctypes.CDLL(None)
    bytes_ = 100_000 if threads else 64

    def ask(op: Any) -> Any:
        return leaves_nothing(lambda _: op, [a], call="f", threads=threads)

    a = SimpleNamespace(device=WHERE)
    library.malloc.restype = ctypes.c_void_p
    assert ask(lambda _: 3) == 3
    with pytest.raises(Broken, match=r"f leaves .* bytes of memory in use"):
        ask(lambda _: library.malloc(ctypes.c_size_t(bytes_)))


def test_bits_that_differ_once_are_a_broken_promise() -> None:
    calls: list[int] = []

    def op(_: Any) -> Any:
        calls.append(1)
        return SimpleNamespace(numpy=lambda: np.full(2, float(len(calls) == 100)))

    with pytest.raises(Broken, match="other bits on other threads"):
        on_threads(lambda _: op, lambda _: nullcontext(), [SimpleNamespace(device=WHERE)], call="f")


@pytest.mark.parametrize("name", ROWS)
def test_the_library_keeps_these_promises(name: str) -> None:
    for case in registry.plan_cases(registry.rows()[name], "cpu", "float64", "forward", 0):
        verdict = checks.run_case(case)
        assert verdict.status is Status.PASS, verdict.message


def test_every_device_rounds_to_bfloat16_once() -> None:
    rng = np.random.default_rng(0)
    middle = np.ldexp(rng.integers(128, 256, 500) + 0.5, rng.integers(-140, 120, 500))
    values = np.concatenate(
        [middle * (1 + k * 2.0**-52) for k in (-1, 0, 1)] + [[np.inf, np.nan, -0.0, 1e300, 1e-300]]
    )
    for source in (values, rng.integers(-(2**40), 2**40, 500)):
        of_cpu, of_numpy = (
            NDArray(source, device=device, dtype=str(source.dtype)).astype("bfloat16")
            for device in (cpu(), cpu_numpy())
        )
        assert (
            of_cpu.astype("float32").numpy().tobytes()
            == of_numpy.astype("float32").numpy().tobytes()
        )


@pytest.mark.parametrize("lies", [(1, 3), (3, 1)])
def test_a_result_that_lies_otherwise_is_a_broken_promise(lies: tuple[int, ...]) -> None:
    def held(*strides: int) -> Any:
        return SimpleNamespace(realize_cached_data=lambda: SimpleNamespace(strides=strides))

    def ask() -> Any:
        a = SimpleNamespace(permute=lambda _: held(1, 3))
        return in_order(lambda _: lambda _: held(*lies), [a], call="f", orders=[(1, 0)])

    if lies == (1, 3):
        assert ask().realize_cached_data().strides == lies
        return
    with pytest.raises(Broken, match=r"f gives strides=\(3, 1\), its operands have .*\(1, 3\)"):
        ask()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux bounds what a process may write to")
@pytest.mark.parametrize("megabytes", [1, 512])
def test_hardly_any_memory_is_left(megabytes: int) -> None:
    def op(_: Any) -> bool:
        return len(mmap.mmap(-1, megabytes << 20, flags=mmap.MAP_PRIVATE)) > 0

    a = SimpleNamespace(device=WHERE)
    if megabytes == 1:
        assert short(lambda _: op, [a], call="f")
    else:
        with pytest.raises(OSError, match="Cannot allocate memory"):
            short(lambda _: op, [a], call="f")
    assert op(a), "afterwards there is as much as before"


def test_who_reads_before_an_array_finds_ordinary_numbers() -> None:
    def op(a: Any) -> Any:
        held = a.realize_cached_data()
        before = held.as_strided((2, 3), (3, 1), 0)
        return before.numpy().tolist(), held.numpy().tolist()

    a = Tensor(np.ones((2, 3)), device=cpu(), dtype="float32")
    before, values = beside_infinity(lambda _: op, [a], call="f", place=(1, 0))
    assert before == [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    assert values == [[1.0, 1.0, 1.0], [float("inf"), 1.0, 1.0]]
    assert a.numpy().max() == 1.0


def test_where_nan_goes_may_not_depend_on_the_size_of_an_image() -> None:
    image, weights = (
        Tensor(np.ones(shape), device=cpu(), dtype="float32")
        for shape in ((1, 9, 4, 2), (3, 3, 2, 2))
    )

    def op(x: Any, w: Any) -> Any:
        """Large images have their first pixel from elsewhere."""
        y = np.full((1, x.shape[1], 4, 2), w.numpy()[0, 0, 0, 0])
        y[0, 0, 0] = 0.0 if x.shape[1] > 7 else y[0, 1, 0]
        return Tensor(y, device=cpu())

    with pytest.raises(Broken, match="how large the image is"):
        of_a_part(lambda _: op, [image, weights], call="f", lines=7)
    assert of_a_part(lambda _: op, [image[:, :7], weights], call="f", lines=7).shape == (1, 7, 4, 2)
