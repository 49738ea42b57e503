"""The cases of the judges that ask few: algebra, batch, growth, across."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TypeAlias

from verify.sampling import size
from verify.spec import COMPUTED, Row, Sample

Choice: TypeAlias = tuple[Sample, str, str]  # with layout and region

# Made of ops that are asked themselves.
_COMPOSED = ("layer", "recurrent", "transformer", "optimizer", "model")
_LARGEST = 3000  # elements of all inputs: these judges make many calls
# Regions in which devices may differ where no bound says so, or where zeros and NaN have bits.
_ACROSS = ("special", "zeros", "integer", "denormal", "huge", "edge")


def _varied(row: Row, most: int = _LARGEST) -> list[Sample]:
    return [
        s
        for s in row.samples
        if s.region in ("interior", "integer")  # labels are asked as they are
        and all(math.prod(shape) for shape in s.shapes)
        and 2 * len(s.shapes) < size(s.shapes) <= most
    ]


def _between(samples: list[Sample], n: int, deep: bool) -> list[Sample]:
    """n of them, evenly between the ends, which are small or special; all of them when deep."""
    if deep or len(samples) <= n:
        return samples
    return [samples[(i + 1) * len(samples) // (n + 1)] for i in range(n)]


def _across_sizes(samples: list[Sample], n: int, deep: bool) -> list[Sample]:
    """n of them, from the first to the last; all of them when deep."""
    if deep or len(samples) <= n:
        return samples
    return [samples[i * (len(samples) - 1) // (n - 1)] for i in range(n)]


def _algebra(row: Row, device: str, dtype: str, deep: bool) -> Iterator[Choice]:
    exact = [identity for identity in row.identities if identity.bound is None]
    # zeros fulfil it: where no identity may be stated beside it, it is no evidence
    adjoint = row.differentiable and (row.linear or row.multilinear) and row.target is None
    varied = _varied(row)
    if adjoint or exact:
        for s in _between(varied, 3, deep):
            yield s, "compact", "integer"
    smooth = dtype == "float64" and row.differentiable and not row.linear
    bounded = len(row.identities) > len(exact)
    if bounded or (smooth and not row.constant_result):
        for s in _between(varied, 2 if bounded else 1, deep):
            yield s, "compact", "interior"


def _batch(row: Row, device: str, dtype: str, deep: bool) -> Iterator[Choice]:
    batch = row.batch
    if batch is None:
        return
    fitting = [
        s
        # an oracle of many parameters takes seconds: one dtype is enough
        for s in _varied(row, 500_000 if dtype == "float32" else 100_000)
        if batch.axes(s.shapes, **row.arguments(dict(s.kwargs))) is not None
    ]
    # comparisons of random numbers are constant
    region = "ties" if "ties" in row.regions and not row.differentiable else "interior"
    # of some arguments a result is constant
    for s in _across_sizes(fitting, 3 if any(s.kwargs for s in fitting) else 2, deep):
        yield s, "compact", region


def _growth(row: Row, device: str, dtype: str, deep: bool) -> Iterator[Choice]:
    if row.growth is not None:
        # in the simulator every thread is a fibre: it has no time for long sums; those of 16 bits
        # leave the range
        short = device == "cuda_sim" or dtype not in COMPUTED
        longest = min(row.growth.longest, 8_200) if short else row.growth.longest
        yield row.growth.sample(longest), "compact", "interior"
    elif (
        row.family == "elementwise"
        and row.target is None
        and device == "cpu"
        and dtype == "float32"
    ):
        # repeated, an odd number of elements comes to lie at every place of a vector
        odd = [s for s in _varied(row) if {len(b) for b in s.shapes} == {1} and s.shapes[0][0] % 2]
        region = "interior" if row.differentiable else "ties"
        odd.sort(key=lambda s: min(s.shapes[0][0], 100))
        for s in odd[-2 if odd[-1].kwargs else -1 :]:  # of some arguments an op copies
            yield s, "compact", region


def _across(row: Row, device: str, dtype: str, deep: bool) -> Iterator[Choice]:
    if device == "numpy" or row.target is not None:  # numpy specifies needle's kernels alone
        return
    varied = _varied(row)
    regions = [r for r in _ACROSS if r in row.regions]
    if row.family in _COMPOSED or len(regions) < 2:
        regions = ["interior", *regions][:2]
    turns = [(varied, regions if deep else regions[:3])]
    if row.family in _COMPOSED:  # one small sample; the others too when deep
        turns = [(varied[:2][-1:], regions[:1]), *turns[: int(deep)]]
    for samples, asked in turns:
        for i, region in enumerate(asked if samples else ()):
            s = samples[(2 * i + len(samples) // 2) % len(samples)]
            yield s, "compact", region if s.region == "interior" else s.region  # labels


PROPERTIES: dict[str, Callable[[Row, str, str, bool], Iterator[Choice]]] = {
    "algebra": _algebra,
    "batch": _batch,
    "growth": _growth,
    "across": _across,
}
