"""Devices of the subject, its ops by name, and the circumstances under which it computes."""

from __future__ import annotations

import functools
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from verify.spec import Broken, Missing, UsageError
from verify.targets import circumstances, members
from verify.targets.memory import at_the_end, leaves_nothing, needs, on_threads, short

DEVICES = {"cpu": "cpu", "numpy": "cpu_numpy", "cuda": "cuda", "cuda_sim": "cuda_sim"}
_CHECKED: set[str] = set()  # devices whose checked mode was switched on here


def device_status(name: str) -> str | None:
    """None when the device can be used here, otherwise why not and what to do."""
    if name not in DEVICES:
        return f"there is no such device, known are {', '.join(DEVICES)}"
    try:
        found = face(name)
    except ImportError as error:
        return f"needle cannot be imported ({error}): install it with `pip install .`"
    if found.enabled():
        return None
    return f"{found.reason or 'it is not available'}"


def computed_dtypes(name: str) -> tuple[str, ...] | None:
    """The dtypes that a device computes in; None where it cannot be used."""
    if device_status(name) is not None:
        return None
    found: tuple[str, ...] = face(name).computed_dtypes
    return found


def environment(threads: int | None = None) -> dict[str, str]:
    """Pins the thread count; the instruction set and the version that verdicts record."""
    import needle
    from needle import _core

    if threads is not None:
        _core.set_num_threads(threads)
    version = getattr(needle, "__version__", "")
    return (
        {"isa": _core.isa(), "threads": str(_core.get_num_threads())}
        | ({"needle": version} if version else {})
        | ({"tf32": "cuda"} if rounds_factors("cuda") else {})
    )


@functools.cache
def face(name: str) -> Any:
    """The device object of a name."""
    from needle import backend_ndarray

    return getattr(backend_ndarray, DEVICES[name])()


def rounds_factors(name: str) -> bool:
    """Whether the device may round the factors of float32 products to TF32."""
    return bool(face(name).allow_tf32)


@functools.cache
def checked_device(name: str) -> Any:
    """The device's face, checked mode on."""
    reason = device_status(name)
    if reason is not None:
        raise UsageError(f"[device] {name} cannot be used: {reason}")
    found = face(name)
    found.set_checked(True)
    _CHECKED.add(name)
    return found


@contextmanager
def borrowed() -> Iterator[None]:
    """In a process that is not ours: the allocators' checked mode is off again afterwards."""
    try:
        yield
    finally:
        while _CHECKED and os.environ.get("NEEDLE_CHECKED") != "1":
            face(_CHECKED.pop()).set_checked(False)
        checked_device.cache_clear()


def resolve(name: str) -> Callable[..., Any]:
    """What a public name stands for; raises Missing."""
    import needle

    if name in UNNAMED:
        return UNNAMED[name]
    found: Any = needle if "." in name else needle.ops
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise Missing(f"needle has no {name}")
    return found  # type: ignore[no-any-return]


def _setitem(a: Any, b: Any = None, *, index: Any, source: Any = None, turned: bool = False) -> Any:
    """a[index] = b, or another part of a, which may overlap; turned: with its axes reversed."""
    part = a.permute(tuple(reversed(range(a.ndim)))) if turned else a
    part[index] = part[source] if b is None else b
    return a


def _cast(a: Any, dtype: str, negative: bool = False) -> Any:
    """Rounded to another dtype, and back."""
    held = (-a if negative else a).realize_cached_data()
    return type(a)(held.astype(dtype).astype(held.dtype), device=a.device, dtype=held.dtype)


def _fill(
    a: Any, *, value: float, index: Any = (), strides: Any = None, locked: bool = False
) -> Any:
    """A part of the array, all one number.

    strides: of a part that shows elements twice; locked: memory that may only be read.
    """
    from needle.backend_ndarray import from_dlpack

    part = a[index] if strides is None else a.as_strided((2, 2), strides)
    if locked:
        plain = np.zeros(a.shape, np.float32)  # numpy hands on no bfloat16
        plain.setflags(write=False)
        part = from_dlpack(plain)
    part.fill(value)
    return a


def _to(a: Any, *, onto: Any = None) -> Any:
    """To another device and back, negated; onto: something that is none."""
    held = a.realize_cached_data()
    other = face("cpu" if a.device == face("numpy") else "numpy")
    return type(a)(held.to(onto or other).to(held.device).negate(), device=a.device)


def _from_dlpack(a: Any, *, producer: Any = None, odd: bool = False) -> Any:
    """Handed over and taken back without a copy, negated; producer: something that is none.

    odd: from numpy, in strides that are neither one element nor positive.
    """
    from needle.backend_ndarray import from_dlpack

    held = a.realize_cached_data()
    if odd and held.dtype != "bfloat16":  # of which numpy hands on none
        plain = np.repeat(a.numpy(), 2, axis=-1)[::-1, ..., ::-2]
        taken = from_dlpack(plain)
        strides = tuple(n // plain.itemsize for n in plain.strides)
        if not plain.size:  # of no elements an array is compact
            strides = tuple(math.prod(plain.shape[d + 1 :]) for d in range(plain.ndim))
        if tuple(taken.strides) != strides:
            raise Broken(f"strides={taken.strides}, should be {strides}")
        again = taken.as_strided(taken.shape, taken.strides)[::-1, ..., ::-1]
        return type(a)(again.to(a.device).negate(), device=a.device)
    if a.device == face("cuda_sim"):  # whose memory no other library knows
        held = held.to(face("cpu"))
    taken = from_dlpack(producer or held)
    return type(a)(taken.to(a.device).negate(), device=a.device)


def _cast_beside(a: Any, dtype: str, beside: str) -> Any:
    """-a where a cast goes away from 0, or keeps NaN, else 0.

    Of numbers beside the middle between a and the next, as near as 32 or 64 bits tell; or of NaN
    whose bits are all ones.
    """
    source = "float64" if a.dtype == "float64" else "float32"
    x = a.numpy().astype(source)
    with np.errstate(invalid="ignore"):
        value = np.nextafter(
            x * (1 + 2.0 ** (-11 if dtype == "float16" else -8)), x * (4 * (beside == "above"))
        )
        if beside == "nan":
            value = np.full_like(x, -1, f"int{8 * x.itemsize}").view(source)
        array = type(a.realize_cached_data())(value, device=a.device, dtype=source)
        found = array.astype(dtype).astype(source).numpy()
    far = np.isnan(found) if beside == "nan" else np.abs(found) > np.abs(x)
    return type(a)(np.where(far, -x, 0), device=a.device, dtype=a.dtype)


def _at_the_end(*inputs: Any, **arguments: Any) -> Any:
    """An op of arrays that end where memory ends."""
    return at_the_end(resolve, inputs, **arguments)


def _on_threads(*inputs: Any, **arguments: Any) -> Any:
    """An op that many threads take part in."""
    return on_threads(resolve, other_circumstances, inputs, **arguments)


def _leaves_nothing(*inputs: Any, **arguments: Any) -> Any:
    """An op whose memory is gone with it."""
    return leaves_nothing(resolve, inputs, **arguments)


def _short(*inputs: Any, **arguments: Any) -> Any:
    """An op that gets hardly any memory."""
    return short(resolve, inputs, **arguments)


def _in_order(*inputs: Any, **arguments: Any) -> Any:
    """An op of arrays that agree on an order of memory."""
    return circumstances.in_order(resolve, inputs, **arguments)


def _beside_infinity(*inputs: Any, **arguments: Any) -> Any:
    """An op of an array with one infinity."""
    return circumstances.beside_infinity(resolve, inputs, **arguments)


def _of_a_part(*inputs: Any, **arguments: Any) -> Any:
    """An op of an image and of its first lines."""
    return circumstances.of_a_part(resolve, inputs, **arguments)


def _on_another_device(*inputs: Any, **arguments: Any) -> Any:
    """An op on the simulator; of the simulator's arrays on the host."""
    faces = [face(name) for name in ("cuda_sim", "cpu", "numpy")]
    return circumstances.on_another_device(resolve, faces, inputs, **arguments)


def _needs(*inputs: Any, **arguments: Any) -> Any:
    """An op that writes no repeats out."""
    return needs(resolve, inputs, **arguments)


def _part(*inputs: Any, call: str, index: Any, become: Any = (), **arguments: Any) -> Any:
    """An op of a part of each array; become: the shapes that the parts take before."""
    parts = [a[index] for a in inputs]
    parts = [a.reshape(shape) for a, shape in zip(parts, become, strict=True)] if become else parts
    return resolve(call)(*parts, **arguments)


def _running_statistics(
    x: Any, weight: Any, bias: Any, mean: Any, variance: Any, **arguments: Any
) -> Any:
    """What batch_norm in training leaves in its running mean and variance."""
    resolve("batch_norm")(x, weight, bias, mean, variance, **arguments)
    return mean, variance


def _captured_cross_entropy(logits: Any, labels: Any) -> Any:
    """cross_entropy as a captured step computes it, of labels on the device; on any device."""
    from needle.backend_ndarray import graph

    held = logits.realize_cached_data()
    places = type(held)(np.asarray(labels), device=held.device, dtype="int64")
    graph._local.graph = SimpleNamespace(device=held.device)
    try:
        return resolve("cross_entropy")(logits, places)
    finally:
        graph._local.graph = None


# rows of what is NDArray's, and of what functions do where their own rows do not get
UNNAMED: dict[str, Callable[..., Any]] = {
    "setitem": _setitem,
    "cast": _cast,
    "part": _part,
    "iter": members.iterated,
    "running_statistics": _running_statistics,
    "captured_cross_entropy": _captured_cross_entropy,
    "fill": _fill,
    "to": _to,
    "from_dlpack": _from_dlpack,
    "take_along_axis": members.take_along_axis,
    "accumulate": members.accumulate,
    "member": members.member,
    "cast_beside": _cast_beside,
    "memory.at_the_end": _at_the_end,
    "memory.on_threads": _on_threads,
    "memory.leaves_nothing": _leaves_nothing,
    "memory.short": _short,
    "memory.in_order": _in_order,
    "memory.beside_infinity": _beside_infinity,
    "memory.of_a_part": _of_a_part,
    "memory.on_another_device": _on_another_device,
    "memory.needs": _needs,
}


@contextmanager
def other_circumstances(device: Any) -> Iterator[None]:
    """More threads, or another order of the simulator's blocks: no result may depend on these."""
    from needle import _core

    simulator: Any = sys.modules.get("needle._cuda_sim") if device == face("cuda_sim") else None
    threads = _core.get_num_threads()
    _core.set_num_threads(threads + 2)  # a number that few sizes divide by
    if simulator is not None:
        seed = simulator.seed()
        simulator.set_seed(seed + 77)
    try:
        yield
    finally:
        _core.set_num_threads(threads)
        if simulator is not None:
            simulator.set_seed(seed)


def alive(device: Any) -> tuple[int, int]:
    """Bytes of the device and Tensors that are in use."""
    from needle import autograd

    return device.memory_stats()["live_bytes"], autograd.TENSOR_COUNTER
