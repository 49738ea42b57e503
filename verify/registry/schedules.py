"""Learning-rate schedules, and clipping: what they say, step after step, times an input.

Hyper-parameters have few bits, as those of the optimizers.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from verify.registry.planning import sample
from verify.registry.promises import captures, refused_while_captured
from verify.spec import Domain, Row, Sample

_RATE = 0.1875


def _call(
    found: Any,
    tensors: Sequence[Any],
    where: dict[str, Any],
    of: str = "optimizer",
    captured: bool = False,
    **arguments: Any,
) -> Any:
    """An element of the input for every step, times the optimizer's rate at that step."""
    (x,) = tensors
    optim = importlib.import_module(found.__module__.rpartition(".")[0])
    optimizer = optim.SGD([x], lr=_RATE)
    schedule = found(optimizer if of == "optimizer" else x, **arguments)
    if captured and captures(where):
        why = "a schedule steps beside the replays"
        refused_while_captured(where["device"], schedule.step, why)
    rates = []
    for _ in range(x.shape[0]):
        rates.append(optimizer.lr)
        schedule.step()
    return x * type(x)(rates, **where, requires_grad=False)


def _rates(x: Any) -> Any:
    """The initial rate at every step, without an error, in the arithmetic of x."""
    return x.new_full(x.shape, _RATE)


def _step(t: Any, x: Any, step_size: int, gamma: float = 0.1) -> Any:
    """torch's: each step_size-th step multiplies the rate that was."""
    parts = [*_rates(x).split(step_size)]
    for i in range(1, len(parts)):
        parts[i] = (parts[i - 1][:1] * gamma).expand(parts[i].shape)
    return x * t.cat(parts)


def _cosine(t: Any, x: Any, total: int, final: float = 0.0) -> Any:
    """torch's CosineAnnealingLR in closed form, T_max = total, eta_min = final times the rate."""
    low, done = final * _RATE, t.arange(len(x)).clamp(max=total)
    angle = x.new_ones(x.shape) * done / total * math.pi
    return x * ((t.cos(angle) + 1) * (_RATE - low) / 2 + low)


def _warmup(t: Any, x: Any, warmup: int, total: int | None = None) -> Any:
    """torch's LinearLR up, and a line down to 0 at total."""
    steps, rates = t.arange(len(x)), _rates(x)
    fall = rates
    if total is not None:
        fall = rates * (total - steps).clamp(min=0) / (total - warmup)
    return x * t.where(steps < warmup, rates * (steps + 1) / warmup, fall)


def _schedule(name: str, reference: Any, *samples: Sample) -> Row:
    shown = samples[0]

    def beside(t: Any, x: Any, captured: bool = False, **arguments: Any) -> Any:
        return reference(t, x, **arguments)

    return Row(
        name=f"optim.{name}",
        family="schedule",
        reference=beside,
        samples=samples,
        captured=(replace(shown, kwargs=(*shown.kwargs, ("captured", True))),),
        regions=("tiny", "huge", "zeros", "integer"),
        layouts=("compact",),
        call=_call,
        differentiable=False,
        signed_zero=False,
    )


# --- clipping


def _clip_call(
    found: Any,
    tensors: Sequence[Any],
    where: dict[str, Any],
    max_norm: float | None = None,
    zero: bool = False,
) -> Any:
    """The inputs are the gradients of parameters; results: these after the call, and the norm.

    Without max_norm an optimizer is told to do it, with its own. zero: the last gradient is.
    """
    if zero:
        tensors = [*tensors[:-1], tensors[-1] * 0.0]
    parameters = [type(g)(g.numpy() * 0, **where) for g in tensors]
    for p, g in zip(parameters, tensors, strict=True):
        p.grad = g
    if max_norm is None:
        optim = importlib.import_module(found.__module__.rpartition(".")[0])
        norm = optim.SGD(parameters).clip_grad_norm()
    else:  # one without a gradient
        norm = found([*parameters, type(tensors[0])(1.0, **where)], max_norm)
    return [*(p.grad for p in parameters), type(tensors[0])(norm, **where)]


def _clip(t: Any, *gradients: Any, max_norm: float = 0.25, zero: bool = False) -> Any:
    """torch's clip_grad_norm_. Squares of what was divided by its largest do not overflow."""
    squares = 0.0
    if zero:
        gradients = (*gradients[:-1], gradients[-1] * 0.0)
    largest = t.cat([g.reshape(-1) for g in gradients]).abs().amax()
    largest = t.where(largest == 0, 1.0, largest)
    for g in gradients:
        part = g / largest
        squares = squares + (part * part).sum()
    norm = largest * t.sqrt(squares)
    scale = norm.new_full((), max_norm) / (norm + 1e-6)
    return [*(t.where(scale < 1, g * scale, g) for g in gradients), norm]


ROWS = (
    _schedule(
        "StepLR",
        _step,
        sample((12,), step_size=3, gamma=0.75),
        sample((7,), step_size=1, gamma=0.5),
        sample((5,), step_size=9, gamma=0.5),
        sample((5,), step_size=2, gamma=0.0),
        sample((5,), step_size=2, gamma=1.5),
        sample((5,), step_size=2),
    ),
    _schedule(
        "CosineLR",
        _cosine,
        sample((13,), total=9),
        sample((13,), total=7, final=0.125),
        sample((3,), total=1),
        sample((6,), total=4, final=1.0),
    ),
    _schedule(
        "WarmupLR",
        _warmup,
        sample((12,), warmup=3, total=9),
        sample((8,), warmup=5),
        sample((4,), warmup=1),
        sample((6,), warmup=1, total=2),
    ),
    Row(
        name="optim.clip_grad_norm",
        family="optimizer",
        reference=_clip,
        samples=(
            sample((), max_norm=0.25),
            sample((7,), max_norm=0.5),
            sample((7,), max_norm=100.0),
            sample((5, 13), (3,), (), max_norm=2.0),
            sample((5, 13), (3,), (2, 0), max_norm=64.0),
            sample((33, 17), (9,), max_norm=0.0),
            sample((7,)),
            sample((5,), (3,), max_norm=0.5, zero=True),
        ),
        regions=("tiny", "huge", "zeros", "integer", "ties"),
        # the norm of gradients whose squares leave the range
        domains=(Domain(huge=lambda x: x**0.6, tiny=lambda x: x**-0.6),),
        call=_clip_call,
        view=True,  # gradients that are small enough stay
        differentiable=False,
        mixtures=(),  # norms are numbers
        signed_zero=False,
    ),
)
