"""Ops under circumstances that no layout makes: beside an infinity, of a part, elsewhere."""

from __future__ import annotations

import math
from typing import Any

from verify.registry import conv, joining, layout
from verify.registry.memory import PLAIN
from verify.registry.planning import refuses, sample
from verify.spec import Row

_WHOLE = {row.name: row for family in (conv, joining, layout) for row in family.ROWS}


def _beside_infinity(t: Any, a: Any, *others: Any, call: str, place: Any, **arguments: Any) -> Any:
    there = t.zeros(a.shape, dtype=t.bool)
    there[place] = True
    spoilt = t.where(there, t.full_like(a, math.inf), a)
    return _WHOLE[call].reference(t, spoilt, *others, **arguments)


def _elsewhere(
    t: Any, *tensors: Any, call: str, joined: bool = False, lines: int = 0, **arguments: Any
) -> Any:
    return _WHOLE[call].reference(t, *tensors, **arguments)


_IMAGES = ((2, 9, 9, 33), (3, 3, 33, 35))

ROWS = (
    Row(
        name="memory.beside_infinity",
        reference=_beside_infinity,
        # Winograd's transforms subtract infinities: no image is transformed that has one amid
        # whole vectors of it, or in what is left behind them; the other image is
        samples=(
            sample(*_IMAGES, call="conv", place=(1, 4, 4, 5)),
            sample(*_IMAGES, call="conv", place=(0, 8, 8, 32)),
        ),
        errors=(
            refuses(
                *((1, 4, 4, 2), (3, 3, 3, 5)), call="conv", place=(0, 0, 0, 0), says="channels"
            ),
        ),
        **PLAIN,
    ),
    Row(
        name="memory.of_a_part",
        reference=_elsewhere,
        # by Winograd's transforms on the cpu, and of fewer lines as a sum over taps
        samples=(sample((1, 9, 8, 32), (3, 3, 32, 32), call="conv", lines=7, padding=1),),
        errors=(
            refuses((1, 9, 8, 2), (3, 3, 3, 5), call="conv", lines=7, padding=1, says="channels"),
        ),
        **PLAIN,
    ),
    Row(
        name="memory.on_another_device",
        reference=_elsewhere,
        # where nothing is written no kernel may be started: that is an error of CUDA
        samples=(
            sample((2, 3), call="pad", padding=((0, 0), (1, 0))),
            sample((2, 0), (2, 0), call="stack", joined=True, axis=1),
            sample((2, 3), (2, 3), call="stack", joined=True, axis=1),
        ),
        errors=(
            refuses((3,), (4,), call="stack", joined=True, axis=0, says="shapes must be equal"),
        ),
        **PLAIN,
    ),
)
