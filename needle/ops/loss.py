"""Losses."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from needle.autograd import Tensor, TensorOp
from needle.backend_ndarray import NDArray, full
from needle.backend_ndarray.graph import current_graph, refuse_in_capture
from needle.backend_ndarray.halves import narrowed, widened
from needle.backend_ndarray.whole_numbers import one_hot
from needle.ops.broadcast import check_tensors, summation
from needle.ops.elementwise import add, multiply
from needle.ops.scalar import divide_scalar, mul_scalar
from needle.ops.softmax import logsoftmax, softmax

__all__ = ["CrossEntropy", "cross_entropy"]

Labels: TypeAlias = Tensor | NDArray | npt.ArrayLike


class CrossEntropy(TensorOp):
    """The mean of -log softmax(logits)[label] over all rows, from logits and one-hot labels.

    Shape: logits and one_hot (..., classes) give (); at least one row.
    Gradient: of logits, g (softmax(logits) - one_hot) / rows; the labels have none.
    """

    __slots__ = ("one_hot",)

    def __init__(self, one_hot: NDArray) -> None:
        self.one_hot = one_hot

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.one_hot.size // self.one_hot.shape[-1]

    def compute(self, logits: NDArray) -> NDArray:
        # The label's logit is taken below the largest too: no large numbers cancel.
        below = logits - logits.max(axis=-1, keepdims=True)
        normaliser = below.exp().sum(axis=-1).log()
        # Not below * one_hot: -inf elsewhere in the row would meet a 0.
        chosen = (below + self.one_hot.log()).max(axis=-1)
        losses = normaliser - chosen
        return narrowed(widened(losses).sum() / self.rows, losses.dtype)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        surplus = add(softmax(node.inputs[0]), Tensor.make_const(-self.one_hot))
        return multiply(divide_scalar(out_grad, self.rows), surplus)

    def composed(self, logits: Tensor) -> Tensor:
        """The same of other ops, for finite logits."""
        chosen = summation(multiply(logsoftmax(logits), Tensor.make_const(self.one_hot)))
        return mul_scalar(divide_scalar(chosen, self.rows), -1)


def cross_entropy(logits: Tensor, labels: Labels) -> Tensor:
    """The mean of -log softmax(logits)[label] over all rows. See CrossEntropy.

    Shape: logits (..., classes), labels (...) give ().
    dtype: labels of any dtype, holding whole numbers.
    Raises: IndexError when a label is not in [0, classes), ValueError when it is not whole, the
    shapes do not fit or there is no row.
    """
    check_tensors("cross_entropy", logits=logits)
    if logits.ndim == 0 or 0 in logits.shape:
        raise ValueError(f"[cross_entropy] logits have elements, got logits.shape={logits.shape}")
    if isinstance(labels, Tensor):
        labels = labels.realize_cached_data()
    on_device = isinstance(labels, NDArray) and current_graph(logits.device) is not None
    values: Any = labels if on_device else np.asarray(labels)
    if values.shape != logits.shape[:-1]:
        raise ValueError(
            "[cross_entropy] there is a label for each row of logits, "
            f"got labels.shape={values.shape}, logits.shape={logits.shape}"
        )
    if on_device:
        return CrossEntropy(_hot_on_device(values, logits))(logits)
    refuse_in_capture("cross_entropy", logits.device, "labels of the host's are looked at there")
    hot = one_hot("cross_entropy", values, logits.shape[-1])
    return CrossEntropy(NDArray(hot, device=logits.device, dtype=logits.dtype))(logits)


def _hot_on_device(labels: NDArray, logits: Tensor) -> NDArray:
    """One-hot rows in a captured step: the host cannot see labels, wrong ones make the loss inf."""
    # float32 holds the numbers of all classes, float16 would not
    classes = full((logits.shape[-1],), 1, device=logits.device).cumsum(0) - 1
    return (labels.astype("float32").reshape((*labels.shape, 1)) == classes).astype(logits.dtype)
