"""Elements by integers and slices, and the adjoint: a cotangent put back among zeros."""

from __future__ import annotations

from typing import Any

from needle.autograd import Tensor, TensorOp
from needle.backend_ndarray import NDArray, zeros

__all__ = ["GetItem", "PutItem", "getitem"]


class GetItem(TensorOp):
    """A view of the elements that integers, slices, None and ... select, by numpy's rules.

    Gradient: PutItem, the cotangent where the elements were, zeros elsewhere.
    Raises: IndexError when an integer is out of range or there are more indices than axes.
    """

    __slots__ = ("index",)

    def __init__(self, index: Any) -> None:
        self.index = index

    def compute(self, a: NDArray) -> NDArray:
        return a[self.index]

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return PutItem(self.index, node.inputs[0].shape)(out_grad)


class PutItem(TensorOp):
    """Zeros of a shape, with a at an index: GetItem's adjoint.

    Gradient: GetItem.
    """

    __slots__ = ("index", "shape")

    def __init__(self, index: Any, shape: tuple[int, ...]) -> None:
        self.index = index
        self.shape = shape

    def compute(self, a: NDArray) -> NDArray:
        result = zeros(self.shape, dtype=a.dtype, device=a.device)
        result[self.index] = a
        return result

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return getitem(out_grad, self.index)


def getitem(a: Tensor, index: Any) -> Tensor:
    """a[index]. See GetItem."""
    return GetItem(index)(a)
