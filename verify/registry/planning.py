"""From a row to its cases: every sample once, then layouts and regions spread over the samples.

The full product would be some thousand cases an op; here each sample, (region, layout of its turn)
and (layout, three samples) is met once.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

from verify.sampling import data_folder, size
from verify.spec import Case, Row, Sample, Shape

# Regions whose gradients are specified: elsewhere (infinities, NaN) they depend on the formula.
_VJP_REGIONS = ("tiny", "huge", "ties", "zeros", "integer", "denormal")
# Regions where finite differences apply, only at kinks: everything else is a matter of scale.
_FD_KINK_REGIONS = ("ties", "zeros")
FD_LARGEST = 6000  # elements of all inputs together
_SPREAD = 3  # samples per layout


def sample(*shapes: Shape, region: str = "interior", **kwargs: Any) -> Sample:
    """A row's sample, written as a call: `sample((2, 3), (3,), stride=2)`."""
    return Sample(tuple(shapes), tuple(kwargs.items()), region)


def plan_cases(row: Row, device: str, dtype: str, judge: str, seed: int) -> list[Case]:
    """The default plan of a row; empty where the judge does not apply."""
    if judge != "forward" and not row.differentiable:
        return []
    if judge == "fd" and dtype != "float64":
        # in float32 noise blinds finite differences: the device's float64 kernels are judged
        return []
    cases: dict[tuple[Sample, str, str], None] = {}
    samples = [s for s in row.samples if s.region != "mnist" or data_folder() is not None]
    if judge == "fd":
        samples = [s for s in samples if size(s.shapes) <= FD_LARGEST]
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
    return [
        Case(row.name, judge, device, dtype, s.shapes, s.kwargs, layout, region, seed)
        for s, layout, region in cases
    ]


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
