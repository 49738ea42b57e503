"""What the rows of gradients rest on: references in torch, how their classes are made, identities
with the ops that they are gradients of.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from verify.registry.activation import decay, sigmoid
from verify.registry.layout import select
from verify.registry.normalization import inverse_deviation, standardized
from verify.registry.pooling import divisors, pair, windows
from verify.registry.recurrent import lstm_pointwise
from verify.registry.reduction import reduced_axes
from verify.spec import Shape

# --- softmax


def softmax_grad(t: Any, y: Any, g: Any, axes: Any = -1) -> Any:
    over = reduced_axes(axes, y.dim())
    return y * (g - (g * y).sum(over, keepdim=True))


def logsoftmax_grad(t: Any, y: Any, g: Any, axis: int = -1) -> Any:
    return g - t.exp(y) * g.sum((axis,), keepdim=True)


# --- activations: gelu's from the tail, as the kernel has it; silu's e^-|a| is the square of a root


def _sigmoid_slope(t: Any, a: Any) -> Any:
    e = decay(t, a)
    return e / (1 + e) / (1 + e)


def _silu_slope(t: Any, a: Any) -> Any:
    root = t.exp(t.where(a < 0, a, -a) * 0.5)
    e = root * root
    share, other = (t.where(a < 0, *pair) / (1 + e) for pair in ((e, 1.0), (1.0, e)))
    return share * (1 + a * other)


def _gelu_slope(t: Any, a: Any) -> Any:
    below = t.where(a < 0, a, -a)
    density = t.exp(a * a * -0.5) * (1 / math.sqrt(2 * math.pi))
    tail = t.ops.needle_verify.normal_cdf(below) + below * density
    return t.where(a < 0, tail, 1 - tail)


ACTIVATIONS = {
    "sigmoid": _sigmoid_slope,
    "softplus": sigmoid,
    "silu": _silu_slope,
    "gelu": _gelu_slope,
}


def activation_grad(t: Any, g: Any, a: Any, activation: str) -> Any:
    return g * ACTIVATIONS[activation](t, a)


def at_zero(f: Any, o: Any, g: Any, a: Any, activation: str) -> Any:
    half = o.multiply(g, o.tensor(np.full(g.shape, 0.25 if activation == "sigmoid" else 0.5)))
    return f(g, o.multiply(a, o.tensor(np.zeros(a.shape))), activation=activation), half


# --- normalisation: `lanes` stand beside the classes, and find what an op has not found before


def of_lanes(found: Any, tensors: Any, where: Any, axes: Any = -1, eps: float = 1e-5) -> Any:
    lanes = sys.modules[found.__module__].Lanes("standardize", axes, eps)
    return found(lanes)(*tensors)


def standardize_grad(t: Any, h: Any, x: Any, axes: Any = -1, eps: float = 1e-5) -> Any:
    over = reduced_axes(axes, x.dim())
    n = math.prod(x.shape[d] for d in over) or 1
    y = standardized(t, x, axes, eps)
    along, mean = ((p * h).sum(over, keepdim=True) / n for p in (y, t.ones_like(y)))
    return inverse_deviation(t, x, axes, eps) * (h - mean - y * along)


def normalize_grad(t: Any, g: Any, x: Any, weight: Any, axes: Any = -1, eps: float = 1e-5) -> Any:
    return standardize_grad(t, g * weight, x, axes, eps)


def normalize_grads(t: Any, g: Any, x: Any, weight: Any, axes: Any = -1, eps: float = 1e-5) -> Any:
    sizes = (1,) * (x.dim() - weight.dim()) + tuple(weight.shape)
    over = tuple(d for d, n in enumerate(sizes) if n == 1)

    def total(a: Any) -> Any:
        return (a.sum(over) if over else a).reshape(weight.shape)

    dx = normalize_grad(t, g, x, weight, axes, eps)
    return dx, total(g * standardized(t, x, axes, eps)), total(g)


# --- places and windows


def put(t: Any, a: Any, index: Any, shape: Shape) -> Any:
    """Every element of the result is one of a's or, from behind them, a zero."""
    n = a.numel()
    places = select(t, t.arange(math.prod(shape)).reshape(shape), index).reshape(-1)
    chosen = t.full((math.prod(shape),), n)
    chosen[places] = t.arange(n)
    return t.gather(t.cat([a.reshape(-1), t.zeros(1, dtype=a.dtype)]), 0, chosen).reshape(shape)


def of_geometry(
    found: Any,
    tensors: Any,
    where: Any,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    **more: Any,
) -> Any:
    geometry = sys.modules[found.__module__].Geometry.checked("windows", kernel, stride, padding)
    return found(geometry, **more)(*tensors)


def windows_of(t: Any, x: Any, kernel: Any, stride: Any = None, padding: Any = 0) -> Any:
    found, sides = windows(t, x, kernel, stride, padding, 0.0)
    n, c = found.shape[:2]
    return found.reshape(n, c, *pair(kernel), *sides).permute(0, 4, 5, 2, 3, 1)


def fold(
    t: Any, parts: Any, kernel: Any, shape: Shape, stride: Any = None, padding: Any = 0
) -> Any:
    n, h, w, c = shape
    columns = parts.permute(0, 5, 3, 4, 1, 2).reshape(
        n, c * math.prod(pair(kernel)), math.prod(parts.shape[1:3])
    )
    how = {"stride": kernel if stride is None else stride, "padding": padding}
    return t.nn.functional.fold(columns, (h, w), kernel, **how).permute(0, 2, 3, 1)


def max_pool_grad(t: Any, g: Any, x: Any, kernel: Any, stride: Any = None, padding: Any = 0) -> Any:
    """Who is largest is constant: x has no gradient but zeros."""
    found, (h, w) = windows(t, x, kernel, stride, padding, -math.inf)
    chosen = (found == found.amax((2,), keepdim=True)) | t.isnan(found)
    n, c = found.shape[:2]
    share = g.permute(0, 3, 1, 2).reshape(n, c, 1, h * w) / chosen.sum((2,), keepdim=True)
    parts = t.where(chosen, share, 0.0).reshape(n, c, *pair(kernel), h, w)
    return fold(t, parts.permute(0, 4, 5, 2, 3, 1), kernel, tuple(x.shape), stride, padding)


def avg_pool_grad(
    t: Any,
    g: Any,
    kernel: Any,
    shape: Shape,
    stride: Any = None,
    padding: Any = 0,
    count_include_pad: bool = True,
) -> Any:
    n, h, w, c = g.shape
    sizes = divisors(t, g, shape, kernel, stride, padding, count_include_pad)
    share = g.permute(0, 3, 1, 2).reshape(n, c, h * w) / sizes
    parts = share.permute(0, 2, 1).reshape(n, h, w, 1, 1, c).expand(n, h, w, *pair(kernel), c)
    return fold(t, parts, kernel, shape, stride, padding)


# --- convolution


def conv_input_grad(
    t: Any,
    dy: Any,
    w: Any,
    x_shape: Shape,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    how = [pair(p) for p in (stride, padding, dilation)]
    # rows and columns of x behind the last window
    left = [
        (x_shape[d + 1] + 2 * p - step * (w.shape[d] - 1) - 1) % stride
        for d, (stride, p, step) in enumerate(zip(*how, strict=True))
    ]
    made = t.nn.functional.conv_transpose2d(
        dy.permute(0, 3, 1, 2),
        w.permute(3, 2, 0, 1),
        None,
        how[0],
        how[1],
        left,
        groups,
        how[2],
    )
    return made.permute(0, 2, 3, 1)


def conv_weight_grad(
    t: Any,
    x: Any,
    dy: Any,
    w_shape: Shape,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    kh, kw, inside, out = w_shape
    n, oh, ow, _ = dy.shape
    parts = t.nn.functional.unfold(x.permute(0, 3, 1, 2), (kh, kw), dilation, padding, stride)
    parts = parts.reshape(n, groups, inside * kh * kw, oh * ow).permute(1, 2, 0, 3)
    of_groups = dy.reshape(n, oh * ow, groups, out // groups).permute(2, 0, 1, 3)
    dw = t.matmul(
        parts.reshape(groups, inside * kh * kw, n * oh * ow),
        of_groups.reshape(groups, n * oh * ow, out // groups),
    )
    return dw.reshape(groups, inside, kh, kw, out // groups).permute(2, 3, 1, 0, 4).reshape(w_shape)


_GEOMETRY = ("stride", "padding", "dilation", "groups")
_ONCE = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}


def of_conv(found: Any, tensors: Any, where: Any, **given: Any) -> Any:
    (shape,) = (given[name] for name in ("x_shape", "w_shape") if name in given)
    return found(shape, *(given.get(name, _ONCE[name]) for name in _GEOMETRY))(*tensors)


def input_flops(shapes: tuple[Shape, ...], **_: Any) -> float:
    dy, w = shapes
    return 2.0 * math.prod(dy[:3]) * math.prod(w)


def weight_flops(shapes: tuple[Shape, ...], w_shape: Shape, **_: Any) -> float:
    return 2.0 * math.prod(shapes[1][:3]) * math.prod(w_shape)


# --- recurrent


def lstm_grad(t: Any, gates: Any, c: Any, dh: Any, dc: Any) -> Any:
    i, f, g, o = gates.chunk(4, 1)
    si, sf, so, fresh = t.sigmoid(i), t.sigmoid(f), t.sigmoid(o), t.tanh(g)
    seen = t.tanh(sf * c + si * fresh)
    of_c = dc + dh * so * (1 - seen * seen)
    parts = (
        of_c * fresh * si * t.sigmoid(-i),
        of_c * c * sf * t.sigmoid(-f),
        of_c * si * (1 - fresh * fresh),
        dh * seen * so * t.sigmoid(-o),
    )
    return t.cat(parts, 1), of_c * sf


def lstm_sequence_grad(
    t: Any, projected: Any, weight: Any, h: Any, c: Any, doutputs: Any, dh: Any, dc: Any
) -> Any:
    """The weight's is one sum over all steps."""
    gates, states = [], [(h, c)]
    copies = [w.unbind(0) for w in (weight.expand(len(projected), *weight.shape),) * 2]
    for part, of_step in zip(projected.unbind(0), copies[0], strict=True):
        h, c = states[-1]
        gates.append(part + t.matmul(h, of_step))
        states.append(lstm_pointwise(t, gates[-1], c))
    dgates: list[Any] = []
    for step in reversed(range(len(gates))):
        of_gates, dc = lstm_grad(t, gates[step], states[step][1], dh + doutputs[step], dc)
        dgates.insert(0, of_gates)
        dh = t.matmul(of_gates, copies[1][step].transpose(0, 1))
    before = t.cat([h for h, _ in states[:-1]], 0)
    dweight = t.matmul(before.transpose(0, 1), t.cat(dgates, 0))
    return t.stack(dgates, 0), dweight, dh, dc


# --- identities, of integers: both sides are exact


def _some(o: Any, shape: Shape, turn: int = 0) -> Any:
    """A Tensor of small integers that no axis repeats."""
    return o.tensor(((np.arange(math.prod(shape)) + turn) * 5 % 7 - 2.0).reshape(shape))


def _dots(o: Any, a: Any, b: Any, over: tuple[int, ...]) -> Any:
    """Inner products, as many as may stand for themselves: a single one may happen to be 0."""
    return o.summation(o.multiply(a, b), over)


def put_back(f: Any, o: Any, a: Any, index: Any, shape: Shape) -> Any:
    """What stands at the index, and the sum of all."""
    y = f(a, index=index, shape=shape)
    return [o.getitem(y, index), o.summation(y)], [a, o.summation(a)]


def largest_of_windows(f: Any, o: Any, x: Any, kernel: Any, stride: Any = None, **how: Any) -> Any:
    """As max_pool has it; padding is another one there."""
    if how.get("padding"):
        return None
    windows_of_x = f(x, kernel=kernel, stride=stride, **how)
    return o.max(windows_of_x, (3, 4)), o.max_pool(x, kernel, stride)


def folded(f: Any, o: Any, parts: Any, kernel: Any, shape: Shape, **how: Any) -> Any:
    """<fold(parts), x> = <parts, windows of x>: a convolution with a 1 for each tap."""
    x, (kh, kw) = _some(o, shape), pair(kernel)
    taps = np.zeros((kh, kw, shape[3], kh * kw * shape[3]))
    for k in range(taps.shape[3]):
        taps[np.unravel_index(k, (kh, kw, shape[3]))][k] = 1.0
    stride, padding = how.get("stride") or kernel, how.get("padding", 0)
    of_x = o.reshape(o.conv(x, o.tensor(taps), stride, padding), parts.shape)
    y = f(parts, kernel=kernel, shape=shape, **how)
    return _dots(o, y, x, (1, 2)), _dots(o, parts, of_x, (1, 2, 3, 4))


def pool_adjoint(f: Any, o: Any, g: Any, kernel: Any, shape: Shape, **how: Any) -> Any:
    """<f(g), x> = <g, avg_pool(x)>, where a quotient by the kernel's elements is exact."""
    if math.prod(pair(kernel)) not in (1, 2, 4) or not how.get("count_include_pad", True):
        return None
    x = _some(o, shape)
    y = f(g, kernel=kernel, shape=shape, **how)
    return _dots(o, y, x, (1, 2)), _dots(o, g, o.avg_pool(x, kernel, **how), (1, 2))


def input_adjoint(f: Any, o: Any, dy: Any, w: Any, x_shape: Shape, **how: Any) -> Any:
    """<f(dy, w), x> = <dy, conv(x, w)>."""
    dx, given = f(dy, w, x_shape=x_shape, **how), _ONCE | how
    xs, over = [_some(o, x_shape, turn) for turn in range(4)], (1, 2, 3)
    results = [o.conv(x, w, **given) for x in xs]
    return [_dots(o, dx, x, over) for x in xs], [_dots(o, dy, y, over) for y in results]


def weight_adjoint(f: Any, o: Any, x: Any, dy: Any, w_shape: Shape, **how: Any) -> Any:
    """<f(x, dy), w> = <dy, conv(x, w)>."""
    w = _some(o, w_shape)
    given = _ONCE | how
    dw = f(x, dy, w_shape=w_shape, **how)
    return _dots(o, dw, w, (0, 1, 2)), _dots(o, dy, o.conv(x, w, **given), (0, 1, 2))
