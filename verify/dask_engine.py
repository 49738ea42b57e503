"""Runs the plan on a dask.distributed scheduler: `needle-verify --executor dask://host:port`.

Every dask worker keeps a Pool of its own, so that a crash or a hang costs one case there as it does
here; what a worker (or its machine) had in hand when it died, dask gives to another.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import multiprocessing
import threading
import uuid
from concurrent.futures import Future
from typing import Any

from verify.pool import Pool
from verify.spec import Status, UsageError, Verdict
from verify.worker import Settings

SCHEME = "dask://"
_PER_WORKER = 8  # cases in dask's hands for each of its threads
_pools: dict[tuple[str, Settings], Pool] = {}  # in a dask worker, by run
_one_at_a_time = threading.Lock()


class Cluster:
    """A connection to a scheduler; `dask://local` starts one with worker processes of its own."""

    def __init__(self, address: str, workers: int) -> None:
        """Raises: UsageError without distributed, or where no scheduler answers."""
        if not address.startswith(SCHEME) or address == SCHEME:
            raise UsageError(
                f"[executor] dask://HOST:PORT or dask://local, got executor={address!r}"
            )
        try:
            distributed: Any = importlib.import_module("distributed")
        except ImportError as error:
            raise UsageError(
                f"[executor] dask.distributed is not installed ({error}): "
                "pip install 'needle[dask]'"
            ) from error
        self._local: Any = None
        self._run = uuid.uuid4().hex
        where: Any = "tcp://" + address.removeprefix(SCHEME)
        try:
            if address == SCHEME + "local":
                where = self._local = distributed.LocalCluster(
                    n_workers=workers, threads_per_worker=1, dashboard_address=None
                )
            self.client: Any = distributed.Client(where, timeout="10s", set_as_default=False)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"[executor] no scheduler answers, got executor={address!r} ({error})"
            ) from error

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(Exception):  # a scheduler that has gone is no error any more
            self.client.run(_stop, self._run)
            self.client.close()
            if self._local is not None:
                self._local.close()

    def device_status(self, device: str) -> str | None:
        """None, or why a worker cannot use the device."""
        answer: str | None = self.client.submit(_device_status, device, pure=False).result()
        return answer

    def computed_dtypes(self, device: str) -> tuple[str, ...] | None:
        """The dtypes that the device of a worker computes in; None where it cannot be used."""
        found: tuple[str, ...] | None
        found = self.client.submit(_computed_dtypes, device, pure=False).result()
        return found

    def engine(self, jobs: int, settings: Settings, timeout: float) -> Engine:
        """What a Runner makes for each device; the cluster says how many cases run at once."""
        return Engine(self.client, self._run, settings, timeout)


class Engine:
    """The futures of a device's cases on the cluster."""

    def __init__(self, client: Any, run: str, settings: Settings, timeout: float) -> None:
        self._executor = client.get_executor(pure=False)
        self._arguments = (run, settings, timeout)
        self.ahead = _PER_WORKER * max(8, sum(client.nthreads().values()))

    def submit(self, case_id: str) -> Future[Verdict]:
        """The future verdict; CRASH where one case took several dask workers with it."""
        mine: Future[Verdict] = Future()
        theirs = self._executor.submit(_verdict, case_id, *self._arguments)

        def finish(done: Future[Verdict]) -> None:
            if done.cancelled():
                mine.cancel()
                return
            if not mine.set_running_or_notify_cancel():
                return
            error = done.exception()
            if error is None:
                mine.set_result(done.result())
            elif type(error).__name__ == "KilledWorker":
                mine.set_result(Verdict(case_id, Status.CRASH, message=f"dask gave up: {error}"))
            else:
                mine.set_exception(error)

        theirs.add_done_callback(finish)
        mine.add_done_callback(lambda f: theirs.cancel() if f.cancelled() else None)
        return mine

    def stop(self) -> None:
        """Cancel what waits; the cluster stops the pools."""
        self._executor.shutdown(wait=False)


# --- inside a dask worker


def _device_status(device: str) -> str | None:
    from verify import targets

    return targets.device_status(device)


def _computed_dtypes(device: str) -> tuple[str, ...] | None:
    from verify import targets

    return targets.computed_dtypes(device)


def _verdict(case_id: str, run: str, settings: Settings, timeout: float) -> Verdict:
    with _one_at_a_time:
        pool = _pools.get((run, settings))
        if pool is None:
            # dask's workers are daemonic, and multiprocessing lets those start no process
            multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
            pool = _pools[run, settings] = Pool(_threads(), settings, timeout)
            atexit.register(pool.stop)
    return pool.submit(case_id).result()


def _stop(run: str) -> None:
    with _one_at_a_time:
        for key in [key for key in _pools if key[0] == run]:
            _pools.pop(key).stop()


def _threads() -> int:
    return int(importlib.import_module("distributed").get_worker().state.nthreads)
