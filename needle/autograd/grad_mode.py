"""Whether ops record a graph: a switch of each thread, on unless `no_grad` is active."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class _GradMode(threading.local):
    enabled = True


grad_mode = _GradMode()


def is_grad_enabled() -> bool:
    """Whether ops called in this thread record a graph."""
    return grad_mode.enabled


class no_grad:
    """Inside `with no_grad():`, or in a function under `@no_grad()`, ops record no graph.

    A backward inside gives gradients without a graph of their own: less memory, no second order.
    """

    def __enter__(self) -> None:
        self._before = grad_mode.enabled
        grad_mode.enabled = False

    def __exit__(self, *exception: object) -> None:
        grad_mode.enabled = self._before

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def without_grad(*args: P.args, **kwargs: P.kwargs) -> R:
            with no_grad():
                return function(*args, **kwargs)

        return without_grad
