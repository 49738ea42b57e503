"""The progress of a run on stderr: a bar with counts and the remaining time; silent when piped."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from verify.spec import Status, Verdict


class Bar:
    """Counts words as they come: `with Bar(total, done, "PASS") as bar: bar.count(word)`."""

    def __init__(
        self,
        total: int,
        done: Iterable[str],
        good: str,
        *,
        quiet: bool,
        first: str = "warming up the workers",
    ) -> None:
        self._counts, self._good = Counter(done), good
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=quiet or not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task(
            first, total=total, completed=sum(self._counts.values())
        )

    def count(self, word: str) -> None:
        """One more."""
        self._counts[word] += 1
        if self._progress.disable:
            return
        others = [(w, n) for w, n in self._counts.items() if w != self._good]
        text = " ".join(f"{n} {w}" for w, n in [(self._good, self._counts[self._good]), *others])
        self._progress.update(self._task, advance=1, description=text)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()


class Watch(Bar):
    """Shows verdicts as they come: `with Watch(total, done) as watch: watch.show(verdict)`."""

    def __init__(self, total: int, done: Sequence[Verdict], *, quiet: bool) -> None:
        super().__init__(total, (v.status for v in done), Status.PASS, quiet=quiet)

    def show(self, verdict: Verdict | None) -> None:
        """Count a verdict; None: none came for a while."""
        if verdict is not None:
            self.count(verdict.status)
