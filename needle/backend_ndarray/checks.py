"""Numbers that users pass, checked before anything is done with them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

_INT64 = 1 << 63
_REAL = (int, float, np.floating, np.integer, np.bool)


def switched_on(name: str, default: bool = False) -> bool:
    """A switch in the environment: 1 or 0; default where it is empty or absent.

    Raises: ValueError otherwise: one that did nothing would be taken for one that is on.
    """
    value = os.environ.get(name, "")
    if value not in ("", "0", "1"):
        raise ValueError(f"[environment] a switch is 0 or 1, got {name}={value}")
    return value == "1" if value else default


def integers(op: str, **values: Any) -> list[int]:
    """values as ints. Raises: TypeError when one is none, ValueError beyond 64 bits."""
    for name, value in values.items():
        if not hasattr(value, "__index__") or isinstance(value, np.ndarray):
            raise TypeError(f"[{op}] {name} is an int, got type={type(value).__name__}")
        if not -_INT64 <= index(value) < _INT64:
            raise ValueError(f"[{op}] {name} must fit into 64 bits, got {name}={value}")
    return [index(value) for value in values.values()]


def sizes(op: str, shape: Sequence[Any]) -> tuple[int, ...]:
    """shape as ints. Raises: TypeError when one is none, ValueError when one is out of range."""
    found = tuple(integers(op, size=n)[0] for n in shape)
    if any(n < 0 for n in found):
        raise ValueError(f"[{op}] sizes must not be negative, got shape={found}")
    return found


def real(op: str, name: str, value: Any) -> None:
    """Raises: TypeError unless value is a real number, Python's or numpy's."""
    if not isinstance(value, _REAL):
        raise TypeError(f"[{op}] {name} is a number, got type={type(value).__name__}")


def finite(op: str, **values: Any) -> None:
    """Raises: TypeError when a value is no real number, ValueError when one is not finite."""
    for name, value in values.items():
        real(op, name, value)
        if not math.isfinite(value):
            raise ValueError(f"[{op}] {name} must be finite, got {name}={value}")


def pair(op: str, name: str, value: Any, least: int) -> tuple[int, int]:
    """An int, or a pair of them, as a pair.

    Raises: TypeError when one is no int, ValueError when one is below least or they are no pair.
    """
    if type(value) is int and least <= value < _INT64:  # as most are: the rest takes its time
        return value, value
    several = isinstance(value, tuple | list) or getattr(value, "ndim", 0) == 1
    given = tuple(value) if several else (value, value)
    found = [integers(op, **{name: n})[0] for n in given]
    if len(found) != 2 or min(found) < least:
        raise ValueError(
            f"[{op}] {name} is an int >= {least} or a pair of them, got {name}={value}"
        )
    return found[0], found[1]
