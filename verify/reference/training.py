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


class Twin:
    """A row's model, loss and optimizer in torch."""

    def __init__(self, training: Training, setup: Setup) -> None:
        prepare()
        self.training, self.setup = training, setup

    def start(self, batch: Batch, rng: np.random.Generator, dtype: str) -> tuple[State, list[str]]:
        """Parameters to start with, and what kind each is of."""
        kinds: list[str] = []
        parameters: list[Array] = []

        def take(kind: str, *shape: int) -> torch.Tensor:
            kinds.append(kind)
            parameters.append(self.training.draw(rng, kind, shape).astype(dtype))
            return _tensor(parameters[-1])

        with torch.no_grad():
            np.random.seed(batch.seed)
            x = _inputs(batch, _tensor)
            _, found = self.training.network(torch, take, x, **self.setup.model_arguments)
        # a mean of 0, a variance of 1
        running = [np.full(tuple(s.shape), float(i % 2), dtype) for i, s in enumerate(found)]
        return State(parameters, running, [{} for _ in parameters]), kinds

    def bounded(self, state: State, batch: Batch, count: int, fmt: Format) -> Bounds:
        """Step number `count` (from 1) from a state that is exact in the format."""
        context = Context(with_oracle(fmt, any_formula=True))

        def made(a: Any, error: float = 0.0) -> Bounded:
            exact = _tensor(a)
            return Bounded(exact, torch.full_like(exact, error), context)

        # the shares are no numbers of a lower format
        shares = [made(share, fmt.u * share) for share in (_KEPT, 1 - _KEPT)]
        with np.errstate(all="ignore"):
            loss, gradients, after = self._step(state, batch, count, made, shares, lambda g, _: g)
        parameters, statistics, memory = after
        return Bounds(
            _expected(loss, loss),
            [_expected(g, g) for g in gradients],
            [_expected(p, p) for p in parameters],
            [_expected(s, s) for s in statistics],
            [{k: _expected(v, v) for k, v in m.items()} for m in memory],
        )

    def plain(
        self, state: State, batch: Batch, count: int, moves: Sequence[Array] | None = None
    ) -> Step:
        """The same step in float64 alone; `moves` are added to the gradients."""

        def moved(g: Any, i: int) -> Any:
            return g if moves is None else g + _tensor(moves[i])

        shares = (_KEPT, 1 - _KEPT)
        loss, gradients, after = self._step(state, batch, count, _tensor, shares, moved)
        parameters, statistics, memory = after
        return Step(
            loss.numpy(),
            [g.numpy() for g in gradients],
            State(
                [p.numpy() for p in parameters],
                [s.numpy() for s in statistics],
                [{k: v.numpy() for k, v in m.items()} for m in memory],
            ),
        )

    def _step(
        self,
        state: State,
        batch: Batch,
        count: int,
        made: Callable[[Any], Any],
        shares: Sequence[Any],
        moved: Callable[[Any, int], Any],
    ) -> tuple[Any, list[Any], tuple[list[Any], list[Any], list[dict[str, Any]]]]:
        leaves = [made(p).requires_grad_(True) for p in state.parameters]
        given = iter(leaves)
        np.random.seed(batch.seed)
        x, arguments = _inputs(batch, made), self.setup.model_arguments
        scores, found = self.training.network(
            torch, lambda kind, *shape: next(given), x, **arguments
        )
        loss = _cross_entropy(scores, batch.labels)
        gradients = [moved(g, i) for i, g in enumerate(torch.autograd.grad(loss, leaves))]
        with torch.no_grad():
            parameters, memory = self._updated(leaves, gradients, state.memory, count, made)
            statistics = [
                shares[0] * made(old) + shares[1] * new.detach()
                for old, new in zip(state.statistics, found, strict=True)
            ]
        return loss.detach(), gradients, (parameters, statistics, memory)

    def _updated(
        self,
        leaves: list[Any],
        gradients: list[Any],
        memory: list[dict[str, Array]],
        count: int,
        made: Callable[[Any], Any],
    ) -> tuple[list[Any], list[dict[str, Any]]]:
        """The optimizer's formula, once for all parameters: it works on single elements."""
        sizes, shapes = [p.numel() for p in leaves], [tuple(p.shape) for p in leaves]

        def joined(parts: list[Any]) -> Any:
            return torch.cat([part.detach().reshape(-1) for part in parts])

        def parted(whole: Any) -> list[Any]:
            return [p.reshape(s) for p, s in zip(whole.split(sizes), shapes, strict=True)]

        held = {k: joined([made(m[k]) for m in memory]) for k in memory[0]}
        new, kept = self.setup.update(
            joined(leaves), joined(gradients), held, count, **self.setup.optimizer_arguments
        )
        parts = {k: parted(v) for k, v in kept.items()}
        return parted(new), [{k: v[i] for k, v in parts.items()} for i in range(len(leaves))]


def _tensor(a: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(a, np.float64))


def _inputs(batch: Batch, made: Callable[[Any], Any]) -> Any:
    """Words stay as they are: they only choose rows."""
    return batch.inputs if batch.inputs.dtype.kind == "i" else made(batch.inputs)


def _cross_entropy(scores: Any, labels: Array) -> Any:
    below = torch.nn.functional.log_softmax(scores, -1)
    chosen = torch.gather(below, 1, torch.from_numpy(labels).long().unsqueeze(1))
    return -chosen.sum() / len(labels)
