"""Ops that join arrays into one or take one apart."""

from __future__ import annotations

import sys
from typing import Any

from verify.registry.layout import always
from verify.registry.planning import MANY, sample
from verify.sampling import OF_TENSORS
from verify.spec import Row

_REGIONS = ("special", "zeros", "denormal", "integer")


def _listed(
    op: Any, tensors: Any, where: Any, instead: Any = None, joined: bool = False, **arguments: Any
) -> Any:
    """The op takes its inputs as one list, or (joined) a TensorTuple; instead: what is none."""
    if joined:
        tensors = sys.modules[op.__module__].make_tuple(*tensors)
    return op(tensors if instead is None else instead, **arguments)


ROWS = (
    Row(
        name="stack",
        family="joining",
        reference=lambda t, *tensors, axis, joined=False: t.stack(tensors, axis),
        samples=(
            sample((), (), axis=0),
            sample((7,), axis=0),
            sample((7,), (7,), axis=1),
            sample((3,), (3,), (3,), axis=-1),
            sample((4, 5), (4, 5), axis=-1),
            sample((5, 3), (5, 3), axis=1, joined=True),
            sample((5, 13), (5, 13), (5, 13), axis=-3),
            sample((2, 3, 4), (2, 3, 4), axis=-2),
            sample((2, 0), (2, 0), axis=1),
            sample((33,), (33,), (33,), (33,), (33,), axis=0),
        ),
        regions=_REGIONS,
        call=_listed,
        linear=True,
    ),
    Row(
        name="concatenate",
        family="joining",
        reference=lambda t, *tensors, axis=0, joined=False: t.cat(tensors, axis),
        samples=(
            sample((1,), axis=0),
            sample((7,), (3,), axis=0),
            sample((0,), (5,), axis=0),
            sample((5, 13), (5, 1), (5, 4), axis=-1),
            sample((2, 4, 3), (2, 4, 2), axis=-1),
            sample((5, 3, 4), (2, 3, 4), axis=-3),
            sample((5, 3), (5, 4), axis=1, joined=True),
            sample((4, 3), (2, 3)),
            sample((2, 3, 4), (2, 0, 4), (2, 5, 4), axis=-2),
            sample((33, 2), (65, 2), axis=0),
            sample(MANY, (1, 257), axis=0),
        ),
        regions=_REGIONS,
        call=_listed,
        linear=True,
    ),
    Row(
        name="split",
        family="joining",
        reference=lambda t, a, axis: t.unbind(a, axis),
        samples=(
            sample((1,), axis=0),
            sample((7,), axis=0),
            sample((5, 3, 4), axis=-3),
            sample((5, 3), axis=1),
            sample((2, 3, 4), axis=-2),
            sample((2, 4, 5), axis=-1),
            sample((4, 1, 9), axis=1),
            sample((3, 0), axis=0),
        ),
        regions=_REGIONS,
        linear=True,
        view=True,
        shares=always,
    ),
    Row(
        name="iter",
        family="joining",
        reference=lambda t, a: t.unbind(a, 0),
        samples=(
            sample((1,)),
            sample((7,)),
            sample((5, 13)),
            sample((2, 3, 4)),
            sample((3, 0)),
        ),
        mixtures=OF_TENSORS,  # an array has a loop of its own
        regions=_REGIONS,
        linear=True,
        view=True,
        shares=always,
    ),
)
