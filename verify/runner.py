"""Runs a plan's cases: a pool of workers per device, a verdict for every case, Ctrl-C keeps them.

The engine is anything with `submit(case id) -> Future[Verdict]` and `stop()`.
"""

from __future__ import annotations

import math
import os
import queue
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from verify.pool import Pool
from verify.spec import Case, Verdict
from verify.worker import Settings, SetupError


class Engine(Protocol):
    """Where the cases of one device run; it wants `ahead` cases in hand, few enough to drop."""

    ahead: int

    def submit(self, case_id: str) -> Future[Verdict]:
        """The future verdict of a case."""

    def stop(self) -> None:
        """End everything now."""


EngineMaker = Callable[[int, Settings, float], Engine]


def default_jobs(device: str) -> int:
    """Workers for a device: one for a GPU, two for devices of the host where it has two cores."""
    return 1 if device == "cuda" else min(2, os.cpu_count() or 1)


class Runner:
    """One run: iterate over `verdicts()`.

    Ctrl-C ends it early, SIGTERM at once (`interrupted` is true); so does the end of its time,
    `seconds` after the first verdict: what runs then still gets its own (`time_is_up` is true).
    """

    def __init__(
        self,
        cases: Sequence[Case],
        settings: Settings | None = None,
        *,
        jobs: int | None = None,
        timeout: float = 60.0,
        engine: EngineMaker = Pool,
        seconds: float | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.jobs = jobs
        self.timeout = timeout
        self.interrupted = False
        self.time_is_up = False
        self._terminated = False
        self._seconds = seconds
        self._engine = engine
        self._waiting: dict[str, deque[str]] = {}
        for case in cases:
            self._waiting.setdefault(case.device, deque()).append(case.id)
        self._flying: dict[str, set[Future[Verdict]]] = {d: set() for d in self._waiting}
        self._done: queue.SimpleQueue[tuple[str, Future[Verdict]]] = queue.SimpleQueue()

    def verdicts(self) -> Iterator[Verdict | None]:
        """Verdicts as they come, None after a while without; SetupError if no worker can start."""
        engines: dict[str, Engine] = {}
        end = math.inf
        with self._interruptible():
            try:
                for device, waiting in self._waiting.items():
                    jobs = min(self.jobs or default_jobs(device), len(waiting))
                    engines[device] = self._engine(jobs, self.settings, self.timeout)
                while any(self._waiting.values()) or any(self._flying.values()):
                    self.time_is_up = self.time_is_up or time.monotonic() >= end
                    for device, engine in engines.items():
                        if self.interrupted or self.time_is_up:
                            self._drop(device)
                        else:
                            self._fill(device, engine)
                    verdict = self._next()
                    if self._terminated:  # the workers may have had the signal too: no crash
                        return
                    if verdict is not None and end == math.inf and self._seconds is not None:
                        end = time.monotonic() + self._seconds  # the workers' start takes none
                    yield verdict
            except KeyboardInterrupt:  # the second one
                self.interrupted = True
            finally:
                for engine in engines.values():
                    engine.stop()

    def _fill(self, device: str, engine: Engine) -> None:
        waiting, flying = self._waiting[device], self._flying[device]
        while waiting and len(flying) < engine.ahead:
            future = engine.submit(waiting.popleft())
            flying.add(future)
            future.add_done_callback(lambda f: self._done.put((device, f)))

    def _drop(self, device: str) -> None:
        self._waiting[device].clear()
        for future in list(self._flying[device]):
            future.cancel()  # those that run go on to their verdict

    def _next(self) -> Verdict | None:
        try:
            device, future = self._done.get(timeout=0.2)  # short: signals are handled in between
        except queue.Empty:
            return None
        self._flying[device].discard(future)
        if future.cancelled():
            return None
        try:
            return future.result()
        except SetupError as error:
            raise SetupError(f"[{device}] the workers cannot start: {error}") from error

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """First Ctrl-C: start nothing more, keep what is running; second, or SIGTERM: end now."""

        def on_interrupt(number: int, frame: FrameType | None) -> None:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True

        def on_terminate(number: int, frame: FrameType | None) -> None:
            self.interrupted = self._terminated = True

        handlers = {signal.SIGINT: on_interrupt, signal.SIGTERM: on_terminate}
        try:
            previous = {number: signal.signal(number, h) for number, h in handlers.items()}
        except ValueError:  # not the main thread, whose owner handles signals
            yield
            return
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
