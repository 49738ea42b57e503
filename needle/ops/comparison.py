"""Comparisons: 0 or 1 in the operands' dtype. They require no grad: steps have none to give."""

from __future__ import annotations

from typing import Any, ClassVar

from needle.autograd import Number, Tensor, TensorOp
from needle.backend_ndarray import NDArray

__all__ = [
    "Equal",
    "Greater",
    "GreaterEqual",
    "Less",
    "LessEqual",
    "NotEqual",
    "equal",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "not_equal",
]


class _Comparison(TensorOp):
    """a compared with b, or with a number; broadcasts. Comparing with NaN gives 0, != gives 1."""

    __slots__ = ("scalar",)
    differentiable = False
    method: ClassVar[str]

    def __init__(self, scalar: Number | None = None) -> None:
        self.scalar = scalar

    def compute(self, a: NDArray, b: Any = None) -> NDArray:
        result: NDArray = getattr(a, self.method)(self.scalar if b is None else b)
        return result

    @classmethod
    def of(cls, a: Tensor, b: Tensor | Number) -> Tensor:
        """a compared with b."""
        return cls()(a, b) if isinstance(b, Tensor) else cls(b)(a)


class Equal(_Comparison):
    """a == b, elementwise."""

    __slots__ = ()
    method = "equal"


class NotEqual(_Comparison):
    """a != b, elementwise."""

    __slots__ = ()
    method = "not_equal"


class Less(_Comparison):
    """a < b, elementwise."""

    __slots__ = ()
    method = "less"


class LessEqual(_Comparison):
    """a <= b, elementwise."""

    __slots__ = ()
    method = "less_equal"


class Greater(_Comparison):
    """a > b, elementwise."""

    __slots__ = ()
    method = "greater"


class GreaterEqual(_Comparison):
    """a >= b, elementwise."""

    __slots__ = ()
    method = "greater_equal"


def equal(a: Tensor, b: Tensor | Number) -> Tensor:
    """1 where a == b, otherwise 0."""
    return Equal.of(a, b)


def not_equal(a: Tensor, b: Tensor | Number) -> Tensor:
    """1 where a != b, otherwise 0."""
    return NotEqual.of(a, b)


def less(a: Tensor, b: Tensor | Number) -> Tensor:
    """1 where a < b, otherwise 0."""
    return Less.of(a, b)


def less_equal(a: Tensor, b: Tensor | Number) -> Tensor:
    """1 where a <= b, otherwise 0."""
    return LessEqual.of(a, b)


def greater(a: Tensor, b: Tensor | Number) -> Tensor:
    """1 where a > b, otherwise 0."""
    return Greater.of(a, b)


def greater_equal(a: Tensor, b: Tensor | Number) -> Tensor:
    """1 where a >= b, otherwise 0."""
    return GreaterEqual.of(a, b)
