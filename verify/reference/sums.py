"""Error rules of torch's sums of numbers and of products: reductions, matmul, convolution."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from verify import budget
from verify.budget import Array, Format
from verify.reference import winograd
from verify.reference.bounded import Bounded, Context, done, pair, rule


@rule("sum")
def _sum(
    context: Context, y: Any, a: Bounded, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> torch.Tensor:
    axes = tuple(d % max(a.dim(), 1) for d in dim) if dim else tuple(range(a.dim()))
    value, error = pair(a)
    terms = math.prod(value.shape[d] for d in axes)
    magnitude = np.sum(np.abs(value), axis=axes, keepdims=keepdim)
    e = np.sum(error, axis=axes, keepdims=keepdim)
    random = terms > 36 and budget.uncorrelated(value, axes)  # below, gamma is the smaller one
    integral = bool(np.all(value == np.rint(value)))
    return done(
        context,
        "sum",
        lambda fmt: budget.total(
            fmt, y.numpy(), magnitude, e, fmt.roundings(terms), random, integral
        ),
    )


def _sums_of(
    context: Context, name: str, y: Any, terms: Any, magnitude: Array, e: Array, integral: bool
) -> torch.Tensor:
    return done(
        context,
        name,
        lambda fmt: budget.sums_of(fmt, y.numpy(), terms, magnitude, e, integral),
    )


@rule("scatter_add", "scatter_add_")
def _scatter_add(
    context: Context, y: Any, zeros: Bounded, dim: int, index: torch.Tensor, a: Bounded
) -> torch.Tensor:
    """Each element is a sum of as many terms as the index names it, from 0."""

    def added(p: torch.Tensor) -> Array:
        sums: Array = torch.zeros_like(y).scatter_add(dim, index, p).numpy()
        return sums

    value, error = (torch.from_numpy(np.asarray(p)) for p in pair(a))
    magnitude, e, terms = (added(p) for p in (value.abs(), error, torch.ones_like(value)))
    integral = bool((value == value.round()).all())
    return _sums_of(context, "scatter_add", y, terms, magnitude, e, integral)


@rule("index_put")
def _index_put(
    context: Context, y: Any, a: Bounded, indices: Any, b: Bounded, accumulate: bool = False
) -> torch.Tensor:
    """As scatter_add, where it accumulates."""

    def put(p: Any, q: Any) -> torch.Tensor:
        made: torch.Tensor = torch.ops.aten.index_put(p, indices, q, accumulate)
        return made

    e = put(a.err, b.err)
    if not accumulate:
        return e
    magnitude = put(a.elem.abs(), b.elem.abs()).numpy()
    terms = put((a.elem != 0).to(torch.float64), torch.ones_like(b.elem)).numpy()
    integral = bool((a.elem == a.elem.round()).all() and (b.elem == b.elem.round()).all())
    return _sums_of(context, "scatter_add", y, terms, magnitude, e.numpy(), integral)


@rule("cumsum")
def _cumsum(context: Context, y: Any, a: Bounded, dim: int) -> torch.Tensor:
    """Element i is a sum of i + 1 terms."""
    value, error = (torch.from_numpy(np.asarray(p)) for p in pair(a))
    magnitude, e = (p.cumsum(dim).numpy() for p in (value.abs(), error))
    terms = torch.ones_like(value).cumsum(dim).numpy()
    integral = bool((value == value.round()).all())
    return _sums_of(context, "cumsum", y, terms, magnitude, e, integral)


def _products(
    context: Context,
    name: str,
    y: Any,
    product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    a: Bounded,
    b: Bounded,
    terms: int,
    random: Callable[[], bool],
    otherwise: Callable[[Format, Array, Any, Any, bool], Array] | None = None,
) -> torch.Tensor:
    """A bilinear operation whose results are sums of `terms` products.

    otherwise: the bound of what a device may compute instead, of (format, e, a, b, integral).
    """
    (av, ae), (bv, be) = ([torch.from_numpy(np.asarray(p)) for p in pair(x)] for x in (a, b))
    magnitude = product(av.abs(), bv.abs()).numpy()
    e = np.zeros(())
    if bool((ae != 0).any()) or bool((be != 0).any()):
        e = (product(av.abs(), be) + product(ae, bv.abs() + be)).numpy()
    integral = bool((av == av.round()).all() and (bv == bv.round()).all())
    uncorrelated = terms > 36 and random()

    def own(fmt: Format) -> Array:
        summed = budget.dot(fmt, y.numpy(), magnitude, e, terms, uncorrelated, integral)
        if otherwise is None:
            return summed
        return np.maximum(summed, otherwise(fmt, e, (av, ae), (bv, be), integral))

    return done(context, name, own)


@rule("mm", "bmm", "mv", "dot")
def _matmul(context: Context, y: Any, a: Bounded, b: Bounded) -> torch.Tensor:
    left, right = a.elem.numpy(), b.elem.numpy()
    inner = max(right.ndim - 2, 0)
    return _products(
        context,
        "matmul",
        y,
        torch.matmul,
        a,
        b,
        left.shape[-1],
        lambda: budget.uncorrelated(left, (left.ndim - 1,)) or budget.uncorrelated(right, (inner,)),
    )


def _by_group(weights: Array, groups: int) -> Array:
    """Weights of torch as (group, first axis, second axis, *kernel)."""
    return weights.reshape(groups, weights.shape[0] // max(groups, 1), *weights.shape[1:])


def _transforms(
    fmt: Format, y: Array, weights: Array, geometry: Any, turned: bool
) -> Callable[..., Array] | None:
    """The bound of a result by Winograd's transforms, where a device may compute it so.

    turned: the weights are those of the convolution that this one is the transpose of.
    """
    stride, padding, dilation, _, *others = geometry
    if not winograd.suits(fmt, y.shape, weights.shape, (stride, padding, dilation, False, *others)):
        return None

    def bound(fmt: Format, e: Array, x: Any, w: Any, integral: bool) -> Array:
        if not turned:
            return winograd.bound(fmt, y, e, x, w, padding, integral)
        w = [p.flip(2, 3).transpose(0, 1) for p in w]
        return winograd.bound(fmt, y, e, x, w, [2 - p for p in padding], integral)

    return bound


@rule("convolution")
def _convolution(
    context: Context, y: Any, x: Bounded, w: Bounded, bias: Bounded | None, *geometry: Any
) -> torch.Tensor:
    *_, transposed, _, groups = geometry
    weights = _by_group(w.elem.numpy(), groups)
    summed = (1 if transposed else 2, *range(3, weights.ndim))
    shape = (1, -1, *(1,) * (weights.ndim - 3))
    b, eb = (np.zeros(()),) * 2 if bias is None else (p.reshape(shape) for p in pair(bias))
    product = y.numpy() - b
    e = _products(
        context,
        "conv",
        torch.from_numpy(product),
        lambda p, q: torch.ops.aten.convolution(p, q, None, *geometry),
        x,
        w,
        math.prod(weights.shape[d] for d in summed),
        lambda: budget.uncorrelated(weights, summed),
        _transforms(context.fmt, product, w.elem.numpy(), geometry, turned=transposed),
    )
    if bias is None:
        return e
    error = budget.add(context.fmt, y.numpy(), product, e.numpy(), b, eb)
    return torch.from_numpy(error)


@rule("convolution_backward")
def _convolution_backward(
    context: Context,
    grads: Any,
    dy: Bounded,
    x: Bounded,
    w: Bounded,
    bias_sizes: Any,
    *geometry_and_mask: Any,
) -> list[Any]:
    *geometry, mask = geometry_and_mask
    *_, transposed, _, groups = geometry
    weights = _by_group(w.elem.numpy(), groups)
    summed = (2 if transposed else 1, *range(3, weights.ndim))  # for x
    cotangents = dy.elem.numpy()
    others = (0, *range(2, cotangents.ndim))
    factor = x.elem.numpy() if transposed else cotangents  # whose pixels a weight's sum runs over

    def with_respect_to(wanted: int, zeros: torch.Tensor) -> Callable[..., torch.Tensor]:
        def product(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
            operands = (zeros, q) if wanted == 0 else (q, zeros)
            gradients: list[torch.Tensor] = torch.ops.aten.convolution_backward(
                p, *operands, bias_sizes, *geometry, [i == wanted for i in range(3)]
            )
            return gradients[wanted]

        return product

    errors: list[Any] = [None, None, None]
    if mask[0]:
        values = grads[0].numpy()
        errors[0] = _products(
            context,
            "conv_grad_input",
            grads[0],
            with_respect_to(0, torch.zeros_like(x.elem)),
            dy,
            w,
            math.prod(weights.shape[d] for d in summed),
            lambda: budget.uncorrelated(cotangents, (1,)) or budget.uncorrelated(weights, summed),
            _transforms(context.fmt, values, w.elem.numpy(), geometry, turned=not transposed),
        )
    if mask[1]:
        errors[1] = _products(
            context,
            "conv_grad_weight",
            grads[1],
            with_respect_to(1, torch.zeros_like(w.elem)),
            dy,
            x,
            factor.size // max(factor.shape[1], 1),
            lambda: budget.uncorrelated(factor, others),
        )
    if mask[2]:
        errors[2] = _sum(context, grads[2], dy, dim=others)
    return errors
