"""From a row to its cases, by budget; each budget holds the cases of the smaller ones.

smoke: five cases that differ in sample, layout and region. default: every sample once, then layouts
and regions spread over the samples, so that each (region, layout of its turn) and (layout, three
samples) is met once. deep: the full product, some thousand cases an op.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Sequence
from typing import Any, TypeAlias

from verify.sampling import data_folder, size
from verify.spec import Case, Row, Sample, Shape

# Regions whose gradients are specified: elsewhere (infinities, NaN) they depend on the formula.
_VJP_REGIONS = ("tiny", "huge", "ties", "zeros", "integer", "denormal")
# Regions where finite differences apply, only at kinks: everything else is a matter of scale.
_FD_KINK_REGIONS = ("ties", "zeros")
_FD_LARGEST = 6000  # elements of all inputs together
_SPREAD = 3  # samples per layout
_TELLING = 40  # elements of all inputs of a smoke case, about
# comparisons of random numbers are constant: only ties tell
_TELLING_REGIONS = {name: i for i, name in enumerate(("interior", "ties", "integer", "zeros"))}
Choice: TypeAlias = tuple[Sample, str, str]  # with layout and region


def sample(*shapes: Shape, region: str = "interior", **kwargs: Any) -> Sample:
    """A row's sample, written as a call: `sample((2, 3), (3,), stride=2)`."""
    return Sample(tuple(shapes), tuple(kwargs.items()), region)


def plan_cases(
    row: Row, device: str, dtype: str, judge: str, seed: int, budget: str = "default"
) -> list[Case]:
    """The plan of a row for a budget of BUDGETS; empty where the judge does not apply."""
    if judge != "forward" and not row.differentiable:
        return []
    if judge == "fd" and dtype != "float64":
        # in float32 noise blinds finite differences: the device's float64 kernels are judged
        return []
    cases: dict[Choice, None] = {}
    samples = [s for s in row.samples if s.region != "mnist" or data_folder() is not None]
    if judge == "fd":
        samples = [s for s in samples if size(s.shapes) <= _FD_LARGEST]
    for s in samples:
        cases.setdefault((s, "compact", s.region))
    # a start of its own for every row, so that rows with the same samples meet different pairs
    turn = zlib.crc32(f"{row.name}/{judge}".encode())
    free = [s for s in samples if s.region == "interior" and _varied(s)]
    if free:
        layouts = [name for name in row.layouts if name != "compact"]
        for i, layout in enumerate(layouts):
            for j in range(_SPREAD):
                cases.setdefault((_pick(free, turn + _SPREAD * i + j), layout, "interior"))
        for i, region in enumerate(_regions(row, judge)):
            chosen = _pick(free, turn + i)
            cases.setdefault((chosen, "compact", region))
            if judge != "fd":
                layout = row.layouts[(turn + i) % len(row.layouts)]
                cases.setdefault((_pick(free, turn + i + len(free) // 2), layout, region))
        if budget == "deep":
            regions = dict.fromkeys(("interior", *_regions(row, judge)))
            cases |= dict.fromkeys(itertools.product(free, row.layouts, regions))
    selected = _smoke(list(cases)) if budget == "smoke" else list(cases)
    return [
        Case(row.name, judge, device, dtype, s.shapes, s.kwargs, layout, region, seed)
        for s, layout, region in selected
    ]


def _smoke(cases: Sequence[Choice]) -> list[Choice]:
    """The most telling case, then the most telling of other samples, layouts and regions."""

    def telling(case: Choice) -> tuple[bool, int, bool, float]:
        s, layout, region = case
        elements = max(1, size(s.shapes))  # few tell little, many cost time
        rank = _TELLING_REGIONS.get(region, len(_TELLING_REGIONS))
        return not _varied(s), rank, layout != "compact", abs(math.log(elements / _TELLING))

    ranked = sorted(cases, key=telling)
    chosen = ranked[:1]
    for part in (0, 1, 2, 2):
        chosen += [c for c in ranked if all(c[part] != other[part] for other in chosen)][:1]
    return list(dict.fromkeys(chosen))


def _regions(row: Row, judge: str) -> list[str]:
    if judge == "forward":
        return list(row.regions)
    if judge == "vjp":
        return [r for r in row.regions if r in _VJP_REGIONS]
    return [r for r in row.regions if r in _FD_KINK_REGIONS] if row.kinks else []


def _varied(s: Sample) -> bool:
    """Whether the sample has enough elements for a region or a layout to show."""
    return all(math.prod(shape) for shape in s.shapes) and size(s.shapes) > 2 * len(s.shapes)


def _pick(samples: Sequence[Sample], i: int) -> Sample:
    return samples[i % len(samples)]
