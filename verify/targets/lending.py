"""Arguments as their caller holds them, who changes them once the call has returned."""

from __future__ import annotations

from typing import Any

import numpy as np

_READ_AS_ARRAYS = ("index", "source")  # where numpy reads a list of numbers as an array


def lent(name: str, argument: Any) -> Any:
    """An argument as its caller may hold it: lists for tuples, arrays of their own."""
    if isinstance(argument, np.ndarray):
        return argument.copy()
    if isinstance(argument, tuple) and name not in _READ_AS_ARRAYS:
        return [lent(name, part) for part in argument]
    return argument


def spoil(argument: Any) -> None:
    """The caller's lists are emptied and the arrays overwritten, whatever they held."""
    if isinstance(argument, np.ndarray):
        argument[...] = argument == 0
    elif isinstance(argument, list):
        for part in argument:
            spoil(part)
        argument.clear()
