"""Inside a worker process: warm up once, then answer one case id after the other.

The case function is named as "module:function" and takes a Case to a Verdict. Its module may define
`warm_up(threads: int) -> dict[str, str]`: called once per process, after the thread counts of the
numeric libraries are pinned in the environment. What it returns (instruction set, ...) is recorded
in every verdict, for replay to restore. And `in_worker(tell, folder)`: what it tells stands if the
process ends before its verdict comes, and the folder is for files that explain failures.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import gc
import importlib
import os
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from verify import registry, targets
from verify.spec import (
    MALFORMED,
    Case,
    Status,
    UsageError,
    Verdict,
    with_plugins,
)
from verify.tracing import Tracer, Tracing

RETIRED = 76  # exit code of a worker that asks to be replaced
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class SetupError(Exception):
    """No worker can start: torch or the target cannot be imported, the device cannot be used."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a worker is given at its start."""

    case_function: str = "verify.checks:run_case"
    threads: int = 1
    isa: str = ""  # instruction set to restore, as verdicts record it; empty: the library chooses
    crash_dir: str = ""  # where a dying worker leaves its Python stack
    target: str = ""  # where somebody else's needle lies; empty: ours is judged
    failures: str = ""  # folder for files that explain failures; empty: none
    plugins: tuple[str, ...] = ()  # files of rows
    tracing: Tracing | None = None  # how to tell what is behind a verdict; None: it is not asked

    def environment(self) -> dict[str, str]:
        """What every verdict records, before the library under test adds to it."""
        target = {"target": self.target} if self.target else {}
        return {"threads": str(self.threads)} | target | with_plugins(self.plugins)


@dataclass(frozen=True, slots=True)
class SoFar:
    """A verdict that stands unless a better one comes."""

    verdict: Verdict


def serve(pipe: Connection, settings: Settings) -> None:
    """A worker's life: say the environment or SetupError, then a verdict for each id received."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it stops its workers
    tracer = None if settings.tracing is None else Tracer(settings.tracing)
    try:
        run_case, environment = _start(settings, pipe, tracer)
    except BaseException as error:
        with contextlib.suppress(OSError):
            pipe.send(SetupError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))
        return
    with contextlib.suppress(EOFError, OSError):  # the run is over, or its process was killed
        pipe.send(environment)
        _answer_all(pipe, run_case, environment, tracer)


def _answer_all(
    pipe: Connection,
    run_case: Callable[[Case], Verdict],
    environment: dict[str, str],
    tracer: Tracer | None,
) -> None:
    while True:
        case_id = pipe.recv_bytes().decode()
        ask = functools.partial(answer, case_id, run_case, environment)
        if tracer is None:
            verdict = ask()
        else:
            verdict, reached = tracer.call(ask)
            verdict.reached = reached
        pipe.send(verdict)
        # After a CUDA error the context is lost and later calls fail: others get a new process.
        if verdict.status is Status.FAIL and "CUDA" in verdict.message:
            os._exit(RETIRED)


def _start(
    settings: Settings, pipe: Connection, tracer: Tracer | None
) -> tuple[Callable[[Case], Verdict], dict[str, str]]:
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(settings.threads)))
    if settings.isa:
        # Recorded as "x86-64-v3", asked for as "v3".
        os.environ["NEEDLE_ISA"] = settings.isa.removeprefix("x86-64-")
    if settings.crash_dir:
        # Opened for the life of the process: the handler writes to it when a signal arrives.
        faulthandler.enable(_crash_path(settings.crash_dir, os.getpid()).open("w"))
    if settings.target:  # before its plugins, whose needle it is
        targets.use(settings.target)
    if settings.plugins:
        registry.use_plugins(settings.plugins, elsewhere=bool(settings.target))
    module_name, _, name = settings.case_function.partition(":")
    module = importlib.import_module(module_name)
    run_case: Callable[[Case], Verdict] = getattr(module, name)
    environment = settings.environment()
    if hasattr(module, "warm_up"):
        warm_up = functools.partial(module.warm_up, settings.threads)  # imports needle
        environment |= warm_up() if tracer is None else tracer.start(warm_up)
    gc.collect()
    gc.freeze()  # torch's objects live on: without them a collection takes no time
    if hasattr(module, "in_worker"):
        module.in_worker(lambda verdict: _tell(pipe, verdict, environment), settings.failures)
    return run_case, environment


def _tell(pipe: Connection, verdict: Verdict, environment: dict[str, str]) -> None:
    pipe.send(SoFar(replace(verdict, environment=environment | verdict.environment)))


def answer(
    case_id: str, run_case: Callable[[Case], Verdict], environment: dict[str, str]
) -> Verdict:
    """The verdict of the case that `case_id` names, rebuilt from the id alone."""
    began = time.perf_counter()
    try:
        verdict = run_case(Case.parse(case_id))
    except UsageError as error:  # --replay refuses it; in a plan, the registry made it
        verdict = Verdict(case_id, Status.FAIL, attribution=MALFORMED, message=str(error))
    except Exception as error:  # a bug of verify itself; still one verdict, never a lost case
        verdict = Verdict(
            case_id,
            Status.FAIL,
            attribution="verify itself",
            message=f"the check raised {type(error).__name__}: {error}\n{traceback.format_exc()}",
        )
    verdict.seconds = verdict.seconds or time.perf_counter() - began
    verdict.environment = environment | verdict.environment
    return verdict


def last_stack(folder: str, pid: int) -> list[str]:
    """The Python frames of a check in which the process `pid` died, innermost first."""
    path = _crash_path(folder, pid)
    text = path.read_text(errors="replace") if path.exists() else ""
    frames = [line for line in text.splitlines() if line.startswith("  File ")]
    own = next((i for i, line in enumerate(frames) if __file__ in line), len(frames))
    return frames[:own]


def _crash_path(folder: str, pid: int) -> Path:
    return Path(folder, f"crash-{pid}.txt")
