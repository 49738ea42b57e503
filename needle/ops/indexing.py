"""Elements by integers and slices, by arrays of indices and by masks, and the adjoints."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from needle.autograd import Number, Tensor, TensorOp
from needle.backend_ndarray import BackendDevice, NDArray, full, zeros
from needle.backend_ndarray.checks import integers, sizes
from needle.backend_ndarray.graph import refuse_in_capture
from needle.backend_ndarray.whole_numbers import one_hot as _one_hot
from needle.backend_ndarray.whole_numbers import whole_numbers
from needle.ops.broadcast import check_tensors, normalized_axis, reshape, sum_to_shape

__all__ = [
    "Gather",
    "GetItem",
    "PutItem",
    "ScatterAdd",
    "Where",
    "gather",
    "getitem",
    "one_hot",
    "scatter_add",
    "take",
    "where",
]

Indices: TypeAlias = Tensor | NDArray | npt.ArrayLike


class GetItem(TensorOp):
    """A view of the elements that integers, slices, None and ... select, by numpy's rules.

    Gradient: PutItem, the cotangent where the elements were, zeros elsewhere.
    Raises: IndexError when an integer is out of range or there are more indices than axes.
    """

    __slots__ = ("index",)

    def __init__(self, index: Any) -> None:
        self.index = index

    def compute(self, a: NDArray) -> NDArray:
        return a[self.index]

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return PutItem(self.index, node.inputs[0].shape)(out_grad)


class PutItem(TensorOp):
    """Zeros of a shape, with a at an index: GetItem's adjoint.

    Gradient: GetItem.
    """

    __slots__ = ("index", "shape")

    def __init__(self, index: Any, shape: tuple[int, ...]) -> None:
        self.index = index
        self.shape = shape

    def compute(self, a: NDArray) -> NDArray:
        result = zeros(self.shape, dtype=a.dtype, device=a.device)
        result[self.index] = a
        return result

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return getitem(out_grad, self.index)


class Where(TensorOp):
    """a where the mask is not 0, elsewhere b; mask, a and b broadcast.

    Gradient: da = g where the mask is not 0, elsewhere 0; db the rest. Selected, not multiplied: an
    infinite cotangent stays out of where it does not belong.
    """

    __slots__ = ("mask",)

    def __init__(self, mask: NDArray) -> None:
        self.mask = mask

    def compute(self, a: NDArray, b: NDArray) -> NDArray:
        return self.mask.where(a, b)

    def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = node.inputs
        return (
            sum_to_shape(chosen(self.mask, out_grad, 0.0), a.shape) if a.requires_grad else None,
            sum_to_shape(chosen(self.mask, 0.0, out_grad), b.shape) if b.requires_grad else None,
        )


class Gather(TensorOp):
    """a[.., index[.., i, ..], ..] along an axis: take_along_axis of numpy.

    Shape: a and index (int64) of one rank; they broadcast over the other axes.
    Gradient: ScatterAdd.
    Raises: IndexError when an index or the axis is out of range, ValueError when shapes differ.
    """

    __slots__ = ("axis", "index")

    def __init__(self, index: NDArray, axis: int) -> None:
        self.index = index
        self.axis = axis

    def compute(self, a: NDArray) -> NDArray:
        return a.take_along_axis(self.index, self.axis)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        shape = node.inputs[0].shape
        sums = ScatterAdd(self.index, self.axis, shape[self.axis])(out_grad)
        return sum_to_shape(sums, shape)


class ScatterAdd(TensorOp):
    """Zeros of size n along an axis, with a[.., i, ..] added at index[.., i, ..]: Gather's adjoint.

    Shape: index (int64) broadcasts to a. Equal indices are summed in order.
    Gradient: Gather.
    Raises: IndexError when an index or the axis is out of range, ValueError when shapes differ.
    """

    __slots__ = ("axis", "index", "n")

    def __init__(self, index: NDArray, axis: int, n: int) -> None:
        self.index = index
        self.axis = axis
        self.n = n

    def compute(self, a: NDArray) -> NDArray:
        return a.scatter_add(self.index, self.axis, self.n)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return Gather(self.index.broadcast_to(node.inputs[0].shape), self.axis)(out_grad)


def getitem(a: Tensor, index: Any) -> Tensor:
    """a[index]. See GetItem."""
    return GetItem(index)(a)


def where(mask: Tensor | NDArray | npt.ArrayLike, a: Tensor | Number, b: Tensor | Number) -> Tensor:
    """a where mask is not 0 (NaN is not), elsewhere b. See Where.

    mask may have any dtype and has no gradient; of a and b at least one is a Tensor.
    Raises: TypeError when neither is, or they differ in dtype; ValueError when shapes do not fit.
    """
    like = a if isinstance(a, Tensor) else b
    if not isinstance(like, Tensor):
        raise TypeError(f"[where] a or b is a Tensor, got type={type(like).__name__}")
    held = mask.realize_cached_data() if isinstance(mask, Tensor) else mask
    if not isinstance(held, NDArray):
        refuse_in_capture("where", like.device, "the mask is the host's")
        held = NDArray(np.asarray(held) != 0, device=like.device, dtype="bool")
    elif held.dtype != like.dtype:
        held = held.astype("bool")
    elif held is mask:
        held = held.copy()  # the caller may change theirs before backward
    return chosen(held, a, b)


def chosen(mask: NDArray, a: Tensor | Number, b: Tensor | Number) -> Tensor:
    """where, for a mask that stays as it is."""
    like = a if isinstance(a, Tensor) else b
    return Where(mask)(_operand(a, like), _operand(b, like))


def _operand(x: Tensor | Number, like: Any) -> Tensor:
    if isinstance(x, Tensor):
        return x
    if not isinstance(x, (int, float, np.number, np.bool)):
        raise TypeError(f"[where] a and b are Tensors or numbers, got type={type(x).__name__}")
    return Tensor.make_const(full((), float(x), dtype=like.dtype, device=like.device))


def _places(op: str, index: Indices, device: BackendDevice, n: int) -> NDArray:
    """The index as an int64 array that nobody else can change.

    Raises: IndexError when one is not in [-n, n), ValueError when one is not whole.
    """
    held = index.realize_cached_data() if isinstance(index, Tensor) else index
    refuse_in_capture(op, device, "the host looks at each index")
    places = whole_numbers(op, held)
    odd = (places < -n) | (places >= n)
    if odd.any():
        raise IndexError(
            f"[{op}] an index must lie in [-n, n), n the size of the axis, "
            f"got index={places[odd].flat[0]}, n={n}"
        )
    if isinstance(held, NDArray) and held.dtype == "int64" and held.device == device:
        return held.copy()
    return NDArray(places, device=device, dtype="int64")


def gather(a: Tensor, index: Indices, axis: int) -> Tensor:
    """The elements of a at index along axis. See Gather.

    index holds whole numbers of any dtype, negative ones from the end.
    Raises: ValueError when one is not whole, otherwise as Gather.
    """
    check_tensors("gather", a=a)
    axis = normalized_axis("gather", axis, a.ndim)
    return Gather(_places("gather", index, a.device, a.shape[axis]), axis)(a)


def scatter_add(a: Tensor, index: Indices, axis: int, n: int) -> Tensor:
    """The elements of a added up at index along axis, which becomes n long. See ScatterAdd.

    index holds whole numbers of any dtype, negative ones from the end.
    Raises: ValueError when one is not whole, otherwise as ScatterAdd.
    """
    check_tensors("scatter_add", a=a)
    axis = normalized_axis("scatter_add", axis, a.ndim)
    (n,) = sizes("scatter_add", [n])
    return ScatterAdd(_places("scatter_add", index, a.device, n), axis, n)(a)


def take(a: Tensor, indices: Indices, axis: int) -> Tensor:
    """The slices of a at indices along axis.

    Shape: the axis is replaced by the axes of indices, which may have any.
    indices holds whole numbers of any dtype, negative ones from the end.
    Gradient: the slices' cotangents summed where they came from.
    Raises: IndexError when an index or the axis is out of range, ValueError when one is not whole.
    """
    check_tensors("take", a=a)
    axis = normalized_axis("take", axis, a.ndim)
    places = _places("take", indices, a.device, a.shape[axis])
    before, after = a.shape[:axis], a.shape[axis + 1 :]
    n = math.prod(places.shape)
    spread = places.reshape((*(1 for _ in before), n, *(1 for _ in after)))
    slices = Gather(spread.broadcast_to((*before, n, *after)), axis)(a)
    return reshape(slices, (*before, *places.shape, *after))


def one_hot(
    indices: Indices, n: int, dtype: str = "float32", device: BackendDevice | None = None
) -> Tensor:
    """For every index zeros and a 1 at its place; a constant, on the indices' device unless told.

    Shape: indices.shape + (n,).
    Raises: IndexError when an index is not in [0, n), ValueError when one is not whole.
    """
    held = indices.realize_cached_data() if isinstance(indices, Tensor) else indices
    if device is None and isinstance(held, NDArray):
        device = held.device
    (n,) = integers("one_hot", n=n)
    if device is not None:
        refuse_in_capture("one_hot", device, "the rows are made by the host")
    hot = _one_hot("one_hot", held, n)
    return Tensor(hot, device=device, dtype=dtype, requires_grad=False)
