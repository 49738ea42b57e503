"""Error rules of torch's elementwise operations, selections and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from verify import budget
from verify.budget import Array, Format
from verify.reference.bounded import (
    RULES,
    Bounded,
    Context,
    _err,
    done,
    elementwise,
    pair,
    rule,
)

RULES["mul"] = elementwise("mul", budget.multiply)
RULES["div"] = elementwise("div", budget.divide)
RULES["exp"] = elementwise("exp", budget.exp)
RULES["log"] = elementwise("log", budget.log)
RULES["tanh"] = elementwise("tanh", budget.tanh)
RULES["pow"] = elementwise("pow", budget.power)


@rule("add", "sub", "rsub")
def _add(context: Context, y: Any, a: Any, b: Any, alpha: float = 1) -> torch.Tensor:
    if alpha != 1:
        b = b * alpha
    flat = (*pair(a), *pair(b))
    return done(context, "add", lambda fmt: budget.add(fmt, y.numpy(), *flat))


@rule("where")
def _where(context: Context, y: Any, mask: torch.Tensor, a: Any, b: Any) -> torch.Tensor:
    return torch.where(mask, torch.as_tensor(pair(a)[1]), torch.as_tensor(pair(b)[1]))


@rule("abs", "neg")
def _contraction(context: Context, y: Any, a: Bounded) -> torch.Tensor:
    return a.err.clone()


@rule("relu")
def _relu(context: Context, y: Any, a: Bounded) -> torch.Tensor:
    """Below -ea nothing comes through, whatever the error."""
    return torch.minimum(a.err, torch.clamp(a.elem + a.err, min=0.0))


@rule("maximum", "minimum")
def _either(context: Context, y: Any, a: Bounded, b: Bounded) -> torch.Tensor:
    return torch.maximum(torch.as_tensor(pair(a)[1]), torch.as_tensor(pair(b)[1])).expand(y.shape)


@rule("amax", "amin")
def _largest(context: Context, y: Any, a: Bounded, dim: Any = (), keepdim: bool = False) -> Any:
    return torch.amax(a.err, tuple(dim), keepdim)


@rule("_log_softmax")
def _log_softmax(context: Context, y: Any, a: Bounded, dim: int, half_to_float: bool) -> Any:
    below = a - torch.amax(a, dim, True)
    return _err(below - torch.log(torch.exp(below).sum(dim, True)))


@rule("_log_softmax_backward_data")
def _log_softmax_backward(
    context: Context, y: Any, grad: Bounded, out: Bounded, dim: int, dtype: Any
) -> Any:
    """From the result, as kernels do it; exp(a - top) / sum is as right, and more accurate."""
    return _err(grad - torch.exp(out) * grad.sum(dim, True))


@rule("constant_pad_nd")
def _pad(context: Context, y: Any, a: Bounded, pad: Any, value: float = 0) -> torch.Tensor:
    return torch.constant_pad_nd(a.err, pad, 0.0)


@rule("col2im")
def _fold(context: Context, y: Any, a: Bounded, *geometry: Any) -> torch.Tensor:
    """Windows put back: each element is a sum over the windows that it lies in, in any order."""
    value, error = (torch.from_numpy(np.asarray(p)) for p in pair(a))
    magnitude, e, counts = (
        torch.ops.aten.col2im(p, *geometry) for p in (value.abs(), error, torch.ones_like(value))
    )
    terms = int(counts.max()) if counts.numel() else 0
    integral = bool((value == value.round()).all())
    return done(
        context,
        "fold",
        lambda fmt: budget.total(
            fmt, y.numpy(), magnitude.numpy(), e.numpy(), terms - 1, False, integral
        ),
    )


@rule("threshold_backward")
def _masked(context: Context, y: Any, grad: Bounded, a: Bounded, threshold: float) -> torch.Tensor:
    """Where the error of `a`, a relu's input or result, leaves open on which side it lies, all of
    the gradient may come or stay away.
    """
    either = ((a.elem - threshold).abs() <= a.err) & (a.err > 0)
    sure = torch.where(a.elem <= threshold, 0.0, grad.err)
    return torch.where(either, grad.elem.abs() + grad.err, sure)


@rule("tanh_backward")
def _tanh_backward(context: Context, y: Any, grad: Bounded, out: Bounded) -> torch.Tensor:
    """g (1 - t t): t t, the difference and the product round."""
    (g, eg), (t, et) = pair(grad), pair(out)

    def bound(fmt: Format) -> Array:
        square = budget.multiply(fmt, t * t, t, et, t, et)
        slope = 1 - t * t
        e = budget.add(fmt, slope, np.ones(()), np.zeros(()), t * t, square)
        return budget.multiply(fmt, g * slope, g, eg, slope, e)

    return done(context, "tanh_backward", bound)
