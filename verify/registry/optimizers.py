"""Optimizers: a few steps along given gradients; results are the parameters after them.

Hyper-parameters, and the powers and complements of them that the formulas need, have few bits:
what an optimizer derives from them in Python's floats is then the same in every dtype.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from verify.registry.planning import sample
from verify.registry.promises import captures, kept, replayed, take
from verify.spec import LAYOUTS, Domain, Row, Sample, Shape


def _call(
    found: Any,
    tensors: Sequence[Any],
    where: Any,
    count: int = 1,
    given: str = "",
    captured: bool = False,
    reset: bool = False,
    **arguments: Any,
) -> Any:
    """The first `count` inputs are parameters; the others, as many at a time, their gradients.

    given: what the optimizer gets instead of a list of the parameters. captured: all steps after
    the first are replays of one, where the device has graphs. reset: the gradients are dropped
    after every step.
    """
    parameters = list(tensors[:count])
    rounds = [tensors[at : at + count] for at in range(count, len(tensors), count)]
    optimizer = found(_GIVEN[given](parameters), **arguments)
    if given == "unset":
        optimizer.lr = None
    if captured and captures(where):
        plain = found.__name__ == "SGD" and "momentum" not in arguments
        replayed(optimizer, parameters, rounds, where["device"], plain)
        return parameters
    for gradients in rounds:
        take(parameters, gradients)
        optimizer.step()
        if reset:
            optimizer.reset_grad()
            gone = (p.grad is None or not p.grad.numpy().any() for p in parameters)
            kept(all(gone), "reset_grad() drops the gradient of every parameter")
    if given == "twice":
        before = _norm(parameters)
        optimizer.clip_grad_norm()
        if math.isfinite(before):
            clipped = "clip_grad_norm() leaves a norm of 0.25 at most, rounded"
            kept(_norm(parameters) <= 0.25 * 1.01, clipped)
        optimizer.reset_grad()
        kept(all(p.grad is None for p in parameters), "reset_grad drops the gradients")
        optimizer.step()  # without gradients it is none
    return parameters


def _norm(parameters: Sequence[Any]) -> float:
    """The joint 2-norm of gradients."""
    return math.hypot(*(x for p in parameters for x in p.grad.numpy().ravel().tolist()))


_GIVEN: dict[str, Callable[[list[Any]], Any]] = {
    "": lambda parameters: parameters,
    "twice": lambda parameters: iter([*parameters, *parameters]),  # each is held once
    "bare": lambda parameters: parameters[0],
    "number": lambda parameters: 3,
    "numbers": lambda parameters: [*parameters, 3.0],
    "none": lambda parameters: [],
    "unset": lambda parameters: parameters,  # and later no learning rate
}


# An update: (parameter, gradient, what is remembered of the parameter by name, number of this step
# from 1, **hyper-parameters) -> the parameter after the step, and what is remembered then.
Memory = dict[str, Any]


def _each(update: Any) -> Any:
    """A reference for any number of parameters from an update."""

    def stepped(p: Any, gradients: Sequence[Any], arguments: dict[str, Any]) -> Any:
        memory: Memory = {}
        for step, g in enumerate(gradients, 1):
            p, memory = update(p, g, memory, step, **arguments)
        return p

    def reference(
        t: Any,
        *tensors: Any,
        count: int = 1,
        given: str = "",
        captured: bool = False,
        reset: bool = False,
        **arguments: Any,
    ) -> Any:
        return tuple(
            stepped(tensors[i], tensors[count + i :: count], arguments) for i in range(count)
        )

    return reference


def _sgd(
    p: Any,
    g: Any,
    memory: Memory,
    step: int,
    lr: float = 0.01,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    dampening: float | None = None,
) -> tuple[Any, Memory]:
    damped = 1 - (momentum if dampening is None else dampening)
    if weight_decay:
        g = g + weight_decay * p
    if momentum:
        fresh = damped * g
        # torch's first velocity is the gradient itself, the course's is damped like the others
        first = fresh if dampening is None else g
        u = momentum * memory["u"] + fresh if memory else first
        g = momentum * u + fresh if nesterov else u
        memory = {"u": u}
    return p - lr * g, memory


def _adam(
    p: Any,
    g: Any,
    memory: Memory,
    step: int,
    lr: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> tuple[Any, Memory]:
    m, v = (memory["m"], memory["v"]) if memory else (0 * p, 0 * p)
    if weight_decay and decoupled:
        p = (1 - lr * weight_decay) * p
    elif weight_decay:
        g = g + weight_decay * p
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * (g * g)
    root = (v / (1 - beta2**step)) ** 0.5 + eps
    return p - lr * (m / (1 - beta1**step) / root), {"m": m, "v": v}


def _rmsprop(
    p: Any,
    g: Any,
    memory: Memory,
    step: int,
    lr: float = 0.01,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
) -> tuple[Any, Memory]:
    if weight_decay:
        g = g + weight_decay * p
    v = alpha * (memory["v"] if memory else 0 * p) + (1 - alpha) * (g * g)
    update = g / (v**0.5 + eps)
    kept = {"v": v}
    if momentum:
        update = momentum * memory["u"] + update if memory else update
        kept["u"] = update
    return p - lr * update, kept


UPDATES: dict[str, Callable[..., tuple[Any, Memory]]] = {
    "optim.SGD": _sgd,
    "optim.Adam": _adam,
    "optim.AdamW": functools.partial(_adam, decoupled=True),
    "optim.RMSprop": _rmsprop,
}


def _steps(shape: Shape, steps: int = 3, **arguments: Any) -> Sample:
    return sample(*[shape] * (1 + steps), **arguments)


# Two parameters of different shapes, three steps.
_TWO = (((3, 4), (5,)) * 4, 2)
# What one kernel makes at once: parts of it that threads share begin and end within parameters.
_MANY = (((5,), (4099,), (61441,), (2, 3)) * 3, 4)


def _samples(*settings: dict[str, Any]) -> tuple[Sample, ...]:
    """Shapes with the first setting, then every setting with one shape and with two parameters."""
    shapes: tuple[Shape, ...] = ((), (0, 3), (1,), (7,), (33, 17))
    shapes_two, count = _TWO
    return (
        *(_steps(shape, **settings[0]) for shape in shapes),
        *(_steps((5, 13), 4, **setting) for setting in settings),
        sample(*shapes_two, count=count, **settings[-1]),
        sample(*shapes_two, count=count, given="twice", **settings[-1]),
        sample(*_MANY[0], count=_MANY[1], **settings[-1]),
        _steps((9,)),  # every hyper-parameter as it is unless given
    )


def _captured(*settings: dict[str, Any]) -> tuple[Sample, ...]:
    return tuple(_steps((5, 3), 4, captured=True, **setting) for setting in settings)


_REGIONS = ("tiny", "huge", "zeros", "integer", "ties")
_SQUARED = Domain(huge=lambda largest: largest**0.2, tiny=lambda largest: largest**-0.1)
_MOMENTS = {"lr": 0.1875, "beta1": 0.75, "beta2": 0.9375, "eps": 2.0**-10}

# A parameter is no gradient of its own.
_LAYOUTS = tuple(name for name in LAYOUTS if name != "aliased")

ROWS = (
    Row(
        name="optim.SGD",
        family="optimizer",
        reference=_each(UPDATES["optim.SGD"]),
        samples=_samples(
            {"lr": 0.1875},
            {"lr": 0.1875, "weight_decay": 0.375},
            {"lr": 0.1875, "momentum": 0.875},
            {"lr": 0.1875, "momentum": 0.875, "weight_decay": 0.375},
            {"lr": 0.1875, "momentum": 0.875, "nesterov": True},
            {"lr": 0.1875, "momentum": 0.875, "dampening": 0.0},
            {"lr": 0.1875, "momentum": 0.875, "dampening": 0.375},
            {"lr": 0.1875, "momentum": 0.875, "dampening": 0.0, "nesterov": True},
        ),
        captured=_captured(
            {"lr": 0.1875},
            {"lr": 0.1875, "momentum": 0.875, "weight_decay": 0.375},
            {"lr": 0.1875, "momentum": 0.875, "dampening": 1.0},
            {"lr": 0.1875, "momentum": 0.875, "dampening": 0.375, "nesterov": True},
        ),
        regions=(*_REGIONS, "special"),
        call=_call,
        layouts=_LAYOUTS,
        differentiable=False,
        signed_zero=False,
    ),
    Row(
        name="optim.Adam",
        family="optimizer",
        reference=_each(UPDATES["optim.Adam"]),
        samples=_samples(
            _MOMENTS,
            {"lr": 0.1875, "beta1": 0.75, "beta2": 0.9375},
            {"beta1": 0.0, "beta2": 0.5, "eps": 0.5},
            {**_MOMENTS, "weight_decay": 0.375},
        ),
        captured=_captured(_MOMENTS, {**_MOMENTS, "weight_decay": 0.375}),
        regions=_REGIONS,
        domains=(_SQUARED,),
        call=_call,
        layouts=_LAYOUTS,
        differentiable=False,
        signed_zero=False,
    ),
    Row(
        name="optim.AdamW",
        family="optimizer",
        reference=_each(UPDATES["optim.AdamW"]),
        samples=_samples(_MOMENTS, {**_MOMENTS, "weight_decay": 0.375}),
        captured=_captured({**_MOMENTS, "weight_decay": 0.375}),
        regions=_REGIONS,
        domains=(_SQUARED,),
        call=_call,
        layouts=_LAYOUTS,
        differentiable=False,
        signed_zero=False,
    ),
    Row(
        name="optim.RMSprop",
        family="optimizer",
        reference=_each(UPDATES["optim.RMSprop"]),
        samples=_samples(
            {"lr": 0.1875, "alpha": 0.9375, "eps": 2.0**-10},
            {"lr": 0.1875, "alpha": 0.9375},
            {"lr": 0.1875, "alpha": 0.75, "eps": 0.5, "weight_decay": 0.375},
            {"lr": 0.1875, "alpha": 0.9375, "eps": 2.0**-10, "momentum": 0.875},
        ),
        captured=_captured(
            {"lr": 0.1875, "alpha": 0.75, "eps": 0.5, "weight_decay": 0.375},
            {"lr": 0.1875, "alpha": 0.9375, "eps": 2.0**-10, "momentum": 0.875},
        ),
        regions=_REGIONS,
        domains=(_SQUARED,),
        call=_call,
        layouts=_LAYOUTS,
        differentiable=False,
        signed_zero=False,
    ),
)
