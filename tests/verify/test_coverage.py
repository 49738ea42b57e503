"""What the default plan of the whole registry meets, in pairs too; holes are named."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator

import pytest

from verify import registry
from verify.registry import planning
from verify.registry.planning import why_none
from verify.spec import DTYPES, JUDGES, LAYOUTS, Case, Row, Sample, Shape

ROWS = registry.rows()
EVERYWHERE = ("forward", "vjp")  # the judges that every region and layout is a matter of


def cases(row: Row, judge: str, dtypes: tuple[str, ...] = DTYPES) -> list[Case]:
    return [c for d in dtypes for c in registry.plan_cases(row, "cpu", d, judge, 0)]


def varied(row: Row) -> list[Sample]:
    return [s for s in row.samples if s.region == "interior" and planning._varied(s)]


def layouts(row: Row) -> list[str]:
    """Those that make a difference to some sample."""
    return [name for name in row.layouts if any(planning._fits(row, s, name) for s in varied(row))]


def regions(row: Row, judge: str) -> list[str]:
    return ["interior", *planning._regions(row, judge)]


def kinds(shapes: tuple[Shape, ...]) -> Iterator[str]:
    """What is odd about the sizes of a sample."""
    sizes = [math.prod(s) for s in shapes]
    yield from {"0-d" for s in shapes if s == ()}
    yield from {"empty" for n in sizes if n == 0}
    yield from {"size 1" for s, n in zip(shapes, sizes, strict=True) if n == 1 and s != ()}
    yield from {"many" for n in sizes if n > 20_000}


@pytest.mark.parametrize("judge", EVERYWHERE)
def test_every_row_meets_every_layout_and_every_region_in_each_dtype(judge: str) -> None:
    holes = [
        f"{name}/{dtype}: {missed}"
        for name, row in ROWS.items()
        for dtype in DTYPES
        if (planned := cases(row, judge, (dtype,))) and varied(row)
        if (
            missed := ({*layouts(row)} - {c.layout for c in planned})
            | ({*regions(row, judge)} - {c.region for c in planned})
        )
    ]
    assert not holes, "\n".join(holes)


@pytest.mark.parametrize("judge", EVERYWHERE)
def test_every_op_meets_every_pair_of_layout_and_region(judge: str) -> None:
    """Each op for itself; what is built of them in all rows together, where many ask the pair."""
    holes, asked, met = [], Counter[tuple[str, str]](), set()
    for name, row in ROWS.items():
        if planned := cases(row, judge):
            wanted = set(itertools.product(layouts(row), regions(row, judge)))
            found = {(c.layout, c.region) for c in planned}
            if "." in name:
                asked.update(wanted)
                met |= found
            elif wanted - found:
                holes.append(f"{name}: {sorted(wanted - found)}")
    assert not holes, "\n".join(holes)
    assert not {pair for pair, rows in asked.items() if rows > 20} - met


@pytest.mark.parametrize("judge", EVERYWHERE)
def test_every_layout_meets_small_samples(judge: str) -> None:
    """In each op one of them, in the registry every kind; a layout shows nothing else in them."""
    met, holes = set(), []
    for name, row in ROWS.items():
        planned = cases(row, judge)
        met |= {(c.layout, kind) for c in planned for kind in kinds(c.shapes)}
        small = {s.shapes for s in row.samples if s.region == "interior"} - {
            s.shapes for s in varied(row)
        }
        if planned and small and "." not in name:
            found = {c.layout for c in planned if c.shapes in small}
            missed = {*layouts(row)} - {"aliased"} - found
            holes += [f"{name}: {sorted(missed)}"] if missed else []
    assert not holes, "\n".join(holes)
    asked = itertools.product({*LAYOUTS} - {"aliased"}, ("0-d", "empty", "size 1"))
    assert not set(asked) - met


@pytest.mark.parametrize("judge", EVERYWHERE)
def test_sizes_lie_around_the_widths_of_vectors_and_blocks(judge: str) -> None:
    for family in ("elementwise", "reduction", "softmax"):
        planned = [c for row in ROWS.values() if row.family == family for c in cases(row, judge)]
        sides = {n for c in planned for s in c.shapes for n in s}
        for width in (8, 16, 32, 64, 128, 256):  # lanes of a vector, threads of a warp or a block
            assert sides & {width - 1, width + 1}, f"{family}: nothing near {width}"
        assert {"0-d", "empty", "size 1", "many"} <= {k for c in planned for k in kinds(c.shapes)}


def test_pairs_of_shapes_broadcast_in_every_way() -> None:
    pairs = [s.shapes for s in ROWS["add"].samples if len(s.shapes) == 2]
    ways = set()
    for a, b in pairs:
        ways |= {"equal"} if a == b else set()
        ways |= {"an axis less"} if len(a) != len(b) else set()
        ways |= {"0-d"} if () in (a, b) and a != b else set()
        both = list(zip(a[::-1], b[::-1], strict=False))
        ways |= {"left"} if any(m == 1 < n for m, n in both) else set()
        ways |= {"right"} if any(n == 1 < m for m, n in both) else set()
        ways |= {"each other"} if {"left", "right"} <= {
            "left" if m == 1 < n else "right" if n == 1 < m else "" for m, n in both
        } else set()  # fmt: skip
    assert ways == {"equal", "an axis less", "0-d", "left", "right", "each other"}


def axes_met(row: Row) -> set[str]:
    """Of the axes of its samples: first, middle, last (middle from the end), negative, a tuple."""
    found = set()
    for s in row.samples:
        n = len(s.shapes[0]) + (row.name == "stack")  # whose result has one more
        for given in (v for k, v in s.kwargs if k in ("axis", "axes") and v is not None):
            several = given if isinstance(given, tuple) else (given,)
            found |= {"tuple"} if len(several) > 1 else set()
            found |= {"negative"} if any(a < 0 for a in several) else set()
            found |= {"middle from the end"} if any(-n < a < -1 for a in several) else set()
            for a in (a % n for a in several if n > 1):
                found |= {"first" if a == 0 else "last" if a == n - 1 else "middle"}
    return found


def test_every_axis_negative_ones_and_tuples_are_asked() -> None:
    wanted = {"first", "middle", "last", "negative", "middle from the end"}
    tuples = {"summation", "max", "min", "mean", "var", "prod", "logsumexp", "softmax"}
    tuples |= {"standardize", "flip", "dilate"}
    elsewhere = {
        "batch_norm",
        "running_statistics",
        "unsqueeze",
        "squeeze",
        "part",
    }  # their axes are not those of a reduction, or asked by another row
    holes = {
        name: missed
        for name, row in ROWS.items()
        if any(k in ("axis", "axes") for s in row.samples for k, _ in s.kwargs)
        and name not in elsewhere
        and "." not in name
        if (missed := (wanted | ({"tuple"} if name in tuples else set())) - axes_met(row))
    }
    assert not holes


def test_a_judge_that_does_not_apply_has_a_reason() -> None:
    reasons = {
        (name, judge): why_none(row, dtype, judge)
        for name, row in ROWS.items()
        for judge in JUDGES
        for dtype in DTYPES
        if not registry.plan_cases(row, "cpu", dtype, judge, 0)
    }
    assert all(reasons.values())
    assert reasons["argmax", "vjp"] == "no gradient"
    assert why_none(ROWS["exp"], "float64", "fd") == ""
