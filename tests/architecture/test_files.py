"""Kernels can be read: no file of them is long, and each opens with its idea."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MOST_LINES = 250
KERNELS = sorted(
    path
    for folder in ("csrc/cpu", "csrc/cuda")
    for path in (ROOT / folder).iterdir()
    if path.suffix in {".h", ".cuh", ".cc", ".cu"}
)


def opening(text: str) -> str:
    """The comment that a file begins with."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("//"):
            break
        lines.append(line.removeprefix("//").strip())
    return " ".join(lines)


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_kernel_file_is_short_and_opens_with_its_idea(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MOST_LINES, f"{path.name}: one idea a file; split it"
    assert len(opening(text).split()) >= 6, f"{path.name}: it opens with what it computes"


def test_files_are_found_and_an_opening_is_read() -> None:
    assert {"gemm.cc", "row.h", "map.cuh", "reduce.cu"} <= {path.name for path in KERNELS}
    assert opening("// Sums\n// of rows.\n#pragma once\n// later\n") == "Sums of rows."
    assert opening('#include "x.h"\n// later\n') == ""
