"""Bounds of deep composites stay near what kernels do: a fault of a percent has no room in them."""

from __future__ import annotations

import statistics

import pytest

from verify import registry
from verify.judges import examine
from verify.quantiles import LOOSE
from verify.spec import Case

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("name", ["nn.AttentionLayer", "nn.TransformerLayer", "nn.Transformer"])
def test_a_typical_case_uses_more_than_a_hundredth_of_its_budget(name: str) -> None:
    row = registry.rows()[name]
    rhos = []
    for s in row.samples:
        for seed in (0, 1):
            case = Case(name, "forward", "cpu", "float32", s.shapes, s.kwargs, seed=seed)
            rho = examine(case, row).rho
            assert rho is not None
            rhos.append(rho)
    assert statistics.median(rhos) > LOOSE
