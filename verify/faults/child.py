"""Cases in processes of their own, forked from one that has torch but never imports needle.

A process that dies or hangs costs the case that it ran; the cases after it get a new process.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from verify import checks, worker
from verify.faults.fault import Fault
from verify.faults.language import Language
from verify.pool import how
from verify.spec import Status
from verify.summary import WRONG

PEERS = "peers"  # the group of what other projects' checks are asked
_START_SECONDS = 60.0  # for needle's import
_MEMORY = 6 << 30  # bytes beyond those of the process at its start
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """A case, the group in which it is asked, and the seconds that it may take."""

    case: str
    group: str = ""
    limit: float = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one case."""

    case: str
    group: str
    status: Status
    seconds: float
    message: str = ""
    places: frozenset[str] = frozenset()  # executed, where that was watched

    @property
    def wrong(self) -> bool:
        """Whether it is a failure, a crash or a hang."""
        return self.status in WRONG

    @property
    def killed(self) -> bool:
        """Whether somebody else may have ended the process, as a kernel without memory does."""
        return self.status is Status.CRASH and self.message.startswith("SIGKILL")


class Stillborn(Exception):
    """needle cannot be imported with the fault."""


class Unready(Exception):
    """The fault is not in what was imported, or needle cannot be imported without one."""


def ask(
    language: Language,
    fault: Fault | None,
    asked: Sequence[Asked],
    *,
    stop: bool = False,
    watch: bool = False,
) -> Iterator[Answer]:
    """The answers, in order; raises Stillborn, and Unready, which says nothing of the fault.

    stop: a group ends with its first wrong answer, everything with a hang.
    """
    left = list(asked)
    while left:
        left = yield from _in_one_process(language, fault, left, stop, watch)


def _in_one_process(
    language: Language, fault: Fault | None, asked: Sequence[Asked], stop: bool, watch: bool
) -> Generator[Answer, None, list[Asked]]:
    """The answers of one process; what it left."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=_serve, args=(theirs, ours, language, fault, asked, stop, watch), daemon=True
    )
    process.start()
    theirs.close()
    running: Asked | None = None
    try:
        while True:
            began, limit = time.monotonic(), running.limit if running else _START_SECONDS
            late = not ours.poll(limit)
            try:
                message = None if late else ours.recv()
            except (EOFError, OSError):
                message = None
            if isinstance(message, (Stillborn, Unready)):
                raise message
            if isinstance(message, Answer):
                yield message
            elif isinstance(message, Asked):
                running = message
            elif message == "end":
                return []
            elif message is None:  # it hangs, or it is gone
                process.kill()
                process.join()
                text = f"no answer within {limit:g} s" if late else how(process.exitcode or 0)
                if running is None:
                    raise Unready(text) if fault is None else Stillborn(text)
                status = Status.TIMEOUT if late else Status.CRASH
                seconds = time.monotonic() - began
                yield Answer(running.case, running.group, status, seconds, text)
                rest = asked[asked.index(running) + 1 :]
                if stop:
                    rest = [a for a in rest if a.group != running.group and not late]
                return list(rest)
    finally:
        process.kill()
        process.join()
        ours.close()


def _serve(
    pipe: Connection,
    other: Connection,
    language: Language,
    fault: Fault | None,
    asked: Sequence[Asked],
    stop: bool,
    watch: bool,
) -> None:
    """A child's life: plants the fault, imports needle, answers."""
    other.close()
    _bound()
    kind: type[Exception] = Unready
    try:
        language.enter()
        if fault is not None:
            language.plant(fault)
            kind = Stillborn
        environment = checks.warm_up(1)
        kind = Unready
        if fault is not None:
            language.require_planted()
    except BaseException as error:
        pipe.send(kind(f"{type(error).__name__}: {error}"))
        return
    checks.in_worker(lambda verdict: None, "", 0)
    failed: set[str] = set()
    for question in asked:
        if stop and question.group in failed:
            continue
        pipe.send(question)

        run = partial(_answer, question, environment)
        answer, places = language.watched(run) if watch else (run(), frozenset())
        if answer.wrong:
            failed.add(question.group)
        pipe.send(replace(answer, places=places))
    pipe.send("end")


def _answer(question: Asked, environment: dict[str, str]) -> Answer:
    if question.group == PEERS:
        from verify.faults import peers

        return peers.answer(question)
    verdict = worker.answer(question.case, checks.run_case, environment)
    text = verdict.message if verdict.status in WRONG else ""
    return Answer(question.case, question.group, verdict.status, verdict.seconds, text)


def _bound() -> None:
    """It dies with its parent, prints nothing, leaves no core, takes no memory without end."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + _MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
