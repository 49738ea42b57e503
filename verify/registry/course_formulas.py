"""Formulas that students usually write and that lose more than a row's own, as references.

What is wrong by the row's own bound and within that of such a formula, element by element, is open.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from verify.spec import Usual

Formula = Callable[..., Any]
_OPEN = "the course leaves open: {}"
_OF_ONE = _OPEN.format("a sigmoid that is right to roundings of 1, not of itself")
_OF_THE_LARGEST = _OPEN.format("a logsoftmax that is right to roundings of the largest x")


class _Other:
    """A module with other functions in the place of some."""

    def __init__(self, known: Any, **others: Any) -> None:
        self._known = known
        self.__dict__.update(others)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._known, name)


def _half_tanh(t: Any, a: Any) -> Any:
    """tanh(a / 2) / 2 + 1 / 2, with the slope y (1 - y) of what it gives."""

    class HalfTanh(t.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(context: Any, a: Any) -> Any:
            y = t.tanh(a * 0.5) * 0.5 + 0.5
            context.save_for_backward(y)
            return y

        @staticmethod
        def backward(context: Any, g: Any) -> Any:
            (y,) = context.saved_tensors
            return g * y * (1 - y)

    return HalfTanh.apply(a)


def _by_half_tanh(known: Formula) -> Formula:
    """A reference whose sigmoids are by tanh."""
    return lambda t, *inputs, **how: known(
        _Other(t, sigmoid=lambda a: _half_tanh(t, a)), *inputs, **how
    )


def _by_logsumexp(known: Formula) -> Formula:
    """A reference whose logsoftmax is x - logsumexp(x); the slope's shares are exp of that."""

    def formula(t: Any, *inputs: Any, **how: Any) -> Any:
        functional = _Other(
            t.nn.functional, log_softmax=lambda a, axis: a - t.logsumexp(a, (axis,), True)
        )
        return known(_Other(t, nn=SimpleNamespace(functional=functional)), *inputs, **how)

    return formula


def usual(name: str, reference: Formula) -> tuple[Usual, ...]:
    """Those of an op; reference: its row's own."""
    if name == "nn.Sigmoid":  # torch's own slope of a sigmoid is y (1 - y)
        return Usual(lambda t, a: t.sigmoid(a), _OF_ONE), Usual(_half_tanh, _OF_ONE)
    if name in ("nn.LSTMCell", "nn.LSTM"):
        return (Usual(_by_half_tanh(reference), _OF_ONE),)
    if name in ("logsoftmax", "nn.SoftmaxLoss"):
        return (Usual(_by_logsumexp(reference), _OF_THE_LARGEST),)
    return ()
