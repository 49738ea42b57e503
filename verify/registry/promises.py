"""Promises that no number shows: a call that finds one broken says which.

Of autograd, of Modules, of work that is captured to be replayed.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

from verify.registry.planning import GRAPHS, sample
from verify.spec import Broken, Sample

Where = dict[str, Any]


def kept(holds: bool, promise: str) -> None:
    """Raises: Broken unless it holds."""
    if not holds:
        raise Broken(f"it should be that {promise}")


def package(found: Any) -> Any:
    """The library that one of its functions or classes is from."""
    return importlib.import_module(found.__module__.partition(".")[0])


def elsewhere(found: Any, where: Where) -> Any:
    """Another device that arrays can be made on."""
    devices = package(found).all_devices()
    return next(d for d in devices if d.enabled() and d != where["device"])


# --- autograd

_SHAPES = ((3, 5), (2, 3, 4))


def asked(*names: str, region: str = "interior") -> tuple[Sample, ...]:
    """A sample for each; sums of region "integer" are exact in any order."""
    return tuple(sample(_SHAPES[i % 2], region=region, ask=name) for i, name in enumerate(names))


def leaf(x: Any) -> Any:
    """A leaf that requires grad, over the same memory."""
    return type(x).make_const(x, requires_grad=True)


def weights(x: Any, where: Where) -> Any:
    """A cotangent for x: 1, 2, 3, 1, ..."""
    numbers = [i % 3 + 1.0 for i in range(math.prod(x.shape))]
    return type(x)(numbers, **where, requires_grad=False).reshape(x.shape)


# --- graphs of a device


def captures(where: Where) -> bool:
    """Whether the device's work can be captured."""
    return where["device"].name in GRAPHS


def refused_while_captured(
    device: Any, step: Callable[[], None], why: str, named: str = ""
) -> None:
    """Raises: Broken unless a step is an error while a graph is captured, one that names the op."""
    try:
        with device.graph():
            step()
    except RuntimeError as error:
        kept(named in str(error), f"the error names {named}")
        return
    raise Broken(f"{why}, and it was captured")


def in_a_graph(
    function: Callable[..., Any],
    tensors: Sequence[Any],
    where: Where,
    captured: bool,
    between: Callable[[], None] = lambda: None,
    **arguments: Any,
) -> Any:
    """What a function gives; captured: with other tensors, and replayed with these.

    between: what changes before the replay, or before the call.
    """
    if not (captured and captures(where)):
        between()
        return function(*tensors, **arguments)
    memory = [t * 0.0 + 1.0 for t in tensors]
    with where["device"].graph() as graph:
        results = function(*memory, **arguments)
    for held, t in zip(memory, tensors, strict=True):
        held.realize_cached_data()[...] = t.realize_cached_data()
    between()
    graph.replay()
    return results


def replayed(
    optimizer: Any, parameters: Sequence[Any], rounds: Sequence[Any], device: Any, plain: bool
) -> None:
    """A first step, and one that is captured and replayed with the gradients of each later round.

    plain: it remembers nothing of a parameter, so that any of its steps may be captured.
    """
    first, *later = rounds
    take(parameters, first)
    if not plain:
        why = "replays of a first step would be first steps"
        refused_while_captured(device, optimizer.step, why)
    optimizer.step()
    memory = [g * 1.0 for g in first]
    take(parameters, memory)
    with device.graph() as graph:
        optimizer.step()
    for gradients in later:
        for held, g in zip(memory, gradients, strict=True):
            held.realize_cached_data()[...] = g.realize_cached_data()
        graph.replay()
    parameters[0].data = parameters[0].data * 1.0
    try:
        graph.replay()
    except RuntimeError:
        return
    raise Broken("a replay steps the arrays of its capture, which are in use no longer")


def take(parameters: Sequence[Any], gradients: Sequence[Any]) -> None:
    """Gives parameters their gradients."""
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g
