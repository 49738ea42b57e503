"""Optimizers that divide by a running second moment."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from needle.backend_ndarray import NDArray, adam_steps
from needle.backend_ndarray.graph import Graph, number, stored
from needle.backend_ndarray.halves import narrowed, widened

from .optimizer import Optimizer, check


class Adam(Optimizer):
    """Adam with bias correction; weight decay is added to the gradient, eps stands outside the
    root.

    m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  p <- p - lr m' / (sqrt(v') + eps)
    with m' = m / (1 - b1^t), v' = v / (1 - b2^t). A step is one kernel for all parameters: m and v
    change in place, p is a new array.
    Source: Kingma & Ba, arXiv 1412.6980, algorithm 1. Raises: ValueError on bad hyper-parameters.
    """

    decoupled = False  # AdamW's weight decay
    required = ("t", "m", "v")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params)
        op = type(self).__name__
        self.lr = check(op, "lr", lr, 0.0)
        self.beta1 = check(op, "beta1", beta1, 0.0, 1.0)
        self.beta2 = check(op, "beta2", beta2, 0.0, 1.0)
        self.eps = check(op, "eps", eps, 0.0)
        self.weight_decay = check(op, "weight_decay", weight_decay, 0.0)
        self.t: dict[int, int] = {}
        self.m: dict[int, NDArray] = {}
        self.v: dict[int, NDArray] = {}

    def step(self) -> None:
        for t, updates in self._grouped(lambda i: self.t.get(i, 0) + 1, self._captured):
            first = [self._state(self.m, i, value) for i, _, value, _ in updates]
            second = [self._state(self.v, i, value) for i, _, value, _ in updates]
            stepped = adam_steps(
                [value for _, _, value, _ in updates],
                [grad for *_, grad in updates],
                first,
                second,
                lr=self.lr,
                betas=(self.beta1, self.beta2),
                eps=self.eps,
                weight_decay=self.weight_decay,
                corrections=(1.0 - self.beta1**t, 1.0 - self.beta2**t),
                decoupled=self.decoupled,
                is_first=t == 1,
            )
            for (i, p, _, _), new, m, v in zip(updates, stepped, first, second, strict=True):
                p.cached_data, self.t[i], self.m[i], self.v[i] = new, t, m, v

    def _captured(self, graph: Graph, i: int, value: NDArray, grad: NDArray) -> NDArray:
        """The same step in single ops, of numbers that a captured step asks for at every replay."""
        graph.before_replay(lambda: self.t.__setitem__(i, self.t.get(i, 0) + 1))
        old = value
        value, grad, m, v = map(widened, (value, grad, self.m[i], self.v[i]))
        if self.weight_decay:
            if self.decoupled:
                value = value * number(lambda: 1.0 - self.lr * self.weight_decay, value)
            else:
                grad = grad + value * self.weight_decay
        m = m * self.beta1 + grad * (1.0 - self.beta1)
        v = v * self.beta2 + grad * grad * (1.0 - self.beta2)
        self._remember(self.m, i, m, old.dtype)
        self._remember(self.v, i, v, old.dtype)
        unbiased = number(lambda: 1.0 / self._bias(i, self.beta2), value)
        rate = number(partial(self._rate, i), value)
        root = (v * unbiased).sqrt() + self.eps
        return stored(old, narrowed(value - m / root * rate, old.dtype))

    def _bias(self, i: int, beta: float) -> float:
        """What a running mean with this beta is too small by."""
        return 1.0 - beta ** self.t[i]

    def _rate(self, i: int) -> float:
        return self.lr / self._bias(i, self.beta1)


class AdamW(Adam):
    """Adam whose weight decay acts on the parameter, not on the gradient: p <- (1 - lr wd) p first.

    Source: Loshchilov & Hutter, arXiv 1711.05101.
    """

    decoupled = True


class RMSprop(Optimizer):
    """v <- a v + (1 - a) g^2;  p <- p - lr g / (sqrt(v) + eps), optionally with momentum, as torch
    does.

    Source: Hinton, Neural Networks for Machine Learning, lecture 6e. Raises: ValueError on bad
    hyper-parameters.
    """

    required = ("v",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
    ) -> None:
        super().__init__(params)
        self.lr = check("RMSprop", "lr", lr, 0.0)
        self.alpha = check("RMSprop", "alpha", alpha, 0.0, 1.0)
        self.eps = check("RMSprop", "eps", eps, 0.0)
        self.weight_decay = check("RMSprop", "weight_decay", weight_decay, 0.0)
        self.momentum = check("RMSprop", "momentum", momentum, 0.0)
        self.v: dict[int, NDArray] = {}
        self.u: dict[int, NDArray] = {}

    def step(self) -> None:
        for i, p, old, grad in self._updates():
            value, grad = widened(old), widened(grad)
            if self.weight_decay:
                grad = grad + value * self.weight_decay
            v = grad * grad * (1.0 - self.alpha)
            if i in self.v:
                v = widened(self.v[i]) * self.alpha + v
            self._remember(self.v, i, v, old.dtype)
            update = grad / (v.sqrt() + self.eps)
            if self.momentum:
                if i in self.u:
                    update = widened(self.u[i]) * self.momentum + update
                self._remember(self.u, i, update, old.dtype)
            rate = number(lambda: self.lr, value)
            p.cached_data = stored(old, narrowed(value - update * rate, old.dtype))

    def _needed(self) -> tuple[str, ...]:
        return ("v", "u") if self.momentum else ("v",)
