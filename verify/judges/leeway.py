"""What is wrong and need not be right: where the course leaves it open, or another formula does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from verify.judges import examine
from verify.spec import Case, Row, Status


def left_open(case: Case, row: Row, finding: Any) -> str:
    """Why a target need not get right what was found; empty: it must."""
    why = str(row.outside(case, finding)) if row.outside else ""
    if why or finding.status is not Status.FAIL:
        return why
    for other in row.usual:
        found = examine(case, replace(row, reference=other.reference, usual=()), locate=False)
        # a bound that is infinite claims nothing: NaN would be right by it
        claimed = finding.comparison is None or found.checked >= finding.checked
        if found.status is Status.PASS and claimed:
            return other.why
    return ""
