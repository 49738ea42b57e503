"""What a calibration found: a line per function, as JSON, as Markdown and for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from verify.accuracy import K_ULP
from verify.calibration.arguments import EVERY
from verify.calibration.errors import Measured, Tally
from verify.calibration.parts import split
from verify.spec import Case, Verdict
from verify.summary import WRONG

FORMAT = 1
_QUANTILES = {"50 %": 0.5, "99 %": 0.99, "99.9 %": 0.999}


@dataclass
class Line:
    """One function on one device in one dtype."""

    op: str
    arguments: dict[str, Any]
    device: str
    dtype: str
    parts: int = 0  # of the plan
    done: int = 0
    isa: str = ""
    step: int | None = None  # of the float32 patterns
    measured: Measured = field(default_factory=Measured)
    special: int = 0  # special values looked at
    rho: float | None = None
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """The op, with the argument's value that makes it this function."""
        return "/".join([self.op, *(str(v) for v in self.arguments.values() if v != "none")])

    @property
    def constant(self) -> float | None:
        """What verify/accuracy.py says of it, in ULP."""
        return K_ULP[self.device][self.dtype].get(self.op)

    @property
    def wrong(self) -> list[str]:
        """What is wrong: the parts' failures, or an error beyond the constant."""
        most, constant = self.measured.most, self.constant
        if self.failures or constant is None or most <= constant:
            return self.failures
        return [f"its largest error is {most:.4f} ULP, verify/accuracy.py says {constant}"]

    @property
    def status(self) -> str:
        """FAIL, MISSING (parts), or PASS."""
        return "FAIL" if self.wrong else "PASS" if self.done == self.parts else "MISSING"

    @property
    def extent(self) -> str:
        """Which arguments."""
        if self.dtype != "float32":
            return f"{self.measured.count:,} sampled"
        return "all patterns" if self.step == 1 else f"every {self.step}th pattern"

    def to_json(self) -> dict[str, Any]:
        """A row of the report."""
        return {
            "op": self.op,
            "arguments": self.arguments,
            "device": self.device,
            "dtype": self.dtype,
            "isa": self.isa,
            "count": self.measured.count,
            "step": self.step,
            "complete": self.done == self.parts,
            "most": _number(self.measured.most),
            "rho": _number(self.rho),
            "normal": self._tally(self.measured.normal)
            | {name: self.measured.quantile(q) for name, q in _QUANTILES.items()},
            "small": self._tally(self.measured.small),
            "domain": _domain(self.measured.binades),
            "others": self.measured.others,
            "special": {"checked": self.special, "wrong": self.measured.wrong},
            "failures": self.failures,
            "seconds": round(self.seconds, 1),
        }

    def _tally(self, tally: Tally) -> dict[str, Any]:
        if not tally.count:
            return {"count": 0}
        return {
            "count": tally.count,
            "most": tally.most,
            "mean": tally.total / tally.count,
            "x": _number(tally.x),
            "bits": bits(tally.x, self.dtype),
            "got": _number(tally.got),
            "want": _number(tally.want),
        }


def bits(x: float, dtype: str) -> str:
    """A number's bit pattern in hexadecimal."""
    value = np.array(x, dtype)
    return f"0x{int(value.view(f'u{value.itemsize}')):0{2 * value.itemsize}x}"


def _domain(binades: Mapping[tuple[int, int], float]) -> list[list[float]]:
    """The largest error by the argument's binade: sign, exponent, ULP.

    Of binades in a row with the same error only the first and the last: a line joins them.
    """
    rounded = {place: float(f"{most:.3g}") for place, most in sorted(binades.items())}
    return [
        [sign, exponent, most]
        for (sign, exponent), most in rounded.items()
        if {rounded.get((sign, exponent - 1)), rounded.get((sign, exponent + 1))} != {most}
    ]


def _number(x: float | None) -> float | str | None:
    """Strict JSON has no infinities and no NaN."""
    return x if x is None or math.isfinite(x) else str(x)


def gather(cases: Sequence[Case], verdicts: Sequence[Verdict]) -> list[Line]:
    """The lines of a plan, with what its verdicts measured."""
    lines: dict[tuple[Any, ...], Line] = {}
    by_id: dict[str, Line] = {}
    for case in cases:
        named, place = split(case)
        key = (case.op, tuple(named.items()), case.device, case.dtype)
        line = lines.setdefault(key, Line(case.op, named, case.device, case.dtype))
        line.parts += 1
        line.step = place.get("step", line.step)
        by_id[case.id] = line
        if case.region == "special":
            line.special += math.prod(case.shapes[0])
    for verdict in verdicts:
        line = by_id[verdict.id]
        line.done += 1
        line.seconds += verdict.seconds
        if line.device == "cpu":
            line.isa = verdict.environment.get("isa", line.isa).removeprefix("x86-64-")
        if verdict.status in WRONG:
            line.failures.append(verdict.message if verdict.budget else f"{verdict.id}: "
                                 f"{verdict.status} {verdict.message}")  # fmt: skip
        if verdict.budget:
            line.measured.merge(Measured.from_terms(verdict.budget))
        if verdict.rho is not None:
            line.rho = max(verdict.rho, line.rho or 0.0)
    return list(lines.values())


def report(lines: Sequence[Line], header: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON report: the run's provenance and its rows."""
    kept = ("command", "started", "versions", "commit", "machine")
    return {"needle_verify_accuracy": FORMAT} | {k: header.get(k) for k in kept} | {
        "every": EVERY,
        "rows": [line.to_json() for line in lines],
    }  # fmt: skip


def markdown(lines: Sequence[Line], header: Mapping[str, Any]) -> str:
    """The same as a table."""
    machine = header.get("machine") or {}
    text = [
        "# Accuracy of the unary functions",
        f"Errors in ULP of the result (the spacing of the format at the exact value). "
        f"{machine.get('cpu')}; commit {header.get('commit')}, started {header.get('started')}; "
        f"`{' '.join(header.get('command', []))}`. In float64 the search dwells on the worst "
        "arguments: its mean and quantile are not those of the domain. gelu on torch is torch's "
        "own, in units of 2^-24 (float64: 2^-53) of its argument, below 2^16.",
        "| function | device | ISA | type | arguments | largest | at | mean | 99.9 % | "
        "largest of denormal results | rho | special values |\n"
        "|---|---|---|---|---|--:|---|--:|--:|--:|--:|---|\n"
        + "\n".join(_row(line) for line in lines),
    ]
    if failures := [f"- {line.name}: {f}" for line in lines for f in line.failures]:
        text += ["## Failures", "\n".join(failures)]
    return "\n\n".join(text) + "\n"


def _row(line: Line) -> str:
    m, normal, small = line.measured, line.measured.normal, line.measured.small
    at = f"{normal.x:.9g} = {bits(normal.x, line.dtype)}" if normal.most else ""
    mean = f"{normal.total / normal.count:.4f}" if normal.count else ""
    cells = [
        line.name, line.device, line.isa, line.dtype, line.extent, _ulps(normal.most), at, mean,
        _ulps(m.quantile(0.999)), _ulps(small.most) if small.count else "",
        _given(line.rho), f"{m.wrong} wrong" if m.wrong else "right",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _ulps(e: float) -> str:
    """Rounded up: what a constant must reach."""
    return f"{math.ceil(e * 1e4) / 1e4:.4f}" if math.isfinite(e) else str(e)


def _given(x: float | None) -> str:
    return "" if x is None else f"{x:.4g}"


def terminal(lines: Sequence[Line]) -> str:
    """At most 80 columns."""
    rows = [f"{'function':12} {'device':8} {'ISA':3} {'type':7} {'largest':>8} {'mean':>7} "
            f"{'99.9 %':>7} {'denormal':>8} {'const.':>6} status"]  # fmt: skip
    for line in lines:
        if not line.done:
            continue
        normal, small = line.measured.normal, line.measured.small
        mean = normal.total / normal.count if normal.count else 0.0
        rows.append(
            f"{line.name:12} {line.device:8} {line.isa:3} {line.dtype:7} {_ulps(normal.most):>8} "
            f"{mean:7.4f} {_ulps(line.measured.quantile(0.999)):>7} "
            f"{_ulps(small.most) if small.count else '':>8} {_given(line.constant):>6} "
            f"{line.status}"
        )
    return "\n".join(rows)
