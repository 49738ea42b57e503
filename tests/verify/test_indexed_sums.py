"""The bounds of scatter_add and cumsum: no correct order alarms, a lost or misplaced term does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from verify import reference
from verify.budget import Comparison, compare, format_of
from verify.spec import Row

F32 = format_of("float32")
KINDS = {
    "random": lambda g, n: g.standard_normal(n),
    "constant": lambda g, n: np.full(n, 0.1),
    "wide": lambda g, n: g.standard_normal(n) * np.exp2(g.integers(-20, 20, n)),
    "integer": lambda g, n: g.integers(-9, 9, n).astype(float),
}


def drawn(kind: str, n: int, seed: int) -> np.ndarray:
    return np.asarray(KINDS[kind](np.random.default_rng(seed), n), np.float32)


def judged(expression: Any, a: np.ndarray, got: np.ndarray) -> Comparison:
    row = Row(name="f", family="test", reference=expression, samples=())
    [want] = reference.forward(row, [a], {}, F32)
    return compare(F32, got.astype(np.float32), want.value, want.error)


def gradient(expression: Any, a: np.ndarray, cotangent: np.ndarray) -> Any:
    row = Row(name="f", family="test", reference=expression, samples=())
    [want] = reference.vjp(row, [a], {}, [cotangent], F32)
    return want


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 7, 300, 3000])
def test_cumsum(kind: str, n: int) -> None:
    for seed in range(4):
        a = drawn(kind, n, seed)

        def verdict(got: np.ndarray, a: np.ndarray = a) -> Comparison:
            return judged(lambda t, x: x.cumsum(0), a, got)

        sequential = np.add.accumulate(a)
        doubled, k = a.copy(), 1  # Hillis and Steele: pairs, fours, eights, ...
        while k < n:
            doubled[k:] = doubled[k:] + doubled[:-k]
            k *= 2
        ends = np.concatenate([[np.float32(0)], sequential[15::16]])
        blocked = [np.add.accumulate(a[i : i + 16]) + ends[i // 16] for i in range(0, n, 16)]
        for correct in (sequential, doubled, np.concatenate(blocked)):
            assert verdict(correct).ok, (seed, verdict(correct))
        if n > 1:
            assert not verdict(np.roll(sequential, 1)).ok
        if kind in ("random", "constant") and 1 < n <= 300:
            low = np.add.accumulate(a.astype(np.float16), dtype=np.float16)
            assert not verdict(low).ok


def test_the_first_element_of_a_cumsum_leaves_no_room() -> None:
    a = drawn("random", 5, 0)
    got = np.add.accumulate(a)
    got[0] = np.nextafter(got[0], np.float32(9))
    assert not judged(lambda t, x: x.cumsum(0), a, got).ok


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 7, 300, 3000])
def test_scatter_add(kind: str, n: int) -> None:
    for seed in range(4):
        a = drawn(kind, n, seed)
        index = np.random.default_rng(seed + 9).integers(0, 5, n)

        def theirs(t: Any, x: Any, index: np.ndarray = index) -> Any:
            return t.zeros(5, dtype=x.dtype).scatter_add(0, torch.from_numpy(index), x)

        orders = [np.arange(n), np.arange(n)[::-1], np.random.default_rng(seed).permutation(n)]
        for order in orders:
            got = np.zeros(5, np.float32)
            np.add.at(got, index[order], a[order])
            assert judged(theirs, a, got).ok, seed
        if kind != "wide" and a[0] != 0:
            got[index[0]] -= a[0]
            assert not judged(theirs, a, got).ok
            got[index[0]] += a[0]
        for place in range(5):  # what nothing names, or one thing alone, leaves no room
            if np.count_nonzero(index == place) <= 1:
                got[place] = np.nextafter(got[place], np.float32(9))
                assert not judged(theirs, a, got).ok


def test_the_gradient_of_gather_is_a_sum() -> None:
    """In place, into zeros: torch's backward."""
    a, g = drawn("random", 3, 1), drawn("random", 500, 2)
    index = np.arange(500) % 3
    want = gradient(lambda t, x: x.gather(0, t.from_numpy(index)), a, g)
    got = np.zeros(3, np.float32)
    np.add.at(got, index, g)
    assert (want.error > 0).all()
    assert compare(F32, got, want.value, want.error).ok
    assert not compare(F32, got + g[:3], want.value, want.error).ok


def test_errors_of_what_is_added_are_carried() -> None:
    a = np.array([0.1, 0.2, 0.3], np.float32)
    index = np.array([0, 0, 1])

    def row(expression: Any) -> Any:
        made = Row(name="f", family="test", reference=expression, samples=())
        return reference.forward(made, [a], {}, F32)[0].error

    squares = row(lambda t, x: x * x)
    assert (squares > 0).all()
    assert (row(lambda t, x: (x * x).cumsum(0)) >= np.cumsum(squares)).all()
    sums = row(lambda t, x: t.zeros(2, dtype=x.dtype).scatter_add(0, t.from_numpy(index), x * x))
    assert (sums >= [squares[0] + squares[1], squares[2]]).all()
