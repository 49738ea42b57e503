"""What an invocation runs with: the rows, the devices that work here, the workers.

Whatever imports numpy, torch or the subject is imported where it is needed, not here.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verify.output import tell
from verify.spec import COMPUTED, Case, UsageError, Verdict

if TYPE_CHECKING:
    from verify.dask_engine import Cluster
    from verify.plan import Registry
    from verify.runner import Runner
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


class Setup:
    """Of one invocation."""

    def __init__(self, options: argparse.Namespace, parts: Parts) -> None:
        from verify import registry

        self.options = options
        self.parts = parts
        self.registry: Registry = parts.registry or registry
        self.cluster: Cluster | None = None
        self.target: Found | None = None  # somebody else's needle

    @contextlib.contextmanager
    def started(self) -> Generator[None, None, None]:
        """With the rows of plugins, somebody else's needle and other machines, where asked for."""
        if self.options.target or self.options.resume or self.options.replay:
            from verify import foreign

            self.target = foreign.look(self.options)
        self.use_plugins(())
        with contextlib.ExitStack() as stack:
            if self.options.executor is not None and not self.options.list:
                from verify.dask_engine import Cluster

                cluster = Cluster(self.options.executor, self.options.jobs or 2)
                self.cluster = stack.enter_context(cluster)
            yield

    def use_plugins(self, recorded: Sequence[str]) -> None:
        """The rows of --plugin, and of what the run to go on with, or to replay, was given."""
        from verify import registry

        paths = [*(self.options.plugin or ()), *recorded]
        registry.use_plugins(paths, elsewhere=self.target is not None)
        if self.target is not None:
            from verify import foreign
            from verify.registry.course import CourseRegistry

            added = foreign.added(self.target, registry.given_plugins())
            self.registry = CourseRegistry(self.target, added)

    # --- devices

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

    # --- workers

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
