"""The pairs of definitions.py under pytest-benchmark: one group per pair, one row per library and
layout.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(
    0, str(Path(__file__).parent)
)  # the definitions lie beside this file, outside any package

from definitions import Pair
from families import pairs
from place import PLACE

PLACE.large = False  # all pairs are made before the first is timed; ratios.py has the large ones


def sides() -> list[Any]:
    found = []
    for pair in pairs():
        calls = {"needle": pair.needle, **{f"torch {k}".strip(): c for k, c in pair.torch.items()}}
        found += [
            pytest.param(pair, call, id=f"{pair.name}-{pair.dtype}-{n}")
            for n, call in calls.items()
        ]
    return found


@pytest.mark.parametrize(("pair", "call"), sides())
def test_speed(benchmark: Any, pair: Pair, call: Any) -> None:
    benchmark.group = f"{pair.name} {pair.dtype}"
    benchmark(call)
