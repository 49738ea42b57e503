"""torch itself: what it computes in a case's own dtype, to stand beside what is judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from verify.budget import Array
from verify.reference import _listed, prepare, torchs_own
from verify.spec import Row

_HELD = {"bfloat16": torch.bfloat16}  # numpy has no such dtype: it comes and goes as float32


def computed(
    row: Row,
    arrays: Sequence[Array],
    arguments: dict[str, Any],
    cotangents: Sequence[Array] | None,
) -> list[Array] | None:
    """Its results or, with cotangents, gradients; None where it does not compute in that dtype.

    No verdict rests on them, so whatever torch refuses is left out.
    """
    prepare()
    made = {id(a): _tensor(a, cotangents is not None) for a in arrays}  # given twice, one tensor
    inputs = [made[id(a)] for a in arrays]
    row = torchs_own(row) or row
    try:
        with torch.set_grad_enabled(cotangents is not None):
            found = _listed(row.reference(torch, *inputs, **arguments))
            if cotangents is not None:
                found = _pulled(found, inputs, cotangents)
    except Exception:
        return None
    if any(y.dtype != x.dtype for y in found for x in inputs):
        return None
    return [_array(y) for y in found]


def _pulled(
    results: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor], cotangents: Sequence[Array]
) -> list[torch.Tensor]:
    joined = [(y, c) for y, c in zip(results, cotangents, strict=True) if y.requires_grad]
    if not joined:
        return [torch.zeros_like(x) for x in inputs]
    grads = torch.autograd.grad(
        [y for y, _ in joined], inputs, [_tensor(c, False) for _, c in joined], allow_unused=True
    )
    # None is torch's zero
    return [torch.zeros_like(x) if g is None else g for g, x in zip(grads, inputs, strict=True)]


def _tensor(array: Array, grad: bool) -> torch.Tensor:
    """A copy: the reference may not see our memory."""
    held = _HELD.get(str(array.dtype))
    made = torch.tensor(array if held is None else array.astype(np.float32), dtype=held)
    return made.requires_grad_(grad)


def _array(tensor: torch.Tensor) -> Array:
    detached = tensor.detach()
    return (detached.float() if detached.dtype in _HELD.values() else detached).numpy()
