"""`needle-verify gate`: reads a run, its baseline and what else is to be held; reports; records."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from verify import skips, table
from verify.gate import accuracy, kills, report, speed
from verify.gate.baseline import Baseline, origin, read
from verify.gate.rules import ALARMS, Run, judge
from verify.output import say, tell
from verify.results import read as read_results
from verify.selecting import require_writable, write
from verify.setup import Parts
from verify.spec import Exit, UsageError

DESCRIPTION = """\
Holds a run (needle-verify --json RESULTS) against a recorded one: new failures, lost coverage,
accuracy, and, where they are given, speed beside torch and kill rates of planted faults."""
EPILOG = f"""\
examples:
  needle-verify --json r.jsonl
  needle-verify gate r.jsonl --baseline reports/baseline.json --update     record it
  needle-verify gate r.jsonl --baseline reports/baseline.json              hold a later run
  needle-verify gate r.jsonl --baseline b.json --skips known.toml --markdown "$GITHUB_STEP_SUMMARY"
  needle-verify bench --op conv --json s.json
  needle-verify gate r.jsonl --baseline b.json --ratios s.json             and its speed

The same options of needle-verify for both runs; the seed may differ.
Accuracy: cases whose rho is above {accuracy.FACTOR:g} x a recorded quantile, or x their own, are
counted for each op. A count is a regression where chance gives as many in less than {ALARMS:.0%} of
runs, all counts taken together. Speed: likewise of rounds that are slower than recorded, and by
more than the threshold of their row.
Roundings depend on the instruction set, and references on torch's own: --same-machine holds
failures and coverage everywhere, accuracy only on a machine like the recorded one.
A failure is new unless --skips names it. --update takes no run that is not all good.

exit codes: 0 nothing regressed   4 something did: new failures too   2 usage or set-up
  3 the evidence is too weak: WEAK groups, not all run, a known failure that is stale or expired
"""
_READ = ("results", "baseline", "skips", "ratios", "faults")


def options(p: argparse.ArgumentParser) -> None:
    """Adds the options."""
    p.add_argument("results", metavar="RESULTS", help="a file that needle-verify --json wrote")
    p.add_argument("--baseline", metavar="FILE", required=True, help="the recorded run")
    p.add_argument("--update", action="store_true", help="record this run, and say what it accepts")
    p.add_argument("--skips", metavar="FILE", help="known failures (default: those of the run)")
    p.add_argument(
        "--ratios",
        metavar="FILE",
        action="append",
        help="speed: a JSON of needle-verify bench; repeat for several processes",
    )
    p.add_argument(
        "--faults", metavar="FILE", help="kill rates: a JSON that counts planted and killed"
    )
    p.add_argument(
        "--factor",
        type=float,
        default=accuracy.FACTOR,
        metavar="C",
        help=f"how far rho may grow ({accuracy.FACTOR:g})",
    )
    p.add_argument(
        "--same-machine",
        action="store_true",
        help="hold accuracy only where isa, cpu, torch and numpy are those on record",
    )
    p.add_argument("--markdown", metavar="FILE", help="a short report, regressions first")
    p.add_argument("--junit", metavar="FILE", help="a JUnit XML report, a test case each")
    p.add_argument("--no-color", action="store_true", help="no colours (also NO_COLOR, and pipes)")


def run(options: argparse.Namespace, arguments: Sequence[str], parts: Parts | None) -> Exit:
    """Hold, report, record."""
    from verify import registry

    if not 1 <= options.factor < float("inf"):
        raise UsageError(f"[factor] at least 1, got factor={options.factor:g}")
    written = ("markdown", "junit", *(["baseline"] if options.update else []))
    require_writable(options, written, _READ)
    known = registry if parts is None or parts.registry is None else parts.registry
    results = read_results(Path(options.results))
    # whose rows the run names
    registry.use_plugins(results.header.get("plugins", []), elsewhere="target" in results.header)
    excused = (
        skips.Skips.from_json(results.header.get("skips", []))
        if options.skips is None
        else skips.read(Path(options.skips), known)
    )
    held = Run(
        results,
        excused,
        known,
        options.factor,
        [speed.read(Path(path)) for path in options.ratios or ()],
        {} if options.faults is None else kills.read(Path(options.faults)),
        options.same_machine,
    )
    path = Path(options.baseline)
    if options.update:
        return _update(held, path)
    return _hold(held, read(path), options)


def _hold(held: Run, baseline: Baseline, options: argparse.Namespace) -> Exit:
    """Compare, and report."""
    outcome = judge(held, baseline)
    came = f"{_short(baseline.origin['commit'])} of {baseline.origin['started']}"
    colour = sys.stdout.isatty() and not options.no_color and "NO_COLOR" not in os.environ
    say(report.terminal(outcome, came, table.paint if colour else table.plain))
    if options.markdown is not None:
        write("markdown", options.markdown, report.markdown(outcome, came))
    if options.junit is not None:
        write("junit", options.junit, report.junit(outcome))
    return outcome.exit


def _update(held: Run, path: Path) -> Exit:
    """Record a run that is all good; say what that accepts."""
    if held.results.selection.seconds is not None:
        raise UsageError("[update] a run with a budget of seconds is another each time: use a name")
    summary = held.summary()
    if summary.exit is not Exit.GOOD:
        seconds = sum(v.seconds for v in held.results.verdicts)
        say(table.totals(summary, seconds, table.plain))
        tell(f"{path} stays as it is: a baseline is made of a run that is all good")
        return summary.exit
    before = read(path) if path.exists() else None
    after = Baseline.of(held.results)
    if before is not None:
        lost = report.findings(judge(held, before), table.plain)
        say("\n".join(["this update accepts:", *lost]) if lost else "this update loses nothing")
        after.speed, after.faults = before.speed, before.faults
    if held.ratios:
        where = speed.machine(held.ratios)
        after.speed = [s for s in after.speed if s.machine != where] + speed.record(held.ratios)
    after.faults = dict(held.faults) or after.faults
    write("baseline", str(path), after.to_text())
    cases = sum(map(len, after.groups.values()))
    say(f"recorded in {path}: {cases:,} cases of {_short(origin(held.results)['commit'])}")
    return Exit.GOOD


def _short(commit: str | None) -> str:
    return "no commit" if commit is None else commit[:12] + ("+" if commit.endswith("+") else "")
