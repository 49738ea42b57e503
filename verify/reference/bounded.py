"""Bounded: a float64 torch tensor that carries a bound on the error of a lower-precision computation of it.

Every aten operation that reaches a Bounded, from a reference or from torch's autograd, is carried out on the exact
values, and its rule here bounds the error of the result (verify/budget.py). Views and other operations that only
move elements are applied to the bound as they are to the values. An operation without a rule raises: a bound that
silently forgot one would be wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from verify import budget
from verify.budget import Array, Format


class Context:
    """The arithmetic that is bounded. `without` names an operation whose own rounding is left out."""

    def __init__(self, fmt: Format, without: str = "") -> None:
        self.fmt = fmt
        self.without = without
        self.seen: dict[str, None] = {}


class Bounded(torch.Tensor):
    """`elem` exact values, `err` bounds, both float64 and of one shape."""

    elem: torch.Tensor
    err: torch.Tensor
    context: Context

    @staticmethod
    def __new__(cls, elem: torch.Tensor, err: torch.Tensor, context: Context) -> Bounded:
        made: Bounded = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            elem.size(),
            strides=elem.stride(),
            storage_offset=elem.storage_offset(),
            dtype=elem.dtype,
            device=elem.device,
        )
        made.elem, made.err, made.context = elem, err, context
        return made

    def __init__(self, elem: torch.Tensor, err: torch.Tensor, context: Context) -> None:
        pass

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        context = _context((*args, *kwargs.values()))
        if name == "convolution_backward":  # torch's kernel for float64 wants contiguous weights
            args = tuple(_contiguous(a) for a in args)
        values = func(*_map(args, _elem), **{k: _elem(v) for k, v in kwargs.items()})
        if name in _IN_PLACE:
            func(*_map(args, _err), **kwargs)
            return args[0]
        if name in _MOVES:
            errors = func(*_map(args, _err), **{k: _err(v) for k, v in kwargs.items()})
        elif name in _EXACT:
            return _wrap_exact(values, context)
        elif name in _RULES:
            errors = _RULES[name](context, values, *args, **kwargs)
        else:
            raise NotImplementedError(
                f"[bounded] no error rule for the operation, got func={func}: add one in {__file__}"
            )
        return _wrap(values, errors, context)


def _contiguous(x: Any) -> Any:
    if not isinstance(x, Bounded):
        return x
    copies = (t.clone(memory_format=torch.contiguous_format) for t in (x.elem, x.err))
    return Bounded(*copies, x.context)


def _context(args: Any) -> Context:
    for a in args:
        if isinstance(a, Bounded):
            return a.context
        if isinstance(a, (list, tuple)):
            for b in a:
                if isinstance(b, Bounded):
                    return b.context
    raise RuntimeError("[bounded] an operation without a bounded operand reached the dispatcher")


def _elem(x: Any) -> Any:
    if isinstance(x, Bounded):
        return x.elem
    return [_elem(v) for v in x] if isinstance(x, list) else x


def _err(x: Any) -> Any:
    """The error of an operand in an operation that moves elements: constants have none."""
    if isinstance(x, Bounded):
        return x.err
    if isinstance(x, list):
        return [_err(v) for v in x]
    if isinstance(x, torch.Tensor) and x.is_floating_point():
        return torch.zeros_like(x)
    return x


def _map(args: tuple[Any, ...], f: Callable[[Any], Any]) -> list[Any]:
    return [f(a) for a in args]


def _wrap(values: Any, errors: Any, context: Context) -> Any:
    if isinstance(values, (list, tuple)):
        return type(values)(_wrap(v, e, context) for v, e in zip(values, errors, strict=True))
    if not isinstance(values, torch.Tensor):
        return values
    return Bounded(values, errors, context)


def _wrap_exact(values: Any, context: Context) -> Any:
    if isinstance(values, torch.Tensor) and values.dtype == torch.float64:
        return Bounded(values, torch.zeros_like(values), context)
    return values


# Operations that move elements, applied to values and bounds alike.
_MOVES = frozenset(
    """view _unsafe_view _reshape_alias reshape permute transpose t expand squeeze unsqueeze select slice unbind
    split split_with_sizes stack cat flip clone detach alias as_strided select_backward slice_backward
    slice_scatter select_scatter constant_pad_nd neg contiguous lift_fresh diagonal index
    _to_copy unflatten""".split()
)
_IN_PLACE = frozenset(["masked_fill_", "zero_", "copy_"])
# Results that carry no error: comparisons, constants, signs.
_EXACT = frozenset(
    """eq ne lt le gt ge isnan isinf logical_and logical_or logical_not zeros_like ones_like full_like new_zeros
    new_ones new_full empty_like new_empty sgn sign argmax""".split()
)


def _pair(x: Any) -> tuple[Array, Array]:
    """An operand as exact values and errors; a value beyond the format's range has an unbounded error."""
    if not isinstance(x, Bounded):
        value = x.to(torch.float64).numpy() if isinstance(x, torch.Tensor) else np.float64(x)
        return np.asarray(value), np.zeros(())
    value, error = x.elem.numpy(), x.err.numpy()
    beyond = (np.abs(value) > x.context.fmt.largest) & np.isfinite(value)
    return value, np.where(beyond, np.inf, error) if beyond.any() else error


Rule = Callable[..., Any]
_RULES: dict[str, Rule] = {}


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def register(f: Rule) -> Rule:
        for name in names:
            _RULES[name] = f
        return f

    return register


def _done(context: Context, name: str, own: Callable[[Format], Array], bare: Format) -> torch.Tensor:
    """The bound of one operation as a tensor, its own rounding left out where the context says so."""
    context.seen.setdefault(name)
    error = own(bare if context.without == name else context.fmt)
    return torch.from_numpy(np.ascontiguousarray(error, np.float64).reshape(np.shape(error)))


# An arithmetic so precise that its rounding does not count.
_BARE = Format("exact", 200, -1022, float("inf"), {"exp": 0.0, "log": 0.0, "tanh": 0.0, "pow": 0.0})


def _elementwise(name: str, rule: Callable[..., Array]) -> Rule:
    def bound(context: Context, y: Any, *operands: Any, **_: Any) -> torch.Tensor:
        flat = [part for x in operands for part in _pair(x)]
        return _done(context, name, lambda fmt: rule(fmt, y.numpy(), *flat), _BARE)

    return bound


_RULES["mul"] = _elementwise("mul", budget.multiply)
_RULES["div"] = _elementwise("div", budget.divide)
_RULES["exp"] = _elementwise("exp", budget.exp)
_RULES["log"] = _elementwise("log", budget.log)
_RULES["tanh"] = _elementwise("tanh", budget.tanh)
_RULES["pow"] = _elementwise("pow", budget.power)


@_rule("add", "sub", "rsub")
def _add(context: Context, y: Any, a: Any, b: Any, alpha: float = 1) -> torch.Tensor:
    if alpha != 1:
        raise NotImplementedError(f"[bounded] add and sub have alpha=1 only, got alpha={alpha}")
    flat = (*_pair(a), *_pair(b))
    return _done(context, "add", lambda fmt: budget.add(fmt, y.numpy(), *flat), _BARE)


@_rule("where")
def _where(context: Context, y: Any, mask: torch.Tensor, a: Any, b: Any) -> torch.Tensor:
    return torch.where(mask, torch.as_tensor(_pair(a)[1]), torch.as_tensor(_pair(b)[1]))


@_rule("relu", "abs")
def _contraction(context: Context, y: Any, a: Bounded) -> torch.Tensor:
    return a.err.clone()


@_rule("maximum", "minimum")
def _either(context: Context, y: Any, a: Bounded, b: Bounded) -> torch.Tensor:
    return torch.maximum(torch.as_tensor(_pair(a)[1]), torch.as_tensor(_pair(b)[1])).expand(y.shape)


@_rule("amax", "amin")
def _largest(context: Context, y: Any, a: Bounded, dim: Any = (), keepdim: bool = False) -> Any:
    return torch.amax(a.err, tuple(dim), keepdim)


@_rule("threshold_backward")
def _masked(context: Context, y: Any, grad: Bounded, a: Bounded, threshold: float) -> torch.Tensor:
    return torch.where(a.elem <= threshold, 0.0, grad.err)


@_rule("tanh_backward")
def _tanh_backward(context: Context, y: Any, grad: Bounded, out: Bounded) -> torch.Tensor:
    """g (1 - t t): t t, the difference and the product round."""
    (g, eg), (t, et) = _pair(grad), _pair(out)

    def bound(fmt: Format) -> Array:
        square = budget.multiply(fmt, t * t, t, et, t, et)
        slope = 1 - t * t
        e = budget.add(fmt, slope, np.float64(1), np.float64(0), t * t, square)
        return budget.multiply(fmt, g * slope, g, eg, slope, e)

    return _done(context, "tanh_backward", bound, _BARE)


@_rule("sum")
def _sum(
    context: Context, y: Any, a: Bounded, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> torch.Tensor:
    axes = tuple(d % max(a.dim(), 1) for d in dim) if dim else tuple(range(a.dim()))
    value, error = _pair(a)
    terms = math.prod(value.shape[d] for d in axes)
    magnitude = np.sum(np.abs(value), axis=axes, keepdims=keepdim)
    e = np.sum(error, axis=axes, keepdims=keepdim)
    random = terms > 36 and budget.uncorrelated(value, axes)  # below, gamma is the smaller one
    integral = bool(np.all(value == np.rint(value)))
    return _done(
        context,
        "sum",
        lambda fmt: budget.total(fmt, y.numpy(), magnitude, e, terms, random, integral),
        _BARE,
    )


def _products(
    context: Context,
    name: str,
    y: Any,
    product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    a: Bounded,
    b: Bounded,
    terms: int,
    random: Callable[[], bool],
) -> torch.Tensor:
    """A bilinear operation whose results are sums of `terms` products."""
    (av, ae), (bv, be) = ([torch.from_numpy(np.asarray(p)) for p in _pair(x)] for x in (a, b))
    magnitude = product(av.abs(), bv.abs()).numpy()
    e = np.zeros(())
    if bool((ae != 0).any()) or bool((be != 0).any()):
        e = (product(av.abs(), be) + product(ae, bv.abs() + be)).numpy()
    integral = bool((av == av.round()).all() and (bv == bv.round()).all())
    uncorrelated = terms > 36 and random()
    return _done(
        context,
        name,
        lambda fmt: budget.dot(fmt, y.numpy(), magnitude, e, terms, uncorrelated, integral),
        _BARE,
    )


@_rule("mm", "bmm", "mv", "dot")
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
        lambda: (
            budget.uncorrelated(left, (left.ndim - 1,)) or budget.uncorrelated(right, (inner,))
        ),
    )


@_rule("convolution")
def _convolution(
    context: Context, y: Any, x: Bounded, w: Bounded, bias: Bounded | None, *geometry: Any
) -> torch.Tensor:
    weights = w.elem.numpy()
    e = _products(
        context,
        "conv",
        y,
        lambda p, q: torch.ops.aten.convolution(p, q, None, *geometry),
        x,
        w,
        math.prod(weights.shape[1:]),
        lambda: budget.uncorrelated(weights, (1, 2, 3)),
    )
    if bias is None:
        return e
    shape = (1, -1, 1, 1)
    b, eb = (p.reshape(shape) for p in _pair(bias))
    sum_ = y.numpy()
    error = budget.add(context.fmt, sum_, sum_ - b, e.numpy(), b, eb)
    return torch.from_numpy(error)


@_rule("convolution_backward")
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
    cotangents, weights = dy.elem.numpy(), w.elem.numpy()
    outputs_per_group = weights.shape[0] // geometry[-1]

    def with_respect_to(wanted: int, zeros: torch.Tensor) -> Callable[..., torch.Tensor]:
        def product(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
            pair = (zeros, q) if wanted == 0 else (q, zeros)
            return torch.ops.aten.convolution_backward(
                p, *pair, bias_sizes, *geometry, [i == wanted for i in range(3)]
            )[wanted]

        return product

    errors: list[Any] = [None, None, None]
    if mask[0]:
        errors[0] = _products(
            context,
            "conv_grad_input",
            grads[0],
            with_respect_to(0, torch.zeros_like(x.elem)),
            dy,
            w,
            outputs_per_group * math.prod(weights.shape[2:]),
            lambda: budget.uncorrelated(cotangents, (1,)) or budget.uncorrelated(weights, (0,)),
        )
    if mask[1]:
        errors[1] = _products(
            context,
            "conv_grad_weight",
            grads[1],
            with_respect_to(1, torch.zeros_like(w.elem)),
            dy,
            x,
            cotangents.size // max(cotangents.shape[1], 1),
            lambda: budget.uncorrelated(cotangents, (0, 2, 3)),
        )
    if mask[2]:
        errors[2] = _sum(context, grads[2], dy, dim=(0, 2, 3))
    return errors
