"""Training language models on texts in columns (needle.data.batchify), as the course does with PTB.

Source: the published interface of CMU 10-414/714, apps/simple_ml.py.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from needle import nn
from needle.autograd import Tensor
from needle.backend_ndarray import BackendDevice
from needle.data import get_batch
from needle.models.training import Epoch, LossFn, MakeOptimizer, batches, repeated
from needle.optim import SGD, Optimizer


def epoch_general_ptb(
    data: npt.NDArray[Any],
    model: Any,
    seq_len: int = 40,
    loss_fn: LossFn = nn.SoftmaxLoss,
    opt: Optimizer | None = None,
    clip: float | None = None,
    device: BackendDevice | None = None,
    dtype: str = "float32",
    *,
    progress: bool = True,
) -> tuple[float, float]:
    """One pass over a text, seq_len rows at a time, training where there is an optimizer.

    The model's state goes on from batch to batch, without its graph; it starts as None.
    clip: the largest norm of all gradients together.
    Gives the share of words foretold rightly, and the mean loss of a word.
    Raises: ValueError unless seq_len is positive and the text has two rows.
    """
    if seq_len < 1 or len(data) < 2:
        raise ValueError(
            "[epoch_general_ptb] seq_len is at least 1 and data has at least 2 rows, "
            f"got seq_len={seq_len}, rows={len(data)}"
        )
    done = Epoch(model, loss_fn, opt, clip)
    starts = range(0, len(data) - 1, seq_len)
    state: Any = None
    name = "evaluate" if opt is None else "train"
    for i in batches(starts, done, len(starts), name, progress):
        x, y = get_batch(data, i, seq_len, device, dtype)
        state = _detached(done.step(y, x, state))
    return done.accuracy, done.loss


def train_ptb(
    model: Any,
    data: npt.NDArray[Any],
    seq_len: int = 40,
    n_epochs: int = 1,
    optimizer: MakeOptimizer = SGD,
    lr: float = 4.0,
    weight_decay: float = 0.0,
    loss_fn: LossFn = nn.SoftmaxLoss,
    clip: float | None = None,
    device: BackendDevice | None = None,
    dtype: str = "float32",
    *,
    progress: bool = True,
) -> tuple[float, float]:
    """n_epochs of training; accuracy and mean loss of the last. See epoch_general_ptb.

    Raises: ValueError without epoch.
    """
    opt = optimizer(model.parameters(), lr=lr, weight_decay=weight_decay)
    return repeated(
        "train_ptb",
        n_epochs,
        lambda: epoch_general_ptb(
            data, model, seq_len, loss_fn, opt, clip, device, dtype, progress=progress
        ),
    )


def evaluate_ptb(
    model: Any,
    data: npt.NDArray[Any],
    seq_len: int = 40,
    loss_fn: LossFn = nn.SoftmaxLoss,
    device: BackendDevice | None = None,
    dtype: str = "float32",
    *,
    progress: bool = True,
) -> tuple[float, float]:
    """Accuracy and mean loss of a word; exp of the loss is the perplexity."""
    return epoch_general_ptb(
        data, model, seq_len, loss_fn, device=device, dtype=dtype, progress=progress
    )


def _detached(state: Any) -> Any:
    """A state without its graph."""
    return state.detach() if isinstance(state, Tensor) else tuple(s.detach() for s in state)
