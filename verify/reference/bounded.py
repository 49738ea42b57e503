"""Bounded: a float64 torch tensor with a bound on the error of a lower-precision computation of it.

Every aten operation that reaches a Bounded, from a reference or from torch's autograd, is carried
out on the exact values, and its rule here bounds the error of the result (verify/budget.py). Views
and other operations that only move elements are applied to the bound as they are to the values. An
operation without a rule is bounded by the rules of the parts that torch decomposes it into; without
these it raises: a bound that silently forgot one would be wrong. Plain tensors are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from verify.budget import ORACLE_P, Array, Format, exactly
from verify.precision import rounded
from verify.reference.added import Added, laid_out


class Context:
    """The arithmetic; `without` names an operation whose own rounding is left out."""

    def __init__(self, fmt: Format, without: str = "") -> None:
        self.fmt = fmt
        self.without = without
        self.seen: dict[str, int] = {}  # operations that round, and how often
        # of a decomposition: where its comparisons could go either way
        self.undecided: list[torch.Tensor] | None = None


class Bounded(torch.Tensor):
    """`elem` exact values, `err` bounds, both float64 and of one shape; `added`: of gradients."""

    elem: torch.Tensor
    err: torch.Tensor
    context: Context
    added: Added | None

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
        made.elem, made.err, made.context, made.added = elem, err, context, None
        return made

    def __init__(self, elem: torch.Tensor, err: torch.Tensor, context: Context) -> None:
        pass

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        """Without operations of its own: torch's error texts show operands."""
        return f"Bounded({self.elem!r}, {self.err!r})"

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
        if name.endswith("_") and isinstance(args[0], Bounded):
            args[0].added = None
        if name in _IN_PLACE:
            func(*_map(args, _elem), **kwargs)
            filled = (0.0,) if name == "masked_fill_" else args[2:]
            func(args[0].err, *_map((*args[1:2], *filled), _err), **kwargs)
            return args[0]
        if name.endswith("_") and name not in _ADDS_IN_PLACE:
            return _replaced(func, name, args, kwargs)
        values = func(*_map(args, _elem), **{k: _elem(v) for k, v in kwargs.items()})
        if name == "add" and _of_gradients(args, kwargs):
            return _sum_of_gradients(context, values, *args)
        if name in _MOVES:
            errors = func(*_map(args, _err), **{k: _err(v) for k, v in kwargs.items()})
        elif name in _ADDS_IN_PLACE:
            args[0].err.copy_(RULES[name](context, values, *args, **kwargs))
            return args[0]
        elif name in _EXACT:
            if context.undecided is not None and name in _COMPARES:
                context.undecided.append(_either_way(*args[:2]))
            return _wrap_exact(values, context)
        elif name in RULES:
            if context.fmt.p < ORACLE_P and name in _WITH_NUMBERS:
                # x * 0.1 multiplies by a format's number next to 0.1
                args = tuple(constant(context, a) if isinstance(a, float) else a for a in args)
            lifted = [_lifted(a, context) for a in args]
            named = {k: _lifted(v, context) for k, v in kwargs.items()}
            errors = RULES[name](context, values, *lifted, **named)
        else:
            errors = _of_parts(context, func, values, args, kwargs)
        made = _wrap(values, errors, context)
        if name in _MOVES and isinstance(made, Bounded) and _moves_a_sum(args):
            made.added = args[0].added.moved(lambda part: func(part, *args[1:], **kwargs))
        return made


def _moves_a_sum(args: tuple[Any, ...]) -> bool:
    alone = [i for i, a in enumerate(args) if isinstance(a, Bounded)] == [0]
    return alone and args[0].added is not None


def _of_gradients(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether autograd adds: while a graph is pulled back, two arrays of one shape."""
    alike = all(isinstance(x, Bounded) and x.shape == args[0].shape for x in args)
    return alike and not kwargs and torch._C._current_graph_task_id() >= 0


def _sum_of_gradients(context: Context, y: Any, a: Bounded, b: Bounded) -> Bounded:
    (av, ae), (bv, be) = pair(a), pair(b)
    p, q = (x.added or Added.once(v, e, x.elem) for x, v, e in ((a, av, ae), (b, bv, be)))
    added = p + q
    whole = (ae == 0) & (be == 0) & (av == np.rint(av)) & (bv == np.rint(bv))
    error = done(context, "add", lambda fmt: added.bound(fmt, y.numpy(), whole))
    made: Bounded = _wrap(y, error, context)
    made.added = added
    return made


def _lifted(x: Any, context: Context) -> Any:
    """A plain tensor of reals as an exact operand."""
    if isinstance(x, list):
        return [_lifted(v, context) for v in x]
    if isinstance(x, Bounded) or not isinstance(x, torch.Tensor) or not x.is_floating_point():
        return x
    value = x.detach().to(torch.float64)
    return Bounded(value, torch.zeros_like(value), context)


def _replaced(func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """x.op_(...): what the operation gives out of place, written into x."""
    plain = getattr(torch.ops.aten, name[:-1], None)
    if plain is None:
        raise _no_rule(func)
    if not isinstance(args[0], Bounded):
        raise LookupError(f"[bounded] {func._schema.name} writes into a tensor that is no input")
    made = plain(*args, **kwargs)
    args[0].elem.copy_(made.elem)
    args[0].err.copy_(made.err)
    return args[0]


def constant(context: Context, c: float) -> Bounded:
    """A number of a formula, off by half a ULP where the format may not have it.

    Kernels of ours round it, for 16 bits to the inner format; a user's function may have another.
    """
    ours, inner = context.fmt.own_kernels, context.fmt.inner
    fmt = context.fmt.sums if ours else context.fmt
    value = torch.tensor(c, dtype=torch.float64)
    held = rounded(c, fmt.name if inner is not None else "float32")
    off = 0.0 if held == c else abs(held - c)
    if off > 0 and not (ours and inner is None):
        off = max(abs(c) * fmt.u, 0.5 * fmt.eta)
    return Bounded(value, torch.tensor(off, dtype=torch.float64), context)


def _either_way(a: Any, b: Any = 0.0) -> torch.Tensor:
    """Where the errors of operands leave open how they compare."""
    (x, ex), (y, ey) = pair(a), pair(b)
    return torch.from_numpy(np.asarray((np.abs(x - y) <= ex + ey) & (ex + ey > 0)))


def _of_parts(
    context: Context, func: Any, values: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Bounds from torch's decomposition of an operation, carried out on its operands.

    A comparison that errors may turn leaves nothing to claim where it can reach.
    """
    from torch._decomp import decomposition_table

    parts = decomposition_table.get(func)
    if parts is None and func.has_kernel_for_dispatch_key(_COMPOSITE):
        parts = func.decompose
    if parts is None:
        raise _no_rule(func)
    outer, context.undecided = context.undecided, []
    try:
        operands = [_lifted(a, context) for a in args]
        made = parts(*operands, **{k: _lifted(v, context) for k, v in kwargs.items()})
        masks = context.undecided
    finally:
        context.undecided = outer
    if made is NotImplemented:
        raise _no_rule(func)
    if outer is not None:
        outer += masks
    return _errors_like(values, made, masks)


def _errors_like(values: Any, made: Any, undecided: list[torch.Tensor]) -> Any:
    if isinstance(values, (list, tuple)):
        parts = zip(values, made, strict=True)
        return [_errors_like(v, m, undecided) for v, m in parts]
    if not isinstance(values, torch.Tensor):
        return values
    errors = made.err if isinstance(made, Bounded) else torch.zeros_like(values)
    for mask in undecided:
        open_ = mask if mask.shape == values.shape else mask.any()
        errors = torch.where(open_, torch.inf, errors)
    return errors


def _no_rule(func: Any) -> LookupError:
    return LookupError(
        f"[bounded] no error rule for {func._schema.name}: write the reference with other "
        "operations, or pass reference=None to judge by finite differences alone"
    )


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
    if isinstance(x, list):
        return [_elem(v) for v in x]
    # a constant of the reference: it keeps its value
    return x.to(torch.float64) if isinstance(x, torch.Tensor) and x.is_floating_point() else x


def _err(x: Any) -> Any:
    """The error of an operand in an operation that moves elements: constants have none."""
    if isinstance(x, Bounded):
        return x.err
    if isinstance(x, list):
        return [_err(v) for v in x]
    if isinstance(x, torch.Tensor) and x.is_floating_point():
        return torch.zeros_like(x, dtype=torch.float64)
    return x


def _map(args: tuple[Any, ...], f: Callable[[Any], Any]) -> list[Any]:
    return [f(a) for a in args]


def _wrap(values: Any, errors: Any, context: Context) -> Any:
    if isinstance(values, (list, tuple)):
        return type(values)(_wrap(v, e, context) for v, e in zip(values, errors, strict=True))
    if not isinstance(values, torch.Tensor):
        return values
    if values.dtype != torch.float64:  # positions
        return values
    return Bounded(values, laid_out(errors, values), context)


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
    "roll", "tril", "triu", "index_select", "embedding", "view_as", "lift_fresh_copy", "repeat",
    "unfold", "expand_as", "movedim", "squeeze_copy", "view_copy",
))
# fmt: on
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_IN_PLACE = frozenset(("masked_fill_", "zero_", "copy_"))
_ADDS_IN_PLACE = frozenset(("scatter_add_",))  # with a rule for the bound of what they write into
# Results that carry no error: comparisons, constants, signs.
# fmt: off
_EXACT = frozenset((
    "eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "signbit", "logical_and", "logical_or",
    "logical_not", "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full",
    "empty_like", "new_empty", "sgn", "sign", "argmax", "argmin",
))
_COMPARES = frozenset(("eq", "ne", "lt", "le", "gt", "ge", "sgn", "sign"))
_WITH_NUMBERS = frozenset(("add", "sub", "rsub", "mul", "div", "pow"))
# fmt: on


def pair(x: Any) -> tuple[Array, Array]:
    """An operand as exact values and errors, unbounded where a value is beyond the range."""
    if not isinstance(x, Bounded):
        value = x.to(torch.float64).numpy() if isinstance(x, torch.Tensor) else np.float64(x)
        return np.asarray(value), np.zeros(())
    value, error = x.elem.numpy(), x.err.numpy()
    if x.context.fmt.p == ORACLE_P:  # nothing finite is beyond the oracle's own range
        return value, error
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
        fmt = exactly(fmt)
    return torch.from_numpy(np.array(own(fmt), np.float64))


def elementwise(name: str, rule: Callable[..., Array]) -> Rule:
    """A rule of budget.py as the rule of an aten operation on the same operands."""

    def bound(context: Context, y: Any, *operands: Any, **_: Any) -> torch.Tensor:
        flat = [part for x in operands for part in pair(x)]
        return done(context, name, lambda fmt: rule(fmt, y.numpy(), *flat))

    return bound
