"""Whether two samples differ more than chance allows, from ranks alone: no distribution is assumed.

If n old and m new values have one distribution, all orders of the n + m are equally likely, and the
number of the m that exceed the old value of rank r has the probabilities of `exceeding`, whatever
that distribution is: the two-sample form of the confidence interval of a quantile. Values that come
in pairs say more: in each the new one is the larger with probability one half, at most.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float64]


def rank_of(level: float, n: int) -> int:
    """The rank, from 1, of the quantile `level` of n values: one of them, never below it."""
    return max(1, math.ceil(level * n - 1e-9))


@functools.lru_cache(maxsize=4096)
def exceeding(n: int, rank: int, m: int) -> Probabilities:
    """P(k of m new values exceed the value of rank `rank` among n), for k = 0 ... m.

    Orders in which k of the new and n - rank of the old lie above it, of all orders.
    """
    k = np.arange(m + 1)
    above = _log_choose(k + n - rank, k)
    below = _log_choose(m - k + rank - 1, m - k)
    found: Probabilities = np.exp(above + below - _log_choose(np.array(n + m), np.array(m)))
    return found


def together(parts: Iterable[Probabilities]) -> Probabilities:
    """Of the sum of independent counts."""
    found = np.ones(1)
    for part in parts:
        found = np.convolve(found, part)
    return found


def at_least(count: int, probabilities: Probabilities) -> float:
    """P(as many as `count`, or more)."""
    return min(1.0, float(probabilities[count:].sum()))


def halves(n: int) -> Probabilities:
    """P(k of n pairs go one way), if either way is as likely."""
    k = np.arange(n + 1)
    found: Probabilities = np.exp(_log_choose(np.full(n + 1, n), k) - n * math.log(2))
    return found


def below(new: Sequence[float], old: Sequence[float]) -> float:
    """P(values as small as `new` beside `old`, if both are alike): Mann and Whitney's test.

    Ties count against the claim. The normal tail is heavier than the exact one: it claims less.
    """
    n, m = len(new), len(old)
    pairs = int((np.asarray(new)[:, None] >= np.asarray(old)[None, :]).sum())
    deviation = math.sqrt(n * m * (n + m + 1) / 12)
    return 0.5 * math.erfc((n * m / 2 - pairs - 0.5) / deviation / math.sqrt(2))


def _log_choose(n: npt.NDArray[np.int_], k: npt.NDArray[np.int_]) -> Probabilities:
    logs = _log_factorials(1 << int(np.max(n)).bit_length())
    found: Probabilities = logs[n] - logs[k] - logs[n - k]
    return found


@functools.cache
def _log_factorials(size: int) -> Probabilities:
    return np.concatenate([np.zeros(1), np.cumsum(np.log(np.arange(1, size + 1)))])
