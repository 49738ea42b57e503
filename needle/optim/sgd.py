"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from needle.backend_ndarray import NDArray, sgd_steps
from needle.backend_ndarray.graph import Graph, number, stored
from needle.backend_ndarray.halves import narrowed, widened

from .optimizer import Optimizer, check


class SGD(Optimizer):
    """p <- p - lr * u with u <- m u + (1 - d) (g + wd p).

    The damping d is the momentum m itself, as in the course; `dampening=` sets it apart, which is
    torch's form (there u starts as the first gradient, undamped). `nesterov=True` steps along m u +
    (1 - d) (g + wd p). A step is one kernel for all parameters: u changes in place, p is a new
    array.
    Raises: ValueError on hyper-parameters that are negative or not finite.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        *,
        nesterov: bool = False,
        dampening: float | None = None,
    ) -> None:
        super().__init__(params)
        self.lr = check("SGD", "lr", lr, 0.0)
        self.momentum = check("SGD", "momentum", momentum, 0.0)
        self.weight_decay = check("SGD", "weight_decay", weight_decay, 0.0)
        self.dampening = None if dampening is None else check("SGD", "dampening", dampening, 0.0)
        self.nesterov = nesterov
        if nesterov and momentum == 0.0:
            raise ValueError(f"[SGD] nesterov needs momentum, got momentum={momentum}")
        self.u: dict[int, NDArray] = {}

    def _needed(self) -> tuple[str, ...]:
        return ("u",) if self.momentum else ()

    def step(self) -> None:
        for first, updates in self._grouped(lambda i: i not in self.u, self._captured):
            velocities = None
            if self.momentum:
                velocities = [self._state(self.u, i, value) for i, _, value, _ in updates]
            stepped = sgd_steps(
                [value for _, _, value, _ in updates],
                [grad for *_, grad in updates],
                velocities,
                lr=self.lr,
                momentum=self.momentum,
                undamped=1.0 - self._damping(),
                weight_decay=self.weight_decay,
                nesterov=self.nesterov,
                first=first,
                # torch's first velocity is the gradient itself
                first_undamped=self.dampening is not None,
            )
            for (_, p, _, _), new in zip(updates, stepped, strict=True):
                p.cached_data = new
            if velocities is not None:
                self.u |= {i: u for (i, *_), u in zip(updates, velocities, strict=True)}

    def _damping(self) -> float:
        return self.momentum if self.dampening is None else self.dampening

    def _captured(self, graph: Graph, i: int, value: NDArray, grad: NDArray) -> NDArray:
        """The same step in single ops, of numbers that a captured step asks for at every replay."""
        old = value
        value, grad = widened(value), widened(grad)
        if self.weight_decay:
            grad = grad + value * self.weight_decay
        if self.momentum:
            damping = self._damping()
            fresh = grad if damping == 0.0 else grad * (1.0 - damping)
            u = widened(self.u[i]) * self.momentum + fresh
            self._remember(self.u, i, u, old.dtype)
            grad = u * self.momentum + fresh if self.nesterov else u
        return stored(old, narrowed(value - grad * number(lambda: self.lr, value), old.dtype))
