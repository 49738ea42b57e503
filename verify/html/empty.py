"""Why a cell of the matrix has no case: nothing is missing without a reason."""

from __future__ import annotations

import functools

from verify import registry
from verify.plan import Selection
from verify.registry.planning import plan_cases, why_none, why_not_laid_out
from verify.summary import Group, Summary


@functools.cache
def _inapplicable(op: str, dtype: str, judge: str) -> str:
    row = registry.rows().get(op)
    return why_none(row, dtype, judge) if row is not None else ""


@functools.cache
def _unasked(op: str, dtype: str, judge: str, layout: str) -> str:
    row = registry.rows().get(op)
    if row is None:
        return "not in the plan"
    asked = layout in _layouts(op, dtype, judge)
    return "" if asked else why_not_laid_out(row, judge, layout)


@functools.cache
def _layouts(op: str, dtype: str, judge: str) -> frozenset[str]:
    cases = plan_cases(registry.rows()[op], "cpu", dtype, judge, 0)
    return frozenset(case.layout for case in cases)


def why_empty(group: Group, summary: Summary, unreached: bool) -> str:
    """Of a group."""
    if unreached:
        return "time was up"
    if reason := _inapplicable(group.op, group.dtype, group.judge):
        return reason
    return "not run" if summary.not_run else "not in the plan"


def why_no_layout(group: Group, layout: str, selection: Selection, not_run: bool) -> str:
    """Of a layout in a group that has cases in others."""
    if layout not in selection.layouts:
        return "not selected"
    if reason := _unasked(group.op, group.dtype, group.judge, layout):
        return reason
    return "not run" if not_run else f"budget {selection.budget} leaves it out"
