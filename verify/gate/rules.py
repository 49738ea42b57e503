"""A run beside its baseline: every rule, what it was held against, and what could not be held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import verify.gate.accuracy as accuracy
import verify.gate.kills as kills
import verify.gate.speed as speed
from verify.gate.baseline import Baseline, Cases, cases_of, origin
from verify.gate.outcome import Finding, Outcome
from verify.plan import Registry, make_plan
from verify.results import Results
from verify.skips import Skips
from verify.spec import Case, Status, Verdict
from verify.summary import WRONG, Group, Summary, group_of, summarize
from verify.table import spread

ALARMS = 0.01  # that each of accuracy and speed raises by chance in a run of an unchanged needle
_SLOWDOWN = 0.2  # that speed is to show
_ELSEWHERE = ("isa", "cpu", "torch", "numpy")


@dataclass(frozen=True)
class Run:
    """What is held against the baseline."""

    results: Results
    skips: Skips  # the known failures that count
    registry: Registry
    factor: float = accuracy.FACTOR
    ratios: Sequence[speed.Measured] = ()
    faults: Mapping[str, kills.Kills] = field(default_factory=dict)
    same_machine: bool = False  # hold accuracy only where it was recorded on such a machine

    def verdicts(self) -> list[Verdict]:
        """With known failures as SKIP; a SKIP that nothing excuses any more is a failure."""
        return [
            v if v.status is not Status.SKIP or self.skips.excuse(v.id) else _unexcused(v)
            for v in map(self.skips.applied, self.results.verdicts)
        ]

    def summary(self) -> Summary:
        """The run's own, under these known failures."""
        plan = make_plan(self.results.selection, self.registry)
        return summarize(
            self.verdicts(),
            self.results.header["plan"]["size"],
            rotten=self.skips.rotten(plan, self.results.verdicts, self.registry),
        )


def _unexcused(verdict: Verdict) -> Verdict:
    text = f"no known failure any more: {verdict.message}"
    return Verdict(verdict.id, Status.FAIL, message=text, worst=text.splitlines()[0])


def judge(run: Run, baseline: Baseline) -> Outcome:
    """All rules."""
    verdicts, summary = run.verdicts(), run.summary()
    here = cases_of(verdicts)
    out = Outcome(weak=list(_weak(summary)))
    out.findings += _failures(verdicts)
    out.held["failures"] = f"{len(verdicts):,} cases"
    broken = {"/".join(group_of(Case.parse(v.id))) for v in verdicts if v.status in WRONG}
    # what fails has no rho: told once
    out.findings += (f for f in accuracy.lost(baseline.groups, here) if f.subject not in broken)
    cases = sum(map(len, baseline.groups.values()))
    out.held["coverage"] = f"{cases:,} cases on record in {len(baseline.groups):,} groups"
    elsewhere = list(_elsewhere(baseline, run.results))
    if elsewhere and run.same_machine:
        out.notes.append("accuracy was not held: --same-machine")
    else:
        _accuracy(run, baseline, here, out)
    if new := len(here.keys() - baseline.groups.keys()):
        out.notes.append(f"{new:,} groups are not on record yet: --update records them")
    out.notes += elsewhere
    _speed(run, baseline, out)
    _faults(run, baseline, out)
    return out


def _accuracy(run: Run, baseline: Baseline, here: Mapping[Group, Cases], out: Outcome) -> None:
    asked = accuracy.questions(baseline.groups, here, run.factor)
    out.findings += accuracy.findings(asked, ALARMS)
    out.held["accuracy"] = f"{len(asked):,} counts of rho above {run.factor:g} x the recorded"
    if few := accuracy.too_few(asked, ALARMS):
        out.notes.append(f"accuracy: too few cases to hold {_some(few)}: a larger budget has more")


def _failures(verdicts: Sequence[Verdict]) -> Iterator[Finding]:
    """One of a group, status for status: a broken op fails often."""
    found: dict[tuple[Group, Status], list[Verdict]] = {}
    for v in spread([v for v in verdicts if v.status in WRONG]):
        found.setdefault((group_of(Case.parse(v.id)), v.status), []).append(v)
    for (group, status), members in found.items():
        first = members[0]
        said = first.worst or (first.message.splitlines() or ["it says nothing"])[0]
        more = f"; and {len(members) - 1:,} more of {'/'.join(group)}" if members[1:] else ""
        yield Finding("failures", first.id, f"{status}: {said}{more}", first.replay_line())


def _weak(summary: Summary) -> Iterator[str]:
    """Why a run is no evidence, whatever is on record."""
    for group, names in summary.weak.items():
        yield f"{'/'.join(group)}: {', '.join(names)} would have passed all cases"
    if n := summary.counts[Status.UNIMPLEMENTED] - summary.outside.total():
        yield f"{n:,} cases of ops that needle does not offer"
    if summary.not_run or not summary.planned:
        yield f"{summary.not_run:,} of {summary.planned:,} cases were not run"
    yield from (f"known failure {line}" for line in summary.rotten)


def _elsewhere(baseline: Baseline, results: Results) -> Iterator[str]:
    """Where another machine or library may explain a difference."""
    old, new = ({**o, **o.get("versions", {})} for o in (baseline.origin, origin(results)))
    different = [
        f"{k} {old.get(k)}, here {new.get(k)}" for k in _ELSEWHERE if old.get(k) != new.get(k)
    ]
    if different:
        yield f"recorded elsewhere: {'; '.join(different)}"


def _speed(run: Run, baseline: Baseline, out: Outcome) -> None:
    if not run.ratios:
        if baseline.speed:
            out.notes.append("speed was not held: no --ratios")
        return
    where = speed.machine(run.ratios)
    recorded = [s for s in baseline.speed if s.machine == where]
    if not recorded:
        out.weak.append(f"speed: nothing is on record of this machine ({where})")
        return
    out.findings += speed.findings(recorded, run.ratios, ALARMS)
    if few := speed.too_few(recorded, run.ratios, ALARMS):
        out.weak.append(f"speed: too few rounds to tell for {_some(few)}")
    sharp = sum(s.threshold < _SLOWDOWN for s in recorded)
    out.held["speed"] = f"{len(recorded):,} ratios to torch"
    if sharp < len(recorded):
        out.notes.append(
            f"speed: {len(recorded) - sharp:,} of {len(recorded):,} rows were too noisy when they "
            f"were recorded to show {_SLOWDOWN:.0%}: record more rounds on a quiet machine"
        )


def _faults(run: Run, baseline: Baseline, out: Outcome) -> None:
    if not run.faults:
        if baseline.faults:
            out.notes.append("kill rates were not held: no --faults")
        return
    if not baseline.faults:
        out.weak.append("faults: no kill rate is on record")
    out.findings += kills.findings(baseline.faults, run.faults)
    out.held["faults"] = f"{len(baseline.faults):,} kill rates"


def _some(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
