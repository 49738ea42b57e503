"""No instruction set's code can be linked in place of another's: kernel objects define nothing that
the linker merges.

Every file of csrc/cpu is compiled once per instruction set. A symbol that several objects define
weakly (an inline function, a template instance) is kept once, from whichever object comes first:
compiled for AVX-512, it would then run on processors without it. So what a kernel file emits weakly
must lie in its own namespace. Compiled without optimisation, where every inline function that is
used becomes a symbol.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

CPU = Path(__file__).resolve().parents[2] / "csrc" / "cpu"
KERNEL_FILES = sorted(path for path in CPU.glob("*.cc") if path.name != "backend.cc")
COMPILER = shutil.which(os.environ.get("CXX", "g++"))
NAMESPACE = "needle_cpu_symbols"

# What is weak and yet harmless: a pointer to data of the C++ runtime.
RUNTIME = ("DW.ref.",)


def weak_symbols(source: Path, folder: Path, *options: str) -> list[str]:
    """Weak and unique definitions of a file outside its namespace, demangled."""
    target = folder / "kernel.o"
    command = [
        str(COMPILER), "-std=c++20", "-O0", "-fopenmp", "-Wno-psabi", "-ffp-contract=off", *options,
        f"-DNEEDLE_NS={NAMESPACE}", '-DNEEDLE_ISA_NAME="symbols"', f"-I{CPU.parent}",
        "-c", str(source), "-o", str(target),
    ]  # fmt: skip
    subprocess.run(command, check=True, timeout=300)
    listing = subprocess.run(
        ["nm", str(target)], check=True, capture_output=True, text=True, timeout=60
    )
    found = []
    for line in listing.stdout.splitlines():
        kind, _, name = line[17:].partition(" ")
        own = NAMESPACE in name.split("Li", 1)[0]
        if kind in "WVu" and not own and not name.startswith(RUNTIME):
            found.append(name)
    return found


@pytest.mark.skipif(
    COMPILER is None or shutil.which("nm") is None, reason="needs a C++ compiler and nm"
)
@pytest.mark.parametrize("source", KERNEL_FILES, ids=lambda path: path.name)
def test_kernel_objects_emit_nothing_weak_outside_their_namespace(
    source: Path, tmp_path: Path
) -> None:
    options = ["-march=x86-64-v4"] if platform.machine() in ("x86_64", "AMD64") else []
    assert weak_symbols(source, tmp_path, *options) == []


@pytest.mark.skipif(
    COMPILER is None or shutil.which("nm") is None, reason="needs a C++ compiler and nm"
)
def test_a_shared_inline_function_is_found(tmp_path: Path) -> None:
    source = tmp_path / "leak.cc"
    source.write_text(
        "inline int shared(int x) { return x + 1; }\n"
        "namespace NEEDLE_NS { inline int own(int x) { return x + 1; }\n"
        "int kernel(int x) { return own(shared(x)); } }\n"
    )
    assert weak_symbols(source, tmp_path) == ["_Z6sharedi"]
