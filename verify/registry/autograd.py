"""Autograd: leaves and their gradients, values that are computed late, no_grad.

Each sample asks for something else, and gives numbers that tell.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from verify.registry.planning import refuses
from verify.registry.promises import (
    Where,
    asked,
    captures,
    elsewhere,
    kept,
    leaf,
    package,
    refused_while_captured,
    weights,
)
from verify.spec import Row

# --- Tensor


def _shared(found: Any, x: Any, where: Where) -> Any:
    """A value and a leaf with several uses; a second backward, and one that records nothing."""
    needle = package(found)
    a, g = leaf(x), weights(x, where)
    y = a * a
    z = y + y * a
    kept(a.is_leaf() and not y.is_leaf() and not z.is_leaf(), "a leaf is what no op made")
    z.backward(g)
    first = a.grad
    kept(first.requires_grad, "a gradient has a graph where grad mode is on")
    kept(y.grad is None and z.grad is None, "only leaves keep a gradient")
    z.backward(g)
    kept(a.grad is not first, "backward gives a Tensor of its own each time")
    kept(first.numpy().tobytes() == a.grad.numpy().tobytes(), "backward overwrites what was there")
    with needle.no_grad():
        z.backward(g)
    kept(a.grad.is_leaf() and not a.grad.requires_grad, "under no_grad a gradient has no graph")
    kept(x.grad is None and g.grad is None, "what requires no grad gets none")
    result = a.grad
    a.grad = first = None  # as graphs they hold the leaf that holds them
    return result


def _of_leaf(found: Any, x: Any, where: Where) -> Any:
    """backward of a leaf: its gradient is the cotangent, and depends on it."""
    a, g = leaf(x), leaf(weights(x, where))
    a.backward(g)
    kept(a.grad is not g, "a gradient is a Tensor of its own")
    got = a.grad
    (got * got).backward()
    kept(g.grad is not None and got.grad is None, "a gradient depends on the cotangent given")
    result = [got.detach() * 1.0, g.grad.detach()]
    a.grad = g.grad = None
    return result


def _data(found: Any, x: Any, where: Where) -> Any:
    """The value without its graph, and another one in its place."""
    a = leaf(x)
    y = a * a
    kept(not y.data.requires_grad and y.data.is_leaf(), "data has no graph")
    kept(not y.detach().requires_grad and y.detach().is_leaf(), "detach leaves the graph behind")
    other = a + a
    y.data = other
    kept(y.requires_grad and not y.is_leaf(), "assigning data leaves the graph as it is")
    return y.detach()


def _moved(found: Any, x: Any, where: Where) -> Any:
    """Made of a Tensor: on another device, in another dtype, and back."""
    other = elsewhere(found, where)
    there = found(x, device=other)
    kept(there.device == other and there.dtype == x.dtype, "a Tensor is where it was wanted")
    kept(there.requires_grad and there.is_leaf(), "a Tensor is a leaf that requires grad")
    wide = found(there, dtype="float64")
    kept(wide.device == other and wide.dtype == "float64", "a Tensor has the dtype wanted")
    return found(wide, **where, requires_grad=False) * 2.0


def _late(found: Any, x: Any, where: Where) -> Any:
    """Values that are computed when they are looked at, and so their gradients."""
    autograd: Any = importlib.import_module(found.__module__)
    a, g = leaf(x), weights(x, where)
    autograd.LAZY_MODE = True
    try:
        y = a * a
        z = y * a + (y * 2.0 + y * 3.0)  # of a product with a number nothing asks for a shape
        kept(z.cached_data is None and y.cached_data is None, "nothing is computed before its time")
        kept(z.shape == x.shape and z.ndim == x.ndim, "a value has its shape when asked")
        z.backward(g)
        result = [z.detach(), a.grad.detach()]
    finally:
        autograd.LAZY_MODE = False
    kept(y.cached_data is not None, "what another value needs is computed, and kept")
    a.grad = None
    return result


def _refused(found: Any, x: Any, where: Where, given: str) -> Any:
    """backward with something else than a cotangent, or of a constant; data of a number."""
    a = leaf(x)
    y = a * a
    if given == "constant":
        x.backward()
    elif given == "data":
        y.data = 3.0
    elif given == "number":
        y.backward(1.0)
    elif given == "shape":
        y.backward(weights(x, where).reshape((1, *x.shape)))
    else:
        other = "float64" if x.dtype != "float64" else "float32"
        y.backward(weights(x, {**where, "dtype": other}))


def _axes(found: Any, x: Any, where: Where) -> Any:
    """Axes that are numpy's integers."""
    sums = x.cumsum(np.int64(1))
    fits = sums.numpy().tobytes() == x.cumsum(1).numpy().tobytes()
    kept(fits, "an axis may be numpy's integer")
    return sums - x.cumsum(np.int8(1 - x.ndim)) + x


def _looked_at(found: Any, x: Any, where: Where) -> Any:
    """What the host looks at cannot be captured."""
    if captures(where):
        take = functools.partial(package(found).ops.take, x, [0], 0)
        refused_while_captured(where["device"], take, "an index is looked at", "[take]")
    return x * 1.0


_ASKED: dict[str, Callable[..., Any]] = {
    "shared": _shared,
    "leaf": _of_leaf,
    "data": _data,
    "moved": _moved,
    "late": _late,
    "axes": _axes,
    "looked": _looked_at,
    "refused": _refused,
}


def _tensor_call(
    found: Any, tensors: Sequence[Any], where: Where, ask: str, **arguments: Any
) -> Any:
    return _ASKED[ask](found, tensors[0], where, **arguments)


def _weighted(t: Any, x: Any) -> Any:
    """What promises.weights gives."""
    return (t.arange(x.numel()) % 3 + 1.0).reshape(x.shape)


def _tensor(t: Any, x: Any, ask: str) -> Any:
    g = _weighted(t, x)
    slope = g * x + g * x + g * x * x + g * x * x + g * x * x
    results: dict[str, Callable[[], Any]] = {
        "shared": lambda: slope,
        "leaf": lambda: (g + 0 * x, g + g + 0 * x),
        "data": lambda: x + x,
        "moved": lambda: x * 2.0,
        "axes": lambda: x + 0,
        "looked": lambda: x + 0,
        "late": lambda: (x * x * x + 5.0 * x * x, g * (3.0 * x * x + 10.0 * x)),
    }
    return results[ask]()


# --- no_grad


def _no_grad_call(found: Any, tensors: Sequence[Any], where: Where, ask: str) -> Any:
    """As a context, also left by an exception; around a function, and around a generator."""
    enabled = package(found).autograd.is_grad_enabled
    a = leaf(tensors[0])

    def square(v: Any) -> Any:
        kept(not enabled(), "nothing is recorded inside")
        return v * v

    def squares(v: Any) -> Any:
        for _ in range(3):
            v = square(v)
            yield v
        return "end"

    if ask in ("with", "backward"):
        try:
            with found(), found():
                y = square(a)
                raise KeyError
        except KeyError:
            kept(enabled(), "an exception leaves grad mode as it was")
    elif ask == "function":
        y = found()(square)(a)
    else:
        steps = found()(squares)(a)
        y = next(steps)
        kept(enabled(), "between the steps of a generator grad mode is the caller's")
        kept(not next(steps).requires_grad, "every step of a generator records nothing")
    kept(enabled() and a.requires_grad, "grad mode is what it was")
    kept(y.is_leaf() and not y.requires_grad, "what is made inside is a constant")
    if ask == "backward":
        y.backward()
    kept((a * y).requires_grad, "what is made outside has a graph")
    return y


def _twice(found: Any, x: Any, where: Where) -> Any:
    """The gradient of a kernel's gradient, which is composed, under no_grad and outside."""
    needle = package(found)
    found_twice = []
    for recorded in (True, False):
        a, g = leaf(x), leaf(weights(x, where))
        scale, shift = x[0] * 1.0, x[1] * 1.0
        needle.ops.layer_norm(a, scale, shift).backward(g)
        first, a.grad = a.grad, None
        if recorded:
            first.backward(x)
        else:
            with found():
                first.backward(x)
        found_twice.append(a.grad.numpy().tobytes())
        kept(a.grad.requires_grad == recorded, "a gradient has a graph where grad mode is on")
        kept(g.grad is not None, "a gradient depends on the cotangent")
        a.grad = g.grad = first = None
    kept(found_twice[0] == found_twice[1], "no_grad changes no number")
    return x * x


def _no_grad(found: Any, tensors: Sequence[Any], where: Where, ask: str) -> Any:
    if ask == "twice":
        return _twice(found, tensors[0], where)
    return _no_grad_call(found, tensors, where, ask)


_PLAIN: dict[str, Any] = {
    "family": "autograd",
    "regions": (),
    "layouts": ("compact",),
    "mixtures": (),
    "signed_zero": False,
}

ROWS = (
    Row(
        name="autograd.Tensor",
        reference=_tensor,
        samples=(
            *asked("shared", "late", region="integer"),
            *asked("leaf", "data", "moved", "axes"),
        ),
        captured=asked("looked"),
        call=_tensor_call,
        differentiable=False,  # its gradients are its results
        errors=(
            *(
                refuses((3,), ask="refused", given=given, raises=kind, says=says)
                for given, kind, says in (
                    ("constant", "RuntimeError", "must require grad"),
                    ("number", "TypeError", "out_grad is a Tensor, got type=float"),
                    ("shape", "ValueError", r"out_grad.shape=\(1, 3\), expected=\(3,\)"),
                    ("dtype", "TypeError", r"out_grad.dtype=float"),
                    ("data", "TypeError", "a Tensor is expected, got type=float"),
                )
            ),
        ),
        **_PLAIN,
    ),
    Row(
        name="autograd.no_grad",
        reference=lambda t, x, ask: x * x,
        samples=asked("with", "function", "twice", "generator"),
        call=_no_grad,
        differentiable=False,
        errors=(refuses((3,), ask="backward", raises="RuntimeError", says="must require grad"),),
        **_PLAIN,
    ),
)
