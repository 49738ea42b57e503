"""Tensor's operators and methods, made of the ops: importing this file attaches them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from needle.autograd import Tensor
from needle.ops.broadcast import broadcast_to, reshape, summation
from needle.ops.comparison import greater, greater_equal, less, less_equal
from needle.ops.elementwise import add, divide, multiply, negate, power
from needle.ops.functions import abs
from needle.ops.indexing import getitem
from needle.ops.joining import split
from needle.ops.layout import permute, squeeze, transpose, unsqueeze
from needle.ops.matrix import matmul
from needle.ops.reduction import argmax, argmin, cumsum, max, mean, min, prod, var
from needle.ops.scalar import (
    ScalarDiv,
    ScalarPower,
    add_scalar,
    divide_scalar,
    mul_scalar,
    power_scalar,
)

_NUMBERS = (int, float, np.floating, np.integer, np.bool)


def _operator(
    of_tensors: Callable[[Tensor, Tensor], Tensor], of_number: Callable[[Tensor, Any], Tensor]
) -> Callable[[Tensor, Any], Any]:
    """a op b, where b is a Tensor or a number."""

    def operator(a: Tensor, b: Any) -> Any:
        if isinstance(b, Tensor):
            return of_tensors(a, b)
        if isinstance(b, _NUMBERS):
            return of_number(a, b)
        return NotImplemented

    return operator


def _no_tensors(a: Tensor, b: Tensor) -> Any:
    return NotImplemented  # between two Tensors the operator itself has answered


def _reflected(of_number: Callable[[Tensor, Any], Tensor]) -> Callable[[Tensor, Any], Any]:
    return _operator(_no_tensors, of_number)


def _reshape(a: Tensor, *shape: Any) -> Tensor:
    """a in another shape, given as a tuple or as separate sizes."""
    return reshape(a, shape[0] if len(shape) == 1 else shape)


def _iter(a: Tensor) -> Iterator[Tensor]:
    if a.ndim == 0:
        raise TypeError("[iter] a Tensor without axes has no items, got shape=()")
    return iter(split(a, 0))  # one node for all items: backward through them is linear


_MEMBERS: dict[str, Any] = {
    "__add__": _operator(add, add_scalar),
    "__radd__": _reflected(add_scalar),
    # a - b is a + (-b): two nodes, as the course's graphs have them.
    "__sub__": _operator(lambda a, b: add(a, negate(b)), lambda a, b: add_scalar(a, -b)),
    "__rsub__": _reflected(lambda a, b: add_scalar(negate(a), b)),
    "__mul__": _operator(multiply, mul_scalar),
    "__rmul__": _reflected(mul_scalar),
    "__truediv__": _operator(divide, divide_scalar),
    "__rtruediv__": _reflected(lambda a, b: ScalarDiv(b)(a)),
    "__pow__": _operator(power, power_scalar),
    "__rpow__": _reflected(lambda a, b: ScalarPower(b)(a)),
    "__matmul__": lambda a, b: matmul(a, b) if isinstance(b, Tensor) else NotImplemented,
    "__neg__": negate,
    "__abs__": abs,
    "__lt__": _operator(less, less),
    "__le__": _operator(less_equal, less_equal),
    "__gt__": _operator(greater, greater),
    "__ge__": _operator(greater_equal, greater_equal),
    "__getitem__": getitem,
    "__iter__": _iter,
    "matmul": matmul,
    "sum": summation,
    "mean": mean,
    "var": var,
    "prod": prod,
    "max": max,
    "min": min,
    "argmax": argmax,
    "argmin": argmin,
    "cumsum": cumsum,
    "squeeze": squeeze,
    "unsqueeze": unsqueeze,
    "reshape": _reshape,
    "transpose": transpose,
    "permute": permute,
    "broadcast_to": broadcast_to,
}
for _name, _member in _MEMBERS.items():
    setattr(Tensor, _name, _member)
