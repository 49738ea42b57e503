"""NDArray and the functions over it; members of NDArray that are better written in Python.

The type itself is `needle._core.NDArray` (C++): views, operators and kernels are there. What is
not on a hot path is defined here and attached to it at the end of this file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from needle import _core
from needle._core import (
    NDArray,
    adam_steps,
    concatenate,
    from_cuda_array_interface,
    from_dlpack,
    sgd_steps,
    stack,
)
from needle.backend_ndarray.checks import integers, sizes
from needle.backend_ndarray.device import (
    BackendDevice,
    all_devices,
    cpu,
    cpu_numpy,
    cuda,
    cuda_sim,
    default_device,
    device,
)
from needle.backend_ndarray.flat import view_of

__all__ = [
    "BackendDevice",
    "NDArray",
    "adam_steps",
    "all_devices",
    "array",
    "broadcast_to",
    "concatenate",
    "cpu",
    "cpu_numpy",
    "cuda",
    "cuda_sim",
    "default_device",
    "empty",
    "exp",
    "flip",
    "from_cuda_array_interface",
    "from_dlpack",
    "full",
    "log",
    "maximum",
    "reshape",
    "sgd_steps",
    "stack",
    "sum",
    "tanh",
    "zeros",
]

Axes: TypeAlias = int | Sequence[int]
Shape: TypeAlias = int | Sequence[int]


# --- making arrays


def array(a: Any, dtype: str = "float32", device: BackendDevice | None = None) -> NDArray:
    """An array with a copy of a: numbers, nested lists, numpy arrays or an NDArray."""
    return NDArray(a, device=device, dtype=dtype)


def empty(shape: Shape, dtype: str = "float32", device: BackendDevice | None = None) -> NDArray:
    """An uninitialised array."""
    return _core.empty(shape, dtype, device)


def full(
    shape: Shape, fill_value: float, dtype: str = "float32", device: BackendDevice | None = None
) -> NDArray:
    """An array of one value."""
    return _core.full(shape, fill_value, dtype, device)


def zeros(shape: Shape, dtype: str = "float32", device: BackendDevice | None = None) -> NDArray:
    """An array of zeros."""
    return _core.full(shape, 0, dtype, device)


# --- functions over arrays


def broadcast_to(a: NDArray, shape: Shape) -> NDArray:
    """A view of a in a larger shape, numpy's rules."""
    return a.broadcast_to(shape)


def reshape(a: NDArray, shape: Shape) -> NDArray:
    """a in another shape: a view where one can express it, otherwise a copy."""
    return a.reshape(shape)


def maximum(a: NDArray, b: NDArray | float) -> NDArray:
    """The larger of each pair; NaN wins."""
    return a.maximum(b)


def log(a: NDArray) -> NDArray:
    """Elementwise natural logarithm."""
    return a.log()


def exp(a: NDArray) -> NDArray:
    """Elementwise exponential."""
    return a.exp()


def tanh(a: NDArray) -> NDArray:
    """Elementwise hyperbolic tangent."""
    return a.tanh()


def sum(a: NDArray, axis: Axes | None = None, keepdims: bool = False) -> NDArray:
    """Sum over one axis, several, or all."""
    return a.sum(axis=axis, keepdims=keepdims)


def flip(a: NDArray, axes: Axes) -> NDArray:
    """A view of a with the order of elements reversed along axes."""
    return a.flip(axes)


# --- members of NDArray


class FlatView:
    """The elements of an array in row-major order; writes go through, whatever its strides."""

    def __init__(self, base: NDArray) -> None:
        self._base = base

    def __len__(self) -> int:
        return self._base.size

    def __getitem__(self, index: int | slice) -> NDArray:
        if isinstance(index, slice):
            return self._base.reshape(-1)[index].copy()
        return self._base[self._position(index)]

    def __setitem__(self, index: int | slice, value: Any) -> None:
        if not isinstance(index, slice):
            self._base[self._position(index)] = value
            return
        positions = range(len(self))[index]
        values = np.asarray(value)
        if values.shape not in ((), (1,), (len(positions),)):
            raise ValueError(
                "[flat] one value or one for each element, "
                f"got shape={values.shape}, elements={len(positions)}"
            )
        spread = np.broadcast_to(values, (len(positions),))
        for position, element in zip(positions, spread, strict=True):
            self._base[self._position(position)] = element

    def __iter__(self) -> Iterator[NDArray]:
        return (self[i] for i in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return self._base.reshape(-1).__array__(dtype, copy)

    def _position(self, index: int) -> tuple[int, ...]:
        size = len(self)
        (i,) = integers("flat", index=index)
        if not -size <= i < size:
            raise IndexError(f"[flat] index must lie in the array, got index={i}, size={size}")
        return tuple(int(n) for n in np.unravel_index(i % size, self._base.shape))


def _pad(a: NDArray, axes: Sequence[tuple[int, int]], value: float = 0) -> NDArray:
    """A copy of a with (before, after) elements of value added along each axis.

    Raises: ValueError unless there is a pair of non-negative widths for every axis, TypeError when
    a width is no int.
    """
    return _core.pad(a, axes, value)


def _make(
    shape: Shape,
    strides: Sequence[int] | None = None,
    device: BackendDevice | None = None,
    handle: _core.Handle | None = None,
    offset: int = 0,
) -> NDArray:
    """An array over the storage of another array's `_handle`, or over fresh float32 memory.

    Raises: TypeError when handle is no Handle, ValueError when an element lies outside the storage
    or the storage is on another device than the one given.
    """
    wanted = sizes("make", shape if isinstance(shape, Sequence) else (shape,))
    if strides is None:
        strides = [math.prod(wanted[i + 1 :]) for i in range(len(wanted))]
    if handle is None:
        handle = empty(wanted, device=device)._handle
    view = view_of("make", handle, wanted, strides, offset)
    if device is not None and view.device != device:
        raise ValueError(
            f"[make] the handle must be of the device, got handle.device={view.device}, "
            f"device={device}"
        )
    return view


def _process_slice(a: NDArray, item: slice, dim: int) -> slice:
    """item with explicit start, stop and step for axis dim, selecting the same elements.

    A stop of None stays where a negative step runs down to the first element.
    """
    if not isinstance(item, slice):
        raise TypeError(f"[process_slice] item is a slice, got type={type(item).__name__}")
    (axis,) = integers("process_slice", dim=dim)
    if not -a.ndim <= axis < a.ndim:
        raise IndexError(
            f"[process_slice] dim lies in [-ndim, ndim), got dim={axis}, ndim={a.ndim}"
        )
    given = {name: getattr(item, name) for name in ("start", "stop", "step")}
    for name, value in given.items():
        if value is not None and not hasattr(value, "__index__"):
            raise TypeError(f"[process_slice] {name} is an int, got type={type(value).__name__}")
    if item.step is not None and item.step == 0:
        raise ValueError("[process_slice] the step must not be 0, got step=0")
    start, stop, step = item.indices(a.shape[axis])
    if start < 0:  # before the first element, going down
        return slice(0, 0, step)
    return slice(start, None if stop < 0 else stop, step)


def _rebuild(
    cls: type[NDArray], data: bytes, shape: tuple[int, ...], dtype: str, name: str, index: int
) -> NDArray:
    """What unpickling calls."""
    held = np.frombuffer(data, dtype="uint16" if dtype == "bfloat16" else dtype)
    if dtype == "bfloat16":
        from ml_dtypes import bfloat16

        held = held.view(bfloat16)
    return cls(held.reshape(shape), device=device(name, index), dtype=dtype)


def _reduce(a: NDArray) -> tuple[Any, ...]:
    name, index = a.device.name, a.device.index
    return _rebuild, (type(a), a.numpy().tobytes(), a.shape, a.dtype, name, index)


def _repr(a: NDArray) -> str:
    values = np.array2string(a.numpy(), separator=", ", prefix="NDArray(")
    dtype = "" if a.dtype == "float32" else f", dtype={a.dtype}"
    return f"NDArray({values}{dtype}, device={a.device})"


_MEMBERS: dict[str, Any] = {
    "T": property(lambda a: a.permute(range(a.ndim)[::-1]), doc="The view with its axes reversed."),
    "flat": property(FlatView, doc="The elements in row-major order, writable."),
    "pad": _pad,
    "make": staticmethod(_make),
    "from_dlpack": staticmethod(from_dlpack),
    "process_slice": _process_slice,
    "tolist": lambda a: a.numpy().tolist(),
    "__copy__": lambda a: a.copy(),
    "__deepcopy__": lambda a, memo: a.copy(),
    "__reduce__": _reduce,
    "__repr__": _repr,
    "__array_priority__": 1000.0,  # numpy's operators leave a mixed operation to NDArray's
}
for _name, _member in _MEMBERS.items():
    setattr(NDArray, _name, _member)
