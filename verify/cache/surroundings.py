"""What every verdict of a device depends on besides the functions that its case executes.

Anything that is not listed here must not change a verdict; anything that cannot be listed (a GPU's
driver and libraries, rows of plugins, somebody else's needle, other machines) means no cache.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution, entry_points
from pathlib import Path

from verify.cache.sources import JUDGING, VERIFY, digest, of_modules
from verify.registry.plugins import GROUP

FORMAT = 1
MODULES = {"cpu": ("_core",), "numpy": ("_core",), "cuda_sim": ("_core", "_cuda_sim")}
_RUNNING = ("cache", "tracing", "worker")  # what asks the judges, and decides what may be kept
_PACKAGES = ("torch", "numpy", "ml_dtypes", "mpmath")
# Variables by which libraries, the loader and Python itself are told how to compute.
_VARIABLES = (
    "ASAN_", "ATEN_", "BLIS_", "DNNL_", "DYLD_", "GLIBC_", "GOMP_", "GOTO_", "KMP_", "LD_",
    "MALLOC_", "MKL_", "NEEDLE_", "NPY_", "NUMPY_", "OMP_", "ONEDNN_", "OPENBLAS_", "PYTHON",
    "PYTORCH_", "TORCH", "TSAN_", "UBSAN_", "VECLIB_",
)  # fmt: skip


def needle_folder() -> Path | None:
    """Where needle will be imported from; None where that is no plain folder."""
    spec = importlib.util.find_spec("needle")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]) if len(places) == 1 and Path(places[0]).is_dir() else None


def others() -> bool:
    """Whether installed packages bring rows, whose sources nobody lists."""
    return bool(entry_points(group=GROUP))


def files(root: Path) -> list[Path]:
    """Everything of ours that is hashed."""
    return [*root.rglob("*.py"), *root.rglob("*.so"), *root.rglob("*.pyd"), *VERIFY.rglob("*.py")]


def machine(threads: int) -> str:
    """The processor, the system, Python, installed packages, the environment."""
    told = (f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith(_VARIABLES))
    return digest(
        str(FORMAT),
        of_modules((*JUDGING, *_RUNNING)),
        str(threads),
        str(os.cpu_count()),
        _processor(),
        platform.platform(),
        sys.version,
        repr(sys.flags),
        _version("needle"),  # which verdicts record; its files are hashed one by one
        *map(_package, _PACKAGES),
        *told,
    )


def native(root: Path, device: str) -> str:
    """The modules that a device's results come from: a change of a kernel is one of theirs."""
    found = sorted(
        path
        for path in root.iterdir()
        if path.name.partition(".")[0].startswith(MODULES[device])
        and path.suffix in (".so", ".pyd")
    )
    return digest(*(part for path in found for part in (path.name, path.read_bytes())))


def _processor() -> str:
    """Its model and its features."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = ("model name", "flags", "Features", "CPU part")
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(names)))


def _version(name: str) -> str:
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return "none"


def _package(name: str) -> str:
    """An installed package by its version and its list of files with their hashes."""
    version = _version(name)
    listed = "" if version == "none" else distribution(name).read_text("RECORD") or ""
    return f"{name} {version} {digest(listed)}"


def hidden_edits(paths: Iterable[Path]) -> list[Path]:
    """Sources that were edited after their bytecode was written and that Python takes for unedited:
    it looks at size and whole seconds alone, and would run what is no longer there.
    """
    found = []
    for path in (p for p in paths if p.suffix == ".py"):
        compiled = Path(importlib.util.cache_from_source(str(path)))
        try:
            source, written = path.stat(), compiled.stat()
            with compiled.open("rb") as file:
                head = file.read(16)
        except (OSError, NotImplementedError):
            continue  # it will be compiled
        seconds, size = (int.from_bytes(head[i : i + 4], "little") for i in (8, 12))
        same = seconds == int(source.st_mtime) & 0xFFFFFFFF and size == source.st_size & 0xFFFFFFFF
        if same and written.st_mtime_ns < source.st_mtime_ns:
            found.append(path)
    return found


def stamps(paths: Iterable[Path]) -> dict[Path, tuple[int, ...]]:
    """When each was changed last: a file that is edited during a run must not be taken for its old
    or its new self.
    """
    found: dict[Path, tuple[int, ...]] = {}
    for path in paths:
        at = path.stat()
        found[path] = (at.st_mtime_ns, at.st_ctime_ns, at.st_size, at.st_ino)
    return found
