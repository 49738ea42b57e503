"""The pairs of verify/bench under pytest-benchmark: one group per pair, one row per library and
layout.

    pytest tests/benchmarks -k 'conv and float32' --benchmark-autosave
    pytest tests/benchmarks -k 'conv and float32' --benchmark-compare
"""

from __future__ import annotations

from typing import Any

import pytest

from verify.bench.definitions import Pair
from verify.bench.families import pairs
from verify.bench.place import PLACE

PLACE.large = False  # all pairs are made before the first is timed; ratios.py has the large ones


def name(pair: Pair) -> str:
    """The op first, so that -k finds it and tables sort by it."""
    return f"{pair.op} {pair.name.removeprefix(pair.op).strip()} {pair.dtype}"


def sides() -> list[Any]:
    found = []
    for pair in pairs():
        calls = {"needle": pair.needle, **{f"torch {k}".strip(): c for k, c in pair.torch.items()}}
        found += [pytest.param(pair, n, call, id=f"{name(pair)}-{n}") for n, call in calls.items()]
    return found


@pytest.mark.parametrize(("pair", "library", "call"), sides())
def test_speed(benchmark: Any, pair: Pair, library: str, call: Any) -> None:
    benchmark.group = name(pair)
    benchmark.extra_info.update(op=pair.op, dtype=pair.dtype, library=library)
    benchmark.extra_info.update(flops=pair.flops, bytes=pair.bytes, nodes=pair.nodes)
    benchmark(call)
