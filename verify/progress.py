"""The progress of a run on stderr: a bar with counts and the remaining time; silent when piped."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

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


class Watch:
    """Shows verdicts as they come: `with Watch(total, done) as watch: watch.show(verdict)`."""

    def __init__(self, total: int, done: Sequence[Verdict], *, quiet: bool) -> None:
        self._counts = Counter(v.status for v in done)
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
            "warming up the workers", total=total, completed=len(done)
        )

    def show(self, verdict: Verdict | None) -> None:
        """Count a verdict; None: none came for a while."""
        if verdict is None or self._progress.disable:
            return
        self._counts[verdict.status] += 1
        bad = {s: n for s, n in self._counts.items() if s is not Status.PASS}
        text = " ".join(
            f"{n} {s}" for s, n in [(Status.PASS, self._counts[Status.PASS]), *bad.items()]
        )
        self._progress.update(self._task, advance=1, description=text)

    def __enter__(self) -> Watch:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()
