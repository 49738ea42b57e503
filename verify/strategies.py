"""Strategies of hypothesis over the shapes, regions and layouts that needle-verify judges with.

For property tests of one's own: `@given(arrays(shapes(), region=regions()))`. Values come from a
small number by region, so that a failing example shrinks to a small shape, the interior and 0.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeVar

import numpy as np

try:
    from hypothesis import strategies as st
    from hypothesis.strategies import SearchStrategy
except ImportError as missing:
    raise ImportError(
        "[strategies] hypothesis is not installed: pip install hypothesis"
    ) from missing

from verify import registry, sampling, targets
from verify.plan import DEVICES, require_computed, require_known
from verify.registry.planning import why_none
from verify.sampling import Array
from verify.spec import DTYPES, JUDGES, LAYOUTS, Case, Domain, Row, Shape, UsageError

T = TypeVar("T")

# 0, 1, small ones, and both neighbours of what vectors, warps and blocks are wide.
SIDES = (
    1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 0,
)  # fmt: skip
REGIONS = (  # an example shrinks to the first
    "interior", "integer", "ties", "zeros", "negative", "tiny", "huge", "edge", "denormal",
    "special", "shifted", "whole", "positive",
)  # fmt: skip
_SEEDS = 1 << 16


def regions() -> SearchStrategy[str]:
    """Where values lie: the interior, ties, zeros of both signs, the edges, infinities and NaN."""
    return st.sampled_from(REGIONS)


def layouts() -> SearchStrategy[str]:
    """How one array lies in memory."""
    return st.sampled_from([name for name in LAYOUTS if name not in ("mixed", "aliased")])


@st.composite
def shapes(draw: st.DrawFn, max_dims: int = 4, limit: int = 10_000) -> Shape:
    """0-d, empty, of one element, of sides around the widths of vectors and blocks.

    limit: the most elements.
    """
    shape: list[int] = []
    for _ in range(draw(st.integers(0, max_dims))):
        room = limit // max(1, math.prod(n for n in shape if n))
        shape.append(draw(st.sampled_from([n for n in SIDES if n <= max(room, 1)])))
    return tuple(shape)


@st.composite
def broadcastable_pairs(
    draw: st.DrawFn, max_dims: int = 4, limit: int = 10_000
) -> tuple[Shape, Shape]:
    """Two shapes that broadcast: axes that one lacks, and axes of size 1 in either."""
    whole = draw(shapes(max_dims, limit))
    kept = [
        tuple(1 if draw(st.booleans()) else n for n in whole[draw(st.integers(0, len(whole))) :])
        for _ in range(2)
    ]
    whose = draw(st.integers(0, 2))  # one is the whole shape, or both have lost something
    return (whole if whose == 1 else kept[0]), (whole if whose == 2 else kept[1])


def axes(ndim: int) -> SearchStrategy[int | tuple[int, ...] | None]:
    """None, an axis counted from either end, and tuples of different axes."""
    if ndim == 0:
        return st.sampled_from([None, ()])
    one = st.integers(-ndim, ndim - 1)
    several = st.lists(one, max_size=ndim, unique_by=lambda a: a % ndim).map(tuple)
    return st.one_of(one, st.none(), several)


@st.composite
def arrays(
    draw: st.DrawFn,
    shape: Shape | SearchStrategy[Shape],
    dtype: str | SearchStrategy[str] = "float32",
    *,
    region: str | SearchStrategy[str] = "interior",
    domain: Domain = Domain(),  # noqa: B008  (frozen)
    layout: str | SearchStrategy[str] = "compact",
) -> Array:
    """An array of the region inside the domain, laid out in memory; gaps hold NaN."""
    drawn = _drawn(draw, shape)
    rng = np.random.default_rng(draw(st.integers(0, _SEEDS - 1)))
    value = sampling.values(rng, domain, _drawn(draw, region), drawn, _drawn(draw, dtype))
    laid = sampling.lay_out(value, _drawn(draw, layout), rng)
    return sampling.apply_views(laid.base, laid.views)


def cases(
    row: Row | str, judge: str = "forward", device: str = "cpu", dtype: str = "float64"
) -> SearchStrategy[Case]:
    """The deep plan of a row with any seed: sample x layout x region; the id replays the case.

    Raises: UsageError for a name that does not exist, or where the judge does not apply.
    """
    if isinstance(row, str):
        require_known("op", row, registry.rows())
        row = registry.rows()[row]
    require_known("check", judge, JUDGES)
    require_known("dtype", dtype, DTYPES)
    require_known("device", device, DEVICES)
    require_computed(dtype, device, targets.computed_dtypes(device) or DTYPES)
    planned = registry.plan_cases(row, device, dtype, judge, 0, "deep")
    if not planned:
        reason = why_none(row, dtype, judge)
        raise UsageError(f"[check] {judge} does not apply to {row.name} in {dtype}: {reason}")
    ordered = sorted(planned, key=_size)
    seeds = st.integers(0, _SEEDS - 1)
    return st.builds(lambda c, seed: replace(c, seed=seed), st.sampled_from(ordered), seeds)


def _size(case: Case) -> tuple[int, bool, bool]:
    """What an example shrinks by: few elements, compact, interior."""
    return sampling.size(case.shapes), case.layout != "compact", case.region != "interior"


def _drawn(draw: st.DrawFn, given: T | SearchStrategy[T]) -> T:
    return draw(given) if isinstance(given, SearchStrategy) else given
