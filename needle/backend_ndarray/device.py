"""Devices as users hold them: `cpu()`, `cpu_numpy()`, `cuda()`, `cuda_sim()`.

numpy and cpu are part of `needle._core` and registered here at import. `needle._cuda` and
`needle._cuda_sim` are modules of their own, loaded when their device is first asked for.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from needle import _core
from needle.backend_ndarray import cuda_libraries, numpy_backend
from needle.backend_ndarray.checks import integers, sizes, switched_on
from needle.backend_ndarray.flat import FlatKernels
from needle.backend_ndarray.graph import Graph, refuse_in_capture
from needle.backend_ndarray.whole_numbers import one_hot

_MISSING = {
    "cuda": "needle was built without CUDA: install the CUDA toolkit (nvcc) and reinstall needle",
    "cuda_sim": "needle was built without the CUDA simulator: reinstall needle from source",
    "cuda_sim_races": "needle was built without the simulator that sees races: reinstall it from "
    "source with NEEDLE_SIM_RACES=ON",
}


class BackendDevice(FlatKernels):
    """A place where arrays live and are computed; compare with ==, one object per device."""

    __slots__ = ("_allow_tf32", "_module", "_native", "_reason", "index", "name")

    def __init__(self, name: str, index: int) -> None:
        self.name = name
        self.index = index
        self._native: _core.Device | None = None
        self._reason: str | None = None
        self._module: Any = None  # of the CUDA devices
        self._allow_tf32 = name == "cuda" and switched_on("NEEDLE_ALLOW_TF32")

    def __repr__(self) -> str:
        return f"{self.name}({self.index or ''})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BackendDevice):
            return NotImplemented
        return (self.name, self.index) == (other.name, other.index)

    def __hash__(self) -> int:
        return hash((self.name, self.index))

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (self.name, self.index)

    def enabled(self) -> bool:
        """Whether arrays can be made on this device here and now."""
        return self.reason is None

    @property
    def reason(self) -> str | None:
        """Why the device cannot be used and what would help; None when it can."""
        if self._native is None and self._reason is None:
            self._load()
        return self._reason

    def _load(self) -> None:
        name = self.name
        switched_on("NEEDLE_CUDA_LIBS", True)  # which is read where a library is first needed
        if name == "cuda_sim" and switched_on("NEEDLE_SIM_RACES"):
            name = "cuda_sim_races"  # the same kernels, each access of theirs checked
        try:
            module = importlib.import_module(f"needle._{name}")
        except ImportError as error:
            absent = isinstance(error, ModuleNotFoundError) and error.name == f"needle._{name}"
            self._reason = (
                _MISSING.get(name, "no such device") if absent else f"needle._{name}: {error}"
            )
            return
        self._reason = module.unavailable_reason()
        if self._reason is None and self.index >= module.device_count():
            self._reason = f"there are {module.device_count()} devices, got index={self.index}"
        if self._reason is None:
            self._register(module.backend(self.index))
            self._module = module
            module.set_library_folders(cuda_libraries.folders() if self.name == "cuda" else [])
            module.set_allow_tf32(self.index, self._allow_tf32)

    def _register(self, backend: object) -> None:
        self._native = _core.register_device(self.name, self.index, backend, self)

    def _bring_up(self) -> _core.Device:
        """The native device; the core calls this when it meets a device for the first time."""
        if self.reason is not None or self._native is None:
            raise RuntimeError(f"[device] {self!r} is not available: {self.reason}")
        return self._native

    @property
    def computed_dtypes(self) -> tuple[str, ...]:
        """The dtypes that ops compute in here; the others are held, indexed and cast."""
        return self._bring_up().computed_dtypes

    # --- products by NVIDIA's libraries, on CUDA

    @property
    def libraries(self) -> dict[str, str]:
        """cuBLASLt, for matmul, and cuDNN, for convolutions: versions, or why they are not used.

        Empty where there is no CUDA. NEEDLE_CUDA_LIBS=0 keeps to needle's own kernels.
        """
        self._bring_up()
        found = self._module.libraries() if self._module else {}
        return {name: version or reason for name, (version, reason, *_) in found.items()}

    @property
    def allow_tf32(self) -> bool:
        """Whether the libraries may round the factors of float32 products to TF32's 11 bits.

        False unless set, or NEEDLE_ALLOW_TF32=1. Needle's own kernels never do.
        Raises, when set: ValueError on devices other than CUDA's, RuntimeError without CUDA.
        """
        return self._allow_tf32

    @allow_tf32.setter
    def allow_tf32(self, allowed: bool) -> None:
        if not isinstance(allowed, bool):
            raise TypeError(f"[allow_tf32] it is a bool, got type={type(allowed).__name__}")
        if self.name != "cuda":
            raise ValueError(f"[allow_tf32] only CUDA's devices have TF32, got device={self!r}")
        self._bring_up()
        self._module.set_allow_tf32(self.index, allowed)
        self._allow_tf32 = allowed

    # --- arrays on this device

    def empty(self, shape: Any, dtype: str = "float32") -> _core.NDArray:
        """An uninitialised array."""
        return _core.empty(shape, dtype, self)

    def full(self, shape: Any, fill_value: float, dtype: str = "float32") -> _core.NDArray:
        """An array of one value."""
        return _core.full(shape, fill_value, dtype, self)

    def rand(self, *shape: int, dtype: str = "float32") -> _core.NDArray:
        """Uniform numbers in [0, 1): one draw from numpy's global generator."""
        refuse_in_capture("rand", self, _DRAWN)
        wanted = _affordable("rand", shape)
        return _core.NDArray(np.random.rand(*wanted), device=self, dtype=dtype)

    def randn(self, *shape: int, dtype: str = "float32") -> _core.NDArray:
        """Standard normal numbers: one draw from numpy's global generator."""
        refuse_in_capture("randn", self, _DRAWN)
        wanted = _affordable("randn", shape)
        return _core.NDArray(np.random.randn(*wanted), device=self, dtype=dtype)

    def one_hot(self, n: int, i: Any, dtype: str = "float32") -> _core.NDArray:
        """For every whole number of i zeros and a 1 at its place.

        Shape: i.shape + (n,).
        Raises: IndexError when one of i is not in [0, n), ValueError when one is not whole.
        """
        (n,) = sizes("one_hot", (n,))
        refuse_in_capture("one_hot", self, "the rows are made by the host")
        return _core.NDArray(one_hot("one_hot", i, n), device=self, dtype=dtype)

    # --- memory

    def memory_stats(self) -> dict[str, int]:
        """Live, peak and cached bytes, live blocks, allocations and those served by the cache.

        On CUDA the kernels' own memory is part of it.
        """
        return self._bring_up().memory_stats()

    def reset_peak(self) -> None:
        """Makes the live bytes of now the peak."""
        self._bring_up().reset_peak()

    def empty_cache(self) -> None:
        """Gives cached blocks back to the system."""
        self._bring_up().empty_cache()

    def set_checked(self, on: bool) -> None:
        """Whether blocks from now on are poisoned with NaN and guarded against stray writes."""
        self._bring_up().set_checked(on)

    def check_guards(self) -> list[str]:
        """Damage found around guarded blocks since the last call, one line per block."""
        return self._bring_up().check_guards()

    def synchronize(self) -> None:
        """Waits until all work on this device is done."""
        self._bring_up().synchronize()

    # --- CUDA: RuntimeError on other devices

    def properties(self) -> dict[str, Any]:
        """Name, capability, multiprocessors, free_bytes and total_bytes of a GPU."""
        return self._bring_up().properties()

    def stream(self) -> _core.Stream:
        """A new queue of work: `with stream:` sends this thread's work on the device to it.

        Work of the default stream waits for it and it for work of the default stream; other
        streams run beside it.
        """
        return _core.Stream(self)

    def event(self) -> _core.Event:
        """A new event: `record()` puts it behind the work queued so far in the current stream."""
        return _core.Event(self)

    def graph(self) -> Graph:
        """A new graph: `with device.graph() as g:` captures the work inside, `g.replay()` does it.

        See docs/cuda.md for what a captured step may do.
        """
        return Graph(self)


def _affordable(op: str, shape: Sequence[Any]) -> tuple[int, ...]:
    """shape as ints. Raises: MemoryError where numpy's float64 would not fit: it does not ask."""
    wanted = sizes(op, shape)
    if math.prod(wanted) > _MANY:
        _core.empty(wanted, "float64", cpu())
    return wanted


_DRAWN = "numbers are drawn by the host"
_MANY = 1 << 24  # elements that any machine has room for


@functools.cache
def device(name: str, index: int) -> BackendDevice:
    """The one face of a device; it need not be usable."""
    return BackendDevice(name, index)


def cpu() -> BackendDevice:
    """The native cpu backend (C++), the default."""
    return device("cpu", 0)


def cpu_numpy() -> BackendDevice:
    """The numpy backend: slow, and the specification that the others follow."""
    return device("cpu_numpy", 0)


def cuda(index: int = 0) -> BackendDevice:
    """A CUDA GPU; exists without one too, with enabled() False and the reason in .reason.

    Raises: TypeError unless index is an int, ValueError where it is negative.
    """
    return device("cuda", _position("cuda", index))


def cuda_sim(index: int = 0) -> BackendDevice:
    """The CUDA kernels, run by a simulator on the host.

    NEEDLE_SIM_RACES=1 in the environment: by the one that checks each access of theirs.
    Raises: as cuda.
    """
    return device("cuda_sim", _position("cuda_sim", index))


def _position(op: str, index: int) -> int:
    (found,) = integers(op, index=index)
    if found < 0:
        raise ValueError(f"[{op}] index is not negative, got index={index}")
    return found


def default_device() -> BackendDevice:
    """Where arrays go that are made without a device."""
    return cpu()


def all_devices() -> list[BackendDevice]:
    """Every device that needle knows of, whether usable here or not."""
    return [cpu(), cuda(), cpu_numpy(), cuda_sim()]


cpu()._register(_core.cpu_backend())  # first, so that the core takes it as its default too
cpu_numpy()._register(_core.numpy_backend(numpy_backend))
