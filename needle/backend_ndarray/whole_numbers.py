"""Labels and indices: whole numbers of any dtype, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from needle._core import NDArray
from needle.backend_ndarray.checks import sizes
from needle.backend_ndarray.graph import refuse_in_capture


def whole_numbers(op: str, values: Any, name: str = "index") -> npt.NDArray[np.int64]:
    """values (numbers, lists, arrays of any device) as int64; messages call one `name`.

    Raises: ValueError when one is not whole or beyond int64, TypeError when they are no numbers.
    """
    if isinstance(values, NDArray):
        refuse_in_capture(op, values.device, f"the host looks at each {name}")
    given = np.asarray(values)
    if given.dtype.name == "bfloat16":
        given = given.astype(np.float32)
    if given.dtype.kind not in "biuf":
        raise TypeError(f"[{op}] takes whole numbers, got dtype={given.dtype}")
    with np.errstate(invalid="ignore"):
        whole: npt.NDArray[np.int64] = given.astype(np.int64)
    # uint64 beyond int64 becomes negative
    odd = (whole < 0) if given.dtype.kind == "u" else (whole != given)
    if given.dtype.kind in "uf" and odd.any():
        raise ValueError(f"[{op}] takes whole numbers, got {name}={given[odd].flat[0]}")
    return whole


def one_hot(op: str, labels: Any, classes: int) -> npt.NDArray[np.float32]:
    """For every label zeros and a 1 where it says. Shape: labels.shape + (classes,).

    Raises: IndexError when a label is not in [0, classes), ValueError when classes is negative,
    otherwise as whole_numbers.
    """
    if classes < 0:
        raise ValueError(f"[{op}] classes must not be negative, got classes={classes}")
    index = whole_numbers(op, labels, "label")
    odd = (index < 0) | (index >= classes)
    if odd.any():
        raise IndexError(
            f"[{op}] labels lie in [0, classes), got label={index[odd].flat[0]}, classes={classes}"
        )
    sizes(op, [4 * index.size * classes])  # as many bytes as can be counted
    # Not rows of the identity matrix, which has classes² elements.
    result = np.zeros((index.size, classes), np.float32)
    result[np.arange(index.size), index.ravel()] = 1
    return result.reshape(*index.shape, classes)
