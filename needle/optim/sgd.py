"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from needle.backend_ndarray import NDArray
from needle.backend_ndarray.graph import current_graph, number, stored
from needle.backend_ndarray.halves import narrowed, widened

from .optimizer import Optimizer, check


class SGD(Optimizer):
    """p <- p - lr * u with u <- m u + (1 - d) (g + wd p).

    The damping d is the momentum m itself, as in the course; `dampening=` sets it apart, which is
    torch's form (there u starts as the first gradient, undamped). `nesterov=True` steps along m u +
    (1 - d) (g + wd p). A step is one kernel a parameter: u changes in place, p is a new array.
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
        damping = self.momentum if self.dampening is None else self.dampening
        for i, p, value, grad in self._updates():
            if current_graph(value.device) is not None:
                p.cached_data = self._captured(i, value, grad, damping)
                continue
            velocity = self._state(self.u, i, value) if self.momentum else None
            p.cached_data = value.sgd_step(
                grad,
                velocity,
                lr=self.lr,
                momentum=self.momentum,
                undamped=1.0 - damping,
                weight_decay=self.weight_decay,
                nesterov=self.nesterov,
                first=i not in self.u,
                # torch's first velocity is the gradient itself
                first_undamped=self.dampening is not None,
            )
            if velocity is not None:
                self.u[i] = velocity

    def _captured(self, i: int, value: NDArray, grad: NDArray, damping: float) -> NDArray:
        """The same step in single ops, of numbers that a captured step asks for at every replay."""
        old = value
        value, grad = widened(value), widened(grad)
        if self.weight_decay:
            grad = grad + value * self.weight_decay
        if self.momentum:
            fresh = grad if damping == 0.0 else grad * (1.0 - damping)
            u = widened(self.u[i]) * self.momentum + fresh
            self._remember(self.u, i, u, old.dtype)
            grad = u * self.momentum + fresh if self.nesterov else u
        return stored(old, narrowed(value - grad * number(lambda: self.lr, value), old.dtype))
