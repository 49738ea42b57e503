"""What the course promises of a Tensor itself: operators, methods, and backward through any graph.

Operators are asked for results and gradients: one that leaves the graph has none. Of quotients, the
formulas of whose gradients differ, and of methods, whose ops have rows of their own, it is asked
only that every operand has a gradient. Graphs are made of sums and products, so that what fails
there is the order of a backward pass.
"""

from __future__ import annotations

import contextlib
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


def _given(method: Op, argument: tuple[int, ...]) -> Any:
    """A method of a tuple, or of what it holds: whichever the implementation takes."""
    try:
        return method(argument)
    except Exception:
        with contextlib.suppress(Exception):
            return method(*argument)
        raise  # what it said of the form that the course names


# name -> the method that is called, the expression, and its slopes times g: exact, or products and
# their sums; None: not judged
_EXPRESSIONS: dict[str, tuple[str, Op, Op | None]] = {
    "-x": ("__neg__", lambda x: -x, lambda g, x: (-g,)),
    "x+2": ("__add__", lambda x: x + 2, lambda g, x: (g,)),
    "2+x": ("__radd__", lambda x: 2 + x, lambda g, x: (g,)),
    "x-2": ("__sub__", lambda x: x - 2, lambda g, x: (g,)),
    "2-x": ("__rsub__", lambda x: 2 - x, lambda g, x: (-g,)),
    "x*3": ("__mul__", lambda x: x * 3, lambda g, x: (3 * g,)),
    "3*x": ("__rmul__", lambda x: 3 * x, lambda g, x: (3 * g,)),
    "x_by_4": ("__truediv__", lambda x: x / 4, lambda g, x: (g / 4,)),
    "3_by_x": ("__rtruediv__", lambda x: 3 / x, None),
    "x**2": ("__pow__", lambda x: x**2, lambda g, x: (x**1 * 2 * g,)),
    "x+y": ("__add__", lambda x, y: x + y, lambda g, x, y: (g, g)),
    "x-y": ("__sub__", lambda x, y: x - y, lambda g, x, y: (g, -g)),
    "x*y": ("__mul__", lambda x, y: x * y, lambda g, x, y: (g * y, g * x)),
    "x_by_y": ("__truediv__", lambda x, y: x / y, None),
    "x@y": ("__matmul__", lambda x, y: x @ y, lambda g, x, y: (g @ y.T, x.T @ g)),
    "x.sum": ("sum", lambda x: _given(x.sum, (1,)), None),
    "x.reshape": ("reshape", lambda x: _given(x.reshape, tuple(x.shape[::-1])), None),
    "x.transpose": ("transpose", lambda x: _given(x.transpose, (0, 1)), None),
    "x.matmul": ("matmul", lambda x, y: x.matmul(y), None),
    "x.broadcast_to": ("broadcast_to", lambda x: _given(x.broadcast_to, (3, 4)), None),
}
_SHAPES: dict[str, tuple[Shape, ...]] = {
    **dict.fromkeys(("x+y", "x-y", "x*y", "x_by_y"), ((3, 4), (3, 4))),
    **dict.fromkeys(("x@y", "x.matmul"), ((3, 4), (4, 2))),
    "x.transpose": ((2, 3, 4),),
    "x.broadcast_to": ((3, 1),),
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
    "detached_first": (lambda x, add, multiply: multiply(x.detach(), x), lambda x: x),
}
FORMS: tuple[Sample, ...] = (
    *(sample(*_SHAPES.get(name, ((3, 4),)), form=name) for name in _EXPRESSIONS),
    *(sample((3, 4), region="integer", form=name) for name in _GRAPHS),
)


def _cotangent(x: Any) -> Any:
    return np.arange(1.0, 1.0 + math.prod(x.shape)).reshape(x.shape) % 3 + 1


def reference(t: Any, x: Any, *others: Any, form: str) -> Any:
    """What a form gives."""
    if form in _GRAPHS:
        slope = _GRAPHS[form][1](x)
        return slope if form == "alone" else slope * t.tensor(_cotangent(x), dtype=x.dtype)
    _, expression, slopes = _EXPRESSIONS[form]
    if form == "3_by_x":  # by way of 1 / x is as usual
        return t.reciprocal(x) * 3
    if form == "x_by_y":
        return x * t.reciprocal(*others)
    y = expression(x, *others)
    if slopes is None:
        return y
    return (y, *slopes(t.tensor(_cotangent(y), dtype=x.dtype), x, *others))


def lacks(tensor_class: Any, form: str) -> bool:
    """Whether a form asks for what it has not, and the course does not hand out."""
    return form == "3_by_x" and not hasattr(tensor_class, "__rtruediv__")


def call(found: Any, tensors: Sequence[Any], where: dict[str, Any], form: str) -> Any:
    """What an expression gives, and its gradients; or the gradient that backward leaves in a leaf.

    Raises: Missing without the method, Broken without a gradient.
    """
    x = tensors[0]
    if form in _EXPRESSIONS:
        method, expression, slopes = _EXPRESSIONS[form]
        if not hasattr(x, method):
            raise Missing(f"Tensor has no {method}")
        y = expression(*tensors)
        if y is None:  # its body is missing
            return None
        y.backward(found(_cotangent(y), **where, requires_grad=False))
        grads = _gradients(tensors)
        return y if slopes is None else [y, *grads]
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
    return _gradients(tensors)


def _gradients(leaves: Sequence[Any]) -> list[Any]:
    grads = [getattr(leaf, "grad", None) for leaf in leaves]
    for name, grad in zip("xy", grads, strict=False):
        if grad is None:
            raise Broken(f"backward gave operand {name} no gradient")
    return grads
