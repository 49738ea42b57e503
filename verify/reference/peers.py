"""What other projects ask of an op, where torch answers: gradcheck, assert_close, torch itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

from verify.budget import Array
from verify.reference import _listed, prepare
from verify.spec import Row

Forward: TypeAlias = Callable[[Sequence[Array]], list[Array]]  # inputs -> results
Pull: TypeAlias = Callable[[Sequence[Array], Sequence[Array]], list[Array]]  # and cotangents


def gradcheck(forward: Forward, pull: Pull, point: Sequence[Array], fast: bool) -> bool:
    """Whether torch.autograd.gradcheck passes with its defaults, on the op as a Function."""
    prepare()
    torch.manual_seed(0)  # its fast mode draws directions

    class Op(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            ctx.save_for_backward(*inputs)
            results = forward([x.detach().numpy().copy() for x in inputs])
            return tuple(torch.from_numpy(y) for y in results)

        @staticmethod
        def backward(ctx: Any, *cotangents: torch.Tensor) -> tuple[torch.Tensor, ...]:
            values = [x.detach().numpy().copy() for x in ctx.saved_tensors]
            seeds = [np.array(c.detach().numpy()) for c in cotangents]  # one may be expanded
            return tuple(torch.from_numpy(g) for g in pull(values, seeds))

    inputs = [torch.tensor(x, requires_grad=True) for x in point]
    return bool(torch.autograd.gradcheck(Op.apply, inputs, fast_mode=fast, raise_exception=False))


def close(got: Array, want: Array) -> bool:
    """Whether torch.testing.assert_close passes with the tolerances of the dtype."""
    try:
        torch.testing.assert_close(torch.from_numpy(got), torch.from_numpy(want.astype(got.dtype)))
    except AssertionError:
        return False
    return True


def beside(
    row: Row,
    point: Sequence[Array],
    arguments: dict[str, Any],
    cotangents: Sequence[Array] | None,
) -> list[Array]:
    """What torch gives in the dtype of the inputs: results, then gradients where asked for.

    A reference that computes in float64 alone is asked in float64, and rounded.
    """
    prepare()
    try:
        return _computed(row, point, arguments, cotangents)
    except RuntimeError:  # of mixed dtypes
        wide, seeds = _wide(point), None if cotangents is None else _wide(cotangents)
        return [y.astype(point[0].dtype) for y in _computed(row, wide, arguments, seeds)]


def _computed(
    row: Row,
    point: Sequence[Array],
    arguments: dict[str, Any],
    cotangents: Sequence[Array] | None,
) -> list[Array]:
    inputs = [torch.tensor(x, requires_grad=cotangents is not None) for x in point]
    outputs = _listed(row.reference(torch, *inputs, **arguments))
    found = [y.detach().numpy() for y in outputs]
    if cotangents is None:
        return found
    joined = [(y, c) for y, c in zip(outputs, cotangents, strict=True) if y.requires_grad]
    seeds = [torch.tensor(c) for _, c in joined]
    grads = torch.autograd.grad([y for y, _ in joined], inputs, seeds, allow_unused=True)
    # None is torch's zero
    return found + [
        np.zeros_like(x) if g is None else g.numpy() for g, x in zip(grads, point, strict=True)
    ]


def _wide(arrays: Sequence[Array]) -> list[Array]:
    return [a.astype(np.float64) for a in arrays]
