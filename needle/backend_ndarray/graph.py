"""CUDA graphs: a step is captured once and replayed, its arrays updated in place.

Replaying does the same work on the same memory. So what a step changes from one time to the next
must live in arrays that it writes: `stored` does that for new values of old arrays, and `number`
for numbers that the host computes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

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
        self._refreshes: list[Callable[[], None]] = []

    def __enter__(self) -> Graph:
        self._native.begin()
        _local.graph = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _local.graph = None
        if kind is None:
            self._native.end()
        else:
            self._native.abandon()
            self._refreshes.clear()

    def replay(self) -> None:
        """Queues the captured work in the current stream."""
        self._native.await_last()
        for refresh in self._refreshes:
            refresh()
        self._native.replay()

    def before_replay(self, refresh: Callable[[], None]) -> None:
        """Calls refresh before every replay, in the order in which they are given."""
        self._refreshes.append(refresh)

    def number(self, value: Callable[[], float], dtype: str) -> _core.NDArray:
        """A 0-d array that holds value() whenever the graph is replayed."""
        held = _core.empty((), dtype, self.device)
        self.before_replay(lambda: held.fill(value()))
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


def capturing() -> bool:
    """Whether this thread captures a graph, of whatever device."""
    return getattr(_local, "graph", None) is not None


def number(value: Callable[[], float], like: _core.NDArray) -> _core.NDArray | float:
    """value(), in a captured step an array that holds what it is at every replay."""
    graph = current_graph(like.device)
    return value() if graph is None else graph.number(value, like.dtype)
