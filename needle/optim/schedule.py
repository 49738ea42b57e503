"""Learning-rate schedules: each sets `optimizer.lr` from the number of steps taken."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from needle.backend_ndarray.checks import integers
from needle.backend_ndarray.graph import capturing
from needle.nn.module import check_mapping

from .optimizer import Optimizer, check, saved_count, saved_rate


class Schedule:
    """Scales an optimizer's initial learning rate by `factor(t)`; t counts the calls of `step`.

    Raises: TypeError unless it gets an Optimizer.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"[{type(self).__name__}] it schedules an Optimizer, "
                f"got type={type(optimizer).__name__}"
            )
        self.optimizer = optimizer
        self.base_lr: float = optimizer.lr
        self.t = 0
        self._apply()

    def factor(self, t: int) -> float:
        """What the initial rate is multiplied with after t steps."""
        raise NotImplementedError(f"[{type(self).__name__}] a Schedule defines factor")

    def step(self) -> None:
        """Call once per epoch or per optimizer step, after the optimizer's.

        Raises: RuntimeError inside a captured graph; beside its replays it works.
        """
        if capturing():
            raise RuntimeError(
                f"[{type(self).__name__}] a schedule steps beside a graph's replays, "
                "not while it is captured"
            )
        self.t += 1
        self._apply()

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """The number of steps, "t", and the initial rate, "base_lr"."""
        return {"t": np.array(self.t), "base_lr": np.array(self.base_lr)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state of a schedule of this kind; sets the optimizer's rate.

        When anything does not fit, nothing is loaded.
        Raises: ValueError when names or values do not fit, TypeError when a dtype does not.
        """
        check_mapping("load_state_dict", state)
        if set(state) != {"t", "base_lr"}:
            raise ValueError(
                f"[load_state_dict] a schedule has the names t and base_lr, got names={list(state)}"
            )
        t, base_lr = saved_count("t", state["t"], 0), saved_rate("base_lr", state["base_lr"])
        self.t, self.base_lr = t, base_lr
        self._apply()

    def _apply(self) -> None:
        self.optimizer.lr = self.base_lr * self.factor(self.t)


def _steps(op: str, name: str, value: int, low: int) -> int:
    (steps,) = integers(op, **{name: value})
    if steps < low:
        raise ValueError(f"[{op}] {name} must be at least {low}, got {name}={steps}")
    return steps


class StepLR(Schedule):
    """Multiplies by gamma every `step_size` steps.

    Raises: TypeError unless step_size is an int, ValueError unless step_size >= 1, gamma >= 0.
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size = _steps("StepLR", "step_size", step_size, 1)
        self.gamma = check("StepLR", "gamma", gamma, 0.0)
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return self.gamma ** (t // self.step_size)


class CosineLR(Schedule):
    """Half a cosine from the initial rate to `final` times it over `total` steps, constant after.

    Source: Loshchilov & Hutter, arXiv 1608.03983, equation 5. Raises: TypeError unless total is an
    int, ValueError unless total >= 1, final >= 0.
    """

    def __init__(self, optimizer: Optimizer, total: int, final: float = 0.0) -> None:
        self.total = _steps("CosineLR", "total", total, 1)
        self.final = check("CosineLR", "final", final, 0.0)
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        done = min(t / self.total, 1.0)
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * done))


class WarmupLR(Schedule):
    """Rises linearly over `warmup` steps, then falls linearly to zero at `total` (stays 1 without
    total).

    Raises: TypeError unless both are ints, ValueError unless warmup >= 1 and total > warmup.
    """

    def __init__(self, optimizer: Optimizer, warmup: int, total: int | None = None) -> None:
        self.warmup = _steps("WarmupLR", "warmup", warmup, 1)
        self.total = None if total is None else _steps("WarmupLR", "total", total, self.warmup + 1)
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        if t < self.warmup:
            return (t + 1) / self.warmup
        if self.total is None:
            return 1.0
        return max(0.0, (self.total - t) / (self.total - self.warmup))
