"""Losses."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from needle.autograd import Tensor, TensorOp
from needle.backend_ndarray import NDArray
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
        return (normaliser - chosen).sum() / self.rows

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
    values = np.asarray(labels)
    if values.shape != logits.shape[:-1]:
        raise ValueError(
            "[cross_entropy] there is a label for each row of logits, "
            f"got labels.shape={values.shape}, logits.shape={logits.shape}"
        )
    one_hot = NDArray(_one_hot(values, logits.shape[-1]), device=logits.device, dtype=logits.dtype)
    return CrossEntropy(one_hot)(logits)


def _one_hot(labels: npt.NDArray[Any], classes: int) -> npt.NDArray[np.float32]:
    with np.errstate(invalid="ignore"):
        index = labels.astype(np.int64)
    if not np.array_equal(index, labels):
        odd = labels[index != labels].flat[0]
        raise ValueError(f"[cross_entropy] labels are whole numbers, got label={odd}")
    if index.min() < 0 or index.max() >= classes:
        odd = index[(index < 0) | (index >= classes)].flat[0]
        raise IndexError(
            f"[cross_entropy] labels lie in [0, classes), got label={odd}, classes={classes}"
        )
    # Not rows of the identity matrix, which has classes² elements.
    result = np.zeros((labels.size, classes), np.float32)
    result[np.arange(labels.size), index.ravel()] = 1
    return result.reshape(*labels.shape, classes)
