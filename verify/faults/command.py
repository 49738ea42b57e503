"""`needle-verify faults`: plant faults in needle, one at a time, and see which judges find them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from verify.faults import equivalent, record, report
from verify.faults.choosing import Choice, sample
from verify.faults.fault import KINDS, Fault
from verify.faults.language import LANGUAGES, usable
from verify.faults.outcome import STILLBORN
from verify.output import by_lines, say, tell
from verify.plan import Registry, require_known, select_ops
from verify.selecting import names, require_writable, write
from verify.setup import Parts
from verify.spec import BUDGETS, Exit, UsageError

if TYPE_CHECKING:
    from verify.faults.run import Run

DESCRIPTION = """\
Plants a fault in needle, a small change of one place in its source, runs the cases that execute
that place, and sees which judges find it; then the next fault. Nothing on disk changes: the fault
is in the memory of a process of its own. What no judge finds is a hole in needle-verify."""
EPILOG = f"""\
examples:
  needle-verify faults                                every fault at budget default
  needle-verify faults --sample 40 --budget smoke --first     some of every kind: a minute or two
  needle-verify faults --op softmax                   those that are asked of softmax first
  needle-verify faults --path 'needle/optim/*' --kind sign,correction
  needle-verify faults --json f.jsonl                 keep a line for each fault
  needle-verify faults --resume f.jsonl               go on; what changed since is asked again
  needle-verify faults --first --budget deep --known f.jsonl    what found it there comes first
  needle-verify faults list --kind eps                ids, one a line; runs nothing
  needle-verify faults show 'needle/ops/loss.py:CrossEntropy.gradient:sign:1'     the diff
  needle-verify faults run 'needle/ops/loss.py:CrossEntropy.gradient:sign:1'      this one

kinds:
{"".join(f"  {kind:12} {text}{chr(10)}" for kind, text in KINDS.items())}
exit codes: 0 every fault was found, equivalent ones apart   1 one survived, or a case fails on the
  library as it is   2 usage or set-up   3 nothing selected, or not all was judged
  4 with --baseline: fewer were found than there
"""
_WORDS = ("run", "list", "show")


def options(p: argparse.ArgumentParser) -> None:
    """Adds the options."""
    p.add_argument("what", nargs="*", metavar="run|list|show [ID ...]", help="run, unless given")
    p.add_argument(
        "--language",
        action="append",
        metavar="NAMES",
        help=f"{', '.join(LANGUAGES)} (all whose sources are here)",
    )
    p.add_argument("--kind", action="append", metavar="NAMES", help="kinds, as sign,axis (all)")
    p.add_argument("--path", action="append", metavar="GLOB", help="source files, by path (all)")
    p.add_argument("--op", action="append", metavar="NAME", help="those asked first of these ops")
    p.add_argument("--sample", type=int, metavar="N", help="so many of them, some of every kind")
    p.add_argument("--seed", type=int, default=0, metavar="N", help="another sample (0)")
    p.add_argument(
        "--budget",
        default="default",
        metavar="B",
        help=f"{', '.join(BUDGETS)} (default)",
    )
    p.add_argument(
        "--first",
        action="store_true",
        help="one judge that finds a fault is enough: four times as fast",
    )
    p.add_argument(
        "--rows", type=int, metavar="N", help="rows that are asked of a fault at most (smoke: 12)"
    )
    p.add_argument("--jobs", type=int, metavar="N", help="faults at a time (2)")
    p.add_argument("--json", metavar="FILE", help="keep what became of each fault, a line each")
    p.add_argument("--resume", metavar="FILE", help="go on in the file of --json")
    p.add_argument(
        "--known", metavar="FILE", help="with --first: a --json; what found a fault there is first"
    )
    p.add_argument("--report", metavar="FILE", help="rates, survivors and finds as JSON")
    p.add_argument("--markdown", metavar="FILE", help="the same to read, survivors with their diff")
    p.add_argument("--baseline", metavar="FILE", help="a --report: no lower kill rate than there")
    p.add_argument(
        "--peers",
        action="store_true",
        help="gradcheck, assert_close, NMSE, allclose and the course's check on the same faults",
    )
    p.add_argument("-v", "--verbose", action="store_true", help="every fault as it is judged")
    p.add_argument("-q", "--quiet", action="store_true", help="survivors and totals only")


@dataclass(frozen=True)
class _Asked:
    """The options, understood."""

    word: str
    choice: Choice
    languages: tuple[str, ...]


def run(options: argparse.Namespace, arguments: Sequence[str], parts: Parts | None) -> Exit:
    """List, show or judge what the options say."""
    from verify import registry

    known_rows = registry if parts is None else parts.registry or registry
    asked = _understood(options, known_rows)
    from verify.faults.run import Run, find

    looked = asked.languages
    if asked.choice.ids:  # one in another language is not selected, but no unknown one
        looked = tuple(dict.fromkeys((*looked, *usable())))
    languages, faults = find(looked)
    called = equivalent.read()
    equivalent.require_current(called, faults, set(looked) == set(LANGUAGES))
    known = equivalent.confirmed(called)
    chosen = asked.choice.of(faults)
    if not chosen:
        return _nothing()
    if asked.word == "show":
        return _show(chosen)
    jobs = options.jobs or min(2, os.cpu_count() or 1)
    rows = list(known_rows.rows())
    running = Run(
        languages,
        chosen,
        options.budget,
        jobs,
        rows,
        first=options.first,
        peers=options.peers,
        most=options.rows,
    )
    if options.baseline is not None:
        path = Path(options.baseline)
        record.require_asked("baseline", path, record.read_report(path), running.asked)
    if options.known is not None:
        running.know(record.read(Path(options.known)))
    if asked.word == "list" and not options.op:
        return _list(chosen if options.sample is None else _sampled(options, chosen))
    with running:
        running.measure(options.quiet)
        chosen = running.first_asked_of(names(options, "op"), chosen)
        if options.sample is not None and chosen:
            # an equivalent is not asked, and would only take the place of one that is
            chosen = _sampled(options, [f for f in chosen if f.id not in known] or chosen)
        if not chosen:
            return _nothing()
        if asked.word == "list":
            return _list(chosen)
        return _judge(options, arguments, running, chosen, known)


def _understood(options: argparse.Namespace, registry: Registry) -> _Asked:
    word, *ids = options.what or ["run"]
    if word not in _WORDS:
        require_known("faults", word, _WORDS)
    if word == "show" and not ids:
        raise UsageError("[show] the id of a fault: needle-verify faults list has them")
    require_known("budget", options.budget, BUDGETS)
    if wanted := names(options, "op"):
        select_ops(wanted, registry.rows())
    for name in ("jobs", "sample", "rows"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UsageError(f"[{name}] at least one, got {name}={value}")
    require_writable(options, ("json", "report", "markdown"), ("baseline", "known"))
    require_writable(options, ("report", "markdown"), ("resume",))
    if options.resume is not None:
        if options.json not in (None, options.resume):
            raise UsageError(f"[resume] the run goes on in its own file, got json={options.json}")
        record.read(Path(options.resume))
    if options.known is not None and not options.first:
        raise UsageError(
            f"[known] with --first: else every judge is asked, got known={options.known}"
        )
    if options.baseline is not None:
        record.read_report(Path(options.baseline))
    languages = names(options, "language") or usable()
    for name in languages:
        require_known("language", name, LANGUAGES)
    choice = Choice(tuple(ids), names(options, "kind"), languages, names(options, "path"))
    return _Asked(word, choice, tuple(languages))


def _sampled(options: argparse.Namespace, chosen: Sequence[Fault]) -> list[Fault]:
    return sample(chosen, options.sample, options.seed)


def _nothing() -> Exit:
    tell("nothing is selected: no fault fits these options (exit 3)")
    return Exit.WEAK


def _show(chosen: Iterable[Fault]) -> Exit:
    for fault in chosen:
        say(f"{fault.id}\n{fault.path}:{fault.line} in {fault.function}: {KINDS[fault.kind]}")
        say(f"change {fault.change}")
        say(fault.diff())
    return Exit.GOOD


def _list(chosen: Sequence[Fault]) -> Exit:
    say("\n".join(fault.id for fault in chosen))
    tell(f"{len(chosen)} faults")
    return Exit.GOOD


def _judge(
    options: argparse.Namespace,
    arguments: Sequence[str],
    running: Run,
    chosen: Sequence[Fault],
    known: dict[str, equivalent.Equivalent],
) -> Exit:
    command = ["needle-verify", "faults", *arguments]
    kept = options.resume or options.json
    # an equivalent is asked only by name: it takes every case of every row
    asked = [f for f in chosen if f.id not in known or f.id in options.what]
    if not asked:
        tell(f"nothing is judged: all of {len(chosen)} faults are equivalents (exit 3)")
        return Exit.WEAK
    with running.keeping(Path(kept) if kept else None, options.resume is not None, command):
        outcomes = running.judge(asked, quiet=options.quiet, verbose=options.verbose)
    ended = report.Ended(running.header, chosen, outcomes, known, running.alarms)
    _write(options, ended)
    if not options.quiet:
        say("\n" + report.terminal(ended) + "\n")
    if text := report.names(ended):
        say(text)
    say(report.totals(ended))
    if running.interrupted:
        hint = f"; go on with --resume {kept}" if kept else ""
        tell(f"interrupted: {ended.missing} of {len(chosen)} faults are not judged{hint}")
    return _exit(options, ended)


def _exit(options: argparse.Namespace, ended: report.Ended) -> Exit:
    """The smallest of the codes that apply."""
    codes = {Exit.GOOD}
    if ended.alarms or ended.refuted:
        codes.add(Exit.WRONG)
    if options.baseline is None:
        codes |= {Exit.WRONG} if ended.survivors else set()
    else:
        # no find makes up for one that is lost; a fault that is new since then counts as found then
        before = record.read_report(Path(options.baseline))
        survived = before["survivors"]
        stillborn = {*survived, *before.get("stillborn", ())}
        lost = [f.id for f, _ in ended.survivors if f.id not in survived]
        lost += [f.id for f, _ in ended.in_state(STILLBORN) if f.id not in stillborn]
        if lost:
            codes.add(Exit.REGRESSED)
            tell("the baseline has found what is not found now: " + ", ".join(lost))
    if ended.missing or (ended.in_state(STILLBORN) and not ended.rates.whole.of):
        codes.add(Exit.WEAK)
    return min(codes - {Exit.GOOD}, default=Exit.GOOD)


def _write(options: argparse.Namespace, ended: report.Ended) -> None:
    texts = {
        "report": by_lines(report.as_json(ended)),
        "markdown": report.markdown(ended),
    }
    for name, text in texts.items():
        path = getattr(options, name)
        if path is not None:
            write(name, path, text)
