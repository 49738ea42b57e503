"""The gate's statistics, against enumeration and simulation."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from verify.gate.ranks import at_least, below, exceeding, halves, rank_of, together


@pytest.mark.parametrize(("n", "rank", "m"), [(3, 2, 4), (4, 4, 3), (5, 1, 3), (1, 1, 1)])
def test_exceeding_counts_orders(n: int, rank: int, m: int) -> None:
    """Of all orders of n old and m new values, in how many k of the new lie above a rank."""
    counts: Counter[int] = Counter()
    for old in itertools.combinations(range(n + m), n):
        counts[sum(p > old[rank - 1] for p in range(n + m) if p not in old)] += 1
    total = math.comb(n + m, n)
    assert exceeding(n, rank, m) == pytest.approx([counts[k] / total for k in range(m + 1)])


def test_exceeding_keeps_its_precision_in_the_tail() -> None:
    chances = exceeding(200, 100, 300)
    assert chances.sum() == pytest.approx(1)
    exact = math.comb(400, 300) / math.comb(500, 300)
    assert at_least(300, chances) == pytest.approx(exact, rel=1e-9)


def test_counts_of_groups_add_up() -> None:
    parts = [exceeding(3, 2, 4), halves(2)]
    joint = together(parts)
    assert joint.sum() == pytest.approx(1)
    assert joint[6] == pytest.approx(parts[0][4] * parts[1][2])
    assert at_least(0, joint) == pytest.approx(1)


def test_halves_is_binomial() -> None:
    assert halves(3) == pytest.approx([1 / 8, 3 / 8, 3 / 8, 1 / 8])
    assert halves(0) == pytest.approx([1])


def test_a_rank_is_never_below_its_level() -> None:
    assert [rank_of(q, 10) for q in (0.5, 0.9, 0.99, 1.0)] == [5, 9, 10, 10]
    assert rank_of(0.5, 1) == 1
    assert rank_of(0.9, 10**6) == 900_000


def test_below_claims_no_more_than_the_exact_test() -> None:
    for n, m in ((5, 5), (9, 9), (15, 45)):
        new, old = range(n), range(n, n + m)
        exact = 1 / math.comb(n + m, n)
        assert below(list(new), list(old)) >= exact
    assert below([1.0] * 15, [2.0] * 45) < 1e-7
    assert below([2.0] * 15, [1.0] * 45) > 0.999
    assert below([1.0] * 15, [1.0] * 15) > 0.999, "ties are no claim"


def test_below_raises_as_many_alarms_as_it_says() -> None:
    rng = np.random.default_rng(0)
    for level in (0.05, 0.001):
        draws = rng.standard_normal((4000, 45)).tolist()
        p = [below(draw[:15], draw[15:]) for draw in draws]
        rate = np.mean([x < level for x in p])
        assert rate < level + 4 * math.sqrt(level / 4000)
