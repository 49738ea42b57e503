"""Memory that a process can see: arrays at the end of it, what an op needs, what it leaves behind,
too little."""

from __future__ import annotations

import ctypes
import functools
import gc
import mmap
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from verify.sampling import Array
from verify.spec import Broken, Missing

_CALLS, _THREADS, _PATIENCE, _ROUNDS = 300, 8, 100, 4
# Bytes a time that are no leak: no block of malloc is smaller; Python keeps some of threads.
_LEAST, _SMALL = 24, 32768
_STEPS = {"spread": 2, "sparse": 3}
_LEFT = 2 << 20  # bytes that a process may still get: Python's own needs are smaller
_TOO_MANY = 1 << 42  # elements: no device has 16 TiB
_LITTLE = 1 << 18  # bytes that an op may need of a device beside what grows with its result


def _last(values: Array) -> Array:
    """A copy that ends where memory ends: who reads beyond it dies (elsewhere than Linux, a copy).

    A file is cut after it was mapped: what lies behind is mapped, and no memory any more.
    """
    if sys.platform != "linux" or not values.size:
        return values.copy()
    size = -(-values.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    with tempfile.TemporaryFile() as file:
        file.truncate(size + mmap.PAGESIZE)
        memory = mmap.mmap(file.fileno(), size + mmap.PAGESIZE)
        file.truncate(size)
    copy = np.frombuffer(memory, values.dtype, values.size, size - values.nbytes)
    copy = copy.reshape(values.shape)
    copy[...] = values
    return copy


def _in(form: str, values: Array) -> Array:
    """At the end of memory: plain, turned (columns as rows), or every so many-th element (spread,
    sparse).
    """
    if form == "turned":
        return _last(values.swapaxes(-1, -2)).swapaxes(-1, -2)
    if form in _STEPS:
        step = _STEPS[form]
        return _last(np.repeat(values, step, axis=-1))[..., step - 1 :: step]
    return _last(values)


def _placed(a: Any, form: str) -> Any:
    """A Tensor over memory in a form, where the device computes in the host's."""
    from needle.backend_ndarray import from_dlpack

    values = a.numpy()
    if values.dtype.kind != "f":  # bfloat16, which numpy does not hand on
        return a
    return type(a).make_const(from_dlpack(_in(form, values)).to(a.device))


def at_the_end(
    resolve: Callable[[str], Callable[..., Any]],
    inputs: Sequence[Any],
    *,
    call: str,
    memory: Sequence[str] = (),
    seen: tuple[Sequence[int], Sequence[int]] | None = None,
    **arguments: Any,
) -> Any:
    """What an op gives of arrays that end where memory ends.

    memory: the form of each; seen: the shape and the strides as which each is looked at.
    """
    forms = memory or ["plain"] * len(inputs)
    placed = [_placed(a, form) for a, form in zip(inputs, forms, strict=True)]
    if seen is not None:
        placed = [type(a).make_const(a.realize_cached_data().as_strided(*seen)) for a in placed]
    return resolve(call)(*placed, **arguments)


class _Malloc(ctypes.Structure):
    """struct mallinfo2 of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks"),
            *("uordblks", "fordblks", "keepcost"),
        )
    ]


def _allocated() -> int:
    """Bytes that malloc has handed out; 0 where the C library does not say."""
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):
        return 0
    ask.restype = _Malloc
    found = ask()
    return int(found.uordblks + found.hblkhd)


def on_threads(
    resolve: Callable[[str], Callable[..., Any]],
    circumstances: Callable[[Any], AbstractContextManager[None]],
    inputs: Sequence[Any],
    *,
    call: str,
    **arguments: Any,
) -> Any:
    """What an op gives, the same bits again and again on more threads: few meet at one place.

    Raises: Broken where it does not.
    """
    op = functools.partial(resolve(call), *inputs, **arguments)
    result = op()
    bits, device = result.numpy().tobytes(), inputs[0].device
    with circumstances(device):
        for _ in range(_calls(device)):
            if op().numpy().tobytes() != bits:
                raise Broken(f"{call} gives other bits on other threads")
    return result


def _calls(device: Any) -> int:
    return _CALLS if device.name == "cpu" else _CALLS // 20  # which the others need longer for


def needs(
    resolve: Callable[[str], Callable[..., Any]],
    inputs: Sequence[Any],
    *,
    call: str,
    times: float,
    **arguments: Any,
) -> Any:
    """What an op gives, in `times` its result's memory and a little: repeats are not written out.

    Raises: Broken where it takes more.
    """
    op = functools.partial(resolve(call), *inputs, **arguments)
    device = inputs[0].realize_cached_data().device
    op()  # what a device keeps for later, it has then
    device.reset_peak()
    before = device.memory_stats()["live_bytes"]
    result = op()
    taken = device.memory_stats()["peak_bytes"] - before
    data = result.realize_cached_data()
    if taken > times * data.nbytes + _LITTLE:
        raise Broken(f"{call} takes {taken} bytes for a result of {data.nbytes}")
    return result


def leaves_nothing(
    resolve: Callable[[str], Callable[..., Any]],
    inputs: Sequence[Any],
    *,
    call: str,
    threads: bool,
    emptied: bool = False,
    **arguments: Any,
) -> Any:
    """An op again and again, on threads that end with it or on this one: no memory stays.

    emptied: the device gives back each time what it keeps for later (without threads).

    Raises: Broken where it does; Missing where the C library does not say (mallinfo2 of glibc).
    """
    op = functools.partial(resolve(call), *inputs, **arguments)

    def once() -> None:
        if not threads:
            op()
            if emptied:
                inputs[0].device.empty_cache()
            return
        thread = threading.Thread(target=op)
        thread.start()
        thread.join()

    result = op()
    if not _allocated():
        raise Missing("a C library that says what malloc has handed out (mallinfo2)")
    for _ in range(2):
        once()
    count = _THREADS if threads else _calls(inputs[0].device)
    for _ in range(_ROUNDS):  # what grows once is no leak
        gc.collect()
        before = _allocated()
        for _ in range(count):
            once()
        for attempt in range(_PATIENCE):  # a thread that was joined is still about to end
            if attempt % 10 == 0:
                gc.collect()
            each = (_allocated() - before) / count
            if each <= (_SMALL if threads else _LEAST):
                return result
            time.sleep(0.01)
    raise Broken(f"{call} leaves {each:.0f} bytes of memory in use, each time")


@contextmanager
def _little_left() -> Iterator[None]:
    """The process gets hardly any more memory; nothing is changed elsewhere than on Linux."""
    if sys.platform != "linux":
        yield
        return
    import resource

    found = re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    most, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (1024 * int(found[1]) + _LEFT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def short(
    resolve: Callable[[str], Callable[..., Any]],
    inputs: Sequence[Any],
    *,
    call: str,
    **arguments: Any,
) -> Any:
    """What an op gives on a thread that has no memory of a kernel's own and hardly gets any.

    On the cpu, one thread of its own: other devices' results take memory of the host, too. There
    an array of more than there is was refused before.
    """
    from needle import _core

    op = functools.partial(resolve(call), *inputs, **arguments)
    result = op()  # whose block the next one may have
    device = inputs[0].device
    del result
    if device.name != "cpu":
        with suppress(MemoryError):
            device.empty((_TOO_MANY,), dtype="float32")
        return op()
    results: list[Any] = []

    def once() -> None:
        _core.set_num_threads(1)  # of this thread's work: others would need stacks
        try:
            with _little_left():
                results.append(op())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=once)
    thread.start()
    thread.join()
    (result,) = results
    if isinstance(result, BaseException):
        raise result
    return result
