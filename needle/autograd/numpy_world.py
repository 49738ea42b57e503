"""NEEDLE_BACKEND=np: the world of the course's homeworks 1 and 2, where data are numpy arrays.

Tensors hold NDArrays of the numpy device here too. This file gives those numpy's interface, and
takes numpy arrays wherever user code (an Op's compute, an optimizer) puts one into a Tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from needle.autograd import Tensor, Value, reverse
from needle.backend_ndarray import NDArray, cpu_numpy

_PROMOTED = {"float32", "float64"}
_ARITHMETIC = ("add", "sub", "mul", "truediv", "pow", "matmul")
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
# What NDArray has no operator for.
_ONLY_NUMPY = (
    *("abs", "pos", "contains", "and", "or", "xor", "invert"),
    *("floordiv", "rfloordiv", "mod", "rmod", "divmod", "rdivmod"),
)
# What numpy's arrays have too, with more arguments.
_METHODS = (
    *("argmax", "argmin", "astype", "copy", "cumsum", "fill", "item", "max", "min", "prod"),
    *("reshape", "squeeze", "sum", "tolist", "transpose"),
)

# Whose other arrays take the dtype of the first.
_KERNELS = (
    *("softmax_grad", "logsoftmax_grad", "standardize", "standardize_grad", "max_pool2d_grad"),
    "normalize_grad",
    *("lstm_cell", "lstm_cell_grad"),
)


def enter() -> None:
    """Changes NDArray and Value for the rest of the process."""
    members: dict[str, Any] = {
        "__getattr__": _getattr,
        "__getitem__": _getitem(NDArray.__getitem__),
        "__setitem__": _setitem(NDArray.__setitem__),
        "__array_ufunc__": _array_ufunc,
        "__array_function__": _array_function,
    }
    for name in _METHODS:
        members[name] = _method(name)
    for name in ("conv2d", "conv2d_grad_input", "conv2d_grad_weight"):
        members[name] = _promoting(getattr(NDArray, name))
    for name in _KERNELS:
        members[name] = _of_one_dtype(getattr(NDArray, name))
    for op in _ARITHMETIC:
        for name in (f"__{op}__", f"__r{op}__"):
            members[name] = _operator(name)
    for op in _COMPARISONS + _ONLY_NUMPY:
        members[f"__{op}__"] = _of_numpy(f"__{op}__")
    for name, member in members.items():
        setattr(NDArray, name, member)
    _hold_arrays("cached_data")
    _cast_data()
    # Where dtypes promote, a float32 input may get a float64 cotangent.
    agree: Any = tuple(pair for pair in reverse._AGREE if pair[0] != "dtype")
    reverse._AGREE = agree


def _cast_data() -> None:
    """Assigning to a Tensor's data casts to its dtype, as numpy's assignment in place does."""
    native: Any = vars(Tensor)["data"]

    def assign(tensor: Tensor, value: Any) -> None:
        if isinstance(value, Tensor) and value.dtype != tensor.dtype:
            value = Tensor.make_const(value.realize_cached_data().astype(tensor.dtype))
        native.__set__(tensor, value)

    setattr(Tensor, "data", native.setter(assign))  # noqa: B010 (mypy: a read-only member)


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
    promoted = _promoting(native)

    def operator(a: NDArray, b: Any) -> Any:
        dtypes = (a.dtype, b.dtype if isinstance(b, NDArray) else a.dtype)
        if isinstance(b, np.ndarray) or not _PROMOTED.issuperset(dtypes):
            return getattr(_numpy(a), name)(_numpy(b))
        return promoted(a, b) if isinstance(b, NDArray) else native(a, b)

    return operator


def _promoting(native: Any) -> Callable[..., Any]:
    """The native member, of two arrays that may differ in dtype."""

    def call(a: NDArray, b: NDArray, *args: Any, **kwargs: Any) -> Any:
        if {a.dtype, b.dtype} == _PROMOTED:
            a, b = a.astype("float64"), b.astype("float64")
        return native(a, b, *args, **kwargs)

    return call


def _of_one_dtype(native: Any) -> Callable[..., Any]:
    """The native member, of arrays that are cast to the dtype of the first."""

    def call(a: NDArray, *others: Any, **kwargs: Any) -> Any:
        unlike = [isinstance(x, NDArray) and x.dtype != a.dtype for x in others]
        cast = (x.astype(a.dtype) if u else x for x, u in zip(others, unlike, strict=True))
        return native(a, *cast, **kwargs)

    return call


def _of_numpy(name: str) -> Callable[..., Any]:
    return lambda a, *others: getattr(_numpy(a), name)(*_numpy(others))


def _getattr(a: NDArray, name: str) -> Any:
    """What NDArray lacks (mean, argmax, swapaxes, ...), from numpy."""
    if name.startswith("__"):
        raise AttributeError(f"'NDArray' object has no attribute '{name}'")
    return getattr(np.asarray(a), name)


def _getitem(native: Any) -> Callable[[NDArray, Any], Any]:
    def getitem(a: NDArray, index: Any) -> Any:
        return np.asarray(a)[_numpy(index)] if _picks(index) else native(a, index)

    return getitem


def _setitem(native: Any) -> Callable[[NDArray, Any, Any], None]:
    def setitem(a: NDArray, index: Any, value: Any) -> None:
        if _picks(index):
            np.asarray(a)[_numpy(index)] = _numpy(value)  # over the same memory
        else:
            native(a, index, value)

    return setitem


def _picks(index: Any) -> bool:
    """Whether masks or arrays of indices are in an index."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, NDArray | np.ndarray | list) for part in parts)


def _method(name: str) -> Callable[..., Any]:
    """The native method, or numpy's for arguments or dtypes that the native one does not take."""
    native = getattr(NDArray, name)

    def method(a: NDArray, *args: Any, **kwargs: Any) -> Any:
        try:
            return native(a, *args, **kwargs)
        except TypeError as error:
            named = {key: _numpy(value) for key, value in kwargs.items()}
            try:
                return getattr(np.asarray(a), name)(*_numpy(args), **named)
            except TypeError:
                raise error from None

    return method


def _array_ufunc(a: NDArray, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    arguments = {name: _numpy(value) for name, value in kwargs.items()}
    return getattr(ufunc, method)(*_numpy(inputs), **arguments)


def _array_function(a: NDArray, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    return function(*_numpy(args), **{name: _numpy(value) for name, value in kwargs.items()})
