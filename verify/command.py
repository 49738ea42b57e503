"""What needle-verify does once its options are read: list, run, resume, replay.

Whatever imports numpy, torch or the subject is imported where it is needed, not here.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verify.output import say, tell
from verify.selecting import REPORTS, check_options, select
from verify.spec import COMPUTED, MALFORMED, Case, Exit, Status, UsageError, Verdict, plugins_of

if TYPE_CHECKING:
    from verify.cache.verdicts import Cache
    from verify.dask_engine import Cluster
    from verify.html.beside import Beside
    from verify.plan import Plan, Registry
    from verify.results import Results
    from verify.runner import Runner
    from verify.skips import Skips
    from verify.summary import Summary
    from verify.targets import Found
    from verify.tracing import Tracing


@dataclass(frozen=True)
class Parts:
    """What a run is made of; tests put parts of their own in place of these."""

    case_function: str = "verify.checks:run_case"
    registry: Registry | None = None
    device_status: Callable[[str], str | None] | None = None
    computed_dtypes: Callable[[str], Sequence[str] | None] | None = None


_ASK = "import json, sys, verify.targets as t; print(json.dumps(t.computed_dtypes(sys.argv[1])))"


def asked_elsewhere(device: str) -> Any:
    """What computed_dtypes says in a process of its own. Raises: RuntimeError when that fails."""
    done = subprocess.run(
        [sys.executable, "-c", _ASK, device], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


class Command:
    """One invocation."""

    def __init__(self, options: argparse.Namespace, arguments: Sequence[str], parts: Parts) -> None:
        self.options = options
        self.arguments = arguments
        self.parts = parts
        self.time_is_up = False
        self.cluster: Cluster | None = None
        self.target: Found | None = None  # somebody else's needle
        check_options(options)

    def run(self) -> Exit:
        """Do what the options say."""
        from verify import table

        colour = sys.stdout.isatty() and not self.options.no_color and "NO_COLOR" not in os.environ
        self.colour = table.paint if colour else table.plain
        if self.options.version:
            from importlib.metadata import version

            say(f"needle-verify {version('needle')}")
            return Exit.GOOD
        from verify import registry

        self.registry = self.parts.registry or registry
        self.use_plugins(())
        if self.options.target or self.options.resume or self.options.replay:
            from verify import foreign
            from verify.registry.course import CourseRegistry

            self.target = foreign.look(self.options)
            if self.target is not None:
                self.registry = CourseRegistry(self.target)
        with contextlib.ExitStack() as stack:
            if self.options.executor is not None and not self.options.list:
                from verify.dask_engine import Cluster

                cluster = Cluster(self.options.executor, self.options.jobs or 2)
                self.cluster = stack.enter_context(cluster)
            if self.options.replay is not None:
                return self.replay(self.options.replay)
            return self.verify()

    def use_plugins(self, recorded: Sequence[str]) -> None:
        """The rows of --plugin, and of what the run to go on with, or to replay, was given."""
        from verify import registry

        registry.use_plugins([*(self.options.plugin or ()), *recorded])

    # --- a run

    def verify(self) -> Exit:
        """Plan, run, report."""
        from verify import sampling, table
        from verify.plan import make_plan
        from verify.summary import group_of, summarize

        earlier = self.earlier()
        if earlier is not None:
            self.use_plugins(earlier.header.get("plugins", []))
        usable = partial(self.usable, otherwise="left out")
        before = earlier.selection if earlier is not None else None
        selection = select(self.options, self.registry, usable, before, self.computed_dtypes)
        plan = make_plan(selection, self.registry)
        if not plan.cases:
            return self.nothing()
        if self.options.list:
            say("\n".join(plan.ids))
            if not self.options.quiet:
                tell(table.announce(plan))
            return Exit.GOOD
        self.require_usable(plan.selection.devices)
        if any(case.region == "mnist" for case in plan.cases):
            sampling.read_test_images()  # a folder without them is told before anything runs
        if not self.options.quiet:
            say(table.announce(plan))
        skips = self.skips(earlier)
        beside = self.beside()
        began = time.monotonic()
        results, path = self.execute(plan, earlier, skips)
        boxed = map(group_of, plan.cases) if self.time_is_up else None
        rotten = skips.rotten(plan, results.verdicts, self.registry)
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
        found = skips.read(Path(self.options.skips), self.registry)
        if before is not None and found.to_json() != before:
            raise UsageError(
                "[resume] the run was started with other skips: leave them out, "
                f"got skips={self.options.skips}"
            )
        return found

    def usable(self, device: str, otherwise: str) -> bool:
        """Whether a device works here; says why it is not on stderr."""
        reason = self.device_status(device)
        if reason is not None:
            tell(f"device {device} {otherwise}: {reason}")
        return reason is None

    def device_status(self, device: str) -> str | None:
        """None, or why the device cannot be used."""
        if self.parts.device_status is not None:
            return self.parts.device_status(device)
        if self.target is not None:
            return self.target.devices.get(device, "the course has no such device") or None
        found: str | None = self.asked(lambda where: where.device_status(device))
        return found

    def computed_dtypes(self, device: str) -> Sequence[str] | None:
        """The dtypes that a device computes in; None where it cannot be asked."""
        if self.parts.computed_dtypes is not None:
            return self.parts.computed_dtypes(device)
        if self.target is not None or self.parts.device_status is not None:
            return COMPUTED
        found: Sequence[str] | None
        if self.options.list and self.cluster is None:  # a plan loads no needle here
            found = self.asked(lambda _: asked_elsewhere(device))
        else:
            found = self.asked(lambda where: where.computed_dtypes(device))
        return found

    def asked(self, question: Callable[[Any], Any]) -> Any:
        """What the machine that will run the cases says of needle's devices. Raises: UsageError."""
        from verify import targets

        try:
            return question(targets if self.cluster is None else self.cluster)
        except Exception as error:  # whatever importing the subject raises is a matter of set-up
            raise UsageError(f"[setup] needle cannot be used: {error}") from error

    def require_usable(self, devices: Sequence[str]) -> None:
        """UsageError unless torch is installed and every device works here."""
        if self.parts.device_status is None and importlib.util.find_spec("torch") is None:
            raise UsageError("[setup] torch is not installed: pip install 'torch>=2.11,<2.14'")
        for device in devices:
            reason = self.device_status(device)
            if reason is not None:
                raise UsageError(f"[device] {device} cannot be used here: {reason}")

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
            header |= {"target": asdict(self.target)} if self.target is not None else {}
            writer = Writer(path, header)
        cache = self.cache(plan)
        standing = [] if cache is None else cache.find(left)
        ids = {verdict.id for verdict in standing}
        left = [case for case in left if case.id not in ids]
        tracing = cache.tracing if cache is not None and left else None
        runner = self.runner(left, seconds=plan.selection.seconds, tracing=tracing)
        kept = True
        try:
            with (
                writer,
                Watch(len(plan.cases), verdicts, quiet=self.options.quiet) as watch,
                contextlib.suppress(KeyboardInterrupt),  # the second one, outside the runner
                contextlib.closing(self.arriving(runner)) as arriving,
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

    def runner(
        self,
        cases: Sequence[Case],
        threads: int = 1,
        isa: str = "",
        seconds: float | None = None,
        tracing: Tracing | None = None,
    ) -> Runner:
        """What runs the cases."""
        from verify import registry
        from verify.pool import Pool
        from verify.runner import Runner
        from verify.worker import Settings

        return Runner(
            cases,
            Settings(
                self.parts.case_function,
                threads,
                isa,
                target="" if self.target is None else self.target.path,
                failures=self.failures(),
                plugins=registry.given_plugins(),
                tracing=tracing,
            ),
            jobs=self.options.jobs,
            timeout=self.options.timeout,
            engine=Pool if self.cluster is None else self.cluster.engine,
            seconds=seconds,
        )

    def cache(self, plan: Plan) -> Cache | None:
        """Verdicts of earlier runs; None where they are not wanted, or rest on what is not known.

        That is rows of others, somebody else's needle, other machines, judges of a test's own.
        """
        from verify import registry
        from verify.cache.verdicts import opened

        ours = self.parts == Parts() and self.target is None and self.cluster is None
        if self.options.no_cache or not ours or registry.given_plugins():
            return None
        return opened(plan.selection.devices, self.options.timeout)

    def failures(self) -> str:
        """The folder for counterexamples, beside the results; none on other machines."""
        path = self.options.resume or self.options.json
        folder = Path(f"{path}.failures" if path else ".needle-verify")
        return "" if self.cluster or self.options.replay else str(folder)

    def arriving(self, runner: Runner) -> Generator[Verdict | None, None, None]:
        """The runner's verdicts; a worker that cannot start is a UsageError."""
        from verify.worker import SetupError

        try:
            yield from runner.verdicts()
        except SetupError as error:
            raise UsageError(f"[setup] {error}") from error

    def located(self, verdict: Verdict) -> Verdict:
        """A wrong verdict with the place of its op; a worker that died could not say it."""
        from verify.summary import WRONG

        if verdict.status not in WRONG:
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
            say("\n" + table.table(summary.lines, self.colour))
        text = table.failures(verdicts, self.colour, self.options.verbose)
        if text:
            say("\n" + text)
        say(("" if self.options.quiet else "\n") + table.totals(summary, seconds, self.colour))

    def beside(self) -> Callable[[Results], Beside] | None:
        """What the page shows beside the results, whose files are read before the run."""
        if self.options.html is None:
            return None
        from verify import against

        return against.beside(self.options, self.registry)

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

    # --- a replay

    def replay(self, what: str) -> Exit:
        """Run one case id, or the failed cases of a file as they ran then; print all they say."""
        from verify import table
        from verify.plan import DEVICES, check_case, require_computed

        known = True  # to the registry; a function given to verify.check is known to its file
        if Path(what).is_file():
            recorded = self.saved(Path(what))
            known = not recorded
            recorded = recorded or self.recorded(Path(what))
        else:
            recorded = [Verdict(Case.parse(what).id, Status.PASS)]
        self.use_plugins([path for old in recorded for path in plugins_of(old.environment)])
        code = Exit.GOOD
        for old in recorded:
            case = Case.parse(old.id)
            if known:
                check_case(case, self.registry)
            if known or case.device in DEVICES:
                self.require_usable([case.device])
                computed = self.computed_dtypes(case.device) or ()
                require_computed(case.dtype, case.device, computed, f" in id={case.id!r}")
            threads, isa = int(old.environment.get("threads", 1)), old.environment.get("isa", "")
            for verdict in self.arriving(self.runner([case], threads, isa)):
                if verdict is None:
                    continue
                if verdict.attribution == MALFORMED:
                    raise UsageError(verdict.message)
                say(table.full(verdict, self.colour))
                if old.digest and verdict.digest:
                    same = "the same as" if verdict.digest == old.digest else "other than"
                    say(f"  bits        {same} recorded")
                if verdict.status is not Status.PASS:
                    code = Exit.WRONG if verdict.status is not Status.UNIMPLEMENTED else Exit.WEAK
        return code

    def saved(self, path: Path) -> list[Verdict]:
        """The failure in a file of one, if it is such a file."""
        if path.suffix != ".json" or b"needle_verify_saved" not in path.read_bytes()[:100]:
            return []
        from verify import saved

        data = saved.read(path)
        if data is None:
            return []
        os.environ[saved.VARIABLE] = str(path.resolve())
        self.parts = replace(self.parts, case_function="verify.saved:run_case")
        digest = str(data.get("digest", ""))
        return [Verdict(data["case"], Status.FAIL, environment=data["environment"], digest=digest)]

    def recorded(self, path: Path) -> list[Verdict]:
        """The wrong verdicts of a results file, or the only verdict of a saved failure."""
        from verify.results import read
        from verify.summary import WRONG

        found = read(path, header_optional=True)
        wrong = [v for v in found.verdicts if v.status in WRONG]
        if not wrong:
            raise UsageError(f"[replay] the file holds no failed case, got file={path}")
        return wrong
