"""What the course promises of a Tensor itself: its operators, and backward through any graph.

Operators are asked for results alone: their gradients are those of ops, which have rows of their
own. Graphs are made of sums and products, so that what fails here is the order of a backward pass.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from verify import targets
from verify.registry.planning import sample
from verify.spec import Broken, Missing, Sample, Shape

Op = Callable[..., Any]

_DOUBLINGS = 60  # of a value used twice each: a pass that does not remember nodes never ends
_CHAIN = 5  # operations of the longer of two paths

# name -> the method that Python calls, and the expression
_OPERATORS: dict[str, tuple[str, Callable[..., Any]]] = {
    "-x": ("neg", lambda x: -x),
    "x+2": ("add", lambda x: x + 2),
    "2+x": ("radd", lambda x: 2 + x),
    "x-2": ("sub", lambda x: x - 2),
    "2-x": ("rsub", lambda x: 2 - x),
    "x*3": ("mul", lambda x: x * 3),
    "3*x": ("rmul", lambda x: 3 * x),
    "x_by_4": ("truediv", lambda x: x / 4),
    "3_by_x": ("rtruediv", lambda x: 3 / x),
    "x**2": ("pow", lambda x: x**2),
    "x+y": ("add", lambda x, y: x + y),
    "x-y": ("sub", lambda x, y: x - y),
    "x*y": ("mul", lambda x, y: x * y),
    "x_by_y": ("truediv", lambda x, y: x / y),
    "x@y": ("matmul", lambda x, y: x @ y),
}
_SECOND: dict[str, Shape] = {
    **dict.fromkeys(("x+y", "x-y", "x*y", "x_by_y"), (3, 4)),
    "x@y": (4, 2),
}


def _twice(x: Any, add: Op, multiply: Op) -> Any:
    """A value and a leaf with several uses each."""
    y = multiply(x, x)
    return add(add(add(y, multiply(y, x)), multiply(y, y)), y)


def _paths(x: Any, add: Op, multiply: Op) -> Any:
    """A value that the result uses itself and at the end of a longer path, in either order."""
    y = multiply(x, x)
    long = y
    for _ in range(_CHAIN):
        long = add(long, x)
    return add(multiply(y, long), multiply(long, y))


def _doubled(x: Any, add: Op, multiply: Op) -> Any:
    for _ in range(_DOUBLINGS):
        x = add(x, x)
    return x


# name -> the value whose gradient is asked for, and its derivative in numbers that are exact
_GRAPHS: dict[str, tuple[Callable[[Any, Op, Op], Any], Callable[[Any], Any]]] = {
    "alone": (lambda x, add, multiply: multiply(x, x), lambda x: 2.0 * x),
    "uses": (_twice, lambda x: 4.0 * x + 3.0 * x * x + 4.0 * x * x * x),
    "again": (_twice, lambda x: 4.0 * x + 3.0 * x * x + 4.0 * x * x * x),
    "paths": (_paths, lambda x: 8.0 * x * x * x + 6.0 * _CHAIN * x * x),
    "doubled": (_doubled, lambda x: 0.0 * x + 2.0**_DOUBLINGS),
    "detached": (lambda x, add, multiply: multiply(x, x.detach()), lambda x: x),
}
FORMS: tuple[Sample, ...] = (
    *(sample(*((3, 4), *filter(None, [_SECOND.get(f)])), form=f) for f in _OPERATORS),
    *(sample((3, 4), region="integer", form=name) for name in _GRAPHS),
)


def _cotangent(x: Any) -> Any:
    return np.arange(1.0, 1.0 + math.prod(x.shape)).reshape(x.shape) % 3 + 1


def reference(t: Any, x: Any, *others: Any, form: str) -> Any:
    """What a form gives."""
    if form == "3_by_x":  # by way of 1 / x is as usual
        return t.reciprocal(x) * 3
    if form == "x_by_y":
        return x * t.reciprocal(*others)
    if form in _OPERATORS:
        return _OPERATORS[form][1](x, *others)
    slope = _GRAPHS[form][1](x)
    return slope if form == "alone" else slope * t.tensor(_cotangent(x), dtype=x.dtype)


def lacks(tensor_class: Any, form: str) -> bool:
    """Whether a form asks for what it has not, and the course does not hand out."""
    return form == "3_by_x" and not hasattr(tensor_class, "__rtruediv__")


def call(found: Any, tensors: Sequence[Any], where: dict[str, Any], form: str) -> Any:
    """An operator's result, or the gradient that backward leaves in a leaf."""
    x = tensors[0]
    if form in _OPERATORS:
        if not hasattr(x, method := f"__{_OPERATORS[form][0]}__"):
            raise Missing(f"Tensor has no {method}")
        return _OPERATORS[form][1](*tensors)
    library = targets.foreign()
    assert library is not None
    value = functools.partial(
        _GRAPHS[form][0], x, library.resolve("add"), library.resolve("multiply")
    )
    if form == "alone":  # the cotangent is ones
        value().backward()
    else:
        g = found(_cotangent(x), **where, requires_grad=False)
        value().backward(g)
        if form == "again":  # what was there is overwritten
            value().backward(g)
    if getattr(x, "grad", None) is None:
        raise Broken("backward gave a leaf no gradient")
    return x.grad
