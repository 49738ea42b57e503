"""Where elements lie: axes reordered or reversed, zeros between or around elements."""

from __future__ import annotations

from collections.abc import Sequence

from needle.autograd import Tensor, TensorOp
from needle.backend_ndarray import NDArray, zeros
from needle.backend_ndarray.checks import integers, sizes
from needle.ops.broadcast import Axes, check_tensors, fixed, normalized, reshape
from needle.ops.indexing import PutItem, getitem

__all__ = [
    "Dilate",
    "Flip",
    "Pad",
    "Permute",
    "Transpose",
    "UnDilate",
    "dilate",
    "flip",
    "pad",
    "permute",
    "squeeze",
    "transpose",
    "undilate",
    "unsqueeze",
]


class Transpose(TensorOp):
    """A view with two axes exchanged: those given, or the last two.

    Gradient: exchanged back.
    Raises: IndexError when an axis is out of range.
    """

    __slots__ = ("axes",)

    def __init__(self, axes: tuple[int, int] | None = None) -> None:
        self.axes = fixed(axes)

    def compute(self, a: NDArray) -> NDArray:
        return a.transpose(self.axes)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return transpose(out_grad, self.axes)


class Permute(TensorOp):
    """A view with all axes in a new order: axis i of the result is axis axes[i] of a.

    Gradient: permuted back.
    Raises: ValueError unless every axis is named once, IndexError when one is out of range.
    """

    __slots__ = ("axes",)

    def __init__(self, axes: Sequence[int]) -> None:
        self.axes = fixed(axes)

    def compute(self, a: NDArray) -> NDArray:
        return a.permute(self.axes)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        axes = normalized("permute", self.axes, out_grad.ndim)
        return permute(out_grad, sorted(range(len(axes)), key=axes.__getitem__))


class Flip(TensorOp):
    """A view with the order of elements reversed along axes.

    Gradient: flipped back.
    Raises: IndexError when an axis is out of range, ValueError when one is repeated.
    """

    __slots__ = ("axes",)

    def __init__(self, axes: Axes) -> None:
        self.axes = fixed(axes)

    def compute(self, a: NDArray) -> NDArray:
        return a.flip(self.axes)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return flip(out_grad, self.axes)


class _Dilation(TensorOp):
    __slots__ = ("axes", "dilation")

    def __init__(self, axes: Axes, dilation: int) -> None:
        integers(self.name, dilation=dilation)
        if dilation < 0:
            raise ValueError(f"[{self.name}] dilation must be >= 0, got dilation={dilation}")
        self.axes = fixed(axes)
        self.dilation = dilation

    @property
    def name(self) -> str:
        """The op's name in messages."""
        return type(self).__name__.lower()

    def kept(self, ndim: int) -> tuple[slice, ...]:
        """Where the elements lie among the zeros."""
        axes = normalized(self.name, self.axes, ndim)
        step = self.dilation + 1
        return tuple(slice(None, None, step if d in axes else 1) for d in range(ndim))


class Dilate(_Dilation):
    """`dilation` zeros after every element along axes.

    Shape: size n becomes n (dilation + 1) along axes.
    Gradient: undilated.
    Raises: IndexError when an axis is out of range, ValueError when one is repeated.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        kept = self.kept(a.ndim)
        shape = sizes(self.name, [n * s.step for n, s in zip(a.shape, kept, strict=True)])
        result = zeros(shape, dtype=a.dtype, device=a.device)
        result[kept] = a
        return result

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        return undilate(out_grad, self.axes, self.dilation)


class UnDilate(_Dilation):
    """A view of the first of every dilation + 1 elements along axes: the inverse of Dilate.

    Shape: size n becomes n / (dilation + 1), rounded up, along axes.
    Gradient: zeros between and behind, up to the size that a had.
    Raises: IndexError when an axis is out of range, ValueError when one is repeated.
    """

    __slots__ = ()

    def compute(self, a: NDArray) -> NDArray:
        return a[self.kept(a.ndim)]

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        shape = node.inputs[0].shape
        return PutItem(self.kept(len(shape)), shape)(out_grad)


class Pad(TensorOp):
    """Zeros around a: padding holds (before, after) for every axis.

    Gradient: the middle of the cotangent.
    Raises: ValueError unless there is a pair of non-negative widths for every axis.
    """

    __slots__ = ("padding",)

    def __init__(self, padding: Sequence[tuple[int, int]]) -> None:
        pairs = fixed(padding)
        self.padding = tuple(map(fixed, pairs)) if isinstance(pairs, tuple) else pairs

    def compute(self, a: NDArray) -> NDArray:
        return a.pad(self.padding)

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        sizes = zip(node.inputs[0].shape, self.padding, strict=True)
        return getitem(out_grad, tuple(slice(before, before + n) for n, (before, _) in sizes))


def transpose(a: Tensor, axes: tuple[int, int] | None = None) -> Tensor:
    """a with two axes exchanged, the last two unless given. See Transpose."""
    return Transpose(axes)(a)


def permute(a: Tensor, axes: Sequence[int]) -> Tensor:
    """a with its axes in a new order. See Permute."""
    return Permute(axes)(a)


def flip(a: Tensor, axes: Axes) -> Tensor:
    """a reversed along axes. See Flip."""
    return Flip(axes)(a)


def dilate(a: Tensor, axes: Axes, dilation: int) -> Tensor:
    """a with `dilation` zeros after every element along axes. See Dilate."""
    return Dilate(axes, dilation)(a)


def undilate(a: Tensor, axes: Axes, dilation: int) -> Tensor:
    """The first of every dilation + 1 elements along axes. See UnDilate."""
    return UnDilate(axes, dilation)(a)


def pad(a: Tensor, padding: Sequence[tuple[int, int]]) -> Tensor:
    """a with (before, after) zeros along each axis. See Pad."""
    return Pad(padding)(a)


def squeeze(a: Tensor, axes: Axes | None = None) -> Tensor:
    """a without axes, which have size 1 (None: all that have); a view where a reshape is.

    Gradient: reshaped back.
    Raises: ValueError when another size is not 1 or an axis is repeated, IndexError when one is out
    of range.
    """
    check_tensors("squeeze", a=a)
    if axes is None:
        return reshape(a, [n for n in a.shape if n != 1])
    dropped = normalized("squeeze", axes, a.ndim)
    if any(a.shape[d] != 1 for d in dropped):
        raise ValueError(f"[squeeze] axes have size 1, got axes={axes}, shape={a.shape}")
    return reshape(a, [n for d, n in enumerate(a.shape) if d not in dropped])


def unsqueeze(a: Tensor, axes: Axes) -> Tensor:
    """a with new axes of size 1; axes counts in the result's. A view where a reshape is.

    Gradient: reshaped back.
    Raises: ValueError when an axis is repeated, IndexError when one is out of range.
    """
    check_tensors("unsqueeze", a=a)
    held = fixed(axes)
    many = held if isinstance(held, tuple) else (held,)
    ndim = a.ndim + len(many)
    added = normalized("unsqueeze", many, ndim)
    sizes = iter(a.shape)
    return reshape(a, [1 if d in added else next(sizes) for d in range(ndim)])
