"""Learning-rate schedules: each sets `optimizer.lr` from the number of steps taken."""

from __future__ import annotations

import math

from .optimizer import Optimizer, check


class Schedule:
    """Scales an optimizer's initial learning rate by `factor(t)`; t counts the calls of `step`."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.base_lr: float = optimizer.lr
        self.t = 0
        self._apply()

    def factor(self, t: int) -> float:
        """What the initial rate is multiplied with after t steps."""
        raise NotImplementedError(f"[{type(self).__name__}] a Schedule defines factor")

    def step(self) -> None:
        """Call once per epoch or per optimizer step, after the optimizer's."""
        self.t += 1
        self._apply()

    def _apply(self) -> None:
        self.optimizer.lr = self.base_lr * self.factor(self.t)


class StepLR(Schedule):
    """Multiplies by gamma every `step_size` steps. Raises: ValueError unless step_size >= 1, gamma
    >= 0.
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size = int(check("StepLR", "step_size", step_size, 1))
        self.gamma = check("StepLR", "gamma", gamma, 0.0)
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return self.gamma ** (t // self.step_size)


class CosineLR(Schedule):
    """Half a cosine from the initial rate to `final` times it over `total` steps, constant after.

    Source: Loshchilov & Hutter, arXiv 1608.03983, equation 5. Raises: ValueError unless total >= 1,
    final >= 0.
    """

    def __init__(self, optimizer: Optimizer, total: int, final: float = 0.0) -> None:
        self.total = int(check("CosineLR", "total", total, 1))
        self.final = check("CosineLR", "final", final, 0.0)
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        done = min(t / self.total, 1.0)
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * done))


class WarmupLR(Schedule):
    """Rises linearly over `warmup` steps, then falls linearly to zero at `total` (stays 1 without
    total).

    Raises: ValueError unless warmup >= 1 and total > warmup.
    """

    def __init__(self, optimizer: Optimizer, warmup: int, total: int | None = None) -> None:
        self.warmup = int(check("WarmupLR", "warmup", warmup, 1))
        self.total = None if total is None else int(check("WarmupLR", "total", total, warmup + 1))
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        if t < self.warmup:
            return (t + 1) / self.warmup
        if self.total is None:
            return 1.0
        return max(0.0, (self.total - t) / (self.total - self.warmup))
