"""Where Python code adds up or draws: float16 and bfloat16 do it in float32, and round once."""

from __future__ import annotations

from needle._core import NDArray


def wide(dtype: str) -> str:
    """What numbers of a dtype are added up and drawn in."""
    return "float32" if dtype in ("float16", "bfloat16") else dtype


def held(array: NDArray, dtype: str) -> NDArray:
    """The array in a dtype; itself where it is."""
    return array if array.dtype == dtype else array.astype(dtype)
