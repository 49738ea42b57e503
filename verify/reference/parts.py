"""What is stored on the way to a sum of products, as an operation of torch.

Parts of a sum may be computed one by one and added in any order. Where all of it rounds alike, the
sum written as one product covers that; where results are stored in fewer bits than sums are made
with, each part rounds once more, and so does what the parts come to.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from verify.budget import growth
from verify.reference.bounded import Context, pair, rule


@rule("in_parts")
def _in_parts(context: Context, y: Any, a: Any, size: Any, parts: int) -> torch.Tensor:
    """A sum of so many parts; size: the sum of the absolute values of all terms."""
    fmt, error = context.fmt, torch.as_tensor(pair(a)[1])
    if fmt.inner is None:
        return error
    magnitude, more = pair(size)
    own = growth(replace(fmt, inner=None), 0, False, 2 * parts) * (magnitude + more)
    return error + torch.from_numpy(own + 2 * parts * fmt.eta)


# references, which import no torch, find it as t.ops.needle_verify.in_parts: the sum itself
_LIBRARY: Any = torch.library.Library("needle_verify", "FRAGMENT")  # type: ignore[no-untyped-call]
_LIBRARY.define("in_parts(Tensor a, Tensor size, int parts) -> Tensor")
_LIBRARY.impl("in_parts", lambda a, size, parts: a.clone(), "CPU")
torch.library.register_autograd(
    "needle_verify::in_parts", lambda ctx, grad: (grad, None, None), lib=_LIBRARY
)
