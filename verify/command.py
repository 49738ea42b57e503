"""What needle-verify does once its options are read: list, run, resume, report.

Whatever imports numpy, torch or the subject is imported where it is needed, not here.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from verify.output import say, tell
from verify.selecting import REPORTS, check_options, select
from verify.setup import Parts, Setup
from verify.spec import Case, Exit, UsageError, Verdict

if TYPE_CHECKING:
    from verify.cache.verdicts import Cache
    from verify.html.beside import Beside
    from verify.plan import Plan
    from verify.results import Results
    from verify.skips import Skips
    from verify.summary import Summary
    from verify.table import Paint


def run(options: argparse.Namespace, arguments: Sequence[str], parts: Parts) -> Exit:
    """Do what the options say."""
    check_options(options)
    if options.version:
        from importlib.metadata import version

        say(f"needle-verify {version('needle')}")
        return Exit.GOOD
    from verify import table

    colour = sys.stdout.isatty() and not options.no_color and "NO_COLOR" not in os.environ
    paint = table.paint if colour else table.plain
    setup = Setup(options, parts)
    with setup.started():
        if options.replay is not None:
            from verify.replay import replay

            return replay(setup, options.replay, paint)
        return Run(setup, arguments, paint).verify()


class Run:
    """One run of a plan."""

    def __init__(self, setup: Setup, arguments: Sequence[str], paint: Paint) -> None:
        self.setup = setup
        self.options = setup.options
        self.arguments = arguments
        self.paint = paint
        self.time_is_up = False

    def verify(self) -> Exit:
        """Plan, run, report."""
        from verify import sampling, table
        from verify.plan import make_plan
        from verify.summary import group_of, summarize

        earlier = self.earlier()
        if earlier is not None:
            self.setup.use_plugins(earlier.header.get("plugins", []))
        usable = partial(self.setup.usable, otherwise="left out")
        before = earlier.selection if earlier is not None else None
        selection = select(
            self.options, self.setup.registry, usable, before, self.setup.computed_dtypes
        )
        plan = make_plan(selection, self.setup.registry)
        if not plan.cases:
            return self.nothing()
        if self.options.list:
            say("\n".join(plan.ids))
            if not self.options.quiet:
                tell(table.announce(plan))
            return Exit.GOOD
        self.setup.require_usable(plan.selection.devices)
        if any(case.region == "mnist" for case in plan.cases):
            sampling.read_test_images()  # a folder without them is told before anything runs
        if not self.options.quiet:
            say(table.announce(plan))
        skips = self.skips(earlier)
        beside = self.beside()
        began = time.monotonic()
        results, path = self.execute(plan, earlier, skips)
        boxed = map(group_of, plan.cases) if self.time_is_up else None
        rotten = skips.rotten(plan, results.verdicts, self.setup.registry)
        summary = summarize(results.verdicts, len(plan.cases), boxed, rotten)
        self.report(results.verdicts, summary, time.monotonic() - began)
        code = self.write_reports(results, summary, beside)
        if summary.not_run and path is not None:
            why = "time is up" if self.time_is_up else "interrupted"
            tell(f"{why}: {path} keeps the verdicts; go on with needle-verify --resume {path}")
        return code

    def earlier(self) -> Results | None:
        """The results that --resume goes on from."""
        if self.options.resume is None:
            return None
        from verify.results import read

        if self.options.json not in (None, self.options.resume):
            raise UsageError(
                f"[resume] the run goes on in its own file, got json={self.options.json}"
            )
        return read(Path(self.options.resume))

    def skips(self, earlier: Results | None) -> Skips:
        """The known failures of --skips, or those that the resumed run was started with."""
        from verify import skips

        before = None if earlier is None else earlier.header.get("skips", [])
        if self.options.skips is None:
            return skips.Skips.from_json(before or [])
        found = skips.read(Path(self.options.skips), self.setup.registry)
        if before is not None and found.to_json() != before:
            raise UsageError(
                "[resume] the run was started with other skips: leave them out, "
                f"got skips={self.options.skips}"
            )
        return found

    def nothing(self) -> Exit:
        """Nothing selected is no evidence."""
        tell("nothing is selected: no case fits these options; --list shows a plan (exit 3)")
        return Exit.WEAK

    def execute(
        self, plan: Plan, earlier: Results | None, skips: Skips
    ) -> tuple[Results, Path | None]:
        """Header and verdicts there are in the end, old ones included; the file that keeps them."""
        from verify import registry
        from verify.progress import Watch
        from verify.results import Results, Writer, provenance, unfinished

        asked = self.options.resume or self.options.json
        path = Path(asked or Path(tempfile.gettempdir(), f"needle-verify-{os.getpid()}.jsonl"))
        if earlier is not None:
            left, verdicts = unfinished(plan, earlier, path)
            header = earlier.header
            writer = Writer(path, None, earlier.complete_bytes)
        else:
            left, verdicts = list(plan.cases), []
            header = provenance(plan, ["needle-verify", *self.arguments])
            header |= {"skips": skips.to_json()} if skips.entries else {}
            if given := registry.given_plugins():
                header |= {"plugins": given}
            header |= {"target": asdict(self.setup.target)} if self.setup.target is not None else {}
            writer = Writer(path, header)
        cache = self.cache(plan)
        standing = [] if cache is None else cache.find(left)
        ids = {verdict.id for verdict in standing}
        left = [case for case in left if case.id not in ids]
        tracing = cache.tracing if cache is not None and left else None
        runner = self.setup.runner(left, seconds=plan.selection.seconds, tracing=tracing)
        kept = True
        try:
            with (
                writer,
                Watch(len(plan.cases), verdicts, quiet=self.options.quiet) as watch,
                contextlib.suppress(KeyboardInterrupt),  # the second one, outside the runner
                contextlib.closing(self.setup.arriving(runner)) as arriving,
                contextlib.nullcontext() if cache is None else contextlib.closing(cache),
            ):
                for verdict in itertools.chain(standing, arriving):
                    if verdict is not None and cache is not None:
                        cache.add(verdict)
                    verdict = verdict and skips.applied(self.located(verdict))
                    watch.show(verdict)
                    if verdict is not None:
                        writer.write(verdict)
                        verdicts.append(verdict)
                        self.detail(verdict)
            self.time_is_up = runner.time_is_up and not runner.interrupted
            if cache is not None and cache.broken and not self.options.quiet:
                tell(f"no verdict is kept for later runs: {cache.broken}")
        finally:
            if asked is None and (self.time_is_up or len(verdicts) in (0, len(plan.cases))):
                path.unlink()  # nothing to go on from
                kept = False
        order = {case_id: i for i, case_id in enumerate(plan.ids)}
        verdicts.sort(key=lambda v: order[v.id])
        return Results(header, verdicts), path if kept else None

    def cache(self, plan: Plan) -> Cache | None:
        """Verdicts of earlier runs; None where they are not wanted, or rest on what is not known.

        That is rows of others, somebody else's needle, other machines, judges of a test's own.
        """
        from verify import registry
        from verify.cache.verdicts import opened

        ours = (
            self.setup.parts == Parts() and self.setup.target is None and self.setup.cluster is None
        )
        if self.options.no_cache or not ours or registry.given_plugins():
            return None
        return opened(plan.selection.devices, self.options.timeout)

    def located(self, verdict: Verdict) -> Verdict:
        """A wrong verdict with the place of its op; a worker that died could not say it."""
        from verify.summary import WRONG

        if verdict.status not in WRONG or self.setup.target is not None:  # which is not ours
            return verdict
        from verify import targets

        return replace(verdict, source=targets.source(Case.parse(verdict.id).op))

    def detail(self, verdict: Verdict) -> None:
        """One verdict, as it comes, with -v."""
        if self.options.verbose:
            from verify import table

            rho = "" if verdict.rho is None else f"  rho {table.number(verdict.rho)}"
            say(f"{verdict.status:5} {verdict.id}{rho}")

    def report(self, verdicts: Sequence[Verdict], summary: Summary, seconds: float) -> None:
        """Table, failures, totals."""
        from verify import table

        if not self.options.quiet:
            say("\n" + table.table(summary.lines, self.paint))
        text = table.failures(verdicts, self.paint, self.options.verbose)
        if text:
            say("\n" + text)
        say(("" if self.options.quiet else "\n") + table.totals(summary, seconds, self.paint))

    def beside(self) -> Callable[[Results], Beside] | None:
        """What the page shows beside the results, whose files are read before the run."""
        if self.options.html is None:
            return None
        from verify import against

        return against.beside(self.options, self.setup.registry)

    def write_reports(
        self, results: Results, summary: Summary, beside: Callable[[Results], Beside] | None
    ) -> Exit:
        """The files that --junit, --sarif, --markdown and --html ask for; the exit code."""
        codes = {summary.exit} - {Exit.GOOD}
        for name in REPORTS:
            path = getattr(self.options, name)
            if path is not None:
                more = (beside(results),) if name == "html" and beside is not None else ()
                text = importlib.import_module(f"verify.{name}").report(results, summary, *more)
                try:
                    Path(path).write_text(text, encoding="utf-8")
                except OSError as error:  # a folder that went away, a full disk
                    tell(f"[report] cannot write, got file={path} ({error})")
                    codes.add(Exit.USAGE)
        return min(codes, default=Exit.GOOD)
