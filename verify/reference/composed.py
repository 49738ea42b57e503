"""Error rules of torch operations that are formulas of other operations.

The bound is that of the formula in the docstring or the code, carried out on the operands; where
kernels use several, that of the one with the larger error.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from verify import budget
from verify.reference.bounded import Bounded, Context, _err, constant, rule
from verify.reference.norms import standardize, standardize_gradient
from verify.reference.reductions import mean_of, reduced
from verify.reference.sums import _products


def _pick(a: Bounded, left: Any, right: Any) -> Any:
    """Of `left` where a < 0, else `right`.

    Where a' may lie on the other side: |r(a') - l(a)| <= |r(a') - r(a)| + |r(a) - l(a)|.
    """
    taken = torch.where(a.elem < 0, left.err, right.err)
    open_ = (a.elem.abs() <= a.err) & (a.err > 0)
    jump = (left.elem - right.elem).abs() + torch.maximum(left.err, right.err)
    return torch.where(open_, jump, taken)


# --- functions of one variable


@rule("reciprocal")
def _reciprocal(context: Context, y: Any, a: Any) -> Any:
    return _err(torch.div(constant(context, 1.0), a))  # 1 / a is the operation itself


@rule("tan")
def _tan(context: Context, y: Any, a: Any) -> Any:
    """sin(a) / cos(a)."""
    return _err(torch.sin(a) / torch.cos(a))


@rule("log2")
def _log2(context: Context, y: Any, a: Any) -> Any:
    """log(a) times 1 / log(2): k ULP of the logarithm, u of the constant, u of the product."""
    return _err(torch.log(a) * constant(context, 1 / math.log(2)))


@rule("log10")
def _log10(context: Context, y: Any, a: Any) -> Any:
    """As log2."""
    return _err(torch.log(a) * constant(context, 1 / math.log(10)))


def _cdf(context: Context, a: Any) -> Any:
    """(1 + erf(a / sqrt(2))) / 2; torch's own kernels have it from polynomials, measured whole."""
    phi: Any = (torch.erf(a * constant(context, math.sqrt(0.5))) + 1) * 0.5
    own = context.fmt.k_ulp.get("gelu", 0.0) * context.fmt.u
    return Bounded(phi.elem, phi.err + own, context)


def _gelu_tanh(context: Context, a: Any) -> tuple[Any, Any]:
    """tanh(inner), inner and its slope."""
    c, b = (constant(context, v) for v in (math.sqrt(2 / math.pi), 0.044715))
    return torch.tanh((a + b * (a * a * a)) * c), c * (b * 3 * (a * a) + 1)


@rule("gelu")
def _gelu(context: Context, y: Any, a: Any, approximate: str = "none") -> Any:
    """a / 2 (1 + erf(a / sqrt(2))), where erfc loses less; with tanh alike."""
    if approximate == "none":
        return _err(a * _cdf(context, a))
    return _err(a * 0.5 * (_gelu_tanh(context, a)[0] + 1))


@rule("gelu_backward")
def _gelu_backward(context: Context, y: Any, grad: Any, a: Any, approximate: str = "none") -> Any:
    if approximate == "none":
        density = torch.exp(a * a * -0.5) * constant(context, 1 / math.sqrt(2 * math.pi))
        return _err(grad * (_cdf(context, a) + a * density))
    t, slope = _gelu_tanh(context, a)
    return _err(grad * ((t + 1) * 0.5 + a * 0.5 * (1 - t * t) * slope))


@rule("leaky_relu")
def _leaky_relu(context: Context, y: Any, a: Any, slope: float = 0.01) -> Any:
    return _pick(a, a * constant(context, slope), a)


@rule("leaky_relu_backward")
def _leaky_relu_backward(
    context: Context, y: Any, grad: Any, a: Any, slope: float, is_result: bool
) -> Any:
    return _pick(a, grad * constant(context, slope), grad)


@rule("elu")
def _elu(
    context: Context, y: Any, a: Any, alpha: float = 1, scale: float = 1, input_scale: float = 1
) -> Any:
    """(exp(a) - 1) alpha below 0, where expm1 loses less."""
    of = [constant(context, c) for c in (alpha * scale, scale, input_scale)]
    return _pick(a, (torch.exp(a * of[2]) - 1) * of[0], a * of[1])


@rule("elu_backward")
def _elu_backward(
    context: Context,
    y: Any,
    grad: Any,
    alpha: float,
    scale: float,
    input_scale: float,
    is_result: bool,
    a: Any,
) -> Any:
    of = [constant(context, c) for c in (alpha * scale, scale, input_scale)]
    down = (a + of[0]) * of[2] if is_result else torch.exp(a * of[2]) * of[0] * of[2]
    return _pick(a, grad * down, grad * of[1])


@rule("hardtanh")
def _hardtanh(context: Context, y: Any, a: Any, low: float = -1, high: float = 1) -> Any:
    return _err(torch.clamp(a, low, high))


@rule("masked_fill")
def _masked_fill(context: Context, y: Any, a: Any, mask: torch.Tensor, value: Any) -> Any:
    filled = value.err if isinstance(value, Bounded) else torch.zeros(())
    return torch.where(mask, filled.to(torch.float64), a.err)


@rule("scatter")
def _scatter(context: Context, y: Any, a: Any, dim: int, index: Any, value: Any) -> Any:
    error = value.err if isinstance(value, Bounded) else 0.0
    return a.err.scatter(dim, index, error)


# --- softmax and losses


def _below_the_top(a: Any, dim: Any) -> Any:
    """a less its maximum; what is masked by -inf is exact."""
    below = a - torch.amax(a, dim, True)
    masked = torch.isinf(a.elem) & (a.elem < 0)
    error = torch.where(masked & torch.isinf(below.elem), 0.0, below.err)
    return Bounded(below.elem, error, a.context)


@rule("_softmax")
def _softmax(context: Context, y: Any, a: Any, dim: int, half_to_float: bool) -> Any:
    e = torch.exp(_below_the_top(a, dim))
    return _err(e * torch.reciprocal(e.sum(dim, True)))


@rule("_softmax_backward_data")
def _softmax_backward(context: Context, y: Any, grad: Any, out: Any, dim: int, dtype: Any) -> Any:
    """g y - y sum(g y); y (g - sum) loses less."""
    product = grad * out
    return _err(product - out * product.sum(dim, True))


@rule("logsumexp")
def _logsumexp(context: Context, y: Any, a: Any, dim: Any, keepdim: bool = False) -> Any:
    axes = reduced(a, dim)
    total = torch.log(torch.exp(_below_the_top(a, axes)).sum(axes, keepdim))
    return _err(total + torch.amax(a, axes, keepdim))


def _reduced(context: Context, a: Any, reduction: int) -> Any:
    if reduction == 0:
        return a
    axes = list(range(a.dim()))
    return mean_of(context, a, axes, False) if reduction == 1 else torch.sum(a)


@rule("mse_loss")
def _mse(context: Context, y: Any, a: Any, b: Any, reduction: int = 1) -> Any:
    d = a - b
    return _err(_reduced(context, d * d, reduction))


@rule("mse_loss_backward")
def _mse_backward(context: Context, y: Any, grad: Any, a: Any, b: Any, reduction: int) -> Any:
    n = a.elem.numel() if reduction == 1 else 1
    return _err((a - b) * constant(context, 2 / max(n, 1)) * grad)


# --- affine maps and normalisation


@rule("addmm")
def _addmm(
    context: Context, y: Any, c: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1
) -> Any:
    """c + a b: c may come first or last, and meets up to n roundings; n + 1 the products."""
    n, fmt = a.shape[1], context.fmt
    if (beta, alpha) != (1, 1):
        return _err(torch.mm(a, b) * alpha + c * beta)
    product = a.elem @ b.elem
    e = _products(context, "matmul", product, torch.matmul, a, b, n, lambda: False)
    if fmt.inner is not None:  # stored before c is added
        return _err(Bounded(product, e, context) + c)
    magnitude = (a.elem.abs() + a.err) @ (b.elem.abs() + b.err)
    context.seen["add"] = context.seen.get("add", 0) + 1
    first = budget.growth(fmt, n, False) * (c.elem.abs() + c.err)
    return e + c.err + first + fmt.u * (1 + 2 * n * fmt.u) * (magnitude + e)


def _rows(a: Any, n: int) -> Any:
    return a.reshape(-1, n).numpy()


@rule("native_layer_norm")
def _layer_norm(
    context: Context, y: Any, x: Any, shape: Any, weight: Any, bias: Any, eps: float
) -> Any:
    """The lanes of norms.py, times the weight, plus the bias."""
    n = math.prod(shape)
    lanes = standardize(context.fmt, _rows(x.elem, n), _rows(x.err, n), eps)
    context.seen["layer_norm"] = context.seen.get("layer_norm", 0) + 2
    made: Any = _shaped(context, lanes.y, lanes.ey, x)
    if weight is not None:
        made = made * weight
    if bias is not None:
        made = made + bias
    mean, inverse = (_sure(torch.from_numpy(e)) for e in (lanes.emean, lanes.er))
    return made.err, mean.reshape(y[1].shape), inverse.reshape(y[2].shape)


@rule("native_layer_norm_backward")
def _layer_norm_backward(
    context: Context,
    y: Any,
    grad: Any,
    x: Any,
    shape: Any,
    mean: Any,
    inverse: Any,
    weight: Any,
    bias: Any,
    mask: Any,
) -> Any:
    n = math.prod(shape)
    r = inverse.elem.reshape(-1, 1)
    centred = x.elem.reshape(-1, n) - mean.elem.reshape(-1, 1)
    eps = float((1 / r**2 - (centred * centred).mean(1, keepdim=True)).clamp(min=0).max())
    lanes = standardize(context.fmt, _rows(x.elem, n), _rows(x.err, n), eps)
    h = grad if weight is None else grad * weight
    error = standardize_gradient(context.fmt, lanes, _rows(h.elem, n), _rows(h.err, n))
    context.seen["layer_norm"] = context.seen.get("layer_norm", 0) + 2
    errors: list[Any] = [_sure(torch.from_numpy(error)).reshape(x.shape), None, None]
    before = list(range(x.dim() - len(shape)))
    standard: Any = _shaped(context, lanes.y, lanes.ey, x)
    for i, parts in ((1, grad * standard), (2, grad)):
        if mask[i]:
            errors[i] = _err(torch.sum(parts, before) if before else parts)
    return errors


def _sure(a: torch.Tensor) -> torch.Tensor:
    return torch.where(torch.isnan(a), torch.inf, a)


def _shaped(context: Context, value: Any, error: Any, like: Any) -> Bounded:
    v, e = (torch.from_numpy(p).reshape(like.shape) for p in (value, error))
    return Bounded(v, _sure(e), context)
