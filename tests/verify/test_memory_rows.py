"""Rows for memory: an array that ends where memory ends, what stays in use, bits on threads."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from needle.backend_ndarray import NDArray, cpu, cpu_numpy
from verify import checks, registry
from verify.spec import Broken, Status
from verify.targets.memory import _allocated, _in, leaves_nothing, on_threads

ROWS = [name for name in registry.rows() if name.startswith("memory.")]
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
