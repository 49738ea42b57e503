"""What a device reaches at best, measured in the run that is held against it.

On the cpu csrc/cpu/limits.cc does the work, in the instruction set that the kernels have and on as
many threads: multiply-adds in registers for the peak; for the bandwidth reading alone, or reading
and writing (past the caches where that is faster), working sets from 16 KiB to 256 MiB. A copy
counts what it reads and what it writes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

import needle as ndl

Limits = Mapping[str, float]  # "float32": flops a second; "copy", "copy 16 KiB", ...: bytes
SIZES = tuple(1 << n for n in range(14, 29))  # bytes of a working set
TURN, TURNS = 6e-3, 20  # seconds of a turn; the best of them counts, in spite of neighbours


def name_of(moves: str, size: int) -> str:
    """The limit of working sets of this size."""
    return f"{moves} {size >> 20} MiB" if size >= 1 << 20 else f"{moves} {size >> 10} KiB"


def cpu(threads: int) -> dict[str, float]:
    """The limits on so many threads; "copy" and "read" are those of memory."""
    before = ndl.get_num_threads()
    try:
        found = {dtype: _peak(dtype, threads) for dtype in ("float32", "float64")}
        for size in SIZES:
            found[name_of("copy", size)] = _copied(size, threads)
            found[name_of("read", size)] = _rate(_move(None, _fresh(size)), size, threads)
    finally:
        ndl.set_num_threads(before)
    return found | {moves: found[name_of(moves, SIZES[-1])] for moves in ("copy", "read")}


def applied(
    limits: Limits, dtype: str, flops: float, moved: float, moves: str
) -> tuple[float, str]:
    """The least seconds that a call needs, and the limit that says so."""
    size = SIZES[0]
    if moved > 0:
        size = 1 << min(max(round(math.log2(moved)), 14), 28)
    name = name_of(moves, size)
    name = name if name in limits else "copy"  # on CUDA there is one
    return max((moved / limits[name], name), (flops / limits[dtype], dtype))


def _peak(dtype: str, threads: int) -> float:
    """Every thread does so many rounds."""
    work = ndl._core.limit_multiply_adds
    ndl.set_num_threads(threads)
    return _rate(lambda rounds: work(dtype, rounds), work(dtype, 1), threads)


def _copied(size: int, threads: int) -> float:
    """Bytes that are read and written a second; the working set is both arrays."""
    half = size // 2
    source, target = _fresh(half), _fresh(half)
    return max(_rate(_move(target, source, past), size, threads) for past in (False, True))


def _fresh(size: int) -> ndl.backend_ndarray.NDArray:
    return ndl.backend_ndarray.full((size // 4,), 1.0, dtype="float32", device=ndl.cpu())


def _move(
    target: ndl.backend_ndarray.NDArray | None,
    source: ndl.backend_ndarray.NDArray,
    past: bool = False,
) -> Callable[[int], object]:
    return lambda times: ndl._core.limit_move(target, source, times, past)


def _rate(turn: Callable[[int], object], work: float, threads: int) -> float:
    """Work a second, where turn(n) does it n times.

    One thread tells how often fills a turn: others may wake too late for anything short.
    """
    ndl.set_num_threads(1)
    n = 1
    while (taken := _least(turn, n, 2)) < TURN / 4:
        n *= 2
    n = max(1, round(n * TURN / taken))
    ndl.set_num_threads(threads)
    return work * n / _least(turn, n, TURNS)


def _least(turn: Callable[[int], object], n: int, turns: int) -> float:
    """The shortest of some turns, in seconds."""
    taken = []
    for _ in range(turns):
        start = time.perf_counter()
        turn(n)
        taken.append(time.perf_counter() - start)
    return min(taken)
