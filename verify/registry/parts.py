"""Ops of parts of arrays: slices that begin where no vector may, rows with a gap between them.

The layouts of other rows do not get there: their rows are as long as what is computed of them.
"""

from __future__ import annotations

import math
from typing import Any

from verify.registry import recurrent, reduction
from verify.registry.layout import indexed, select
from verify.registry.planning import refuses, sample
from verify.sampling import OF_TENSORS
from verify.spec import Row

_WHOLE = {row.name: row for family in (recurrent, reduction) for row in family.ROWS}


def _reference(
    t: Any, *tensors: Any, call: str, index: Any, become: Any = (), **arguments: Any
) -> Any:
    parts = [select(t, a, index) for a in tensors]
    parts = [a.reshape(shape) for a, shape in zip(parts, become, strict=True)] if become else parts
    return _WHOLE[call].reference(t, *parts, **arguments)


ROWS = (
    Row(
        name="part",
        family="layout",
        reference=_reference,
        samples=(
            sample((67,), call="summation", index="1:65"),
            sample((9, 65), call="summation", index=":,:64", axes=1),
            sample((129, 65), call="summation", index=":,:64", axes=0),
            sample((129,), (33,), call="lstm_step", index="1:", become=((2, 64), (2, 16))),
        ),
        regions=(),
        layouts=("compact",),
        mixtures=OF_TENSORS,
        signed_zero=False,
        arguments=indexed,
        flops=lambda shapes, **_: float(math.prod(shapes[0])),
        errors=(
            refuses((9, 65), call="summation", index=":,:64", axes=2, raises="IndexError"),
            refuses((9, 65), call="summation", index="9", raises="IndexError"),
        ),
    ),
)
