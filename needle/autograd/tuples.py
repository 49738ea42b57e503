"""Tuples of Tensors as one node of the graph, and the two ops that join and take them apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from needle.autograd import Tensor, TensorOp, TensorTupleOp, Value
from needle.backend_ndarray import NDArray
from needle.backend_ndarray.checks import integers


class TensorTuple(Value):
    """A fixed number of Tensors that one op made. It has a length, is indexed and iterated."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self.realize_cached_data())

    def __getitem__(self, index: int) -> Tensor:
        return tuple_get_item(self, index)

    def __iter__(self) -> Iterator[Tensor]:
        return (tuple_get_item(self, i) for i in range(len(self)))

    def __add__(self, other: TensorTuple) -> TensorTuple:
        if not isinstance(other, TensorTuple):
            return NotImplemented
        if len(self) != len(other):
            raise ValueError(f"[add] lengths must agree, got lengths={(len(self), len(other))}")
        return make_tuple(*(a + b for a, b in zip(self, other, strict=True)))

    def __reduce__(self) -> Any:
        # A copy holds the items; a deep one, or a pickle, their copies, which are leaves.
        return make_tuple, self.tuple()

    def __repr__(self) -> str:
        return f"needle.TensorTuple{self.tuple()!r}"

    def __str__(self) -> str:
        return repr(self)

    def tuple(self) -> tuple[Tensor, ...]:
        """The items as a Python tuple."""
        return tuple(self)

    def detach(self) -> TensorTuple:
        """The same values without a graph, over the same memory."""
        return TensorTuple.make_const(self.realize_cached_data())


class TuplePart(NamedTuple):
    """The cotangent of a TensorTuple that is zero but at one place.

    It keeps backward through n items linear in n.
    """

    place: int
    cotangent: Tensor


class MakeTensorTuple(TensorTupleOp):
    """Tensors, joined into a TensorTuple.

    Gradient: each item's cotangent.
    """

    __slots__ = ()

    def compute(self, *arrays: NDArray) -> tuple[NDArray, ...]:
        return arrays

    def gradient(self, out_grad: TensorTuple, node: TensorTuple) -> tuple[Tensor, ...]:
        return out_grad.tuple()


class TupleGetItem(TensorOp):
    """One item of a TensorTuple.

    Gradient: a TuplePart, the cotangent at the item's index.
    Raises: IndexError when there is no such item.
    """

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index

    def compute(self, items: tuple[NDArray, ...]) -> NDArray:
        return items[self.index]

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[TuplePart]:
        return (TuplePart(self.index, out_grad),)


_MAKE_TUPLE = MakeTensorTuple()


def make_tuple(*tensors: Tensor) -> TensorTuple:
    """The tensors as one value."""
    return _MAKE_TUPLE(*tensors)


def tuple_get_item(value: TensorTuple, index: int) -> Tensor:
    """Item index of value; the very Tensor that make_tuple was given, where there is one."""
    if not isinstance(value, TensorTuple):
        raise TypeError(f"[tuple_get_item] a TensorTuple, got type={type(value).__name__}")
    integers("tuple_get_item", index=index)
    n = len(value)
    if not -n <= index < n:
        raise IndexError(f"[tuple_get_item] index lies in [-n, n), got index={index}, n={n}")
    if isinstance(value.op, MakeTensorTuple):
        item: Tensor = value.inputs[index]
        return item
    return TupleGetItem(index % n)(value)
