"""Constants and random numbers. Every random Tensor is one draw from numpy's global generator."""

from __future__ import annotations

from typing import Any

from needle.autograd import Tensor
from needle.backend_ndarray import BackendDevice, NDArray
from needle.backend_ndarray.checks import finite, real, sizes
from needle.backend_ndarray.graph import refuse_in_capture
from needle.backend_ndarray.halves import held, wide
from needle.backend_selection import default_device


def _leaf(array: NDArray, requires_grad: bool) -> Tensor:
    return Tensor.make_const(array, requires_grad=requires_grad)


def _on(op: str, device: BackendDevice | None) -> BackendDevice:
    if device is None:
        return default_device()
    if not isinstance(device, BackendDevice):
        raise TypeError(
            f"[{op}] device is a BackendDevice such as needle.cpu(), "
            f"got type={type(device).__name__}"
        )
    return device


def _check_like(op: str, array: Any) -> None:
    if not isinstance(array, Tensor):
        raise TypeError(f"[{op}] array is a Tensor, got type={type(array).__name__}")


def _full(
    op: str,
    shape: tuple[int, ...],
    c: float,
    device: BackendDevice | None,
    dtype: str,
    requires_grad: bool,
) -> Tensor:
    return _leaf(_on(op, device).full(sizes(op, shape), c, dtype=dtype), requires_grad)


def rand(
    *shape: int,
    low: float = 0.0,
    high: float = 1.0,
    device: BackendDevice | None = None,
    dtype: str = "float32",
    requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers in [low, high).

    Raises: ValueError when a bound is not finite or a size is negative.
    """
    finite("rand", low=low, high=high)
    array = _on("rand", device).rand(*shape, dtype=wide(dtype))
    return _leaf(held(array * (high - low) + low, dtype), requires_grad)


def randn(
    *shape: int,
    mean: float = 0.0,
    std: float = 1.0,
    device: BackendDevice | None = None,
    dtype: str = "float32",
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers.

    Raises: ValueError when mean or std is not finite, std or a size is negative.
    """
    finite("randn", mean=mean, std=std)
    if std < 0:
        raise ValueError(f"[randn] std must not be negative, got std={std}")
    array = _on("randn", device).randn(*shape, dtype=wide(dtype))
    return _leaf(held(array * std + mean, dtype), requires_grad)


def randb(
    *shape: int,
    p: float = 0.5,
    device: BackendDevice | None = None,
    dtype: str = "float32",
    requires_grad: bool = False,
) -> Tensor:
    """1 with probability p, otherwise 0.

    Raises: ValueError unless 0 <= p <= 1, or when a size is negative.
    """
    finite("randb", p=p)
    if not 0 <= p <= 1:
        raise ValueError(f"[randb] p is a probability, got p={p}")
    refuse_in_capture("randb", _on("randb", device), "numbers are drawn by the host")
    array = _on("randb", device).rand(*sizes("randb", shape), dtype=wide(dtype))
    return _leaf(held(array.less_equal(p), dtype), requires_grad)


def constant(
    *shape: int,
    c: float = 1.0,
    device: BackendDevice | None = None,
    dtype: str = "float32",
    requires_grad: bool = False,
) -> Tensor:
    """c everywhere."""
    real("constant", "c", c)
    return _full("constant", shape, c, device, dtype, requires_grad)


def ones(
    *shape: int,
    device: BackendDevice | None = None,
    dtype: str = "float32",
    requires_grad: bool = False,
) -> Tensor:
    """1 everywhere."""
    return _full("ones", shape, 1.0, device, dtype, requires_grad)


def zeros(
    *shape: int,
    device: BackendDevice | None = None,
    dtype: str = "float32",
    requires_grad: bool = False,
) -> Tensor:
    """0 everywhere."""
    return _full("zeros", shape, 0.0, device, dtype, requires_grad)


def ones_like(
    array: Tensor, *, device: BackendDevice | None = None, requires_grad: bool = False
) -> Tensor:
    """1 everywhere, in array's shape and dtype, on its device unless one is given."""
    _check_like("ones_like", array)
    return ones(
        *array.shape,
        device=device or array.device,
        dtype=array.dtype,
        requires_grad=requires_grad,
    )


def zeros_like(
    array: Tensor, *, device: BackendDevice | None = None, requires_grad: bool = False
) -> Tensor:
    """0 everywhere, in array's shape and dtype, on its device unless one is given."""
    _check_like("zeros_like", array)
    return zeros(
        *array.shape,
        device=device or array.device,
        dtype=array.dtype,
        requires_grad=requires_grad,
    )


def one_hot(
    n: int,
    i: Any,
    device: BackendDevice | None = None,
    dtype: str = "float32",
    requires_grad: bool = False,
) -> Tensor:
    """Rows of the n x n identity matrix, selected by the integers i (a Tensor, of any dtype).

    Shape: i.shape + (n,).
    Raises: IndexError when one of i is not in [0, n).
    """
    if isinstance(i, Tensor):
        device = device or i.device
    labels = i.numpy() if isinstance(i, Tensor) else i
    return _leaf(_on("one_hot", device).one_hot(n, labels, dtype=dtype), requires_grad)
