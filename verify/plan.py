"""From a request to cases: which ops, devices, dtypes, judges, layouts; and what was meant.

A plan is a tuple of unique case ids and a hash of them; a results file belongs to exactly one plan.
"""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Protocol

from verify.spec import BUDGETS, COMPUTED, DTYPES, JUDGES, LAYOUTS, Case, Row, UsageError

_SMOKE = 5  # cases of a group, where smoke's own have other layouts
DEVICES = ("cpu", "numpy", "cuda_sim", "cuda")


class Registry(Protocol):
    """What a plan needs of verify.registry; tests hand in one of their own."""

    def rows(self) -> Mapping[str, Row]:
        """Rows by the public name of their op."""

    def plan_cases(
        self, row: Row, device: str, dtype: str, judge: str, seed: int, budget: str = "default"
    ) -> Sequence[Case]:
        """The cases of one row for one judge on one device in one dtype."""


@dataclass(frozen=True)
class Selection:
    """What was asked for; empty `ops` means every op."""

    ops: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("cpu",)
    dtypes: tuple[str, ...] = COMPUTED
    judges: tuple[str, ...] = JUDGES
    layouts: tuple[str, ...] = LAYOUTS
    seed: int = 0
    budget: str = "default"  # one of BUDGETS, or a number of seconds
    without: tuple[str, ...] = ()  # "device/dtype" of those that a device does not compute

    def dtypes_of(self, device: str) -> tuple[str, ...]:
        """The dtypes that are asked of a device."""
        asked = dict.fromkeys(self.dtypes)
        return tuple(dtype for dtype in asked if f"{device}/{dtype}" not in self.without)

    @property
    def seconds(self) -> float | None:
        """The time that a time-boxed run may take; None for a budget with a name.

        Raises: UsageError for a budget that is neither.
        """
        if self.budget in BUDGETS:
            return None
        try:
            seconds = float(self.budget)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < math.inf:
            raise UsageError(
                f"[budget] {', '.join(BUDGETS)} or a positive number of seconds, "
                f"got budget={self.budget!r}"
            )
        return seconds

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Selection:
        """The selection that to_json wrote."""
        known = {f.name for f in fields(cls)}
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k in known
        }
        return cls(**values)


@dataclass(frozen=True)
class Plan:
    """The cases of a run, in the order in which they are started."""

    selection: Selection
    cases: tuple[Case, ...]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The id of every case."""
        return tuple(case.id for case in self.cases)

    @cached_property
    def hash(self) -> str:
        """A stable hash of all ids: equal plans, and only those, have equal hashes."""
        return hashlib.blake2b("\n".join(self.ids).encode(), digest_size=8).hexdigest()

    def counts(self) -> dict[str, int]:
        """Cases per op, in plan order."""
        found: dict[str, int] = {}
        for case in self.cases:
            found[case.op] = found.get(case.op, 0) + 1
        return found


def make_plan(selection: Selection, registry: Registry) -> Plan:
    """Every case that `selection` names, each once; UsageError for a name that does not exist."""
    known = registry.rows()
    for what, got, valid in (
        ("device", selection.devices, DEVICES),
        ("dtype", selection.dtypes, DTYPES),
        ("check", selection.judges, JUDGES),
        ("layout", selection.layouts, LAYOUTS),
    ):
        for value in got:
            require_known(what, value, valid)
    groups = [
        (known[name], device, dtype, judge, selection.seed)
        for device in dict.fromkeys(selection.devices)
        for name in select_ops(selection.ops, known)
        for judge in dict.fromkeys(selection.judges)
        for dtype in selection.dtypes_of(device)
    ]

    def cases_of(budget: str) -> Iterator[list[Case]]:
        for group in groups:
            cases = registry.plan_cases(*group, budget)
            wanted = [case for case in cases if case.layout in selection.layouts]
            if cases and not wanted and budget == "smoke":  # its few cases have other layouts
                cases = registry.plan_cases(*group)
                wanted = [case for case in cases if case.layout in selection.layouts][:_SMOKE]
            yield wanted

    cases: Iterable[Case | None]
    if selection.seconds is None and selection.budget != "deep":
        cases = itertools.chain.from_iterable(cases_of(selection.budget))
    else:  # wherever time ends, every group has had its turn: one order for deep and for seconds
        cases = itertools.chain.from_iterable(
            itertools.chain.from_iterable(itertools.zip_longest(*cases_of(budget)))
            for budget in BUDGETS
        )
    # The id is the case: two cases of one id ask the same question, and count once.
    return Plan(selection, tuple({case.id: case for case in cases if case}.values()))


def select_ops(patterns: Iterable[str], rows: Mapping[str, Row]) -> list[str]:
    """Rows that names, families or globs stand for, in registry order; no pattern: all."""
    patterns = tuple(patterns)
    chosen: set[str] = set()
    families = {row.family for row in rows.values()}
    for pattern in patterns:
        hits = {
            name
            for name, row in rows.items()
            if pattern in (name, row.family) or fnmatch.fnmatchcase(name, pattern)
        }
        if not hits:
            require_known("op", pattern, [*rows, *sorted(families - rows.keys())])
        chosen |= hits
    return [name for name in rows if name in chosen or not patterns]


def require_known(
    what: str, value: str, valid: Iterable[str], elsewhere: Iterable[str] = ()
) -> None:
    """Raise UsageError with near matches unless `value` is one of `valid`.

    `elsewhere`: names that other options take; a near one is shown with --op.
    """
    valid = tuple(valid)
    if value in valid:
        return
    near = _near(value, {name: name for name in valid} | {n: f"--op {n}" for n in elsewhere})
    hints = [f"did you mean {' or '.join(near)}?"] if near else []
    if len(", ".join(valid)) <= 240:  # three lines of a terminal tell all of them
        hints.append(f"known: {', '.join(valid) or 'none'}")
    elif not near:
        more = f" and {len(valid) - 16} more" if len(valid) > 16 else ""
        hints.append(f"known: {', '.join(valid[:16])}{more}")
    hint = " ".join(hints)
    raise UsageError(f"[{what}] unknown {what}, got {what}={value!r}; {hint}")


def _near(value: str, shown: Mapping[str, str]) -> list[str]:
    """What is shown for the names most like `value`: in any case, with or without "nn."."""
    by_key: dict[str, list[str]] = {}
    for name in shown:
        for key in {name.lower(), name.lower().rpartition(".")[2]}:
            by_key.setdefault(key, []).append(name)
    close = difflib.get_close_matches(value.lower(), by_key, n=3, cutoff=0.5)
    return list(dict.fromkeys(shown[name] for key in close for name in by_key[key]))[:3]


def require_computed(dtype: str, device: str, computed: Sequence[str], where: str = "") -> None:
    """Raise UsageError unless a device computes in a dtype."""
    if dtype not in computed:
        raise UsageError(
            f"[dtype] {device} computes in {', '.join(computed)}, got dtype={dtype}{where}"
        )


def check_case(case: Case, registry: Registry) -> None:
    """Raise UsageError unless every name inside a case (of a typed id) exists, and fits its row."""
    rows = registry.rows()
    require_known("op", case.op, rows)
    require_known("check", case.judge, JUDGES)
    require_known("device", case.device, DEVICES)
    require_known("dtype", case.dtype, DTYPES)
    require_known("layout", case.layout, LAYOUTS)
    group = (rows[case.op], case.device, case.dtype, case.judge, case.seed)
    asked = registry.plan_cases(*group) or registry.plan_cases(*group, "deep")
    if not asked and case.region != "mnist":  # whose plan depends on the data at hand
        raise UsageError(
            f"[check] {case.judge} does not apply to {case.op} in {case.dtype}, got id={case.id!r}"
        )
