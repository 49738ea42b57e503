"""From a row to its cases, by budget; each budget holds the cases of the smaller ones.

smoke: five cases that differ in sample, layout and region, and of results and gradients one that
fills vectors and blocks. default: every sample once, every region and every layout; every layout
with every region, half of these pairs in each dtype; every layout with a sample too small to vary.
What is built of ops, whose rows ask for more, meets each region in one layout. deep: the full
product, some thousand cases an op.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from verify.registry.properties import PROPERTIES, Choice
from verify.sampling import data_folder, first_alike, size
from verify.spec import COMPUTED, DTYPES, Case, Refusal, Row, Sample, Shape

# Regions whose gradients are specified: elsewhere (infinities, NaN) they depend on the formula,
# unless a row says that its op's do not.
_VJP_REGIONS = ("tiny", "huge", "ties", "zeros", "integer", "denormal", "whole")
# Regions where finite differences apply, only at kinks: everything else is a matter of scale.
_FD_KINK_REGIONS = ("ties", "zeros")
# Elements of all inputs together; beyond, only budget deep asks, one sample.
FD_LARGEST = {"fd": 6000, "second": 600}
_LARGE = 20000  # elements beyond which a sample is there for its size, in one layout
GRAPHS = ("cuda", "cuda_sim")  # devices whose work can be captured, to be replayed
# More elements than a cpu kernel gives to one thread, no multiple of a vector: 263 x 257 = 67,591.
MANY = (263, 257)
_PAST_CACHES = 1_000_000  # elements from which on the cpu alone has other ways to write
_SPREAD = 3  # samples per layout
_OF_EQUALS = ("broadcast", "mixed")  # layouts that may repeat elements
_TELLING = 40  # elements of all inputs of a smoke case, about
_FILLING = 5000  # and at most, of the one that has tails behind whole vectors and blocks
# comparisons of random numbers are constant: only ties tell
_TELLING_REGIONS = {
    name: i for i, name in enumerate(("interior", "negative", "whole", "ties", "integer", "zeros"))
}


def sample(*shapes: Shape, region: str = "interior", **kwargs: Any) -> Sample:
    """A row's sample, written as a call: `sample((2, 3), (3,), stride=2)`."""
    return Sample(tuple(shapes), tuple(kwargs.items()), region)


def refuses(
    *shapes: Shape, raises: str | type[Exception] = "ValueError", says: str = "", **kwargs: Any
) -> Refusal:
    """A row's error case, written as the call that must fail."""
    kind = raises if isinstance(raises, str) else raises.__name__
    return Refusal(tuple(shapes), tuple(kwargs.items()), kind, says)


def plan_cases(
    row: Row, device: str, dtype: str, judge: str, seed: int, budget: str = "default"
) -> list[Case]:
    """The plan of a row for a budget of BUDGETS; empty where the judge does not apply."""
    if judge in ("fd", "second") and dtype != "float64":
        # in fewer bits noise blinds finite differences: the device's float64 kernels are judged
        return []
    if row.accuracy and dtype not in COMPUTED:
        return []  # what a user's arrays and torch's tensors are computed in is not known
    if judge == "errors":
        planned = _refused(row, dtype)
    elif judge in ("step", "trajectory"):
        planned = _trained(row, judge, dtype, deep=budget == "deep")
    elif judge == "distribution":
        drawn = row.draws.samples if row.draws else ()
        planned = ((s, "compact", s.region) for s in drawn)
    elif judge in PROPERTIES:
        planned = PROPERTIES[judge](row, device, dtype, budget == "deep")
    elif judge == "forward" or (row.differentiable and (row.twice or judge != "second")):
        planned = _planned(row, judge, dtype, deep=budget == "deep")
    else:
        return []
    chosen = list(dict.fromkeys(planned))
    if device != "cpu":
        chosen = [c for c in chosen if size(c[0].shapes) < _PAST_CACHES]
    cases = [
        Case(row.name, judge, device, dtype, s.shapes, s.kwargs, layout, region, seed)
        for s, layout, region in (_smoke(chosen, judge) if budget == "smoke" else chosen)
    ]
    if judge == "forward" and device in GRAPHS:
        cases += [
            Case(row.name, judge, device, dtype, s.shapes, s.kwargs, "compact", s.region, seed)
            for s in row.captured
        ]
    # a sample with a region of its own may be asked for what another one is, too
    return list({case.id: case for case in cases}.values())


def why_none(row: Row, dtype: str, judge: str) -> str:
    """Why a row has no case for a judge in a dtype; empty: it has."""
    if plan_cases(row, "cpu", dtype, judge, 0, "smoke"):
        return ""
    if not row.samples and judge not in _NOTHING:
        return "what it draws is judged as a distribution"
    if judge in (*FD_LARGEST, "trajectory") and dtype != "float64":
        return f"{'differences' if judge in FD_LARGEST else 'trajectories'} need float64"
    if row.accuracy and dtype not in COMPUTED:
        return "functions of arrays and of torch are asked in float32 and float64"
    if judge == "step" and row.training is not None and dtype in row.training.unclaimed:
        return str(row.training.unclaimed[dtype])
    if judge == "trajectory" and row.training is not None:
        return "a deep run asks it"
    if judge in ("vjp", *FD_LARGEST) and not row.differentiable:
        return "no gradient"
    if judge == "second" and not row.twice:
        return "no gradient of the gradient"
    return "inputs too large for differences" if judge in FD_LARGEST else _NOTHING[judge]


def why_not_laid_out(row: Row, judge: str, layout: str) -> str:
    """Why no budget but deep asks a row in a layout, although the judge asks it in others."""
    if layout not in row.layouts:
        return "it makes no difference to this op"
    if judge not in ("forward", "vjp", *FD_LARGEST):
        return "this judge is not about layouts"
    if not any(_fits(row, s, layout) for s in row.samples):
        return "it has one input" if layout == "mixed" else "no two inputs of one shape"
    if layout == "aliased" and judge in FD_LARGEST:
        return "differences move one input at a time"
    if layout in _OF_EQUALS and _ends_at_kinks(row, judge):
        return "equal elements lie on kinks"
    return "no sample has the size for it"


_NOTHING = {
    "errors": "nothing to refuse",
    "algebra": "no identity is stated",
    "batch": "no rows that stand for themselves",
    "growth": "no sum whose length grows",
    "across": "no input of a few thousand elements; numpy is what others are held against",
    "distribution": "nothing is drawn",
    "step": "nothing is trained",
    "trajectory": "nothing is trained",
}


def _smoke(cases: Sequence[Choice], judge: str) -> list[Choice]:
    """The most telling case, then the most telling of other samples, layouts and regions."""
    if len(cases) <= 5:
        return list(cases)

    def telling(case: Choice) -> tuple[bool, int, bool, float]:
        s, layout, region = case
        elements = max(1, size(s.shapes))  # few tell little, many cost time
        rank = _TELLING_REGIONS.get(region, len(_TELLING_REGIONS))
        return not _varied(s), rank, layout != "compact", abs(math.log(elements / _TELLING))

    ranked = sorted(cases, key=telling)
    chosen = ranked[:1]
    for part in (0, 1, 2, 2):
        chosen += [c for c in ranked if all(c[part] != other[part] for other in chosen)][:1]
    if judge in ("forward", "vjp"):
        plain = [c for c in cases if c[1:] == ("compact", "interior")]
        filling = [c for c in plain if size(c[0].shapes) <= _FILLING]
        chosen += sorted(filling, key=lambda c: size(c[0].shapes))[-1:]
    return list(dict.fromkeys(chosen))


def _planned(row: Row, judge: str, dtype: str, deep: bool) -> Iterator[Choice]:
    """(sample, layout, region)."""
    differences = judge in ("fd", "second")
    samples = [s for s in row.samples if s.region != "mnist" or data_folder() is not None]
    if differences and samples:
        small = [s for s in samples if size(s.shapes) <= FD_LARGEST[judge]]
        largest = max(samples, key=lambda s: size(s.shapes))
        if deep and judge == "fd" and small and largest not in small:
            yield largest, "compact", largest.region
        # between whole exponents a negative number has no power
        samples = [s for s in small if s.region != "whole"]
    if judge == "second":  # where the first gradient jumps there is none
        samples = [s for s in samples if s.region in ("interior", "negative", "positive", "mnist")]
    for s in samples:
        yield s, "compact", s.region
    # a start of its own for every row, so that rows with the same samples meet different pairs
    turn = zlib.crc32(f"{row.name}/{judge}".encode())
    free = [s for s in samples if s.region == "interior" and _varied(s)]
    free = [s for s in free if size(s.shapes) <= _LARGE] or free
    regions = _regions(row, judge)
    unasked = {"compact", "aliased"} if differences else {"compact"}
    if _ends_at_kinks(row, judge):
        unasked |= {*_OF_EQUALS}  # equal elements lie on them
    built = "." in row.name
    fitting = {name: [s for s in free if _fits(row, s, name)] for name in row.layouts}
    layouts = [name for name in row.layouts if fitting[name] and name not in unasked]
    # where pairs with regions follow, they bring further samples
    spread = _SPREAD - (0 if differences else min(2, len(regions) // 2))
    if built or judge == "second":
        spread = 0 if built and differences else 1
    for layout in layouts:
        i = row.layouts.index(layout)
        for j in range(spread):
            yield _pick(fitting[layout], turn + _SPREAD * i + j), layout, "interior"
    for i, region in enumerate(regions if free and (differences or not built) else ()):
        yield _pick(free, turn + i), "compact", region
    if not differences:
        small = [s for s in samples if s.region == "interior" and not _varied(s)]
        asked = [name for name in row.layouts if fitting[name]] if built else layouts
        every = max(len(asked), 1) if built else 2
        chosen = {name: fitting[name] for name in asked}
        yield from _pairs(chosen, regions, small, turn + DTYPES.index(dtype), every)
    if deep:
        for s, layout in itertools.product(free, ["compact", *layouts]):
            if _fits(row, s, layout):
                whole = not differences or layout == "compact"
                yield from ((s, layout, region) for region in ("interior", *regions) if whole)
                yield s, layout, "interior"


def _pairs(
    fitting: Mapping[str, Sequence[Sample]],
    regions: Sequence[str],
    small: Sequence[Sample],
    turn: int,
    every: int,
) -> Iterator[Choice]:
    """Each layout with each region, and with a sample too small to vary: one of `every` pairs.

    As on a chessboard of as many colours, of which the dtypes meet one each.
    """
    for i, layout in enumerate(fitting):
        if small and layout != "aliased" and (turn + i) % every == 0:
            yield _pick(small, (turn + i) // every), layout, "interior"
        for j, region in enumerate(regions):
            if (turn + i + j) % every == 0:
                yield _pick(fitting[layout], turn + i + j // every), layout, region


def _refused(row: Row, dtype: str) -> Iterator[Choice]:
    """What the row refuses, and inputs that do not go together, or are none.

    In 16 bits no second device need compute in the dtype: what it says first is left open.
    """
    for refusal in row.errors:
        yield Sample(refusal.shapes, refusal.kwargs), "compact", "refused"
    for region in row.mixtures:
        if region == "devices" and dtype not in COMPUTED:
            continue
        least = 1 if region == "arrays" else 2
        fitting = (s for s in row.samples if len(s.shapes) >= least and _varied(s))
        yield from ((s, "compact", region) for s in itertools.islice(fitting, 1))


def _trained(row: Row, judge: str, dtype: str, deep: bool) -> Iterator[Choice]:
    """The samples of a row's training; trajectories in float64 only, slow ones in deep runs."""
    if row.training is None or (judge == "step" and dtype in row.training.unclaimed):
        return
    if judge == "trajectory" and (dtype != "float64" or (row.training.slow and not deep)):
        return
    for s in row.training.samples:
        if s.region != "mnist" or data_folder() is not None:
            yield s, "compact", s.region


def _ends_at_kinks(row: Row, judge: str) -> bool:
    """Whether no differences can be taken at a kink: of a gradient, or where results jump."""
    return row.kinks is not None and (judge == "second" or (judge == "fd" and row.jumps))


def _fits(row: Row, s: Sample, layout: str) -> bool:
    """Whether a layout makes a difference to the sample's inputs."""
    if layout == "aliased":
        alike = first_alike(row, s.shapes)
        return not row.in_place and len(set(alike)) < len(alike)
    return layout != "mixed" or len(s.shapes) > 1


def _regions(row: Row, judge: str) -> list[str]:
    if judge == "forward":
        return list(row.regions)
    if judge == "vjp":
        return [r for r in row.regions if r in _VJP_REGIONS or r in row.decided]
    if judge == "fd" and row.kinks and not row.jumps:
        return [r for r in row.regions if r in _FD_KINK_REGIONS]
    return []


def _varied(s: Sample) -> bool:
    """Whether the sample has enough elements for a region or a layout to show."""
    return all(math.prod(shape) for shape in s.shapes) and size(s.shapes) > 2 * len(s.shapes)


def _pick(samples: Sequence[Sample], i: int) -> Sample:
    return samples[i % len(samples)]
