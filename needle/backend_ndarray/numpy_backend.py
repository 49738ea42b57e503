"""The numpy backend: the executable specification of every kernel.

Each function is one kernel of csrc/core/backend.h, written as plainly as numpy allows; the native
backends must do the same. The core has checked shapes and dtypes: arguments are numpy arrays over
the memory of NDArrays, non-empty unless a function says otherwise, of one dtype (float32 or
float64) unless a function says otherwise, and an output overlaps no input. Every function writes
its result into its first array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from needle import _core
from needle.backend_ndarray import numpy_maths as maths
from needle.backend_ndarray.numpy_fused import (  # noqa: F401 (kernels of this backend)
    adam_step,
    lstm_cell,
    lstm_cell_grad,
    sgd_step,
    softmax,
    softmax_grad,
    standardize,
    standardize_grad,
)
from needle.backend_ndarray.numpy_pooling import (  # noqa: F401
    pool2d,
    pool2d_grad,
)

Array: TypeAlias = npt.NDArray[Any]
Pair: TypeAlias = tuple[int, int]


def _relu(x: Array) -> Array:
    return np.where(x < 0, x.dtype.type(0), x)  # NaN and -0 pass through


UNARY: dict[str, Callable[[Array], Array]] = {
    "negate": np.negative,
    "abs": np.abs,
    "sign": maths.sign,
    "sqrt": np.sqrt,
    "rsqrt": maths.in_double(lambda x: 1 / np.sqrt(x)),
    "exp": np.exp,
    "expm1": maths.in_double(np.expm1),
    "log": np.log,
    "log1p": maths.in_double(np.log1p),
    "sin": maths.in_double(np.sin),
    "cos": maths.in_double(np.cos),
    "tanh": np.tanh,
    "erf": maths.in_double(maths.erf),
    "erfc": maths.in_double(maths.erfc),
    "relu": _relu,
    "sigmoid": maths.in_double(maths.sigmoid),
    "softplus": maths.in_double(maths.softplus),
    "silu": maths.in_double(maths.silu),
    "gelu": maths.in_double(maths.gelu),
    "gelu_tanh": maths.in_double(maths.gelu_tanh),
}

# Comparisons give 0 or 1 in the operands' dtype: writing into the output converts the booleans.
BINARY: dict[str, Callable[[Any, Any], Array]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "power": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "leaky_relu": lambda a, b: np.where(a > 0, a, a * b),
    "leaky_slope": lambda a, b: np.where(a > 0, a.dtype.type(1), b),
    "tanh_grad": lambda g, y: g * (1 - y * y),
    "sigmoid_grad": maths.times(maths.sigmoid_slope),
    "softplus_grad": maths.times(maths.sigmoid),
    "silu_grad": maths.times(maths.silu_slope),
    "gelu_grad": maths.times(maths.gelu_slope),
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
}

# Reductions start from their identity, so that no elements give the identity.
REDUCE: dict[str, Callable[..., Array]] = {
    "sum": np.add.reduce,
    "prod": np.multiply.reduce,
    "max": lambda a, **how: np.maximum.reduce(a, initial=-np.inf, **how),
    "min": lambda a, **how: np.minimum.reduce(a, initial=np.inf, **how),
}


def _check_complete() -> None:
    """The tables above name exactly the rows of csrc/core/ops.def; RuntimeError otherwise."""
    tables: dict[str, Iterable[str]] = {"unary": UNARY, "binary": BINARY, "reduce": REDUCE}
    for kind, names in _core.op_names().items():
        if set(names) != set(tables[kind]):
            differing = sorted(set(names) ^ set(tables[kind]))
            raise RuntimeError(
                f"[numpy_backend] {kind} kernels must be those of ops.def, got names={differing}"
            )


_check_complete()

# Infinities and NaN are results here, not warnings.
_quiet = np.errstate(all="ignore")


@_quiet
def copy(dst: Array, src: Array) -> None:
    """dst = src, converted to dst's dtype; any dtypes."""
    dst[...] = maths.converted(src, dst.dtype)


@_quiet
def fill(dst: Array, value: float) -> None:
    """Every element of dst = value; any dtype."""
    dst[...] = maths.converted(np.asarray(value), dst.dtype)


@_quiet
def unary(op: str, dst: Array, a: Array) -> None:
    """dst = op(a), elementwise."""
    dst[...] = UNARY[op](a)


@_quiet
def binary(op: str, dst: Array, a: Array, b: Array) -> None:
    """dst = a op b, elementwise; broadcasting is in the strides already."""
    dst[...] = BINARY[op](a, b)


@_quiet
def binary_scalar(op: str, dst: Array, a: Array, s: float, reverse: bool) -> None:
    """dst = a op s, or s op a; s is rounded to the array's dtype first.

    Where 16-bit floats are computed, in float32, s is float32's unless it is compared.
    """
    scalar = a.dtype.type(s)
    if op == "power" and s == 0.5 and not reverse:
        # of a number numpy takes the square root, NaN at -inf; the power, as IEEE 754's, is inf
        scalar = np.full_like(a, s)
    dst[...] = BINARY[op](scalar, a) if reverse else BINARY[op](a, scalar)


@_quiet
def clip(dst: Array, a: Array, low: float, high: float) -> None:
    """dst = the nearest number to a in [low, high], infinite where there is no bound.

    What equals a bound stays, also a zero of the other sign.
    """
    dst[...] = np.clip(a, a.dtype.type(low), a.dtype.type(high))


@_quiet
def where(dst: Array, mask: Array, a: Array, b: Array) -> None:
    """dst = a where mask is not 0, elsewhere b; mask is bool or of the operands' dtype."""
    dst[...] = np.where(mask != 0, a, b)


def gather(dst: Array, a: Array, index: Array, axis: int) -> None:
    """dst[.., i, ..] = a[.., index[.., i, ..], ..]; index int64, in range; dst, a any dtype."""
    dst[...] = np.take_along_axis(a, index, axis)


@_quiet
def scatter_add(dst: Array, a: Array, index: Array, axis: int) -> None:
    """dst[.., index[.., i, ..], ..] += a[.., i, ..], i rising; index int64, in range."""
    places: list[Array] = list(np.indices(index.shape, sparse=True))
    places[axis] = index
    np.add.at(dst, tuple(places), a)


@_quiet
def cumsum(dst: Array, a: Array, axis: int, reverse: bool) -> None:
    """dst[.., i, ..] = dst[.., i - 1, ..] + a[.., i, ..] (i + 1 when reversed), from a's first."""
    if reverse:
        dst, a = np.flip(dst, axis), np.flip(a, axis)
    np.add.accumulate(a, axis=axis, out=dst)


def arg_reduce(op: str, dst: Array, a: Array, axis: int) -> None:
    """dst (int64, size 1 at axis) = the first place of the largest or smallest; NaN wins."""
    dst[...] = {"argmax": np.argmax, "argmin": np.argmin}[op](a, axis=axis, keepdims=True)


@_quiet
def reduce(op: str, dst: Array, a: Array) -> None:
    """Reduces every axis of a along which dst has size 1; such axes of a may be empty."""
    axes = tuple(d for d in range(a.ndim) if dst.shape[d] == 1 and a.shape[d] != 1)
    dst[...] = REDUCE[op](a, axis=axes, keepdims=True)


@_quiet
def matmul(dst: Array, a: Array, b: Array) -> None:
    """dst (..., M, N) = a (..., M, K) @ b (..., K, N), leading axes equal; K may be 0."""
    dst[...] = np.matmul(a, b)


@_quiet
def conv2d(
    y: Array, x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> None:
    """y = cross-correlation of x with w.

    Shape: x (N, H, W, Cin), w (KH, KW, Cin / groups, Cout), y (N, OH, OW, Cout).

    The sum over kernel taps of a matmul between the pixels that the tap sees and the tap's weights.
    """
    padded = _pad(x, padding)
    y[...] = 0
    for tap, (rows, columns) in _taps(w, y, stride, dilation):
        for x_part, w_part, y_part in _groups(padded, w, y, groups):
            y_part += x_part[:, rows, columns] @ w_part[tap]


@_quiet
def conv2d_grad_input(
    dx: Array, dy: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> None:
    """dx = gradient of conv2d with respect to x: each tap sends its share of dy to its pixels."""
    padded = _pad(np.zeros_like(dx), padding)
    for tap, (rows, columns) in _taps(w, dy, stride, dilation):
        for dx_part, w_part, dy_part in _groups(padded, w, dy, groups):
            dx_part[:, rows, columns] += dy_part @ w_part[tap].T
    dx[...] = padded[:, padding[0] :, padding[1] :][:, : dx.shape[1], : dx.shape[2]]


@_quiet
def conv2d_grad_weight(
    dw: Array, x: Array, dy: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> None:
    """dw = gradient of conv2d with respect to w: correlates what each tap saw with dy."""
    padded = _pad(x, padding)
    for tap, (rows, columns) in _taps(dw, dy, stride, dilation):
        for x_part, dw_part, dy_part in _groups(padded, dw, dy, groups):
            seen = x_part[:, rows, columns]
            dw_part[tap] = np.tensordot(seen, dy_part, axes=((0, 1, 2), (0, 1, 2)))


def _pad(x: Array, padding: Pair) -> Array:
    """A copy of x with zeros around height and width."""
    return np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))


def _taps(
    w: Array, y: Array, stride: Pair, dilation: Pair
) -> Iterator[tuple[Pair, tuple[slice, slice]]]:
    """Every tap of the kernel, with the rows and columns of the padded input that it reads."""
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            start = (i * dilation[0], j * dilation[1])
            rows, columns = (
                slice(start[d], start[d] + stride[d] * (y.shape[1 + d] - 1) + 1, stride[d])
                for d in (0, 1)
            )
            yield (i, j), (rows, columns)


def _groups(x: Array, w: Array, y: Array, groups: int) -> Iterator[tuple[Array, Array, Array]]:
    """The channels of x, w and y that belong together, group by group, as views."""
    c_in, c_out = w.shape[2], w.shape[3] // groups
    for g in range(groups):
        outputs = slice(g * c_out, (g + 1) * c_out)
        yield x[..., g * c_in : (g + 1) * c_in], w[..., outputs], y[..., outputs]
