"""Losses as modules."""

from __future__ import annotations

from needle import ops
from needle.autograd import Tensor
from needle.nn.module import Module
from needle.ops.loss import Labels


class SoftmaxLoss(Module):
    """The mean of logsumexp(logits) - logits[label] over all rows. See needle.cross_entropy.

    Shape: logits (..., classes), labels (...) of any dtype give ().
    Raises: IndexError when a label is not in [0, classes), ValueError when it is not whole or the
    shapes do not fit.
    """

    def forward(self, logits: Tensor, y: Labels) -> Tensor:
        return ops.cross_entropy(logits, y)


class MSELoss(Module):
    """The mean of (x - y)² over all elements.

    Shape: x and y of one shape, with at least one element, give ().
    Raises: TypeError unless both are Tensors, ValueError when the shapes differ or there is no
    element.
    """

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        for t in (x, y):
            if not isinstance(t, Tensor):
                raise TypeError(f"[nn.MSELoss] x and y are Tensors, got type={type(t).__name__}")
        # Not broadcast: (n,) against (n, 1) would quietly become (n, n).
        if x.shape != y.shape or 0 in x.shape:
            raise ValueError(
                "[nn.MSELoss] x and y have one shape, and elements, "
                f"got x.shape={x.shape}, y.shape={y.shape}"
            )
        error = x - y
        return ops.mean(error * error)
