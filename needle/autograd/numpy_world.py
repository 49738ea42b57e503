"""NEEDLE_BACKEND=np: the world of the course's homeworks 1 and 2, where data are numpy arrays.

Tensors hold NDArrays of the numpy device here too. This file gives those numpy's interface, and
takes numpy arrays wherever user code (an Op's compute, an optimizer) puts one into a Tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle.autograd import Value
from needle.backend_ndarray import NDArray, cpu_numpy

_COMPUTED = ("float32", "float64")
_ARITHMETIC = ("add", "sub", "mul", "truediv", "pow", "matmul")
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


def enter() -> None:
    """Changes NDArray and Value for the rest of the process."""
    members: dict[str, Any] = {
        "__getattr__": _getattr,
        "__getitem__": _getitem(NDArray.__getitem__),
        "__array_ufunc__": _array_ufunc,
        "__array_function__": _array_function,
        "astype": _astype(NDArray.astype),
    }
    for op in _ARITHMETIC:
        for name in (f"__{op}__", f"__r{op}__"):
            members[name] = _operator(name)
    for op in _COMPARISONS:
        members[f"__{op}__"] = _of_numpy(f"__{op}__")
    for name, member in members.items():
        setattr(NDArray, name, member)
    _hold_arrays("cached_data")


def _hold_arrays(name: str) -> None:
    """Whatever is put into this slot of a Value becomes an NDArray."""
    slot: Any = vars(Value)[name]
    setattr(Value, name, property(slot.__get__, lambda value, x: slot.__set__(value, _held(x))))


def _held(data: Any) -> Any:
    """data as Tensors hold it: NDArrays, float64 kept, any other numpy dtype as float32."""
    if data is None or isinstance(data, NDArray):
        return data
    if isinstance(data, tuple):
        return tuple(_held(item) for item in data)
    dtype = "float64" if np.asarray(data).dtype == np.float64 else "float32"
    return NDArray(data, device=cpu_numpy(), dtype=dtype)


def _numpy(value: Any) -> Any:
    """value with every NDArray in it as a numpy array over the same memory."""
    if isinstance(value, NDArray):
        return np.asarray(value)
    if isinstance(value, tuple | list):
        return type(value)(_numpy(item) for item in value)
    return value


def _operator(name: str) -> Callable[[NDArray, Any], Any]:
    """Between floats the native operator, of the wider dtype; otherwise numpy's."""
    native = getattr(NDArray, name)

    def operator(a: NDArray, b: Any) -> Any:
        dtypes = (a.dtype, b.dtype if isinstance(b, NDArray) else a.dtype)
        if isinstance(b, np.ndarray) or not all(dtype in _COMPUTED for dtype in dtypes):
            return getattr(_numpy(a), name)(_numpy(b))
        if dtypes[0] != dtypes[1]:
            a, b = a.astype("float64"), b.astype("float64")
        return native(a, b)

    return operator


def _of_numpy(name: str) -> Callable[[NDArray, Any], Any]:
    return lambda a, b: getattr(_numpy(a), name)(_numpy(b))


def _getattr(a: NDArray, name: str) -> Any:
    """What NDArray lacks (mean, argmax, swapaxes, ...), from numpy."""
    if name.startswith("__"):
        raise AttributeError(f"'NDArray' object has no attribute '{name}'")
    return getattr(np.asarray(a), name)


def _getitem(native: Any) -> Callable[[NDArray, Any], Any]:
    def getitem(a: NDArray, index: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        if any(isinstance(part, NDArray | np.ndarray | list) for part in parts):
            return np.asarray(a)[_numpy(index)]
        return native(a, index)

    return getitem


def _astype(native: Any) -> Callable[[NDArray, Any], Any]:
    def astype(a: NDArray, dtype: Any) -> Any:
        """An array of another dtype; a numpy array where needle does not hold that dtype."""
        try:
            return native(a, dtype)
        except TypeError:
            return np.asarray(a).astype(dtype)

    return astype


def _array_ufunc(a: NDArray, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    arguments = {name: _numpy(value) for name, value in kwargs.items()}
    return getattr(ufunc, method)(*_numpy(inputs), **arguments)


def _array_function(a: NDArray, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    return function(*_numpy(args), **{name: _numpy(value) for name, value in kwargs.items()})
