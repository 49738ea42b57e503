"""CUDA graphs: a step is captured once and replayed, its arrays updated in place.

Replaying does the same work on the same memory. So what a step changes from one time to the next
must live in arrays that it writes: `stored` does that for new values of old arrays, and `number`
for numbers that the host computes. `constant` is for arrays of the host's that never change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from needle import _core

if TYPE_CHECKING:
    from needle.backend_ndarray.device import BackendDevice

_local = threading.local()


class Graph:
    """The work of a `with` block on a CUDA device; `replay` does it as often as wanted.

    Capturing does not do the work: results exist after the first replay.
    Raises: RuntimeError for devices other than CUDA's, and inside where the host needs values.
    """

    def __init__(self, device: BackendDevice) -> None:
        self.device = device
        self._native = _core.Graph(device)
        self._checks: list[Callable[[], None]] = []
        self._refreshes: list[Callable[[], None]] = []

    def __enter__(self) -> Graph:
        if capturing():  # whatever device's
            raise RuntimeError("[graph] another graph cannot be entered while one is captured")
        self._native.begin()
        _local.graph = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if getattr(_local, "graph", None) is not self:
            raise RuntimeError("[graph] a capture ends in the thread that began it")
        _local.graph = None
        if kind is None:
            self._native.end()
        else:
            self._native.abandon()
            self._checks.clear()
            self._refreshes.clear()

    def replay(self) -> None:
        """Queues the captured work in the current stream."""
        if capturing():
            raise RuntimeError("[replay] a graph cannot be replayed while one is captured")
        for check in self._checks:  # all of them first: a replay that is refused changes nothing
            check()
        self._native.await_last()
        for refresh in self._refreshes:
            refresh()
        self._native.replay()

    def check_replay(self, check: Callable[[], None]) -> None:
        """Calls check before every replay, which it refuses by an error, and changes nothing."""
        self._checks.append(check)

    def before_replay(self, refresh: Callable[[], None]) -> None:
        """Calls refresh before every replay, in the order given and behind all checks."""
        self._refreshes.append(refresh)

    def number(self, value: Callable[[], float], dtype: str) -> _core.NDArray:
        """A 0-d array that holds value() whenever the graph is replayed."""
        held = self._native.empty((), dtype)
        self.before_replay(lambda: held.fill(value()))
        return held

    def constant(self, values: npt.NDArray[np.float64], dtype: str) -> _core.NDArray:
        """An array that holds the values, from the first replay on."""
        held = self._native.empty(values.shape, dtype)
        waiting = [values]

        def fill() -> None:
            if waiting:
                held[...] = values
                waiting.clear()

        self.before_replay(fill)
        return held


def current_graph(device: BackendDevice) -> Graph | None:
    """The graph of that device which this thread captures."""
    graph: Graph | None = getattr(_local, "graph", None)
    return graph if graph is not None and graph.device == device else None


def stored(old: _core.NDArray, new: _core.NDArray) -> _core.NDArray:
    """What takes the place of old: new, in a captured step old itself with new's values."""
    if current_graph(old.device) is None:
        return new
    old[...] = new
    return old


def constant(values: npt.NDArray[np.float64], like: _core.NDArray) -> _core.NDArray:
    """The host's values as an array of like's dtype and device; they may be captured."""
    graph = current_graph(like.device)
    if graph is None:
        return _core.NDArray(values, device=like.device, dtype=like.dtype)
    return graph.constant(values, like.dtype)


def refuse_in_capture(op: str, device: BackendDevice, why: str) -> None:
    """RuntimeError where a step is captured that needs the host, for the reason why."""
    if current_graph(device) is not None:
        raise RuntimeError(f"[{op}] {why}: that cannot be captured, do it before or after")


def capturing() -> bool:
    """Whether this thread captures a graph, of whatever device."""
    return getattr(_local, "graph", None) is not None


def number(value: Callable[[], float], like: _core.NDArray) -> _core.NDArray | float:
    """value(), in a captured step an array that holds what it is at every replay."""
    graph = current_graph(like.device)
    return value() if graph is None else graph.number(value, like.dtype)
