"""Modules of many parameters: these are slices of one vector, so that all their gradients are
judged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from verify.spec import LAYOUTS, Shape

_FAR = 8.0  # further than what is added to it
# Where all weights are equal, every unit of a layer may come to lie on a kink.
LAYOUTS_OF_WEIGHTS = tuple(name for name in LAYOUTS if name not in ("broadcast", "mixed"))


def size(shapes: Iterable[Shape]) -> int:
    """Elements of all shapes together."""
    return sum(math.prod(shape) for shape in shapes)


def slices(
    vector: Any, shapes: Sequence[Shape], constant: Callable[[Any], Any], hidden: int = 0
) -> list[Any]:
    """A vector's parts, each in its shape, scaled by a power of two that keeps products near 1.

    hidden: the size of a ReLU's input. Biases of that size are far from 0, every third below: no
    step of finite differences meets a kink.
    """
    parts, begin = [], 0
    for shape in shapes:
        end = begin + math.prod(shape)
        part = vector[begin:end].reshape(shape)
        begin = end
        if len(shape) > 1 and shape[0] > 1:
            part = part * 2.0 ** -round(math.log2(shape[0]) / 2)
        elif len(shape) > 1:
            part = part * 0.25
        if shape == (1, hidden):
            part = part + constant(np.where(np.arange(hidden) % 3 == 2, -_FAR, _FAR))
        parts.append(part)
    if begin != vector.shape[0]:
        raise ValueError(f"[packing] the vector has {vector.shape[0]} elements, not {begin}")
    return parts


def place(made: Any, vector: Any, where: dict[str, Any], hidden: int = 0) -> None:
    """Puts the slices in the place of a module's parameters, in their order."""
    parameters = made.parameters()

    def constant(a: Any) -> Any:
        return type(vector)(a, **where, requires_grad=False)

    shapes = [p.shape for p in parameters]
    for p, part in zip(parameters, slices(vector, shapes, constant, hidden), strict=True):
        # the parameter becomes a node of the vector's graph, where it was a leaf
        p.op, p.inputs, p.cached_data = part.op, part.inputs, part.cached_data
