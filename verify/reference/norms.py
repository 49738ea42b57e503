"""Error rules of torch's batch norm in training: y = c / s, c = x - mean, s^2 = v + eps.

Rules of its single operations do not see that mean and variance move with x, and so overestimate
what becomes of an error in x: several times at each of the norms that a deep network stacks. Here
the function is bounded as a whole. All sums are over one lane, n elements, m(.) its mean.

An error d, |d| <= E, moves c by P d = d - m(d). s is the 2-norm of (c, sqrt(n eps)) / sqrt(n), so
it moves by at most rho = sqrt(m(E^2)). From s'^2 - s^2 = 2 m(c d) + m((P d)^2), exactly,

    y' - y = (P d - y (2 s m(y d) + m((P d)^2)) / (s + s')) / s'
           = (d - m(d) - y m(y d) + y m(y d) (s' - s) / (s + s') - y m((P d)^2) / (s + s')) / s'.

In the first three terms d_i has the factor 1 - (1 + y_i^2) / n, and the sum of the others is at
most sqrt((1 + y_i^2) m(E^2)) by Cauchy-Schwarz, m(y) being 0 and m(y^2) at most 1; s' >= s - rho,
s + s' >= 2 s - rho.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from verify import budget
from verify.budget import Array, Format
from verify.reference.bounded import Bounded, Context, done, pair, rule


def _mean(a: Array) -> Array:
    return np.asarray(a.mean(1, keepdims=True))


def _gamma(fmt: Format, roundings: int, results: int) -> float:
    return budget.growth(fmt, roundings, False, results)


def _beyond(fmt: Format, terms: Array) -> Array:
    """Infinite where a stored sum may leave the range before it becomes a mean."""
    return np.where(terms.shape[1] * _mean(terms) > fmt.largest, np.inf, 0.0)


def _quotient(a: Array, b: Array) -> Array:
    return np.where(b > 0, a / np.where(b > 0, b, 1.0), np.inf)


@dataclass(frozen=True, slots=True)
class Lanes:
    """Exact values of lanes (channels, n) and bounds of their errors."""

    y: Array
    ey: Array
    r: Array  # 1 / s
    er: Array
    emean: Array


def standardize(fmt: Format, x: Array, ex: Array, eps: float) -> Lanes:
    """What becomes of errors in x, and of rounding at any x that is as near.

    Rounding: the mean is off by growth(n) m(|x|), c then by D = that + u |c|; D moves y as an error
    does that no mean takes away. What is rounded of s^2, relative to it, moves the root by half as
    much; root and quotient round too.
    """
    n, u = x.shape[1], fmt.u
    c = x - _mean(x)
    s = np.sqrt(_mean(c * c) + eps)
    y, absolute = c / s, np.abs(c / s)
    rho = np.sqrt(_mean(ex * ex))
    low = s - rho
    own = ex * np.abs(1 - (1 + y * y) / n) + np.sqrt(1 + y * y) * rho
    second = absolute * (_mean(absolute * ex) + rho) * rho
    moved = _quotient(own + _quotient(second, 2 * s - rho), low)
    # from here on at x', of which only this is known
    size, centred, most = np.abs(x) + ex, np.abs(c) + ex + rho, absolute + moved
    emean = budget.growth(fmt, n, budget.uncorrelated(x, (1,)), 1) * _mean(size)
    if fmt.inner is not None:  # the sum is stored, too, as are the squares and their mean
        emean = emean + fmt.u * _mean(size) + fmt.eta + _beyond(fmt, size)
    off = emean * (1 + u) + u * centred
    spread = np.sqrt(_mean(off * off))
    to_s = _quotient(2 * (s + rho) * _mean(most * off) + spread**2, 2 * low - spread)
    relative = 0.51 * _gamma(fmt, n, 5) + 2 * u * max(fmt.k_ulp["pow"], fmt.k_ulp["rsqrt"], 2.0)
    if fmt.inner is not None:
        squares = (centred + off) ** 2
        lost = _quotient(np.asarray(2.0 * fmt.eta), low - spread)  # squares, mean, eps, the sum
        to_s = to_s + lost + _beyond(fmt, squares)
    rounded = _quotient(off + most * to_s, low - spread)
    ey = moved + rounded + relative * (most + rounded) + fmt.eta
    r = 1 / s
    to_r = _quotient(rho, low) + _quotient(to_s, low - spread)
    return Lanes(y, ey, r, r * (to_r + relative * (1 + to_r)), emean + _mean(ex))


def standardize_gradient(fmt: Format, lanes: Lanes, h: Array, eh: Array) -> Array:
    """The error of r q, q = h - m(h) - y m(h y).

    Errors of h go the way of d in `standardize`; those of y move q by ey m(h' y') + y m(h' ey).
    """
    n, u, y, ey = h.shape[1], fmt.u, lanes.y, lanes.ey
    q = h - _mean(h) - y * _mean(h * y)
    size, most = np.abs(h) + eh, np.abs(y) + ey
    own = eh * np.abs(1 - (1 + y * y) / n) + np.sqrt((1 + y * y) * _mean(eh * eh))
    product = np.abs(_mean(h * y)) + _mean(eh * most) + _mean(np.abs(h) * ey)
    moved = own + ey * product + np.abs(y) * _mean(size * ey)
    along = most * _mean(size * most)
    rounded = _gamma(fmt, n, 3) * (_mean(size) + along) + 4 * u * (size + _mean(size) + along)
    e = moved + rounded + n * fmt.eta
    if fmt.inner is not None:
        e = e + _beyond(fmt, size) + _beyond(fmt, size * most)
    r = lanes.r + lanes.er
    return np.asarray(r * e + lanes.er * np.abs(q) + 2 * u * r * (np.abs(q) + e))


def _flat(a: Array) -> Array:
    return np.moveaxis(a, 1, 0).reshape(a.shape[1], -1)


def _shaped(a: Array, like: Any) -> Array:
    channels, *others = np.moveaxis(like.numpy(), 1, 0).shape
    return np.ascontiguousarray(np.moveaxis(a.reshape(channels, *others), 0, 1))


def _sure(a: Array) -> Array:
    return np.where(np.isnan(a), np.inf, a)


def _lanes(fmt: Format, x: Bounded, eps: float) -> Lanes:
    value, error = pair(x)
    return standardize(fmt, _flat(value), _flat(np.broadcast_to(error, value.shape)), eps)


@rule("native_batch_norm")
def _batch_norm(
    context: Context,
    found: Any,
    x: Bounded,
    weight: Any,
    bias: Any,
    mean: Any,
    var: Any,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Any, Any, Any]:
    """Of y, mean and 1 / s."""
    _only_plain(weight, training)
    lanes = _lanes(context.fmt, x, eps)
    y = done(
        context,
        "batch_norm",
        lambda fmt: _shaped(
            _sure((lanes if fmt is context.fmt else _lanes(fmt, x, eps)).ey), found[0]
        ),
    )
    mean_bound, inverse_bound = (torch.from_numpy(_sure(e)[:, 0]) for e in (lanes.emean, lanes.er))
    return y, mean_bound, inverse_bound


@rule("native_batch_norm_backward")
def _batch_norm_backward(
    context: Context,
    found: Any,
    grad: Bounded,
    x: Bounded,
    weight: Any,
    mean: Any,
    var: Any,
    saved_mean: Any,
    saved_inverse: Any,
    training: bool,
    eps: float,
    mask: Any,
) -> list[Any]:
    _only_plain(weight, training)
    value, error = pair(grad)
    h, eh = _flat(value), _flat(np.broadcast_to(error, value.shape))

    def bound(fmt: Format) -> Array:
        return _shaped(_sure(standardize_gradient(fmt, _lanes(fmt, x, eps), h, eh)), found[0])

    return [done(context, "batch_norm_backward", bound), None, None]


def _only_plain(weight: Any, training: bool) -> None:
    if weight is not None or not training:
        raise NotImplementedError("[bounded] batch norm has a rule without weight and in training")
