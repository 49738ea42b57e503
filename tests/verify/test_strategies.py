"""The strategies reach what they name, shrink to little, and judge random cases of random rows."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from verify import checks, registry, sampling, strategies, targets
from verify.plan import check_case
from verify.registry import planning
from verify.spec import COMPUTED, DTYPES, Case, Domain, Row, Status, UsageError

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from fuzz_inputs import profile

pytestmark = pytest.mark.timeout(300)
_LARGEST = 5_000  # elements of a drawn case, so that fifty take seconds


@pytest.mark.parametrize(
    "wanted",
    [
        lambda s: s == (),
        lambda s: 0 in s,
        lambda s: math.prod(s) == 1 and len(s) > 1,
        lambda s: 257 in s,
        lambda s: 15 in s and 33 in s,
    ],
)
def test_shapes_reach_every_kind(wanted: Any) -> None:
    assert wanted(find(strategies.shapes(), wanted, settings=profile(2000)))


@profile(100)
@given(strategies.shapes(max_dims=3, limit=500), strategies.broadcastable_pairs(limit=500))
def test_shapes_and_pairs_keep_their_limits(shape: Any, pair: Any) -> None:
    assert len(shape) <= 3
    assert math.prod(shape) <= 500
    assert math.prod(np.broadcast_shapes(*pair)) <= 500


def test_pairs_are_of_every_kind() -> None:
    pairs = strategies.broadcastable_pairs()
    for wanted in (
        lambda p: p[0] == p[1] != (),
        lambda p: len(p[0]) < len(p[1]),
        lambda p: len(p[0]) > len(p[1]) > 0,
        lambda p: np.broadcast_shapes(*p) not in p,  # each stretches the other
    ):
        find(pairs, wanted, settings=profile(2000))


@profile(100)
@given(st.integers(0, 4).flatmap(lambda n: st.tuples(st.just(n), strategies.axes(n))))
def test_axes_are_axes(drawn: Any) -> None:
    ndim, axes = drawn
    np.zeros((2,) * ndim).sum(axis=axes)


@profile(200)
@given(
    strategies.arrays(
        strategies.shapes(limit=300),
        st.sampled_from(DTYPES),
        region=strategies.regions(),
        layout=strategies.layouts(),
        domain=Domain(low=0),
    )
)
def test_arrays_lie_in_their_domain(array: Any) -> None:
    assert str(array.dtype) in DTYPES
    assert array.size <= 300


def test_arrays_are_of_their_region_and_layout() -> None:
    def arrays(**options: Any) -> Any:
        return strategies.arrays(strategies.shapes(), **options)

    def seen(strategy: Any, wanted: Any) -> Any:
        return find(strategy, wanted, settings=profile(2000))

    assert np.isnan(seen(arrays(region="special"), lambda a: np.isnan(a).any())).any()
    seen(arrays(region="zeros"), lambda a: bool((np.signbit(a) & (a == 0)).any()))
    seen(arrays(layout="reversed"), lambda a: any(n < 0 for n in a.strides) and a.size > 1)
    seen(arrays(layout="broadcast"), lambda a: 0 in a.strides and a.size > 1)
    seen(arrays(layout="transposed"), lambda a: not a.flags.c_contiguous)


def test_a_counterexample_is_small() -> None:
    shrinking = settings(profile(2000), phases=[Phase.generate, Phase.shrink])
    arrays = strategies.arrays(
        strategies.shapes(), region=strategies.regions(), layout=strategies.layouts()
    )
    found = find(arrays, lambda a: a.size > 8 and bool((a > 0).any()), settings=shrinking)
    assert found.shape == (9,)
    assert found.flags.c_contiguous
    case = find(strategies.cases("exp"), lambda c: sampling.size(c.shapes) > 8, settings=shrinking)
    assert (case.layout, case.region, case.seed) == ("compact", "interior", 0)
    assert sampling.size(case.shapes) < 20


def test_regions_are_those_of_cases() -> None:
    kinds = {*strategies.REGIONS, *sampling.MIXTURES, "refused"}
    assert kinds == sampling._REGIONS.keys()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("exq",), "did you mean exp"),
        (("exp", "sideways"), "unknown check"),
        (("exp", "fd", "cpu", "float32"), "differences need float64"),
        (("argmax", "vjp"), "no gradient"),
        (
            ("exp", "forward", "cpu", "float16"),
            "cpu computes in float32, float64, got dtype=float16",
        ),
    ],
)
def test_cases_that_cannot_be_drawn(arguments: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        strategies.cases(*arguments)


def test_without_hypothesis_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.delitem(sys.modules, "verify.strategies")
    with pytest.raises(ImportError, match=r"\[strategies\] hypothesis is not installed: pip"):
        importlib.import_module("verify.strategies")


# --- random cases of random rows


def small(row: Row) -> bool:
    """Models take seconds a case; the deep budget judges them."""
    return row.family not in ("model", "transformer")


@st.composite
def any_case(draw: st.DrawFn) -> Case:
    rows = {name: row for name, row in registry.rows().items() if row.samples and small(row)}
    row = rows[draw(st.sampled_from(sorted(rows)))]
    asked = [
        (judge, dtype)
        for judge in ("forward", "vjp", "fd")
        for dtype in COMPUTED
        if not planning.why_none(row, dtype, judge)
    ]
    judge, dtype = draw(st.sampled_from(asked))
    drawn = strategies.cases(row, judge, "cpu", dtype)
    return draw(drawn.filter(lambda c: sampling.size(c.shapes) <= _LARGEST))


@pytest.mark.slow
@profile(50)
@given(any_case())
def test_random_cases_of_random_rows_pass_and_replay(case: Case) -> None:
    assert Case.parse(case.id) == case
    check_case(case, registry)
    with targets.borrowed():
        verdict = checks.run_case(case)
    assert verdict.status is Status.PASS, f"{case.replay_line()}\n{verdict.message}"
