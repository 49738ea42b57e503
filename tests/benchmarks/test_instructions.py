"""No kernel takes more instructions than are on record: a regression that no noise hides."""

from __future__ import annotations

import importlib.util
import json
import platform
from pathlib import Path
from typing import Any

import pytest

_SPEC = importlib.util.spec_from_file_location(
    "instructions", Path(__file__).with_name("instructions.py")
)
assert _SPEC is not None
assert _SPEC.loader is not None
instructions: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(instructions)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("isa", instructions.SETS)
def test_kernels_take_as_many_instructions_as_on_record(isa: str) -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("the record is of x86-64")
    if why := instructions.missing():
        pytest.skip(f"callgrind counts: {why}")
    record, compiler = json.loads(instructions.RECORD.read_text()), instructions.compiler()
    if compiler not in record:
        pytest.skip(f"nothing is on record for {compiler}")
    found = instructions.differences(record[compiler][isa], instructions.counts(isa))
    assert not found, "\n".join([*found, "if it is meant: python tests/benchmarks/instructions.py "
                                 "--update, and review the diff"])  # fmt: skip


def test_a_change_of_more_than_what_is_allowed_is_told() -> None:
    then = {"gemm": 1000, "exp": 1000, "sum": 1000, "gone": 1}
    now = {"gemm": 1029, "exp": 1031, "sum": 969, "new": 1}
    said = "\n".join(instructions.differences(then, now))
    assert "exp: 1,000 instructions then, 1,031 now (+3.1%)" in said
    assert "sum: 1,000 instructions then, 969 now (-3.1%)" in said
    assert "gone: on record, and not counted" in said
    assert "new: not on record" in said
    assert "gemm" not in said
