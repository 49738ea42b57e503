"""Python faults in a process: a mutated module in the place of the real one, and what is executed.

Nothing on disk changes: a finder before all others gives the one module another source.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any, TypeVar

from verify.faults import python
from verify.faults.fault import Fault
from verify.faults.source import executed_as, planted
from verify.spec import UsageError

T = TypeVar("T")


def source_root() -> Path:
    """The folder that holds needle/, without importing it."""
    spec = importlib.util.find_spec("needle")
    if spec is None or spec.origin is None:
        raise UsageError("[setup] needle cannot be found: install it with `pip install .`")
    return Path(spec.origin).resolve().parents[1]


class _Loader(SourceFileLoader):
    """Loads a file whose text is another one than on disk; no cached bytecode."""

    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self._text = text
        self.executed = False

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._text, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        self.executed = True


class _Finder(MetaPathFinder):
    def __init__(self, name: str, path: Path, text: str) -> None:
        self.name, self.path = name, path
        self.loader = _Loader(name, str(path), text)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        package = [str(self.path.parent)] if self.path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, self.path, loader=self.loader, submodule_search_locations=package
        )


class Python:
    """The Python faults of the needle that this process would import."""

    name = "python"
    device = "cpu"
    stamp = ""

    def __init__(self, root: Path | None = None) -> None:
        self.root = source_root() if root is None else root
        built = any((self.root / "needle").glob("_cuda_sim.*"))
        self.beside = "cuda_sim" if built else ""
        self._finder: _Finder | None = None

    def faults(self) -> tuple[Fault, ...]:
        """All of them."""
        return python.faults(self.root)

    def prepare(self) -> None:
        """Nothing: the sources are read where they are."""

    def place(self, fault: Fault) -> str:
        """What must be executed for a fault to show, as `watched` names it."""
        return f"{fault.path}:{fault.function}"

    def enter(self) -> None:
        """In a process of its own, before needle is imported there."""
        if "needle" in sys.modules:
            raise RuntimeError("needle was imported before a fault could be planted")
        if str(self.root) not in sys.path:
            sys.path.insert(0, str(self.root))

    def plant(self, fault: Fault) -> None:
        """After enter: the fault is in what will be imported."""
        path = self.root / fault.path
        text = planted(path.read_text(encoding="utf-8"), fault)
        parts = Path(fault.path).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self._finder = _Finder(name, path, text)
        sys.meta_path.insert(0, self._finder)

    def require_planted(self) -> None:
        """RuntimeError unless the mutated module, and no other, is the one that was imported."""
        finder = self._finder
        module = sys.modules.get(finder.name) if finder else None
        loader = getattr(getattr(module, "__spec__", None), "loader", None)
        if finder is None or loader is not finder.loader or not finder.loader.executed:
            raise RuntimeError("the fault is not in the module that was imported")

    def watched(self, run: Callable[[], T]) -> tuple[T, frozenset[str]]:
        """What run gives, and the functions of needle that it executed."""
        codes: set[CodeType] = set()

        def see(frame: FrameType, event: str, argument: Any) -> None:
            if event == "call":
                codes.add(frame.f_code)

        sys.setprofile(see)
        try:
            result = run()
        finally:
            sys.setprofile(None)
        home = f"{self.root / 'needle'}/"
        return result, frozenset(
            f"needle/{code.co_filename.removeprefix(home)}:{executed_as(code.co_qualname)}"
            for code in codes
            if code.co_filename.startswith(home)
        )
