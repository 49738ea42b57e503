"""needle's own ops with faults of 16-bit kernels planted in them, for the workers of a test.

A result is computed in float64 from what the device holds, and stored as a wrong kernel would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import needle as ndl
from needle.backend_ndarray import NDArray
from verify import checks
from verify.precision import PRECISIONS
from verify.spec import Case, Verdict
from verify.targets import call, devices


def _stored(like: Any, y: Any) -> Any:
    array = NDArray(np.asarray(y, like.dtype), device=like.device, dtype=like.dtype)
    return ndl.Tensor.make_const(array)


def _wide(a: Any) -> Any:
    return a.numpy().astype(np.float64)


def sum_in_sixteen_bits(a: Any, axes: Any = None, keepdims: bool = False) -> Any:
    """Adds in the dtype of the terms."""
    x = a.numpy()
    axis = tuple(range(x.ndim)) if axes is None else axes
    axis = tuple(d % x.ndim for d in ((axis,) if isinstance(axis, int) else axis))
    lanes = np.moveaxis(x, axis, tuple(range(len(axis))))
    lanes = lanes.reshape(-1, *lanes.shape[len(axis) :])
    total = np.zeros(lanes.shape[1:], x.dtype)
    with np.errstate(all="ignore"):
        for part in lanes:
            total = (total.astype(np.float32) + part.astype(np.float32)).astype(x.dtype)
    return _stored(a, np.expand_dims(total, axis) if keepdims else total)


def _truncating(f: Callable[..., Any]) -> Callable[..., Any]:
    def op(a: Any) -> Any:
        with np.errstate(all="ignore"):
            y = f(_wide(a))
            nearest = y.astype(a.dtype)
            away = np.abs(nearest.astype(np.float64)) > np.abs(y)
            return _stored(
                a, np.where(away, np.nextafter(nearest, np.zeros_like(nearest)), nearest)
            )

    return op


def flushes(a: Any, b: Any) -> Any:
    """A product whose denormal results are 0."""
    with np.errstate(all="ignore"):
        y = (_wide(a) * _wide(b)).astype(a.dtype)
        least = PRECISIONS[a.dtype].normal
        return _stored(a, np.where(np.abs(y.astype(np.float64)) < least, np.zeros_like(y), y))


def overflows_early(a: Any, b: Any) -> Any:
    """A sum that is infinite from the largest number on, before it is rounded."""
    with np.errstate(all="ignore"):
        y = _wide(a) + _wide(b)
        large = np.isfinite(y) & (np.abs(y) >= PRECISIONS[a.dtype].largest)
        return _stored(a, np.where(large, np.sign(y) * np.inf, y).astype(a.dtype))


def rounds_its_number(a: Any, scalar: float) -> Any:
    """A product with a number that is rounded to 16 bits first."""
    with np.errstate(all="ignore"):
        return _stored(a, (_wide(a) * float(np.asarray(scalar, a.dtype))).astype(a.dtype))


FAULTS: dict[str, Callable[..., Any]] = {
    "summation": sum_in_sixteen_bits,
    "exp": _truncating(np.exp),
    "sqrt": _truncating(np.sqrt),
    "multiply": flushes,
    "add": overflows_early,
    "mul_scalar": rounds_its_number,
}


def plant() -> None:
    """Puts the faults in the place of the ops."""
    call.resolve = lambda name: FAULTS.get(name) or devices.resolve(name)  # type: ignore[assignment]


def warm_up(threads: int) -> dict[str, str]:
    plant()
    return checks.warm_up(threads)


in_worker = checks.in_worker


def run_case(case: Case) -> Verdict:
    return checks.run_case(case)
