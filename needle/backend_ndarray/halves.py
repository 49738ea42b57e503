"""Where Python code adds up or draws: float16 and bfloat16 do it in float32, and round once."""

from __future__ import annotations

from needle._core import NDArray

HALVES = frozenset(("float16", "bfloat16"))


def wide(dtype: str) -> str:
    """What numbers of a dtype are added up and drawn in."""
    return "float32" if dtype in HALVES else dtype


def held(array: NDArray, dtype: str) -> NDArray:
    """The array in a dtype; itself where it is."""
    return array if array.dtype == dtype else array.astype(dtype)


def widened(array: NDArray) -> NDArray:
    """The array as numbers of it are added up; itself unless it is of 16 bits."""
    return held(array, wide(array.dtype))


def narrowed(array: NDArray, dtype: str) -> NDArray:
    """What was computed for 16 bits rounded to them; itself where the dtype is another."""
    return array if wide(dtype) == dtype else held(array, dtype)
