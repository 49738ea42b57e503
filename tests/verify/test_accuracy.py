"""The constants of verify/accuracy.py are those that the committed tables allow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from verify.accuracy import DOCUMENTED, K_ULP, ORACLE_ULP, WHOLE_ULP, allowed

REPORTS = Path(__file__).resolve().parents[2] / "reports"


def rows() -> list[dict[str, Any]]:
    tables = [json.loads(p.read_text()) for p in sorted(REPORTS.glob("accuracy-*.json"))]
    return [row for table in tables for row in table["rows"]]


def largest() -> dict[tuple[str, str, str], float]:
    """The largest error of every function in the tables, over all instruction sets."""
    found: dict[tuple[str, str, str], float] = {}
    for row in rows():
        key = (row["device"], row["dtype"], row["op"])
        if row["op"] in K_ULP[row["device"]][row["dtype"]]:
            found[key] = max(found.get(key, 0.0), float(row["most"]))
    return found


FOUND = largest()
MEASURED = [
    (device, dtype, name)
    for device in ("cpu", "numpy", "torch")
    for dtype, table in K_ULP[device].items()
    for name in table
    if name != "pow"
]


def test_a_grid_is_a_tenth() -> None:
    assert allowed(0.9672) == (0.9672, 1.3)
    assert allowed(0.8) == (0.8, 1.0)


@pytest.mark.parametrize("key", MEASURED, ids="/".join)
def test_a_constant_is_what_was_measured(key: tuple[str, str, str]) -> None:
    """Neither too small for what was found, nor so large that a wrong kernel passes."""
    device, dtype, name = key
    assert key in FOUND, f"no table has {key}: needle-verify calibrate --device {device}"
    least, most = allowed(FOUND[key])
    constant = K_ULP[device][dtype][name]
    assert least <= constant, f"needle-verify calibrate found {least:.4f} ULP"
    if key not in DOCUMENTED:
        assert constant <= most, f"too loose: {least:.4f} ULP was found, at most {most} is allowed"


@pytest.mark.parametrize("name", [n for n in ORACLE_ULP if n != "pow"])
def test_the_oracle_is_charged_what_was_measured(name: str) -> None:
    least, most = allowed(FOUND["torch", "float64", name])
    assert least <= ORACLE_ULP[name] <= most


@pytest.mark.parametrize("name", WHOLE_ULP)
def test_a_whole_kernel_is_allowed_what_was_measured(name: str) -> None:
    ours = ("cpu", "numpy")
    found = [r for r in rows() if r["op"] == name and r["dtype"] == "float32"]
    least, most = allowed(max(float(r["most"]) for r in found if r["device"] in ours))
    assert least <= WHOLE_ULP[name] <= most


def test_every_row_of_the_tables_is_right_and_whole() -> None:
    for row in rows():
        assert row["complete"], row["op"]
        assert row["special"]["wrong"] == 0, row["op"]
        assert not row["failures"], row["failures"]


def test_exact_ops_are_exact_and_the_root_is_correctly_rounded() -> None:
    seen = set()
    for row in rows():
        if row["op"] in ("abs", "negate", "sign", "relu"):
            assert row["most"] == 0, row
        if row["op"] == "sqrt" and row["device"] != "torch":
            assert row["most"] < 0.5 + 2.0**-20, row
        seen.add(row["op"])
    assert {"abs", "negate", "sign", "relu", "sqrt"} <= seen
