"""Which functions of needle a case executes: what its verdict depends on.

cProfile's own recorder tells which code ran, at a cost that no case shows. What ran once and is
remembered (at import, under a cache) ran for every later case of the process, too.
"""

from __future__ import annotations

import cProfile
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import CodeType
from typing import TypeVar

T = TypeVar("T")
# Files and folders of needle that stand behind every verdict as they are: arrays and gradients,
# state that outlives a case (devices), and what threads execute, which the recorder does not see.
WHOLE = ("__init__.py", "backend_selection.py", "autograd/", "backend_ndarray/", "data/")
_FUNCTION = 0x1  # CO_OPTIMIZED: neither the body of a module nor that of a class
_MODULE = "<module>"


def is_whole(path: str) -> bool:
    """Whether a file, by its path in needle's folder, is taken as it is."""
    return path.startswith(WHOLE)


@dataclass(frozen=True, slots=True)
class Tracing:
    """What a worker must know to trace."""

    root: str  # needle's folder
    lasting: frozenset[str] = frozenset()  # path:name of functions whose results outlive a call


class Tracer:
    """Records the functions of needle that calls execute."""

    def __init__(self, tracing: Tracing) -> None:
        self._root = tracing.root.rstrip(os.sep) + os.sep
        self._roots = tracing.lasting
        self._profile = cProfile.Profile(subcalls=True, builtins=False)
        self._known: dict[int, tuple[CodeType, str, bool]] = {}  # equal code may be of other files
        self._lasting: set[str] = set()
        self._begun = False

    def start(self, function: Callable[[], T]) -> T:
        """Call what imports needle and warms up: all that it executes stands behind every case."""
        result, codes = self._recorded(function)
        self._begun = any(
            code.co_name == _MODULE and code.co_filename == f"{self._root}__init__.py"
            for code in codes.values()
        )
        self._lasting.update(self._names(codes.values()))
        return result

    def call(self, function: Callable[[], T]) -> tuple[T, tuple[str, ...] | None]:
        """What a call gives, and path:name of the functions behind it.

        None for these where needle was imported from elsewhere, or before.
        """
        result, codes = self._recorded(function)
        if not self._begun:
            return result, None
        return result, tuple(sorted(self._lasting | self._names(codes.values())))

    def _recorded(self, function: Callable[[], T]) -> tuple[T, dict[int, CodeType]]:
        profile = self._profile
        profile.clear()
        profile.enable()
        try:
            result = function()
        finally:
            profile.disable()
        codes: dict[int, CodeType] = {}
        callees: dict[int, list[CodeType]] = {}
        for entry in profile.getstats():
            if isinstance(entry.code, CodeType):
                codes[id(entry.code)] = entry.code
                below = [c.code for c in entry.calls or () if isinstance(c.code, CodeType)]
                callees[id(entry.code)] = below
        waiting = [code for code in codes.values() if self._seen(code)[1]]
        reached: dict[int, CodeType] = {}
        while waiting:  # whatever may have been called by what is remembered
            code = waiting.pop()
            if id(code) not in reached:
                reached[id(code)] = code
                waiting += callees.get(id(code), ())
        self._lasting.update(self._names(reached.values()))
        return result, codes

    def _names(self, codes: Iterable[CodeType]) -> set[str]:
        return {name for code in codes if (name := self._seen(code)[0])}

    def _seen(self, code: CodeType) -> tuple[str, bool]:
        """path:name of the outermost function, empty where there is none; whether it lasts."""
        if (known := self._known.get(id(code))) is not None:
            return known[1:]
        outer = code.co_qualname.partition(".<locals>")[0]
        below = code.co_filename.startswith(self._root)
        path = code.co_filename.removeprefix(self._root).replace(os.sep, "/") if below else ""
        # lambdas and comprehensions outside of functions belong to the body of their module
        named = bool(path) and code.co_flags & _FUNCTION and "<" not in outer
        name = f"{path}:{outer}" if named and not is_whole(path) else ""
        lasts = not code.co_flags & _FUNCTION or f"{code.co_filename}:{outer}" in self._roots
        self._known[id(code)] = code, name, lasts
        return name, lasts
