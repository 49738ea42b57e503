"""Matrix product, batched and broadcast."""

from __future__ import annotations

import math

from needle.autograd import Tensor, TensorOp
from needle.backend_ndarray import NDArray
from needle.ops.broadcast import reshape, sum_to_shape
from needle.ops.layout import permute, transpose

__all__ = ["MatMul", "matmul"]


class MatMul(TensorOp):
    """a @ b, by numpy's rules.

    Shape: (..., M, K) @ (..., K, N) gives (..., M, N); leading axes broadcast; a 1-d operand is a
    row on the left, a column on the right, and its axis is dropped from the result.
    Gradient: da = g bᵀ, db = aᵀ g, summed over broadcast axes.
    Raises: ValueError when the inner sizes differ or an operand is 0-d.
    """

    __slots__ = ()

    def compute(self, a: NDArray, b: NDArray) -> NDArray:
        return a @ b

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = node.inputs
        # 1-d operands become matrices, and the cotangent gets their axes back.
        row = reshape(a, (1, *a.shape)) if a.ndim == 1 else a
        column = reshape(b, (*b.shape, 1)) if b.ndim == 1 else b
        g = out_grad
        if row is not a or column is not b:
            batch = out_grad.shape[: out_grad.ndim - (a.ndim > 1) - (b.ndim > 1)]
            g = reshape(out_grad, (*batch, row.shape[-2], column.shape[-1]))
        da = db = None
        # Where a matrix meets many: one product over all, instead of one for each and their sum.
        if a.requires_grad:
            wide, tall = g, transpose(column)
            if row.ndim == 2 and g.ndim > 2:
                wide = permute(g, (g.ndim - 2, *range(g.ndim - 2), g.ndim - 1))
                wide = reshape(wide, (row.shape[0], math.prod(wide.shape[1:])))
                tall = reshape(tall, (wide.shape[1], tall.shape[-1]))
            da = _back(matmul(wide, tall), row, a)
        if b.requires_grad:
            if column.ndim == 2 and g.ndim > 2:
                rows = math.prod(g.shape[:-1])
                row, g = (reshape(t, (rows, t.shape[-1])) for t in (row, g))
            db = _back(matmul(transpose(row), g), column, b)
        return da, db


def _back(grad: Tensor, matrix: Tensor, operand: Tensor) -> Tensor:
    """From the cotangent of a broadcast matrix to that of the operand."""
    grad = sum_to_shape(grad, matrix.shape)
    return grad if matrix is operand else reshape(grad, operand.shape)


_MATMUL = MatMul()


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """a @ b. See MatMul."""
    return Tensor.make_from_op(_MATMUL, (a, b))
