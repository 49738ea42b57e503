"""Softmax regression's loss and a network of two layers, as the course's first homeworks have them.

Source: the published interface of CMU 10-414/714, apps/simple_ml.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from needle import ops
from needle.autograd import Tensor
from needle.backend_ndarray.checks import integers
from needle.data.mnist import parse_mnist
from needle.optim.optimizer import check

__all__ = ["loss_err", "nn_epoch", "parse_mnist", "softmax_loss"]


def softmax_loss(Z: Tensor, y_one_hot: Tensor) -> Tensor:
    """The mean over rows of logsumexp(Z) - <Z, y_one_hot>; differentiable in both.

    Shape: Z and y_one_hot (rows, classes) give ().
    Raises: ValueError when the shapes differ or there is no row.
    """
    if Z.ndim != 2 or Z.shape != y_one_hot.shape or 0 in Z.shape:
        raise ValueError(
            "[softmax_loss] Z and y_one_hot have one shape (rows, classes), "
            f"got Z.shape={Z.shape}, y_one_hot.shape={y_one_hot.shape}"
        )
    losses = ops.logsumexp(Z, 1) - ops.summation(Z * y_one_hot, 1)
    return ops.summation(losses) / Z.shape[0]


def loss_err(h: Tensor, y: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], int]:
    """The softmax loss of scores h and the number of rows whose largest is not the label's.

    Shape: h (rows, classes), y (rows,) whole numbers.
    """
    loss = softmax_loss(h, _one_hot(h, y)).numpy()
    return loss, int(np.count_nonzero(h.numpy().argmax(axis=1) != y))


def nn_epoch(
    X: npt.NDArray[Any],
    y: npt.NDArray[Any],
    W1: Tensor,
    W2: Tensor,
    lr: float = 0.1,
    batch: int = 100,
) -> tuple[Tensor, Tensor]:
    """One epoch of plain SGD for relu(X W1) W2, batches in the order of the rows; the new weights.

    Shape: X (rows, n), y (rows,) whole numbers, W1 (n, hidden), W2 (hidden, classes).
    Raises: ValueError unless batch is positive, lr finite and not negative, and there is a label
    for each row.
    """
    check("nn_epoch", "lr", lr, 0.0)
    integers("nn_epoch", batch=batch)
    if batch < 1 or len(X) != len(y):
        raise ValueError(
            "[nn_epoch] batch is positive and X and y have as many rows, "
            f"got batch={batch}, rows={(len(X), len(y))}"
        )
    for start in range(0, len(y), batch):
        rows = slice(start, start + batch)
        x = Tensor(X[rows], device=W1.device, dtype=W1.dtype, requires_grad=False)
        scores = ops.relu(x @ W1) @ W2
        softmax_loss(scores, _one_hot(scores, y[rows])).backward()
        W1, W2 = _descended(W1, lr), _descended(W2, lr)
    return W1, W2


def _one_hot(scores: Tensor, y: Any) -> Tensor:
    array = scores.device.one_hot(scores.shape[1], y, dtype=scores.dtype)
    return Tensor.make_const(array)


def _descended(w: Tensor, lr: float) -> Tensor:
    if w.grad is None:
        raise ValueError("[nn_epoch] the weights require grad, got requires_grad=False")
    return Tensor(w.detach() - w.grad.detach() * lr)
