"""What a gradient is the sum of: autograd adds those of a value's uses in one order of many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from verify.budget import Array, Format, add_up


@dataclass(frozen=True, slots=True)
class Added:
    """The parts of budget.add_up: sum of the positive terms, of the errors, terms that are no 0."""

    up: torch.Tensor
    error: torch.Tensor
    some: torch.Tensor

    @classmethod
    def once(cls, value: Array, error: Array, like: torch.Tensor) -> Added:
        """One term."""
        some = (value != 0) | (error != 0)
        parts = (np.array(p, np.float64) for p in (np.maximum(value, 0.0), error, some))
        return cls(*(laid_out(torch.from_numpy(p), like) for p in parts))

    def __add__(self, other: Added) -> Added:
        return Added(self.up + other.up, self.error + other.error, self.some + other.some)

    def moved(self, move: Callable[[torch.Tensor], Any]) -> Added:
        return Added(move(self.up), move(self.error), move(self.some))

    def bound(self, fmt: Format, y: Array, whole: Any) -> Array:
        return add_up(fmt, y, self.up.numpy(), self.error.numpy(), self.some.numpy(), whole)


def laid_out(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """x in memory as `like` is, for views to move both; on its own where elements share a place."""
    if x.stride() == like.stride() and 0 not in x.stride():
        return x
    if 0 in like.stride():
        return x.contiguous()
    return torch.empty_strided(like.size(), like.stride(), dtype=x.dtype).copy_(x)
