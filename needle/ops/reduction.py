"""Reductions over axes, beside the sum (broadcast.py)."""

from __future__ import annotations

from needle.autograd import Tensor, TensorOp
from needle.backend_ndarray import NDArray
from needle.ops.broadcast import Axes, broadcast_to, kept_shape, reshape

__all__ = ["Max", "max"]


class Max(TensorOp):
    """The largest element over axes (None: all); NaN wins.

    Shape: axes dropped, or of size 1 with keepdims.
    Domain: at least one element along the axes.
    Gradient: to the largest element; ties share it in equal parts.
    Raises: IndexError when an axis is out of range, ValueError when one is repeated or empty.
    """

    __slots__ = ("axes", "keepdims")

    def __init__(self, axes: Axes | None = None, keepdims: bool = False) -> None:
        self.axes = axes
        self.keepdims = keepdims

    def compute(self, a: NDArray) -> NDArray:
        return a.max(axis=self.axes, keepdims=self.keepdims)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        a = node.inputs[0].realize_cached_data()
        kept = kept_shape(a.shape, self.axes)
        # Who is largest is constant almost everywhere, so the mask needs no graph.
        mask = a.equal(node.realize_cached_data().reshape(kept))
        count = Tensor.make_const(mask.sum(axis=self.axes, keepdims=True))
        share = broadcast_to(reshape(out_grad, kept) / count, a.shape)
        return share * Tensor.make_const(mask)


def max(a: Tensor, axes: Axes | None = None, keepdims: bool = False) -> Tensor:
    """The largest element over axes. See Max."""
    return Max(axes, keepdims)(a)
