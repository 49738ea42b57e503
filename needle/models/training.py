"""What the training functions share: one step, its averages, and a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

import numpy as np

from needle.autograd import Tensor, no_grad
from needle.optim import Optimizer

T = TypeVar("T")
# A loss of (scores, labels), or the Module class of one; an optimizer's class.
LossFn: TypeAlias = Callable[..., Any]
MakeOptimizer: TypeAlias = Callable[..., Optimizer]


class Epoch:
    """One pass over the data, batch by batch: trains a model, or only looks where opt is None.

    Switches the model to training or evaluation. Averages are over rows, not batches.
    """

    def __init__(
        self, model: Any, loss_fn: LossFn, opt: Optimizer | None, clip: float | None = None
    ) -> None:
        self.model = model.eval() if opt is None else model.train()
        self.loss_fn = loss_fn() if isinstance(loss_fn, type) else loss_fn
        self.opt = opt
        self.clip = clip
        self.rows = self.right = 0
        self.total_loss = 0.0

    def step(self, y: Tensor, *inputs: Any) -> Any:
        """One batch; gives the state where the model gives (scores, state), otherwise None."""
        if self.opt is None:
            with no_grad():
                scores, state, loss = self._forward(y, inputs)
        else:
            scores, state, loss = self._forward(y, inputs)
            self.opt.reset_grad()
            loss.backward(retain_graph=False)  # nothing differentiates it again
            if self.clip is not None:
                self.opt.clip_grad_norm(self.clip)
            self.opt.step()
        self.rows += scores.shape[0]
        self.right += int(np.count_nonzero(scores.numpy().argmax(axis=1) == y.numpy()))
        self.total_loss += float(loss.numpy()) * scores.shape[0]
        return state

    def _forward(self, y: Tensor, inputs: tuple[Any, ...]) -> tuple[Tensor, Any, Tensor]:
        result = self.model(*inputs)
        scores, state = result if isinstance(result, tuple) else (result, None)
        return scores, state, self.loss_fn(scores, y)

    @property
    def accuracy(self) -> float:
        """The share of the rows so far whose largest score is the label's."""
        return self.right / max(self.rows, 1)

    @property
    def loss(self) -> float:
        """The loss of a row, on average so far."""
        return self.total_loss / max(self.rows, 1)

    def __str__(self) -> str:
        return f"loss {self.loss:.4f}, accuracy {self.accuracy:.4f}"


def repeated(op: str, epochs: int, once: Callable[[], T]) -> T:
    """What the last of a number of epochs gives. Raises: ValueError unless there is one."""
    if epochs < 1:
        raise ValueError(f"[{op}] there is at least one epoch, got epochs={epochs}")
    for _ in range(epochs - 1):
        once()
    return once()


def batches(items: Iterable[T], epoch: Epoch, total: int, name: str, progress: bool) -> Iterator[T]:
    """The items, with a bar of how many are done and how the epoch stands, on a terminal only.

    Ctrl-C ends the bar, and goes on to the caller as KeyboardInterrupt.
    """
    if not (progress and sys.stderr.isatty()):
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total)
        for item in items:
            yield item
            bar.update(task, advance=1, description=f"{name}: {epoch}")
