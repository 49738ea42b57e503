"""Normalisations: statistics first, then the quotient; in eval they are inputs like any other."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from verify.registry.planning import MANY, sample
from verify.registry.reduction import reduced_axes
from verify.spec import Domain, Row, Shape


def _centred(t: Any, x: Any, axes: Any, eps: float) -> tuple[Any, Any]:
    """x less its mean, and (variance + eps)^(-1/2)."""
    over = reduced_axes(axes, x.dim())
    n = math.prod(x.shape[d] for d in over) or 1
    centred = x - x.sum(over, keepdim=True) / n
    variance = (centred * centred).sum(over, keepdim=True) / n
    return centred, (variance + eps) ** -0.5


def standardized(t: Any, x: Any, axes: Any = -1, eps: float = 1e-5) -> Any:
    centred, inverse = _centred(t, x, axes, eps)
    return centred * inverse


def inverse_deviation(t: Any, x: Any, axes: Any = -1, eps: float = 1e-5) -> Any:
    """Of the standard deviation; axes kept with size 1."""
    return _centred(t, x, axes, eps)[1]


def _layer_norm(t: Any, x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    return standardized(t, x, -1, eps) * weight + bias


def _batch_norm(
    t: Any,
    x: Any,
    weight: Any,
    bias: Any,
    mean: Any = None,
    variance: Any = None,
    training: bool = True,
    eps: float = 1e-5,
    axis: int = 1,
) -> Any:
    shape = [1] * x.dim()
    shape[axis] = -1
    weight, bias = weight.reshape(shape), bias.reshape(shape)
    if training:
        others = tuple(d for d in range(x.dim()) if d != axis % x.dim())
        return standardized(t, x, others, eps) * weight + bias
    scale = (variance.reshape(shape) + eps) ** -0.5 * weight
    return (x - mean.reshape(shape)) * scale + bias


def reach(x: Any, axes: Any = -1, eps: float = 1e-5) -> Any:
    """sqrt(variance + eps): no kinks, but steps longer than this do not see how the root turns."""
    return np.sqrt(np.var(x, axis=axes) + eps) if x.size else np.zeros(0)


def _batch_reach(x: Any, *others: Any, axis: int = 1, eps: float = 1e-5, **_: Any) -> Any:
    if len(others) > 2:  # the variance is an input, and the root's argument
        return others[3] + eps
    return reach(x, tuple(d for d in range(x.ndim) if d != axis % x.ndim), eps)


def _elements(shapes: tuple[Shape, ...], **_: Any) -> float:
    return 7.0 * math.prod(shapes[0])


# Squares and their product with the cotangent stay in range.
_WIDE = Domain(huge=lambda largest: largest**0.2)
# finite: of equal values, what is left of x - mean is 0 or a rounding, and infinity tells which
_SCALE = replace(_WIDE, special=False)
_REGIONS = ("tiny", "huge", "zeros", "special", "integer", "ties", "denormal", "shifted")


def _running(
    t: Any,
    x: Any,
    weight: Any,
    bias: Any,
    mean: Any,
    variance: Any,
    momentum: float | None = None,
    axis: int = 1,
) -> Any:
    """Both moved towards those of the batch, the variance biased.

    Unless told by a tenth, which no format has: as a quotient it is charged for that.
    """
    ones = t.ones_like(mean)
    share = ones / 10.0 if momentum is None else ones * momentum
    others = tuple(d for d in range(x.dim()) if d != axis % x.dim())
    n = math.prod(x.shape[d] for d in others)
    of_x = x.sum(others, keepdim=True) / n
    spread = ((x - of_x) ** 2).sum(others) / n
    return tuple(
        old * (1.0 - share) + found.reshape(-1) * share
        for old, found in ((mean, of_x), (variance, spread))
    )


# of x, weight, bias, running mean and running variance
_OF_BATCHES = (
    _WIDE,
    _SCALE,
    _WIDE,
    _WIDE,
    Domain(low=0, huge=lambda largest: largest**0.2, special=False),
)

ROWS = (
    Row(
        name="standardize",
        family="normalization",
        reference=standardized,
        samples=(
            sample((7,)),
            sample((65,), eps=0.5),
            sample((2, 4, 5), axes=-1),
            sample((5, 3, 4), axes=-3),
            sample((5, 13), axes=None),
            sample((2, 3, 4), axes=(0, -1)),
            sample((2, 3, 4), axes=(-1, 1), eps=1e-3),
            sample((4, 9, 8), axes=-2),
            sample((4, 1)),
            sample((3, 0)),
            sample((0, 3)),
            sample((2, 257)),
            # rows in stretches: three axes that are not one, a cascade's columns long
            sample((2, 2, 2, 2, 64), region="positive", axes=(0, 2, 4)),
            sample((2, 3, 32), region="positive", axes=(0, 2)),
            sample((2, 3, 16), region="positive", axes=(0, 2)),
        ),
        regions=_REGIONS,
        kinks=reach,
        domains=(_WIDE,),
        signed_zero=False,
        flops=_elements,
    ),
    Row(
        name="layer_norm",
        family="normalization",
        reference=_layer_norm,
        samples=(
            sample((7,), (7,), (7,)),
            sample((5, 13), (13,), (13,)),
            sample((5, 13), (13,), (13,), eps=0.1),
            sample((2, 3, 4), (4,), (4,)),
            sample((4, 1), (1,), (1,)),
            sample((0, 3), (3,), (3,)),
            sample((3, 64), (64,), (64,)),
            sample((2, 257), (257,), (257,)),
            sample(MANY, (257,), (257,)),
            sample((4100, 9), (9,), (9,), region="positive"),  # rows in parts, for few weights
        ),
        regions=_REGIONS,
        kinks=lambda x, weight, bias, eps=1e-5: reach(x, -1, eps),
        domains=(_WIDE, _SCALE, _WIDE),
        signed_zero=False,
        flops=_elements,
    ),
    Row(
        name="batch_norm",
        family="normalization",
        reference=_batch_norm,
        samples=(
            sample((5, 3), (3,), (3,)),
            sample((1, 3), (3,), (3,)),
            sample((2, 3, 4, 5), (3,), (3,)),
            sample((2, 4, 5, 3), (3,), (3,), axis=-1),
            sample((2, 5, 3), (3,), (3,), axis=-1),
            sample((3, 2, 5), (3,), (3,), axis=-3),
            sample((33, 17), (17,), (17,), eps=0.01),
            sample((4, 2, 65), (2,), (2,)),
            sample((5, 3), (3,), (3,), (3,), (3,), training=False),
            sample((2, 3, 4, 5), (3,), (3,), (3,), (3,), training=False, axis=-3),
            sample((2, 4, 5, 3), (3,), (3,), (3,), (3,), training=False, axis=3, eps=0.1),
            sample((0, 3), (3,), (3,), (3,), (3,), training=False),
        ),
        regions=_REGIONS,
        kinks=_batch_reach,
        domains=_OF_BATCHES,
        signed_zero=False,
        flops=_elements,
    ),
    Row(
        name="running_statistics",
        family="normalization",
        reference=_running,
        samples=(
            sample((5, 3), (3,), (3,), (3,), (3,)),
            sample((1, 3), (3,), (3,), (3,), (3,), momentum=0.5),
            sample((2, 3, 4, 5), (3,), (3,), (3,), (3,), momentum=1.0),
            sample((2, 5, 3), (3,), (3,), (3,), (3,), axis=-1),
            sample((3, 2, 5), (3,), (3,), (3,), (3,), axis=-3),
            sample((7, 3), (3,), (3,), (3,), (3,), momentum=0.0),
            sample((33, 17), (17,), (17,), (17,), (17,)),
        ),
        regions=("tiny", "huge", "zeros", "integer", "ties", "shifted"),
        domains=_OF_BATCHES,
        differentiable=False,
        mixtures=("devices", "arrays"),  # statistics keep a dtype of their own
        signed_zero=False,
        flops=_elements,
    ),
)
