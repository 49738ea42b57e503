"""Whether ops record a graph: a switch of each thread, on unless `no_grad` is active."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Generator
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")


class _GradMode(threading.local):
    def __init__(self) -> None:
        self.enabled = True
        self.before: list[bool] = []  # what each no_grad that is active found


grad_mode = _GradMode()


def is_grad_enabled() -> bool:
    """Whether ops called in this thread record a graph."""
    return grad_mode.enabled


class no_grad:
    """Inside `with no_grad():`, or in a function under `@no_grad()`, ops record no graph.

    A backward inside gives gradients without a graph of their own: less memory, no second order.
    """

    def __enter__(self) -> None:
        grad_mode.before.append(grad_mode.enabled)
        grad_mode.enabled = False

    def __exit__(self, *exception: object) -> None:
        grad_mode.enabled = grad_mode.before.pop()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def steps_without_grad(*args: P.args, **kwargs: P.kwargs) -> R:
                return cast(R, _steps_without_grad(function(*args, **kwargs)))

            return steps_without_grad

        @functools.wraps(function)
        def without_grad(*args: P.args, **kwargs: P.kwargs) -> R:
            with no_grad():
                return function(*args, **kwargs)

        return without_grad


def _steps_without_grad(steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """steps, each of which runs under no_grad; grad mode is the caller's in between."""
    resume, value = steps.send, None
    while True:
        try:
            with no_grad():
                item = resume(value)
        except StopIteration as stop:
            return stop.value
        try:
            resume, value = steps.send, (yield item)
        except BaseException as error:
            resume, value = steps.throw, error
