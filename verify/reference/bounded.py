"""Bounded: a float64 torch tensor with a bound on the error of a lower-precision computation of it.

Every aten operation that reaches a Bounded, from a reference or from torch's autograd, is carried
out on the exact values, and its rule here bounds the error of the result (verify/budget.py). Views
and other operations that only move elements are applied to the bound as they are to the values. An
operation without a rule raises: a bound that silently forgot one would be wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from verify.budget import Array, Format


class Context:
    """The arithmetic; `without` names an operation whose own rounding is left out."""

    def __init__(self, fmt: Format, without: str = "") -> None:
        self.fmt = fmt
        self.without = without
        self.seen: dict[str, int] = {}  # operations that round, and how often


class Bounded(torch.Tensor):
    """`elem` exact values, `err` bounds, both float64 and of one shape."""

    elem: torch.Tensor
    err: torch.Tensor
    context: Context

    @staticmethod
    def __new__(cls, elem: torch.Tensor, err: torch.Tensor, context: Context) -> Bounded:
        made: Bounded = torch.Tensor._make_wrapper_subclass(
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
    def __torch_dispatch__(  # type: ignore[override]  # torch declares it without cls
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        context = _context((*args, *kwargs.values()))
        if name == "convolution_backward":  # torch's kernel for float64 wants contiguous weights
            args = tuple(_contiguous(a) for a in args)
        values = func(*_map(args, _elem), **{k: _elem(v) for k, v in kwargs.items()})
        if name in _IN_PLACE:
            filled = (0.0,) if name == "masked_fill_" else args[2:]
            func(args[0].err, *_map((*args[1:2], *filled), _err), **kwargs)
            return args[0]
        if name in _MOVES:
            errors = func(*_map(args, _err), **{k: _err(v) for k, v in kwargs.items()})
        elif name in _ADDS_IN_PLACE:
            args[0].err.copy_(RULES[name](context, values, *args, **kwargs))
            return args[0]
        elif name in _EXACT:
            return _wrap_exact(values, context)
        elif name in RULES:
            errors = RULES[name](context, values, *args, **kwargs)
        else:
            raise LookupError(
                f"[bounded] no error rule for the operation, got func={func}: add one in rules.py"
            )
        return _wrap(values, errors, context)


def _contiguous(x: Any) -> Any:
    if not isinstance(x, Bounded):
        return x
    elem, err = (t.clone(memory_format=torch.contiguous_format) for t in (x.elem, x.err))
    return Bounded(elem, err, x.context)


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
# fmt: off
_MOVES = frozenset((
    "view", "_unsafe_view", "_reshape_alias", "reshape", "permute", "transpose", "t", "expand",
    "squeeze", "unsqueeze", "select", "slice", "unbind", "split", "split_with_sizes", "stack",
    "cat", "flip", "clone", "detach", "alias", "as_strided", "select_backward", "slice_backward",
    "slice_scatter", "select_scatter", "contiguous", "lift_fresh", "diagonal", "index",
    "_to_copy", "unflatten", "im2col", "gather", "diagonal_backward",
))
# fmt: on
_IN_PLACE = frozenset(("masked_fill_", "zero_", "copy_"))
_ADDS_IN_PLACE = frozenset(("scatter_add_",))  # with a rule for the bound of what they write into
# Results that carry no error: comparisons, constants, signs.
# fmt: off
_EXACT = frozenset((
    "eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "logical_and", "logical_or",
    "logical_not", "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full",
    "empty_like", "new_empty", "sgn", "sign", "argmax", "argmin",
))
# fmt: on


def pair(x: Any) -> tuple[Array, Array]:
    """An operand as exact values and errors, unbounded where a value is beyond the range."""
    if not isinstance(x, Bounded):
        value = x.to(torch.float64).numpy() if isinstance(x, torch.Tensor) else np.float64(x)
        return np.asarray(value), np.zeros(())
    value, error = x.elem.numpy(), x.err.numpy()
    magnitude = np.abs(value)
    largest = x.context.fmt.largest
    if not magnitude.size or magnitude.max() <= largest:  # NaN goes on
        return value, error
    return value, np.where((magnitude > largest) & np.isfinite(value), np.inf, error)


Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a rule: (context, result, *operands of the operation) -> bounds of the result."""

    def register(f: Rule) -> Rule:
        for name in names:
            RULES[name] = f
        return f

    return register


def done(context: Context, name: str, own: Callable[[Format], Array]) -> torch.Tensor:
    """The bound of one operation as a tensor, without its own rounding if the context says so."""
    context.seen[name] = context.seen.get(name, 0) + 1
    fmt = context.fmt
    if context.without == name:  # an arithmetic so precise that its rounding does not count
        fmt = replace(fmt, p=200, k_ulp=dict.fromkeys(fmt.k_ulp, 0.0))
    return torch.from_numpy(np.array(own(fmt), np.float64))


def elementwise(name: str, rule: Callable[..., Array]) -> Rule:
    """A rule of budget.py as the rule of an aten operation on the same operands."""

    def bound(context: Context, y: Any, *operands: Any, **_: Any) -> torch.Tensor:
        flat = [part for x in operands for part in pair(x)]
        return done(context, name, lambda fmt: rule(fmt, y.numpy(), *flat))

    return bound
