"""A training step of the oracle: with bounds from a state taken as exact, or plain and shaken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from verify.budget import Array, Format, with_oracle
from verify.reference import Expected, _expected, prepare
from verify.reference.bounded import Bounded, Context
from verify.training import Batch, Setup, State, Step, Training

_KEPT = 0.9  # what a running statistic keeps of itself at each step, in float64


@dataclass(frozen=True, slots=True)
class Bounds:
    """A Step with bounds."""

    loss: Expected
    gradients: list[Expected]
    parameters: list[Expected]
    statistics: list[Expected]
    memory: list[dict[str, Expected]]


def start(
    training: Training, setup: Setup, batch: Batch, rng: np.random.Generator, dtype: str
) -> tuple[State, list[str]]:
    """Parameters to start with, and what kind each is of."""
    prepare()
    kinds: list[str] = []
    parameters: list[Array] = []

    def take(kind: str, *shape: int) -> torch.Tensor:
        kinds.append(kind)
        parameters.append(training.draw(rng, kind, shape).astype(dtype))
        return torch.from_numpy(parameters[-1].astype(np.float64))

    with torch.no_grad():
        np.random.seed(batch.seed)
        x = _inputs(batch, torch.from_numpy)
        _, found = training.network(torch, take, x, **setup.model_arguments)
    pairs = [np.full(tuple(s.shape), float(i % 2), dtype) for i, s in enumerate(found)]
    return State(parameters, pairs, [{} for _ in parameters]), kinds


def bounded(
    training: Training,
    setup: Setup,
    state: State,
    batch: Batch,
    count: int,
    fmt: Format,
) -> Bounds:
    """Step number `count` (from 1) from a state that is exact in the format."""
    prepare()
    context = Context(with_oracle(fmt, any_formula=True))

    def made(a: Any, error: float = 0.0) -> Bounded:
        exact = torch.from_numpy(np.array(a, np.float64))
        return Bounded(exact, torch.full_like(exact, error), context)

    # the shares are no numbers of a lower format
    shares = tuple(made(share, fmt.u * share) for share in (_KEPT, 1 - _KEPT))
    with np.errstate(all="ignore"):
        loss, gradients, after = _advance(
            training, setup, state, batch, count, made, shares, lambda g, _: g
        )
    return Bounds(
        _expected(loss, loss),
        [_expected(g, g) for g in gradients],
        [_expected(p, p) for p in after[0]],
        [_expected(s, s) for s in after[1]],
        [{k: _expected(v, v) for k, v in m.items()} for m in after[2]],
    )


def shaken(
    training: Training,
    setup: Setup,
    state: State,
    batch: Batch,
    count: int,
    exact: Bounds,
    rng: np.random.Generator,
) -> Step:
    """The same step in plain float64, each gradient moved up or down by its bound in `exact`."""
    prepare()

    def shake(g: Any, i: int) -> Any:
        signs = torch.from_numpy(rng.choice([-1.0, 1.0], tuple(g.shape)))
        return g + signs * torch.from_numpy(exact.gradients[i].error)

    loss, gradients, (parameters, statistics, memory) = _advance(
        training,
        setup,
        state,
        batch,
        count,
        lambda a: torch.from_numpy(np.array(a, np.float64)),
        (_KEPT, 1 - _KEPT),
        shake,
    )
    return Step(
        loss.numpy(),
        [g.numpy() for g in gradients],
        State(
            [p.numpy() for p in parameters],
            [s.numpy() for s in statistics],
            [{k: v.numpy() for k, v in m.items()} for m in memory],
        ),
    )


def _inputs(batch: Batch, made: Callable[[Any], Any]) -> Any:
    """Words stay as they are: they only choose rows."""
    return batch.inputs if batch.inputs.dtype.kind == "i" else made(batch.inputs.astype(np.float64))


def _advance(
    training: Training,
    setup: Setup,
    state: State,
    batch: Batch,
    count: int,
    made: Callable[[Any], Any],
    shares: Sequence[Any],
    shake: Callable[[Any, int], Any],
) -> tuple[Any, list[Any], tuple[list[Any], list[Any], list[dict[str, Any]]]]:
    leaves = [made(p).requires_grad_(True) for p in state.parameters]
    given = iter(leaves)
    np.random.seed(batch.seed)
    scores, found = training.network(
        torch, lambda kind, *shape: next(given), _inputs(batch, made), **setup.model_arguments
    )
    loss = _cross_entropy(scores, batch.labels)
    gradients = [shake(g, i) for i, g in enumerate(torch.autograd.grad(loss, leaves))]
    with torch.no_grad():
        stepped = [
            setup.update(
                p.detach(),
                g,
                {k: made(v) for k, v in m.items()},
                count,
                **setup.optimizer_arguments,
            )
            for p, g, m in zip(leaves, gradients, state.memory, strict=True)
        ]
        statistics = [
            shares[0] * made(old) + shares[1] * new.detach()
            for old, new in zip(state.statistics, found, strict=True)
        ]
    after = ([p for p, _ in stepped], statistics, [m for _, m in stepped])
    return loss.detach(), gradients, after


def _cross_entropy(scores: Any, labels: Array) -> Any:
    below = torch.nn.functional.log_softmax(scores, -1)
    chosen = torch.gather(below, 1, torch.from_numpy(labels).long().unsqueeze(1))
    return -chosen.sum() / len(labels)
