"""Functions of a user's own that make Tensors of Tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from verify.sampling import Array
from verify.targets.call import listed
from verify.targets.devices import face


def as_function(subject: Any) -> Callable[..., Any] | None:
    """An Op, its class or a Module as a function of Tensors; None for what is none of needle's.

    Keyword arguments of an Op are those that make it: its call takes Tensors alone.
    """
    from needle.autograd import Op
    from needle.nn import Module

    if isinstance(subject, type) and issubclass(subject, Op):
        return lambda *tensors, **arguments: subject(**arguments)(*tensors)
    return subject if isinstance(subject, (Op, Module)) else None


def why_not(function: Callable[..., Any], arrays: Sequence[Array], **arguments: Any) -> str:
    """Why a function does not make Tensors of Tensors; empty: it does."""
    from needle import Tensor

    try:
        tensors = [Tensor(a, device=face("numpy"), dtype=str(a.dtype)) for a in arrays]
        outputs = listed(function(*tensors, **arguments))
    except Exception as error:
        return f"it raised {type(error).__name__}: {error}"
    return "" if all(isinstance(y, Tensor) for y in outputs) else "it makes no Tensors of Tensors"
