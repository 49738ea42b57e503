"""Worker processes of one device behind `submit(case id) -> Future[Verdict]`.

Each worker has a pipe of its own, so a worker that dies takes no lock and no message of another one
with it, and the case in its hands is known at once. A case that does not answer in time is killed.
Why not an existing pool: concurrent.futures dies as a whole with one worker; pebble tells who had a
task by messages that race with the death, and now and then reports a crash as a time-out.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import tempfile
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from verify import worker
from verify.spec import Status, Verdict
from verify.worker import Settings, SetupError

WARM_UP_SECONDS = 300.0  # a worker that has not imported torch by then never will
_STARTS = 3  # workers that may die in a row before they are ready
_AHEAD = 2  # cases a worker holds: the one it runs and the next, so that it never waits


@dataclass(slots=True)
class _Task:
    case_id: str
    future: Future[Verdict]


class _Process:
    """One worker process and the cases in its hands, the running one first."""

    def __init__(self, settings: Settings) -> None:
        context = multiprocessing.get_context("spawn")  # torch and CUDA do not survive a fork
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=worker.serve, args=(theirs, settings), daemon=True, name="needle-verify worker"
        )
        self.process.start()
        theirs.close()  # the worker's death closes the last copy: that is how it is noticed
        self.ready = False
        self.tasks: deque[_Task] = deque()
        self.so_far: Verdict | None = None  # of the running case, while it is being explained
        self.since = time.monotonic()  # when the warm-up or the running case began

    def overdue(self, limit: float) -> bool:
        """Whether the warm-up or the running case has taken longer than it may."""
        taken = time.monotonic() - self.since
        return taken > (limit if self.ready else WARM_UP_SECONDS) and (
            not self.ready or bool(self.tasks)
        )

    def kill(self) -> int:
        """End the process now; its exit code."""
        self.process.kill()
        return self.end()

    def end(self) -> int:
        """Wait for a process that closed its pipe; its exit code."""
        self.process.join(10)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        self.pipe.close()
        return self.process.exitcode or 0


class Pool:
    """`jobs` workers and a future per case; SetupError is its end only if no worker can start."""

    ahead = 64  # cases it is given beyond those done

    def __init__(self, jobs: int, settings: Settings, timeout: float) -> None:
        self.environment = settings.environment()
        self._jobs = jobs
        self._timeout = timeout
        self._crash_dir = tempfile.TemporaryDirectory(prefix="needle-verify-")
        self._settings = replace(settings, crash_dir=self._crash_dir.name)
        self._queue: deque[_Task] = deque()
        self._workers: list[_Process] = []
        self._failed_starts = 0
        self._failure = ""  # why no worker can start; nothing runs any more
        self._stopping = False
        self._wake, self._woken = multiprocessing.Pipe()
        self._thread = threading.Thread(target=self._manage, name="needle-verify pool", daemon=True)
        self._thread.start()

    def submit(self, case_id: str) -> Future[Verdict]:
        """The future verdict of a case; cancel() works until a worker holds it."""
        task = _Task(case_id, Future())
        self._queue.append(task)
        if self._thread.is_alive():
            self._wake.send_bytes(b"s")
        else:
            self._fail()
        return task.future

    def stop(self) -> None:
        """Kill the workers; futures without a verdict are cancelled or end with SetupError."""
        self._stopping = True
        if self._thread.is_alive():
            self._wake.send_bytes(b"x")
        self._thread.join()
        self._wake.close()
        self._woken.close()
        self._crash_dir.cleanup()

    def _manage(self) -> None:
        # Children inherit this thread's mask: Ctrl-C is for the main thread of the parent alone.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            while not self._stopping:
                self._turn()
        except BaseException as error:  # nobody may wait for a manager that is gone
            self._failure = f"{type(error).__name__}: {error}"
        for process in self._workers:
            process.kill()
            self._queue.extend(process.tasks)
        self._failure = self._failure or "the run was stopped"
        self._fail()

    def _turn(self) -> None:
        if self._failure:
            self._fail()
        else:
            while len(self._workers) < self._jobs:
                self._workers.append(_Process(self._settings))
            self._hand_out()
        self._listen()
        for process in [w for w in self._workers if w.overdue(self._timeout)]:
            self._late(process)

    def _fail(self) -> None:
        """End everything that waits."""
        while self._queue:
            future = self._queue.popleft().future
            if future.running() or future.set_running_or_notify_cancel():
                future.set_exception(SetupError(self._failure))

    def _hand_out(self) -> None:
        for depth in range(_AHEAD):  # everyone gets a first case before anyone gets a second
            for process in self._workers:
                while process.ready and len(process.tasks) == depth and self._queue:
                    task = self._queue.popleft()
                    # A case taken back from a dead worker is running already.
                    if task.future.running() or task.future.set_running_or_notify_cancel():
                        self._hand(task, process)

    def _hand(self, task: _Task, process: _Process) -> None:
        if not process.tasks:
            process.since = time.monotonic()
        process.tasks.append(task)
        with contextlib.suppress(OSError):  # it died: _listen sees the end of its pipe
            process.pipe.send_bytes(task.case_id.encode())

    def _listen(self) -> None:
        by_pipe: dict[Connection, _Process] = {w.pipe: w for w in self._workers}
        for pipe in wait([*by_pipe, self._woken], timeout=0.1):
            if pipe is self._woken:
                self._woken.recv_bytes()
                continue
            process = by_pipe[pipe]  # type: ignore[index]
            try:
                answer = process.pipe.recv()
            except (EOFError, OSError):
                self._died(process)
                continue
            if isinstance(answer, worker.SoFar):
                process.so_far, process.since = answer.verdict, time.monotonic()
            elif isinstance(answer, Verdict):
                task, process.so_far = process.tasks.popleft(), None
                process.since = time.monotonic()
                task.future.set_result(answer)
            elif isinstance(answer, SetupError):
                self._failure = str(answer)
            else:
                process.ready, self._failed_starts = True, 0
                self.environment |= answer

    def _died(self, process: _Process) -> None:
        """Charge the running case with the death, give the other back, forget the worker."""
        self._workers.remove(process)
        code = process.end()
        if not process.ready:
            self._failed_starts += 1
            if self._failed_starts >= _STARTS:
                self._failure = self._failure or f"it dies at its start: {how(code)}"
        elif process.tasks and code != worker.RETIRED:
            stack = worker.last_stack(self._settings.crash_dir, process.process.pid or 0)
            message = "\n".join([f"the worker died: {how(code)}", *stack])
            self._charge(process, Status.CRASH, message, 0.0)
        self._queue.extendleft(reversed(process.tasks))

    def _late(self, process: _Process) -> None:
        self._workers.remove(process)
        process.kill()
        if not process.ready:
            self._failure = f"it is not ready after {WARM_UP_SECONDS:g} s"
            return
        message = f"no answer within {self._timeout:g} s; the worker was killed and replaced"
        self._charge(process, Status.TIMEOUT, message, self._timeout)
        self._queue.extendleft(reversed(process.tasks))

    def _charge(self, process: _Process, status: Status, message: str, seconds: float) -> None:
        """The running case's end; one that died while it was explained keeps its verdict."""
        task = process.tasks.popleft()
        if process.so_far is not None:
            said = f"{process.so_far.message}\nexplaining it ended here: {message}"
            task.future.set_result(replace(process.so_far, message=said))
            return
        environment = dict(self.environment)
        task.future.set_result(
            Verdict(task.case_id, status, message=message, seconds=seconds, environment=environment)
        )


def how(exitcode: int) -> str:
    """A process's end in words: the signal's name or the exit code."""
    if exitcode >= 0:
        return f"exit code {exitcode}"
    try:
        name = signal.Signals(-exitcode).name
    except ValueError:
        name = f"signal {-exitcode}"
    return f"{name} (out of memory?)" if name == "SIGKILL" else name
