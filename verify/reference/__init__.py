"""The oracle: torch in float64 from the same low-precision inputs, a bound beside every value.

The only place that imports torch. A row's reference runs on `Bounded` tensors (bounded.py), forward
and through torch's autograd, so the bound of a result or of a gradient follows from the operations
that produce it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from verify.budget import ORACLE_P, Array, Format, rounding, stored, with_oracle
from verify.reference import (  # noqa: F401  (they register)
    composed,
    functions,
    normal,
    norms,
    parts,
    reductions,
    rules,
    sums,
)
from verify.reference.bounded import Bounded, Context
from verify.reference.exact import sides_with_device as sides_with_device
from verify.spec import Row

_COMPOSITE: set[str] = set()  # rows whose last result took several operations: a first guess
CORRECTLY_ROUNDED = {"add", "mul", "div"}  # by IEEE 754, in every format


@dataclass(frozen=True, slots=True)
class Expected:
    """One result of the oracle and how far a correct kernel may be from it."""

    value: Array
    error: Array


def prepare() -> None:
    """Keeps the oracle to one thread: workers are parallel already, and its tensors are small."""
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


def _inputs(context: Context, arrays: Sequence[Any], grad: bool) -> list[Bounded]:
    made: dict[int, Bounded] = {}  # an array that is given twice is one tensor
    for a in arrays:
        if id(a) not in made:
            # a copy: the reference may not see our memory
            exact = torch.from_numpy(np.array(a, np.float64))
            made[id(a)] = Bounded(exact, torch.zeros_like(exact), context)
            made[id(a)].requires_grad_(grad)
    return [made[id(a)] for a in arrays]


def _outputs(row: Row, tensors: Sequence[Any], arguments: dict[str, Any]) -> list[Any]:
    return _listed(row.reference(torch, *tensors, **arguments))


def _listed(result: Any) -> list[Any]:
    """All results, nested ones too."""
    if isinstance(result, (tuple, list)):
        return [y for part in result for y in _listed(part)]
    return [result]


def _expected(tensor: Any, like: Any) -> Expected:
    if tensor is None:  # torch's zero gradient
        return Expected(np.zeros(like.shape), np.zeros(like.shape))
    if not isinstance(tensor, Bounded):
        return Expected(tensor.numpy().astype(np.float64), np.zeros(tuple(tensor.shape)))
    return Expected(tensor.elem.numpy(), tensor.err.numpy())


def forward(
    row: Row, arrays: Sequence[Any], arguments: dict[str, Any], fmt: Format, without: str = ""
) -> list[Expected]:
    """The results of the op, with bounds; `without` leaves out one operation's own rounding."""
    if row.whole and fmt.inner is not None:
        inside = forward(row, arrays, arguments, fmt.inner, without)
        return [Expected(r.value, stored(fmt, r.value, r.error)) for r in inside]
    prepare()
    with torch.no_grad(), np.errstate(all="ignore"):
        for any_formula in (row.name in _COMPOSITE, row.name not in _COMPOSITE):
            context = Context(with_oracle(fmt, any_formula), without)
            outputs = _outputs(row, _inputs(context, arrays, grad=False), arguments)
            if any_formula == (sum(context.seen.values()) > 1):  # another formula is as right
                break
        (_COMPOSITE.add if any_formula else _COMPOSITE.discard)(row.name)
        results = [_expected(y, y) for y in outputs]
    once = sum(context.seen.values()) == 1 and context.seen.keys() <= CORRECTLY_ROUNDED
    if once and fmt.p == ORACLE_P:
        # device and oracle round the same exact value once, in the same precision
        return [Expected(r.value, np.zeros_like(r.error)) for r in results]
    return results


def vjp(
    row: Row,
    arrays: Sequence[Any],
    arguments: dict[str, Any],
    cotangents: Sequence[Any],
    fmt: Format,
    without: str = "",
) -> list[Expected]:
    """The cotangents pulled back to every input, with bounds."""
    prepare()
    context = Context(with_oracle(fmt, any_formula=True), without)
    with np.errstate(all="ignore"):
        inputs = _inputs(context, arrays, grad=True)
        outputs = _outputs(row, inputs, arguments)
        differentiable = [
            (y, c) for y, c in zip(outputs, cotangents, strict=True) if y.requires_grad
        ]
        apart = [[pair] for pair in differentiable] if row.apart else [differentiable]
        found = [_pulled(context, inputs, arrays, pairs) for pairs in apart if pairs]
        if len(found) < 2:
            return found[0] if found else _pulled(context, inputs, arrays, [])
        return [_added(fmt, of_input) for of_input in zip(*found, strict=True)]


def _pulled(
    context: Context, inputs: list[Bounded], arrays: Sequence[Any], pairs: list[tuple[Any, Any]]
) -> list[Expected]:
    """The gradients of some results alone, (result, cotangent) each."""
    if not pairs:
        return [_expected(None, a) for a in arrays]
    seeds = _inputs(context, [c for _, c in pairs], grad=False)
    results = [y for y, _ in pairs]
    grads = torch.autograd.grad(results, inputs, seeds, allow_unused=True, retain_graph=True)
    return [_expected(g, a) for g, a in zip(grads, arrays, strict=True)]


def _added(fmt: Format, apart: Sequence[Expected]) -> Expected:
    """Gradients that were computed apart, added exactly and rounded once."""
    value: Array = np.sum([g.value for g in apart], axis=0)
    error: Array = np.sum([g.error for g in apart], axis=0)
    return Expected(value, error + rounding(fmt, value, error))


_OWN: dict[str, Callable[..., Any]] = {
    "gelu": lambda t, a, approximate="none": t.nn.functional.gelu(a, approximate=approximate)
}


def torchs_own(row: Row) -> Row | None:
    """The row of torch's own function, where its error is not that of the row's formula."""
    return replace(row, reference=_OWN[row.name]) if row.name in _OWN else None


def unary(
    row: Row, arguments: dict[str, Any], dtype: str = "float64"
) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    """The reference of a row with one input as a function of arrays, computed in dtype."""
    prepare()

    def call(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        with torch.no_grad(), np.errstate(all="ignore"):  # signalling NaNs
            result: npt.NDArray[Any] = row.reference(
                torch, torch.from_numpy(x.astype(dtype)), **arguments
            ).numpy()
            return result

    return call


def operations(
    row: Row,
    arrays: Sequence[Any],
    arguments: dict[str, Any],
    cotangents: Sequence[Any] | None,
    fmt: Format,
) -> list[str]:
    """Names of the operations that round, in order of first use: what `without` accepts."""
    context = Context(with_oracle(fmt, any_formula=cotangents is not None))
    with np.errstate(all="ignore"):
        inputs = _inputs(context, arrays, grad=cotangents is not None)
        outputs = _outputs(row, inputs, arguments)
        if cotangents is not None:
            pulled = [(y, c) for y, c in zip(outputs, cotangents, strict=True) if y.requires_grad]
            torch.autograd.grad(
                [y for y, _ in pulled],
                inputs,
                _inputs(context, [c for _, c in pulled], grad=False),
                allow_unused=True,
            )
    return list(context.seen)


def output_shapes(
    row: Row, arrays: Sequence[Any], arguments: dict[str, Any]
) -> list[tuple[int, ...]]:
    """Shapes of the results, without computing bounds."""
    prepare()
    with torch.no_grad():
        tensors = [torch.from_numpy(np.array(a, np.float64)) for a in arrays]
        return [tuple(y.shape) for y in _outputs(row, tensors, arguments)]
