"""Processes that work on faults: each gets a task when it has done the one before."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from verify.faults.outcome import Outcome
from verify.faults.tasks import Judge, Measure, Setup
from verify.spec import UsageError

_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Workers:
    """`with Workers(jobs, setup) as workers: for task, result in workers.run(tasks)`."""

    def __init__(self, jobs: int, setup: Setup) -> None:
        self._jobs, self._setup = jobs, setup
        self._processes: dict[Connection, SpawnProcess] = {}

    def __enter__(self) -> Workers:
        context = multiprocessing.get_context("spawn")
        for _ in range(self._jobs):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, self._setup))
            process.start()
            theirs.close()  # the worker's death closes the last copy: that is how it is noticed
            self._processes[ours] = process
        return self

    def __exit__(self, *_: object) -> None:
        for pipe, process in self._processes.items():
            process.kill()  # what it forked dies with it
            process.join()
            pipe.close()
        self._processes = {}

    def run(
        self, tasks: Iterable[Measure | Judge]
    ) -> Iterator[tuple[Measure | Judge, Outcome | None]]:
        """Every task with its result, as they come. Raises: UsageError when a worker dies."""
        left = iter(tasks)
        busy: dict[Any, Measure | Judge] = {}
        for pipe in self._processes:
            self._hand(pipe, left, busy)
        while busy:
            ready: list[Any] = wait(list(busy))
            for pipe in ready:
                try:
                    result = pipe.recv()
                except (EOFError, OSError) as error:
                    raise UsageError(f"[faults] a worker died at {busy[pipe]}") from error
                if isinstance(result, Exception):
                    raise UsageError(f"[faults] a worker failed: {result}") from result
                yield busy.pop(pipe), result
                self._hand(pipe, left, busy)

    @staticmethod
    def _hand(pipe: Any, left: Iterator[Measure | Judge], busy: dict[Any, Measure | Judge]) -> None:
        task = next(left, None)
        if task is not None:
            pipe.send(task)
            busy[pipe] = task


def _serve(pipe: Connection, setup: Setup) -> None:
    """A worker's life."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they are the parent's: it ends its workers
        signal.signal(number, signal.SIG_IGN)
    os.environ.update(_THREADS)
    try:
        from verify.faults.engine import Engine, warm_up

        warm_up()
        engine = Engine(setup)
        while True:
            try:
                task = pipe.recv()
            except EOFError:
                return
            pipe.send(engine.do(task))
    except Exception as error:
        import traceback

        pipe.send(RuntimeError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))
