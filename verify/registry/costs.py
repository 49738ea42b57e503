"""What ops cost where that does not follow from their family: operations, and bytes moved.

Bytes are of operands and results once, unless said here: views move none, and what is chosen by
indices is read alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from verify.spec import Shape

_INDEX = 8  # bytes of an int64


def _einsum(shapes: Sequence[Shape], spec: str) -> float:
    """Every combination of letters: a product of the operands, and a sum."""
    named = spec.split("->")[0].split(",")
    if "..." in spec:  # the axes that it stands for, the longest ones
        hidden = [len(s) - len(n.replace("...", "")) for s, n in zip(shapes, named, strict=True)]
        free = [chr(ord("A") + i) for i in range(max(hidden))]
        named = [
            n.replace("...", "".join(free[len(free) - h :]))
            for n, h in zip(named, hidden, strict=True)
        ]
    sizes: dict[str, int] = {}
    for shape, letters in zip(shapes, named, strict=True):
        for n, letter in zip(shape, letters, strict=True):
            sizes[letter] = max(n, sizes.get(letter, 0)) if n else 0
    return float(len(shapes) * math.prod(sizes.values()))


def _added(shapes: Sequence[Shape], **_: Any) -> float:
    return float(math.prod(shapes[0]))


def _nothing(shapes: Sequence[Shape], itemsize: int, **_: Any) -> float:
    return 0.0


def _gathered(shapes: Sequence[Shape], itemsize: int, index: Any, axis: int) -> float:
    """Index, what it picks, the result; the other axes broadcast."""
    axis %= len(shapes[0])
    others = [(*s[:axis], 1, *s[axis + 1 :]) for s in (shapes[0], index.shape)]
    picked = math.prod(np.broadcast_shapes(*others)) * index.shape[axis]
    return float(_INDEX * index.size + 2 * itemsize * picked)


def _taken(shapes: Sequence[Shape], itemsize: int, indices: Any, axis: int) -> float:
    rest = math.prod(shapes[0]) // max(shapes[0][axis], 1)
    return float(_INDEX * indices.size + 2 * itemsize * indices.size * rest)


def _scattered(shapes: Sequence[Shape], itemsize: int, index: Any, axis: int, n: int) -> float:
    """Every sum is read and written, after zeros were."""
    elements = math.prod(shapes[0])
    sums = elements // max(shapes[0][axis], 1) * n
    return float(_INDEX * index.size + itemsize * (3 * elements + sums))


def _assigned(
    shapes: Sequence[Shape], itemsize: int, index: Any, source: Any = None, turned: bool = False
) -> float:
    """What is written is as large as what the index picks."""
    picked = np.empty(shapes[0][::-1] if turned else shapes[0], np.bool_)[index]
    read = np.size(picked) if source is not None else math.prod(shapes[1])
    return float(itemsize * (read + np.size(picked)))


def _selected(shapes: Sequence[Shape], itemsize: int, mask: Any, **_: Any) -> float:
    result = math.prod(np.broadcast_shapes(*shapes, mask.shape))
    return float(mask.size + itemsize * (sum(map(math.prod, shapes)) + result))


FLOPS: dict[str, Callable[..., float]] = {"einsum": _einsum, "scatter_add": _added}
BYTES: dict[str, Callable[..., float]] = {
    **dict.fromkeys(
        (
            *("reshape", "transpose", "permute", "broadcast_to", "flip", "undilate"),
            *("squeeze", "unsqueeze", "getitem", "split", "iter", "Windows"),
        ),
        _nothing,
    ),
    "gather": _gathered,
    "take": _taken,
    "scatter_add": _scattered,
    "setitem": _assigned,
    "where": _selected,
}
