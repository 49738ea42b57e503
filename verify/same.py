"""What holds for every call, whoever computes: the same bits again, nothing given is changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from verify.spec import Broken

SHARES = "shares memory with an input: writing to one shows in both"


def require_same(first: Sequence[Any], again: Sequence[Any], what: str) -> None:
    """Broken, with the first number that differs, unless both are the same bits."""
    if len(first) != len(again):
        raise Broken(f"{what} gave {len(again)} parts, was {len(first)}")
    for i, (a, b) in enumerate(zip(first, again, strict=True)):
        if a.shape != b.shape:
            raise Broken(f"{what} gave another shape: part {i} has {b.shape}, was {a.shape}")
        if a.tobytes() != b.tobytes():
            where = np.argwhere(a.view(f"u{a.itemsize}") != b.view(f"u{b.itemsize}"))
            place = f"[{','.join(map(str, where[0]))}]" if a.ndim else ""
            index = tuple(where[0])
            raise Broken(
                f"{what} gave other bits: part {i}{place} = {b[index]:.9g}, was {a[index]:.9g}"
            )


def require_unchanged(what: str, now: Sequence[Any], then: Sequence[Any]) -> None:
    """Broken unless arrays are what they were, the gaps of strided ones included."""
    for i, (a, b) in enumerate(zip(now, then, strict=True)):
        if a.tobytes() != b.tobytes():
            raise Broken(f"{what} {i} was changed by the call")
