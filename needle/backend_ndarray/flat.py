"""The flat kernels of the course's third homework: functions of storages, attached to every device.

They take handles (`NDArray._handle`), which know neither shape nor strides: a kernel treats them as
that many elements in a row, or as the view that its arguments name. Each runs the kernels that
NDArray runs. An element outside a storage is a ValueError, and so is a handle of another device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt

from needle import _core
from needle._core import Handle, NDArray
from needle.backend_ndarray.checks import integers, sizes

if TYPE_CHECKING:
    from needle.backend_ndarray.device import BackendDevice

Dims: TypeAlias = int | Sequence[int]
Kernel = TypeVar("Kernel", bound=Callable[..., None])
Ewise: TypeAlias = Callable[["FlatKernels", Handle, Handle, Handle], None]
Scalar: TypeAlias = Callable[["FlatKernels", Handle, float, Handle], None]
Unary: TypeAlias = Callable[["FlatKernels", Handle, Handle], None]

TILE = 8


def view_of(op: str, handle: Any, shape: Dims, strides: Dims, offset: int) -> NDArray:
    """The view of a storage that shape, strides and offset (in elements) name.

    Raises: TypeError when handle is no Handle, ValueError when an element lies outside it.
    """
    if not isinstance(handle, Handle):
        raise TypeError(f"[{op}] handle is an array's _handle, got type={type(handle).__name__}")
    return handle.as_strided(shape, strides, *integers(op, offset=offset))


def _ewise(name: str, op: str) -> Ewise:
    def kernel(self: FlatKernels, a: Handle, b: Handle, out: Handle) -> None:
        x, y, result = self._rows(name, a=a, b=b, out=out)
        result[...] = getattr(x, op)(y)

    return _documented(kernel, name, f"out = {op}(a, b), elementwise; three handles of one size.")


def _scalar(name: str, op: str) -> Scalar:
    def kernel(self: FlatKernels, a: Handle, val: float, out: Handle) -> None:
        x, result = self._rows(name, a=a, out=out)
        if isinstance(val, NDArray):  # the table's kernels would take it for a second operand
            raise TypeError(f"[{name}] val is a number, got type=NDArray")
        result[...] = getattr(x, op)(val)

    return _documented(kernel, name, f"out = {op}(a, val), elementwise; two handles of one size.")


def _unary(name: str, op: str) -> Unary:
    def kernel(self: FlatKernels, a: Handle, out: Handle) -> None:
        x, result = self._rows(name, a=a, out=out)
        result[...] = getattr(x, op)()

    return _documented(kernel, name, f"out = {op}(a), elementwise; two handles of one size.")


def _documented(kernel: Kernel, name: str, doc: str) -> Kernel:
    kernel.__name__ = kernel.__qualname__ = name
    kernel.__doc__ = doc
    return kernel


class FlatKernels:
    """Kernels over handles, in the course's order of arguments. BackendDevice inherits them."""

    __slots__ = ()
    __tile_size__ = TILE  # rows and columns of a tile of matmul_tiled

    ewise_add = _ewise("ewise_add", "add")
    ewise_mul = _ewise("ewise_mul", "multiply")
    ewise_div = _ewise("ewise_div", "divide")
    ewise_maximum = _ewise("ewise_maximum", "maximum")
    ewise_eq = _ewise("ewise_eq", "equal")
    ewise_ge = _ewise("ewise_ge", "greater_equal")
    scalar_add = _scalar("scalar_add", "add")
    scalar_mul = _scalar("scalar_mul", "multiply")
    scalar_div = _scalar("scalar_div", "divide")
    scalar_maximum = _scalar("scalar_maximum", "maximum")
    scalar_eq = _scalar("scalar_eq", "equal")
    scalar_ge = _scalar("scalar_ge", "greater_equal")
    scalar_power = _scalar("scalar_power", "power")
    ewise_log = _unary("ewise_log", "log")
    ewise_exp = _unary("ewise_exp", "exp")
    ewise_tanh = _unary("ewise_tanh", "tanh")

    def Array(self, size: int) -> Handle:
        """A fresh storage of size float32 elements, uninitialised."""
        return _core.empty(sizes("Array", (size,)), "float32", self._face())._handle

    def to_numpy(self, a: Handle, shape: Dims, strides: Dims, offset: int) -> npt.NDArray[Any]:
        """A copy of the view of a that shape, strides and offset (in elements) name."""
        return self._view("to_numpy", a, shape, strides, offset).numpy()

    def from_numpy(self, a: npt.ArrayLike, out: Handle) -> None:
        """out = the elements of a in row-major order, converted to out's dtype."""
        target = self._view("from_numpy", out, (out.size,), (1,), 0)
        values = np.asarray(a).reshape(-1)
        self._same("from_numpy", a=values.size, out=out.size)
        target[...] = NDArray(values, device=self._face(), dtype=target.dtype)

    def fill(self, out: Handle, val: float) -> None:
        """Every element of out = val."""
        self._rows("fill", out=out)[0].fill(val)

    def compact(self, a: Handle, out: Handle, shape: Dims, strides: Dims, offset: int) -> None:
        """out = the view of a that shape, strides and offset name, in row-major order."""
        view = self._view("compact", a, shape, strides, offset)
        (result,) = self._rows("compact", out=out)
        self._same("compact", view=view.size, out=out.size)
        result[...] = view.reshape(view.size)

    def ewise_setitem(
        self, a: Handle, out: Handle, shape: Dims, strides: Dims, offset: int
    ) -> None:
        """The view of out that shape, strides and offset name = the elements of a."""
        view = self._view("ewise_setitem", out, shape, strides, offset)
        (values,) = self._rows("ewise_setitem", a=a)
        self._same("ewise_setitem", a=a.size, view=view.size)
        view[...] = values.reshape(view.shape)

    def scalar_setitem(
        self, size: int, val: float, out: Handle, shape: Dims, strides: Dims, offset: int
    ) -> None:
        """The view of out that shape, strides and offset name = val; size is its size."""
        view = self._view("scalar_setitem", out, shape, strides, offset)
        self._same("scalar_setitem", size=size, view=view.size)
        view.fill(val)

    def matmul(self, a: Handle, b: Handle, out: Handle, m: int, n: int, p: int) -> None:
        """out (m, p) = a (m, n) @ b (n, p), each in row-major order."""
        x = self._matrix("matmul", "a", a, (m, n))
        y = self._matrix("matmul", "b", b, (n, p))
        self._matrix("matmul", "out", out, (m, p))[...] = x @ y

    def matmul_tiled(self, a: Handle, b: Handle, out: Handle, m: int, n: int, p: int) -> None:
        """matmul of matrices kept as tiles: shape (rows / T, columns / T, T, T), T __tile_size__.

        Raises: ValueError unless T divides m, n and p.
        """
        m, n, p = sizes("matmul_tiled", (m, n, p))
        if m % TILE or n % TILE or p % TILE:
            raise ValueError(
                f"[matmul_tiled] __tile_size__ must divide m, n and p, got sizes={(m, n, p)}, "
                f"tile_size={TILE}"
            )
        x, y, result = (
            self._matrix(
                "matmul_tiled", name, handle, (rows // TILE, columns // TILE, TILE, TILE)
            ).permute((0, 2, 1, 3))
            for name, handle, rows, columns in (
                ("a", a, m, n),
                ("b", b, n, p),
                ("out", out, m, p),
            )
        )
        result[...] = (x.reshape(m, n) @ y.reshape(n, p)).reshape(result.shape)

    def reduce_max(self, a: Handle, out: Handle, reduce_size: int) -> None:
        """out = the largest of every reduce_size neighbours in a."""
        rows, result = self._groups("reduce_max", a, out, reduce_size)
        result[...] = rows.max(axis=1)

    def reduce_sum(self, a: Handle, out: Handle, reduce_size: int) -> None:
        """out = the sum of every reduce_size neighbours in a."""
        rows, result = self._groups("reduce_sum", a, out, reduce_size)
        result[...] = rows.sum(axis=1)

    # --- handles as arrays

    def _face(self) -> BackendDevice:
        return cast("BackendDevice", self)

    def _view(self, op: str, handle: Any, shape: Dims, strides: Dims, offset: int) -> NDArray:
        view = view_of(op, handle, shape, strides, offset)
        if view.device != self:
            raise ValueError(
                f"[{op}] handles must be of the device, got handle.device={view.device}, "
                f"device={self}"
            )
        return view

    def _rows(self, op: str, **handles: Handle) -> list[NDArray]:
        """The whole storages as 1-d arrays, of one size."""
        rows = [self._view(op, h, (getattr(h, "size", 0),), (1,), 0) for h in handles.values()]
        self._same(op, **{name: row.size for name, row in zip(handles, rows, strict=True)})
        return rows

    def _matrix(self, op: str, name: str, handle: Handle, shape: Sequence[int]) -> NDArray:
        """The whole storage as an array of shape, in row-major order."""
        (row,) = self._rows(op, **{name: handle})
        wanted = sizes(op, shape)
        self._same(op, **{name: row.size, f"{name}.shape": math.prod(wanted)})
        return row.reshape(wanted)

    def _groups(self, op: str, a: Handle, out: Handle, reduce_size: int) -> tuple[NDArray, NDArray]:
        (result,) = self._rows(op, out=out)
        return self._matrix(op, "a", a, (result.size, reduce_size)), result

    def _same(self, op: str, **sizes: int) -> None:
        if len(set(sizes.values())) > 1:
            given = ", ".join(f"{name}={size}" for name, size in sizes.items())
            raise ValueError(f"[{op}] sizes must agree, got {given}")
