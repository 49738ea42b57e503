"""Members of arrays that no op of needle is, and what is done with an array beside ops."""

from __future__ import annotations

from typing import Any

import numpy as np


def take_along_axis(a: Any, *, places: Any, axis: int) -> tuple[Any, Any]:
    """What an index picks, and the index afterwards."""
    held = a.realize_cached_data()
    index = type(held)(np.asarray(places), device=held.device, dtype="int64")
    picked = held.take_along_axis(index, axis)
    return type(a)(picked, device=a.device), type(a)(index.astype(held.dtype), device=a.device)


def _steps(*inputs: Any, call: str, dtypes: tuple[str, ...], **arguments: Any) -> Any:
    """Steps of parameters in these dtypes at once, from gradients and states in the same ones."""
    from needle import backend_ndarray

    n = len(dtypes)
    held = [a.realize_cached_data().astype(dtypes[i % n]) for i, a in enumerate(inputs)]
    lists = (held[i : i + n] for i in range(0, len(held), n))
    return getattr(backend_ndarray, call)(*lists, **arguments)[0]


def member(
    *inputs: Any, call: str, dtype: str = "", named: tuple[str, ...] = (), **arguments: Any
) -> Any:
    """A member of the first array called with the others, or with them by name; in a dtype."""
    if call.endswith("_steps"):
        return _steps(*inputs, call=call, **arguments)
    held = [a.realize_cached_data() for a in inputs]
    held = [x.astype(dtype) for x in held] if dtype else held
    first = inputs[0]
    others = dict(zip(named, held[1:], strict=True)) if named else {}
    made = getattr(held[0], call)(*held[1 if not named else len(held) :], **others, **arguments)
    made = made[0] if isinstance(made, (tuple, list)) else made
    return type(first)(made.astype(first.dtype) if dtype else made, device=first.device)


def iterated(a: Any) -> Any:
    """What a loop over a Tensor gives."""
    return tuple(a)


def accumulate(a: Any, b: Any = None, *, memory: str) -> Any:
    """A copy of the array and another one added to it: in its memory, or where that may not be.

    memory: "own"; "spread", where all rows are the copy's first; "shared" with what is added, which
    is the copy from behind.
    """
    copy = a.realize_cached_data() * 1.0
    more = copy[::-1] if b is None else b.realize_cached_data()
    held = copy[:1].broadcast_to(a.shape) if memory == "spread" else copy
    return type(a)(held.accumulate(more), device=a.device)
