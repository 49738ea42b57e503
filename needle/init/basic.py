"""Constants and random numbers. Every random Tensor is one draw from numpy's global generator."""

from __future__ import annotations

from typing import Any

from needle.autograd import Tensor
from needle.backend_ndarray import BackendDevice, NDArray
from needle.backend_selection import default_device


def _leaf(array: NDArray, requires_grad: bool) -> Tensor:
    return Tensor.make_const(array, requires_grad=requires_grad)


def rand(
    *shape: int,
    low: float = 0.0,
    high: float = 1.0,
    device: BackendDevice | None = None,
    dtype: str = "float32",
    requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers in [low, high)."""
    array = (device or default_device()).rand(*shape, dtype=dtype)
    return _leaf(array * (high - low) + low, requires_grad)


def randn(
    *shape: int,
    mean: float = 0.0,
    std: float = 1.0,
    device: BackendDevice | None = None,
    dtype: str = "float32",
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers."""
    array = (device or default_device()).randn(*shape, dtype=dtype)
    return _leaf(array * std + mean, requires_grad)


def randb(
    *shape: int,
    p: float = 0.5,
    device: BackendDevice | None = None,
    dtype: str = "float32",
    requires_grad: bool = False,
) -> Tensor:
    """1 with probability p, otherwise 0."""
    array = (device or default_device()).rand(*shape, dtype=dtype)
    return _leaf(array <= p, requires_grad)


def constant(
    *shape: int,
    c: float = 1.0,
    device: BackendDevice | None = None,
    dtype: str = "float32",
    requires_grad: bool = False,
) -> Tensor:
    """c everywhere."""
    return _leaf((device or default_device()).full(shape, c, dtype=dtype), requires_grad)


def ones(
    *shape: int,
    device: BackendDevice | None = None,
    dtype: str = "float32",
    requires_grad: bool = False,
) -> Tensor:
    """1 everywhere."""
    return constant(*shape, c=1.0, device=device, dtype=dtype, requires_grad=requires_grad)


def zeros(
    *shape: int,
    device: BackendDevice | None = None,
    dtype: str = "float32",
    requires_grad: bool = False,
) -> Tensor:
    """0 everywhere."""
    return constant(*shape, c=0.0, device=device, dtype=dtype, requires_grad=requires_grad)


def ones_like(
    array: Tensor, *, device: BackendDevice | None = None, requires_grad: bool = False
) -> Tensor:
    """1 everywhere, in array's shape and dtype, on its device unless one is given."""
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
    device = device or (i.device if isinstance(i, Tensor) else default_device())
    labels = i.numpy() if isinstance(i, Tensor) else i
    return _leaf(device.one_hot(n, labels, dtype=dtype), requires_grad)
