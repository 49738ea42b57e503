"""The numpy backend's kernels over rows and its fused steps. See numpy_backend."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from needle.backend_ndarray import numpy_maths as maths

Array: TypeAlias = npt.NDArray[Any]

_quiet = np.errstate(all="ignore")
_sigmoid = maths.in_double(maths.sigmoid)


@_quiet
def softmax(op: str, dst: Array, a: Array, axes: tuple[int, ...]) -> None:
    """dst = softmax of a over axes, its logarithm, or (op "logsumexp", size 1 at axes) the
    logarithm of the sum of exp(a); all compact.
    """
    top = np.max(a, axis=axes, keepdims=True)
    if op == "logsumexp":  # infinities are no shift: inf - inf would be NaN
        top = np.clip(top, -np.finfo(a.dtype).max, np.finfo(a.dtype).max)
    powers = np.exp(a - top)
    total = np.sum(powers, axis=axes, keepdims=True)
    if op == "softmax":
        dst[...] = powers / total
    elif op == "logsoftmax":  # two small differences: log(total) + top would round at top's scale
        dst[...] = (a - top) - np.log(total)
    else:
        dst[...] = np.log(total) + top


@_quiet
def softmax_grad(op: str, dx: Array, y: Array, dy: Array, axes: tuple[int, ...]) -> None:
    """dx of softmax or logsoftmax over axes, from the result y and its cotangent; all compact."""
    if op == "softmax":
        dx[...] = y * (dy - np.sum(dy * y, axis=axes, keepdims=True))
    else:
        dx[...] = dy - np.exp(y) * np.sum(dy, axis=axes, keepdims=True)


@_quiet
def standardize(
    y: Array,
    mean: Array,
    variance: Array,
    inverse: Array,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    axes: tuple[int, ...],
    eps: float,
) -> None:
    """y = (x - mean) inverse over axes, times weight plus bias where there are such, which
    broadcast; and the statistics, the variance divided by the number of elements; all compact.
    """
    n = x.dtype.type(math.prod(x.shape[d] for d in axes))
    mean[...] = np.sum(x, axis=axes, keepdims=True) / n
    centred = x - mean
    variance[...] = np.sum(centred * centred, axis=axes, keepdims=True) / n
    inverse[...] = 1 / np.sqrt(variance + x.dtype.type(eps))
    y[...] = centred * inverse
    if weight is not None:
        y[...] = y * weight + bias


@_quiet
def standardize_grad(
    dx: Array,
    dweight: Array | None,
    dbias: Array | None,
    dy: Array,
    x: Array,
    mean: Array,
    inverse: Array,
    weight: Array | None,
    axes: tuple[int, ...],
) -> None:
    """dx = inverse (h - mean(h) - y mean(h y)), h = dy weight, y = (x - mean) inverse; where they
    are asked for, dweight = dy y and dbias = dy, summed over the axes that weight broadcasts along.
    """
    n = x.dtype.type(math.prod(x.shape[d] for d in axes))
    h = dy if weight is None else dy * weight
    y = (x - mean) * inverse
    of_h, of_hy = (np.sum(a, axis=axes, keepdims=True) / n for a in (h, h * y))
    dx[...] = (h - of_h - y * of_hy) * inverse
    if weight is not None and dweight is not None and dbias is not None:
        over = tuple(d for d, size in enumerate(weight.shape) if size == 1)
        np.sum(dy * y, axis=over, keepdims=True, out=dweight)
        np.sum(dy, axis=over, keepdims=True, out=dbias)


@_quiet
def sgd_step(
    out: Array,
    velocity: Array | None,
    p: Array,
    grad: Array,
    *,
    lr: float,
    momentum: float,
    undamped: float,
    weight_decay: float,
    nesterov: bool,
    first: bool,
    first_undamped: bool,
) -> None:
    """out = p after a step of SGD, velocity in place (None without momentum); out may be p.

    Numbers are rounded to the dtype first, as in binary_scalar, and so is every product and sum.
    """
    number = p.dtype.type
    if weight_decay:
        grad = grad + p * number(weight_decay)
    if velocity is not None:
        fresh = grad * number(undamped)
        start = grad if first_undamped else fresh
        velocity[...] = start if first else velocity * number(momentum) + fresh
        grad = velocity * number(momentum) + fresh if nesterov else velocity
    out[...] = p - grad * number(lr)


@_quiet
def adam_step(
    out: Array,
    first: Array,
    second: Array,
    p: Array,
    grad: Array,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    corrections: tuple[float, float],
    decoupled: bool,
    is_first: bool,
) -> None:
    """out = p after a step of Adam, both moments in place; out may be p. Rounded as sgd_step."""
    number = p.dtype.type
    if weight_decay and decoupled:
        p = p * number(1.0 - lr * weight_decay)
    elif weight_decay:
        grad = grad + p * number(weight_decay)
    of_grad = grad * number(1.0 - betas[0])
    of_square = grad * grad * number(1.0 - betas[1])
    first[...] = of_grad if is_first else first * number(betas[0]) + of_grad
    second[...] = of_square if is_first else second * number(betas[1]) + of_square
    root = np.sqrt(second * number(1.0 / corrections[1])) + number(eps)
    out[...] = p - first / root * number(lr / corrections[0])


@_quiet
def lstm_cell(h: Array, c_next: Array, gates: Array, c: Array) -> None:
    """h = sigmoid(o) tanh(c'), c' = sigmoid(f) c + sigmoid(i) tanh(g); gates (rows, 4 n)."""
    i, f, g, o = np.split(gates, 4, axis=1)
    c_next[...] = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    h[...] = _sigmoid(o) * np.tanh(c_next)


@_quiet
def lstm_cell_grad(
    dgates: Array, dc: Array, gates: Array, c: Array, dh: Array, dc_next: Array
) -> None:
    """The cotangents of lstm_cell's gates and c from those of its results."""
    i, f, g, o = np.split(gates, 4, axis=1)
    si, sf, so, tg = _sigmoid(i), _sigmoid(f), _sigmoid(o), np.tanh(g)
    seen = np.tanh(sf * c + si * tg)
    one = c.dtype.type(1)
    of_c = dc_next + dh * so * (one - seen * seen)
    parts = (
        of_c * tg * si * _sigmoid(-i),
        of_c * c * sf * _sigmoid(-f),
        of_c * si * (one - tg * tg),
        dh * seen * so * _sigmoid(-o),
    )
    dgates[...] = np.concatenate(parts, axis=1)
    dc[...] = of_c * sf
