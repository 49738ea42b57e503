"""A run of faults in the process of the command: what is measured, judged, kept, interrupted."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from verify import registry
from verify.faults import record
from verify.faults.baseline import KNOWN, REACH, Baseline, Cache, cache_folder, reaching
from verify.faults.digests import of_fault, of_peers, of_subject
from verify.faults.fault import Fault
from verify.faults.language import Language, language, usable
from verify.faults.outcome import FOUND, Outcome
from verify.faults.tasks import Judge, Measure, Setup
from verify.faults.workers import Workers
from verify.output import say
from verify.plan import select_ops
from verify.progress import Bar
from verify.results import Writer, origin
from verify.spec import UsageError

# Rows that are asked of one fault at most, unless told: what every row executes would take a smoke
# run for each survivor.
MOST_ROWS = {"smoke": 12}


def find(names: Sequence[str]) -> tuple[dict[str, Language], list[Fault]]:
    """Languages by name, and all their faults. Raises: UsageError where sources are missing."""
    languages = {name: language(name) for name in names}
    for name, spoken in languages.items():
        if name not in usable():
            raise UsageError(f"[language] there are no sources of {name} here, got {spoken.root}")
    return languages, [fault for spoken in languages.values() for fault in spoken.faults()]


class Run:
    """One run: `with run: run.measure(...)`, then `with run.keeping(...): run.judge(...)`.

    rows: the names of those that judge. first: a fault is done with the first judge that finds it.
    most: so many of the rows are asked of a fault.
    """

    def __init__(
        self,
        languages: Mapping[str, Language],
        faults: Sequence[Fault],
        budget: str,
        jobs: int,
        rows: Sequence[str],
        first: bool = False,
        peers: bool = False,
        most: int | None = None,
    ) -> None:
        spoken = {fault.language for fault in faults}
        self.languages = {name: found for name, found in languages.items() if name in spoken}
        self.budget, self.rows = budget, rows
        self.interrupted = False
        self.header: dict[str, Any] = {}
        root = next(iter(languages.values())).root
        key = of_subject(root)
        self._cache = Cache(cache_folder(), key)
        self._workers = Workers(jobs, Setup(budget, str(cache_folder()), key, first, peers))
        self._most = MOST_ROWS.get(budget) if most is None else most
        self.asked = {"budget": budget, "first": first, "most_rows": self._most}
        self._how = f"{self.asked}{of_peers() if peers else ''}"
        self._baselines: dict[str, list[Baseline]] = {}
        self._rows: dict[str, tuple[str, ...]] = {}  # by place
        self._earlier: dict[str, Outcome] = {}
        self._known: dict[str, str] = {}  # the case that found a fault before
        self._writer: Writer | None = None

    def __enter__(self) -> Self:
        for spoken in self.languages.values():
            spoken.prepare()
        with contextlib.ExitStack() as stack:
            stack.enter_context(_terminable())
            stack.enter_context(self._workers)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def measure(self, quiet: bool) -> None:
        """What every row executes without a fault: from the cache, or asked now."""
        wanted = [(name, row) for name in self.languages for row in self.rows]
        left = [
            Measure(name, row, REACH)
            for name, row in wanted
            if not self._cache.has(self.languages[name], row, REACH)
        ]
        with Bar(len(left), (), "rows without a fault", quiet=quiet or not left) as bar:
            for _ in self._workers.run(left):
                bar.count("rows without a fault")
        for name, row in wanted:
            found = self._cache.get(self.languages[name], row, REACH)
            assert found is not None  # it was measured just now
            self._baselines.setdefault(name, []).append(found)

    @property
    def alarms(self) -> dict[str, str]:
        """Cases that fail without a fault, of those that were asked so."""
        found: dict[str, str] = {}
        for name, of_rows in self._baselines.items():
            for reach in of_rows:
                known = self._cache.get(self.languages[name], reach.row, KNOWN[self.budget])
                found |= reach.alarms | (known.alarms if known else {})
        return found

    def rows_of(self, fault: Fault) -> tuple[str, ...]:
        """The rows that are asked of a fault, in the order of asking: they execute its place."""
        place = self.languages[fault.language].place(fault)
        key = f"{fault.language}:{place}"
        if key not in self._rows:
            found = reaching(place, self._baselines[fault.language])
            self._rows[key] = _some(found, self._most)
        return self._rows[key]

    def _others(self, rows: tuple[str, ...]) -> tuple[str, ...]:
        """The rows that follow those whose smoke cases execute a place, ops before the rest."""
        if self._most is not None:
            return ()
        return tuple(sorted((r for r in self.rows if r not in rows), key=lambda r: "." in r))

    def first_asked_of(self, ops: Sequence[str], faults: Sequence[Fault]) -> list[Fault]:
        """The faults whose first row is one of ops; no op: all."""
        if not ops:
            return list(faults)
        chosen = set(select_ops(ops, registry.rows()))
        return [fault for fault in faults if chosen & set(self.rows_of(fault)[:1])]

    @contextlib.contextmanager
    def keeping(self, path: Path | None, resume: bool, command: Sequence[str]) -> Iterator[None]:
        """Outcomes go into a file as they come; resume: those there stand, where they still do."""
        devices = [spoken.device for spoken in self.languages.values()]
        self.header = {record.KEY: record.FORMAT} | self.asked | origin(command, devices)
        if self._known:
            self.header["known"] = len(self._known)
        if path is None:
            yield
            return
        if resume:
            earlier = record.read(path)
            record.require_asked("resume", path, earlier.header, self.asked)
            self.header |= {"begun": earlier.header.get("begun", earlier.header.get("started"))}
            self._earlier = earlier.outcomes
            self.know(earlier)
            writer = Writer(path, None, earlier.complete_bytes)
        else:
            writer = Writer(path, self.header)
        with writer:
            self._writer = writer
            yield
            self._writer = None

    def know(self, earlier: record.Record) -> None:
        """What found a fault in an earlier run is asked first, where one find is enough."""
        self._known |= {o.fault: o.case for o in earlier.outcomes.values() if o.case}

    def judge(
        self, faults: Sequence[Fault], *, quiet: bool = False, verbose: bool = False
    ) -> dict[str, Outcome]:
        """What becomes of each; of fewer where Ctrl-C ends it."""
        tasks, outcomes = [], {}
        for fault in faults:
            rows = self.rows_of(fault)
            spoken = self.languages[fault.language]
            others = self._others(rows)
            digest, wide = (
                of_fault(fault, spoken.root, asked, self._how) for asked in (rows, rows + others)
            )
            earlier = self._earlier.get(fault.id)
            if earlier is not None and earlier.digest in (digest, wide):
                outcomes[fault.id] = earlier
            else:
                known = self._known.get(fault.id, "")
                tasks.append(Judge(spoken.name, fault, rows, digest, others, wide, known))
        done = (outcome.state for outcome in outcomes.values())
        with Bar(len(faults), done, FOUND, quiet=quiet) as bar:
            try:
                for _, outcome in self._workers.run(tasks):
                    assert outcome is not None
                    outcomes[outcome.fault] = outcome
                    if self._writer is not None:
                        self._writer.line(outcome.to_json())
                    bar.count(outcome.state)
                    if verbose:
                        say(f"{outcome.state:9} {outcome.fault}  {outcome.case}")
            except KeyboardInterrupt:
                self.interrupted = True
        return outcomes


def _some(rows: tuple[str, ...], most: int | None) -> tuple[str, ...]:
    """The nearest rows, and as many of the others, which are built of more, evenly chosen."""
    if most is None or len(rows) <= most:
        return rows
    near, far = rows[: (most + 1) // 2], rows[(most + 1) // 2 :]
    left = most - len(near)
    return (*near, *(far[(i + 1) * len(far) // left - 1] for i in range(left)))


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """The first SIGTERM ends a run as Ctrl-C does; its report is still written."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
