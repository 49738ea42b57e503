"""What every optimizer shares: parameters, gradient clipping, checked hyper-parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from needle.autograd import Tensor
from needle.backend_ndarray import NDArray


def check(op: str, name: str, value: float, low: float, high: float = math.inf) -> float:
    """`value` as a float; ValueError unless it is finite and low <= value < high."""
    if not (math.isfinite(value) and low <= value < high):
        bounds = f"in [{low:g}, {high:g})" if math.isfinite(high) else f"at least {low:g}"
        raise ValueError(f"[{op}] {name} must be finite and {bounds}, got {name}={value}")
    return float(value)


class Optimizer:
    """Holds parameters; subclasses define `step`. A step reads gradients and never changes them.

    Raises: TypeError unless every parameter is a Tensor; ValueError when there are none.
    """

    lr: float

    def __init__(self, params: Iterable[Any]) -> None:
        self.params: list[Any] = list(params)
        op = type(self).__name__
        if not self.params:
            raise ValueError(f"[{op}] at least one parameter is needed, got params=[]")
        for i, p in enumerate(self.params):
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"[{op}] parameters are Tensors, got params[{i}]={type(p).__name__}"
                )

    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        raise NotImplementedError(f"[{type(self).__name__}] an Optimizer defines step")

    def reset_grad(self) -> None:
        """Drops the gradients."""
        for p in self.params:
            p.grad = None

    def clip_grad_norm(self, max_norm: float = 0.25) -> float:
        """Scales all gradients so that their joint 2-norm is at most max_norm; returns the norm
        before.

        The gradients are replaced, not changed in place. Raises: ValueError on a bad max_norm.
        """
        return clip_grad_norm(self.params, max_norm)

    def _updates(self) -> Iterator[tuple[int, Any, NDArray, NDArray]]:
        """(index, parameter, its array, its gradient's array) where there is a gradient."""
        for i, p in enumerate(self.params):
            if p.grad is not None:
                yield i, p, p.realize_cached_data(), p.grad.realize_cached_data()


def clip_grad_norm(params: Iterable[Any], max_norm: float) -> float:
    """See `Optimizer.clip_grad_norm`; the scale is max_norm / (norm + 1e-6) as in torch."""
    check("clip_grad_norm", "max_norm", max_norm, 0.0)
    with_grad = [p for p in params if p.grad is not None]
    grads = [p.grad.realize_cached_data() for p in with_grad]
    # hypot never overflows where the norm itself does not
    norm = math.hypot(*(_norm(g) for g in grads)) if grads else 0.0
    scale = max_norm / (norm + 1e-6)
    if scale < 1.0:
        for p, g in zip(with_grad, grads, strict=True):
            p.grad = Tensor(g * scale, device=g.device, dtype=g.dtype, requires_grad=False)
    return norm


def _norm(a: NDArray) -> float:
    largest = max(float(a.max()), float((-a).max())) if a.size else 0.0
    if largest == 0.0 or not math.isfinite(largest):
        return abs(largest)
    scaled = a / largest
    return largest * math.sqrt(float((scaled * scaled).sum()))
