"""What is calibrated, and in which parts. A part is a case: runs, crashes and files are a case's.

Its id names its arguments: `exp/ulp/cpu/float32/33554432/first=0,step=1/compact/patterns/seed0` is
exp at the first 2^25 float32 patterns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from verify.calibration.arguments import EVERY, special, step_for
from verify.plan import Selection, require_known
from verify.spec import Case, Row

JUDGE = "ulp"
DEVICES = ("cpu", "numpy", "cuda_sim", "cuda", "torch")  # torch: the oracle's own functions
_PART, _SAMPLE = 2**25, 2500  # arguments of a part
_PLACE = ("first", "step")  # of a part's arguments those that are not the op's
Form = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Extent:
    """How much is measured: float32 patterns, and float64 arguments held against 50 digits."""

    patterns: int = EVERY
    samples: int = 20_000


def forms(row: Row) -> list[Form]:
    """The keyword arguments with which a row is one unary function; empty: it is none.

    A number among them makes it a function of two.
    """
    plain = row.family == "elementwise" and all(len(s.shapes) == 1 for s in row.samples)
    found = dict.fromkeys(s.kwargs for s in row.samples) if plain else {}
    return [f for f in found if not any(isinstance(v, (int, float)) for _, v in f)]


def calibrated(rows: Mapping[str, Row]) -> dict[str, list[Form]]:
    """The unary functions among the rows."""
    return {name: found for name, row in rows.items() if (found := forms(row))}


def plan(selection: Selection, rows: Mapping[str, Row], extent: Extent) -> tuple[Case, ...]:
    """Every part, op by op; UsageError for an op that does not exist or is not unary."""
    known = calibrated(rows)
    for op in selection.ops:
        require_known("op", op, known)
    return tuple(
        case
        for device in dict.fromkeys(selection.devices)
        for op in known
        if op in selection.ops or not selection.ops
        for form in known[op]
        for dtype in dict.fromkeys(selection.dtypes)
        for case in _parts(op, form, device, dtype, extent)
    )


def _parts(op: str, form: Form, device: str, dtype: str, extent: Extent) -> Iterator[Case]:
    def part(count: int, region: str, place: Iterable[tuple[str, Any]] = (), seed: int = 0) -> Case:
        kwargs = (*form, *place)
        return Case(op, JUDGE, device, dtype, ((count,),), kwargs, region=region, seed=seed)

    yield part(special(dtype).size, "special")
    if dtype == "float32":
        step = step_for(extent.patterns)
        left = total = -(-EVERY // step)
        while left:
            count = min(left, _PART)
            place = (("first", (total - left) * step), ("step", step))
            yield part(count, "patterns", place)
            left -= count
    else:
        for i, first in enumerate(range(0, extent.samples, _SAMPLE)):
            yield part(min(_SAMPLE, extent.samples - first), "sample", seed=i)


def split(case: Case) -> tuple[dict[str, Any], dict[str, int]]:
    """The op's arguments, and where the part lies."""
    place = {k: v for k, v in case.kwargs if k in _PLACE}
    return {k: v for k, v in case.kwargs if k not in place}, place
