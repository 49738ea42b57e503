"""Identities by op: inverse pairs, special cases, the same result by other ops.

Each tells zeros, constants, stale memory, NaN and copies from the right result where it can. Most
are asked of small integers, whose sums and products are exact in any order: both sides are equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from verify.registry import approximate, equations, fused
from verify.registry.reduction import reduced_axes
from verify.spec import Identity


def _numpy(function: Callable[..., Any]) -> tuple[Identity, ...]:
    """Ops that only choose and add: numpy's own answer."""

    def sides(f: Any, o: Any, *tensors: Any, **arguments: Any) -> Any:
        left = f(*tensors, **arguments)
        right = function(*(t.numpy() for t in tensors), **arguments)
        return list(left) if isinstance(left, tuple) else left, right

    return (Identity("what numpy chooses", sides),)


def _digits(place: Any) -> Any:
    """As registry/reduction.py states an index."""

    def function(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        index = place(x, axis, keepdims=keepdims)
        return [index // 256, index % 256]

    return function


def _reduced(x: Any, axes: Any = None, **_: Any) -> int:
    return math.prod(x.shape[d] for d in reduced_axes(axes, x.ndim))


def _window(x: Any, kernel: Any, **_: Any) -> int:
    return math.prod(equations.pair(kernel))


def _same(says: str, sides: Callable[..., Any]) -> tuple[Identity, ...]:
    return (Identity(says, sides),)


def _near(says: str, sides: Callable[..., Any], bound: Callable[..., Any]) -> tuple[Identity, ...]:
    return (Identity(says, sides, bound),)


def _exactly(*_: Any, **how: Any) -> Any:
    """The bound of ops that choose: they round nothing."""
    return np.zeros(())


def _with_full(other: str) -> Callable[..., Any]:
    return lambda f, o, x, scalar: (
        f(x, scalar=scalar),
        getattr(o, other)(x, o.tensor(np.full(x.shape, scalar))),
    )


def _opposite(other: str) -> tuple[Identity, ...]:
    """A comparison and its opposite: one of them is 1."""
    return _same(
        f"f + {other} = 1",
        lambda f, o, a, b: (o.add(f(a, b), getattr(o, other)(a, b)), np.ones(())),
    )


def _extremes(other: str) -> tuple[Identity, ...]:
    return _same(
        f"f(a, b) + {other}(a, b) = a + b, f(a, b) = -{other}(-a, -b)",
        lambda f, o, a, b: (
            [o.add(f(a, b), getattr(o, other)(a, b)), f(a, b)],
            [o.add(a, b), o.negate(getattr(o, other)(o.negate(a), o.negate(b)))],
        ),
    )


MULTILINEAR = frozenset(("multiply", "matmul", "einsum", "conv", "ConvInputGrad", "ConvWeightGrad"))

IDENTITIES: dict[str, tuple[Identity, ...]] = {
    "add": _same("(a + b) - b = a", lambda f, o, a, b: (o.add(f(a, b), o.negate(b)), a.numpy())),
    "multiply": _same("(a b) / b = a", lambda f, o, a, b: (o.divide(f(a, b), b), a.numpy())),
    "divide": _same("(a b) / b = a", lambda f, o, a, b: (f(o.multiply(a, b), b), a.numpy())),
    "negate": _same("-x + x = 0", lambda f, o, x: (o.add(f(x), x), np.zeros(()))),
    "add_scalar": _same("x + c = x + full(c)", _with_full("add")),
    "mul_scalar": _same("x c = x full(c)", _with_full("multiply")),
    "divide_scalar": _same("x / c = x / full(c)", _with_full("divide")),
    "power_scalar": _near("x^c = x ... x", approximate.powers, approximate.powers_bound),
    "maximum": _extremes("minimum"),
    "minimum": _extremes("maximum"),
    "equal": _opposite("not_equal"),
    "not_equal": _opposite("equal"),
    "less": _opposite("greater_equal"),
    "less_equal": _opposite("greater"),
    "greater": _opposite("less_equal"),
    "greater_equal": _opposite("less"),
    "abs": _same("|x| = max(x, -x)", lambda f, o, x: (f(x), o.maximum(x, o.negate(x)))),
    "sign": _same("sign(x) |x| = x", lambda f, o, x: (o.multiply(f(x), o.abs(x)), x)),
    "relu": _same(
        "relu(x) - relu(-x) = x, relu(x) relu(-x) = 0",
        lambda f, o, x: (
            [o.add(f(x), o.negate(f(o.negate(x)))), o.multiply(f(x), f(o.negate(x)))],
            [x, np.zeros(())],
        ),
    ),
    "leaky_relu": _same(
        "relu(x) + min(x, 0) slope",
        lambda f, o, x, slope, **how: (
            f(x, slope=slope, **how),
            o.add(o.relu(x), o.mul_scalar(o.negate(o.relu(o.negate(x))), slope)),
        ),
    ),
    "clip": _near(  # of reals: integers lie beyond most bounds
        "what numpy clips",
        lambda f, o, x, **how: (f(x, **how), np.clip(x.numpy(), how.get("low"), how.get("high"))),
        _exactly,
    ),
    "sqrt": _same("sqrt(x x) = |x|", lambda f, o, x: (f(o.multiply(x, x)), o.abs(x))),
    "rsqrt": _near(
        "rsqrt(x x) |x| = 1",
        lambda f, o, x: (o.multiply(f(o.multiply(x, x)), o.abs(x)), np.ones(())),
        lambda fmt, left, x: np.asarray(1.1 * fmt.u * (2 * fmt.k_ulp["rsqrt"] + 2)),
    ),
    "exp": _near("log(exp(x)) = x, |x| <= 2", approximate.inverse("log"), approximate.log_exp),
    "log": _near("exp(log(x)) = x", lambda f, o, x: (o.exp(f(x)), x), approximate.exp_log),
    "expm1": _near(
        "log1p(expm1(x)) = x, |x| <= 2", approximate.inverse("log1p"), approximate.log1p_expm1
    ),
    "log1p": _near(
        "expm1(log1p(x)) = x, -0.5 <= x <= 8",
        approximate.expm1_log1p,
        approximate.expm1_log1p_bound,
    ),
    **{
        a: _near(
            "sin(x)^2 + cos(x)^2 = 1",
            approximate.one(b, lambda s, c, o: o.add(o.multiply(s, s), o.multiply(c, c))),
            approximate.squares_are_one,
        )
        for a, b in (("sin", "cos"), ("cos", "sin"))
    },
    **{
        a: _near(
            "erf(x) + erfc(x) = 1",
            approximate.one(b, lambda s, c, o: o.add(s, c)),
            lambda fmt, left, x: approximate.complements(fmt, "erf", "erfc"),
        )
        for a, b in (("erf", "erfc"), ("erfc", "erf"))
    },
    "gelu": _near(
        "gelu(x) is gelu(x) in float64, rounded",
        approximate.in_float64,
        approximate.in_float64_bound,
    ),
    "sigmoid": _near(
        "sigmoid(x) (1 + exp(-x)) = 1, where exp(x) is in range",
        approximate.logistic,
        approximate.logistic_bound,
    ),
    "softplus": _near(
        "softplus(x) - softplus(-x) = x",
        lambda f, o, x: (o.add(f(x), o.negate(f(o.negate(x)))), x),
        approximate.softplus_bound,
    ),
    "summation": _same("one slice after another", equations.one_by_one("add")),
    # of reals: the largest of many small integers is constant
    "max": _near("one slice after another", equations.one_by_one("maximum"), _exactly),
    "min": _near("one slice after another", equations.one_by_one("minimum"), _exactly),
    "prod": _same("one slice after another", equations.one_by_one("multiply", 10)),
    "mean": _near("sum / n", equations.mean, approximate.averaged(_reduced)),
    "var": _same("no degree of freedom: the sum over 0", equations.no_freedom),
    "cumsum": _same("one slice after another", equations.running),
    "argmax": _numpy(_digits(np.argmax)),
    "argmin": _numpy(_digits(np.argmin)),
    "matmul": _same("the sum of the products", equations.products),
    "einsum": _same("the op that the formula names", equations.einsum),
    "conv": _same("the sum over the taps of matmuls, group by group", equations.conv),
    "max_pool": _same("the largest of the taps", equations.max_pool),
    "avg_pool": _near(
        "the sum of the taps / their number",
        equations.avg_pool,
        approximate.averaged(_window),
    ),
    "nn.Softmax": _near("sum softmax(x) = 1", approximate.shares, approximate.share_bound),
    "softmax": (
        *_near("sum softmax(x) = 1", approximate.shares, approximate.share_bound),
        *_near("powers / their sum", fused.of_powers, fused.of_powers_bound),
    ),
    "logsoftmax": (
        *_near("sum exp(logsoftmax(x)) = 1", approximate.logs, approximate.logs_bound),
        *_near(
            "x - max - log(sum exp(x - max))",
            fused.log_of_powers,
            fused.log_of_powers_bound,
        ),
    ),
    "logsumexp": (
        *_near("exp(logsumexp(x)) = sum exp(x)", approximate.total, approximate.total_bound),
        *_near(
            "log(sum exp(x - max)) + max",
            fused.log_of_total,
            fused.log_of_total_bound,
        ),
    ),
    "attention_weights": _near(
        "the weights of a query sum to 1", approximate.weights, approximate.weights_bound
    ),
    "standardize": (
        *_near("mean y^2 = v / (v + eps)", approximate.spread_out, approximate.spread_bound),
        *_near("x - mean over its root", fused.centred, fused.centred_bound),
    ),
    "layer_norm": _near("standardize(x) weight + bias", fused.affine, fused.affine_bound),
    "lstm_step": _near("the gates' functions, one by one", fused.cell, fused.cell_bound),
    "reshape": _same(
        "reshape(reshape(x), x.shape) = x",
        lambda f, o, x, shape: (o.reshape(f(x, shape=shape), x.shape), x),
    ),
    "transpose": _same("permute with two axes swapped", equations.transpose),
    "permute": _same(
        "permuted back",
        lambda f, o, x, axes: (
            o.permute(f(x, axes=axes), tuple(np.argsort([a % len(axes) for a in axes]).tolist())),
            x,
        ),
    ),
    "broadcast_to": _same(
        "x + zeros of the shape",
        lambda f, o, x, shape: (f(x, shape=shape), o.add(x, o.tensor(np.zeros(shape)))),
    ),
    "flip": _same("x[::-1]", equations.flip),
    "dilate": _same(
        "undilate(dilate(x)) = x, and their sums",
        lambda f, o, x, axes, dilation: (
            [
                o.undilate(f(x, axes=axes, dilation=dilation), axes, dilation),
                o.summation(f(x, axes=axes, dilation=dilation)),
            ],
            [x, o.summation(x)],
        ),
    ),
    "undilate": _same("x[::n + 1]", equations.undilate),
    "pad": _same("the inside of pad(x) = x", equations.pad),
    "squeeze": _same(
        "reshaped back",
        lambda f, o, x, axes=None: (o.reshape(f(x, axes=axes), x.shape), x),
    ),
    "unsqueeze": _same(
        "squeeze(unsqueeze(x)) = x", lambda f, o, x, axes: (o.squeeze(f(x, axes=axes), axes), x)
    ),
    "getitem": _numpy(lambda x, index: x[index]),
    "gather": _numpy(lambda x, index, axis: np.take_along_axis(x, index, axis)),
    "take": _numpy(lambda x, indices, axis: np.take(x, indices, axis)),
    "scatter_add": _numpy(equations.scattered),
    "where": _numpy(lambda a, *b, mask, numbers=(): np.where(mask, a, *b, *numbers)),
    "one_hot": _numpy(lambda x, n: np.eye(n)[x.astype(int)]),
    "stack": _same(
        "split(stack(...)) = ...",
        lambda f, o, *xs, axis, **how: (list(o.split(f(*xs, axis=axis, **how), axis)), list(xs)),
    ),
    "concatenate": _numpy(lambda *xs, axis=0, joined=False: np.concatenate(xs, axis)),
    "split": _same(
        "stack(split(x)) = x", lambda f, o, x, axis: (o.stack(f(x, axis=axis), axis), x)
    ),
    "iter": _same("stack(*x) = x", lambda f, o, x: (o.stack(f(x), 0), x)),
    "nn.Flatten": _same("reshaped back", lambda f, o, x: (o.reshape(f(x), x.shape), x)),
    "nn.Identity": _same("its negative + x = 0", lambda f, o, x: (o.add(f(x), x), np.zeros(()))),
    "nn.Dropout": _near(
        "x / (1 - p) where the draw keeps it",
        lambda f, o, x, **how: (f(x, **how), equations.dropped(x.numpy(), **how)),
        approximate.relative(lambda fmt: 4),
    ),
    "nn.Embedding": _numpy(lambda w, indices: w[np.asarray(indices, int)]),
    "nn.AvgPool": _near(
        "avg_pool of its images",
        lambda f, o, x, **how: (
            f(x, **how),
            o.permute(o.avg_pool(o.permute(x, (0, 2, 3, 1)), **how), (0, 3, 1, 2)),
        ),
        approximate.averaged(_window),
    ),
    "nn.Linear": _same(
        "x W + b",
        lambda f, o, x, w, *b: (
            f(x, w, *b),
            o.add(o.matmul(x, w), o.reshape(b[0], (-1,))) if b else o.matmul(x, w),
        ),
    ),
}
