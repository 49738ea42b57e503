"""The JSON of reports: a record a line, nothing lost; the committed ones are written so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from verify.output import by_lines

REPORTS = Path(__file__).resolve().parents[2] / "reports"
LONG = ["x" * 60, "y" * 60]


@pytest.mark.parametrize("path", sorted(REPORTS.rglob("*.json")), ids=lambda path: path.name)
def test_a_committed_report_has_a_record_a_line(path: Path) -> None:
    text = path.read_text()
    assert by_lines(json.loads(text)) == text


def test_a_report_is_a_record_a_line() -> None:
    data = {"n": 1, "none": [], "short": {"a": [1, 2]}, "rows": [{"deep": [LONG]}, LONG], "s": "é"}
    text = by_lines(data)
    assert json.loads(text) == data
    assert text.splitlines() == [
        "{",
        ' "n": 1,',
        ' "none": [],',
        ' "short": {"a": [1, 2]},',
        ' "rows": [',
        f"  {json.dumps({'deep': [LONG]})},",
        f"  {json.dumps(LONG)}",
        " ],",
        r' "s": "\u00e9"',
        "}",
    ]
    assert by_lines([{"a": 1}, LONG]) == f'[\n {{"a": 1}},\n {json.dumps(LONG)}\n]\n'
    assert [by_lines({}), by_lines([])] == ["{}\n", "[]\n"]


def test_what_json_has_no_number_for_is_not_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        by_lines({"rows": [float("nan")]})
