"""Native faults: all of them compiled in at once, each behind a switch that is read at load.

The sources are copied and rewritten (native_plan); the build is kept by the content of what was
compiled. With no fault active it computes what the usual build computes.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from verify.faults.fault import Fault
from verify.faults.native_plan import plan, switched
from verify.spec import UsageError

T = TypeVar("T")

_SWITCH = Path(__file__).with_name("switch")  # what is compiled beside the sources
_VARIABLE = "NEEDLE_FAULT"  # read by switch/faults.cc
_NAMES = "faults.json"  # in a finished build: the ids, by number


def faults(source: Path) -> tuple[Fault, ...]:
    """Every native fault of a source tree, in a fixed order; needs no build.

    Raises: UsageError where a patch written by hand no longer fits the sources.
    """
    return tuple(planned.fault for planned in plan(source))


def build(source: Path, say: Callable[[str], None]) -> Path:
    """The folder to put first on sys.path for a needle with all native faults; builds it once.

    Raises: UsageError when the build tools are missing or the sources do not compile.
    """
    planned = plan(source)
    ids = [p.fault.id for p in planned]
    texts = _files(source, switched(source, planned))
    content = json.dumps([ids, sys.version, sorted(texts.items())])
    key = hashlib.blake2b(content.encode(), digest_size=10).hexdigest()
    folder = _cache() / f"native-{key}"
    if not (folder / _NAMES).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="building-") as work:
            _compile(source, Path(work), texts, len(ids), say)
            Path(work, "result", _NAMES).write_text(json.dumps(ids))
            with contextlib.suppress(OSError):  # another process may have finished it first
                Path(work, "result").rename(folder)
    return _package(source, folder)


def activate(fault: Fault, built: Path) -> None:
    """Make a fault active in this process; before needle is imported, since modules read it."""
    os.environ[_VARIABLE] = str(1 + _ids(built).index(fault.id))


def active(built: Path) -> str:
    """The id of the fault that the imported modules have active, empty without one."""
    number = int(_module("_core").needle_fault_active())
    return _ids(built)[number - 1] if number else ""


def watched(run: Callable[[], T], built: Path, modules: Iterable[str]) -> tuple[T, frozenset[str]]:
    """What run gives, and the ids of the faults whose places it executed in imported modules."""
    libraries = [_module(name) for name in modules]
    for library in libraries:
        library.needle_fault_watch(1)
    try:
        result = run()
    finally:
        for library in libraries:
            library.needle_fault_watch(0)
    names = _ids(built)
    marks = [ctypes.string_at(lib.needle_fault_marks(), len(names) + 1) for lib in libraries]
    return result, frozenset(
        name for number, name in enumerate(names, start=1) if any(seen[number] for seen in marks)
    )


def _module(name: str) -> ctypes.CDLL:
    """A module of needle that is loaded, as a library of C functions."""
    library = ctypes.CDLL(importlib.import_module(f"needle.{name}").__file__)
    library.needle_fault_marks.restype = ctypes.c_void_p
    return library


@functools.cache
def _ids(built: Path) -> tuple[str, ...]:
    """The ids in the order of their numbers, which begin at 1."""
    return tuple(json.loads((built.parent / _NAMES).read_text()))


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root, "needle-verify")


def _isa() -> str:
    """The instruction set that the faults are compiled for."""
    try:
        flags = set(re.findall(r"\w+", Path("/proc/cpuinfo").read_text()))
    except OSError:
        flags = set()
    return "v3" if {"avx2", "fma", "bmi2"} <= flags else "v2"


def _files(source: Path, faulty: dict[str, str]) -> dict[str, str]:
    """Every file of the build by its path, for one instruction set."""
    texts = {}
    for file in sorted([source / "CMakeLists.txt", *(source / "csrc").rglob("*")]):
        if file.is_file():
            path = file.relative_to(source).as_posix()
            texts[path] = faulty.get(path) or file.read_text()
    for file in sorted(_SWITCH.iterdir()):
        texts[f"switch/{file.name}"] = file.read_text()
    for folder in ("csrc/core", "csrc/cuda/sim"):  # what _core and _cuda_sim are made of
        texts[f"{folder}/faults.cc"] = texts["switch/faults.cc"]
    others = {"v2", "v3", "v4"} - {_isa()}
    for path, line in (
        ("CMakeLists.txt", r"\s*add_cpu_kernels\({}\b.*"),
        ("csrc/cpu/backend.cc", r'\s*\{{"{}", .*'),
    ):
        for isa in others:
            texts[path], count = re.subn(line.format(isa), "", texts[path])
            if count != 1:
                raise UsageError(f"[faults] {path} lists each instruction set once, got isa={isa}")
    return texts


def _compile(
    source: Path, work: Path, texts: dict[str, str], count: int, say: Callable[[str], None]
) -> None:
    for path, text in texts.items():
        file = work / "source" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for tool in ("cmake", "c++"):
        if shutil.which(tool) is None:
            raise UsageError(f"[faults] the build needs a tool, got none named {tool}")
    say(f"compiling needle with {count} native faults, once (some minutes) ...")
    _run(
        "cmake",
        *("-S", str(work / "source"), "-B", str(work / "build")),
        *(("-G", "Ninja") if shutil.which("ninja") else ()),
        "-DNEEDLE_CUDA=OFF",
        f"-DPython_EXECUTABLE={sys.executable}",
        f"-Dpybind11_DIR={_pybind11(source, work)}",
        # a copy of each loop for each switch would take minutes to compile
        f"-DCMAKE_CXX_FLAGS=-w -fno-unswitch-loops -DNEEDLE_FAULTS={count} -I{work}/source/switch",
    )
    _run(
        "cmake", "--build", str(work / "build"), "--parallel", "2", "--target", "_core", "_cuda_sim"
    )
    result = work / "result" / "modules"
    result.mkdir(parents=True)
    for module in (*(work / "build").rglob("_core*.so"), *(work / "build").rglob("_cuda_sim*.so")):
        shutil.copy(module, result / module.name)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).splitlines()
        errors = [line for line in lines if "error" in line.lower()] or lines[-20:]
        raise UsageError("[faults] the build failed\n" + "\n".join(errors[:20]))
    return done.stdout


def _pybind11(source: Path, work: Path) -> str:
    """Where pybind11's CMake files are; pip fetches it where there is none, as for any build."""
    asked = (sys.executable, "-m", "pybind11", "--cmakedir")
    found = subprocess.run(asked, capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return found.stdout.strip()
    needs = tomllib.loads((source / "pyproject.toml").read_text())["build-system"]["requires"]
    wanted = next(need for need in needs if need.startswith("pybind11"))
    target = work / "pybind11"
    _run(sys.executable, "-m", "pip", "install", "-q", "--target", str(target), wanted)
    return str(target / "pybind11" / "share" / "cmake" / "pybind11")


def _package(source: Path, folder: Path) -> Path:
    """A folder with `needle`: links to the Python files of the source tree, and the modules."""
    name = hashlib.blake2b(str(source.resolve()).encode(), digest_size=6).hexdigest()
    package = folder / name / "needle"
    package.mkdir(parents=True, exist_ok=True)
    wanted = {file.name: file for file in (folder / "modules").iterdir()}
    for file in (source / "needle").resolve().iterdir():
        if file.suffix != ".so" and file.name != "__pycache__":
            wanted[file.name] = file
    for link in package.iterdir():
        if link.is_symlink() and wanted.get(link.name) != link.readlink():
            link.unlink(missing_ok=True)
    for entry, file in wanted.items():
        with contextlib.suppress(FileExistsError):
            (package / entry).symlink_to(file)
    return package.parent
