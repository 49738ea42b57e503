"""Scaled dot-product attention: its weights are one node, the mean of the values is a matmul.

The weights are a value of their own because attention layers return them and drop some out.
"""

from __future__ import annotations

import math

import numpy as np

from needle.autograd import Tensor, TensorOp
from needle.backend_ndarray import NDArray
from needle.backend_ndarray.checks import finite
from needle.backend_ndarray.graph import constant
from needle.ops.broadcast import check_tensors, sum_to_shape
from needle.ops.elementwise import add
from needle.ops.layout import transpose
from needle.ops.matrix import matmul
from needle.ops.scalar import mul_scalar
from needle.ops.softmax import SoftmaxGrad, softmax

__all__ = ["AttentionWeights", "attention_weights", "scaled_dot_product_attention"]


class AttentionWeights(TensorOp):
    """softmax(scale q kᵀ) over the keys; with causal, query i sees keys 0 to i only.

    Shape: q (..., L, d), k (..., S, d) give (..., L, S); leading axes broadcast.
    Gradient: with ds = y (g - sum(g y)), dq = scale ds k and dk = scale dsᵀ q.
    Raises: ValueError when the shapes do not fit.
    """

    __slots__ = ("causal", "scale")

    def __init__(self, causal: bool, scale: float) -> None:
        self.causal = causal
        self.scale = scale

    def compute(self, q: NDArray, k: NDArray) -> NDArray:
        scores = (q * self.scale) @ k.transpose()
        if scores.size == 0:
            return scores
        if self.causal:
            scores = scores + _mask(scores)
        return scores.softmax(-1)

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        q, k = node.inputs
        ds = mul_scalar(SoftmaxGrad(-1)(node, out_grad), self.scale)
        return (
            sum_to_shape(matmul(ds, k), q.shape) if q.requires_grad else None,
            sum_to_shape(matmul(transpose(ds), q), k.shape) if k.requires_grad else None,
        )

    def composed(self, q: Tensor, k: Tensor) -> Tensor:
        """The same of other ops."""
        scores = matmul(mul_scalar(q, self.scale), transpose(k))
        if self.causal:
            scores = add(scores, Tensor.make_const(_mask(scores.realize_cached_data())))
        return softmax(scores)


def _mask(scores: NDArray) -> NDArray:
    """-inf above the diagonal of the last two axes, 0 elsewhere."""
    rows, columns = scores.shape[-2:]
    return constant(np.triu(np.full((rows, columns), -np.inf), k=1), scores)


def attention_weights(
    q: Tensor, k: Tensor, causal: bool = False, scale: float | None = None
) -> Tensor:
    """How much of each value every query takes; rows sum to 1. See AttentionWeights.

    scale is 1 / sqrt(d) unless given.
    """
    check_tensors("attention", q=q, k=k)
    if q.ndim < 2 or k.ndim < 2 or q.shape[-1] != k.shape[-1] or q.shape[-1] == 0:
        raise ValueError(
            "[attention] q (..., L, d) and k (..., S, d) have one d > 0, "
            f"got q.shape={q.shape}, k.shape={k.shape}"
        )
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    finite("attention", scale=scale)
    return AttentionWeights(causal, scale)(q, k)


def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, causal: bool = False, scale: float | None = None
) -> Tensor:
    """softmax(scale q kᵀ) v: for every query a mean of the values. See AttentionWeights.

    Shape: q (..., L, d), k (..., S, d), v (..., S, e) give (..., L, e); leading axes broadcast.
    Gradient: that of attention_weights and matmul.
    Raises: ValueError when the shapes do not fit or scale is not finite.
    """
    check_tensors("attention", k=k, v=v)
    if v.ndim < 2 or k.shape[-2:-1] != v.shape[-2:-1]:
        raise ValueError(
            f"[attention] there is a value for each key, got k.shape={k.shape}, v.shape={v.shape}"
        )
    return matmul(attention_weights(q, k, causal, scale), v)
