"""Dropout."""

from __future__ import annotations

from needle import init, ops
from needle.autograd import Tensor
from needle.backend_ndarray.checks import real
from needle.backend_ndarray.graph import refuse_in_capture
from needle.nn.module import Module
from needle.ops.broadcast import check_tensors


class Dropout(Module):
    """In training, drops every element with probability p and divides the others by 1 - p.

    Outside training it is the identity.
    Draws: in training one rand(*x.shape), none where p = 0; what is at most 1 - p is kept. p = 1
    keeps nothing.
    Gradient: that of the elements that were kept.
    Raises: TypeError unless p is a number, ValueError unless it lies in [0, 1]; RuntimeError in a
    captured graph unless p = 0.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        real("nn.Dropout", "p", p)
        if not 0 <= p <= 1:
            raise ValueError(f"[nn.Dropout] p lies in [0, 1], got p={p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        check_tensors("nn.Dropout", x=x)
        if not self.training or self.p == 0:
            return x
        refuse_in_capture("nn.Dropout", x.device, "its mask is drawn by the host")
        mask = init.randb(*x.shape, p=1 - self.p, device=x.device, dtype=x.dtype)
        if self.p == 1:  # a draw of exactly 0 would be kept, and divided by 0
            return ops.where(init.zeros_like(x), x, 0.0)
        return ops.divide_scalar(ops.multiply(x, mask), 1 - self.p)
