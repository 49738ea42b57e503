"""No instruction set's code is linked in place of another's: kernels share no merged symbol.

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
RUNTIME = "DW.ref."  # weak and yet harmless: pointers to data of the C++ runtime

pytestmark = pytest.mark.skipif(
    COMPILER is None or shutil.which("nm") is None, reason="needs a C++ compiler and nm"
)


def shared_symbols(source: Path, folder: Path, *options: str) -> list[str]:
    """Names that the file's object defines weakly or uniquely outside its namespace."""
    target = folder / "kernel.o"
    command = [str(COMPILER), "-std=c++20", "-O0", "-fopenmp", "-Wno-psabi", *options]
    command += [f"-DNEEDLE_NS={NAMESPACE}", '-DNEEDLE_ISA_NAME="symbols"', f"-I{CPU.parent}"]
    subprocess.run([*command, "-c", str(source), "-o", str(target)], check=True, timeout=300)
    listing = subprocess.run(["nm", str(target)], check=True, capture_output=True, text=True)
    found = []
    for line in listing.stdout.splitlines():
        kind, name = line[17:].split(" ", 1)
        # The namespace is the first name in the mangled form: _ZN18needle_cpu_symbols...
        first = name.lstrip("_").removeprefix("ZGV").removeprefix("Z").lstrip("ZNKTVIS")
        own = first.startswith(f"{len(NAMESPACE)}{NAMESPACE}")
        if kind in "WVu" and not own and not name.startswith(RUNTIME):
            found.append(name)
    return found


@pytest.mark.parametrize("source", KERNEL_FILES, ids=lambda path: path.name)
def test_kernel_objects_emit_nothing_weak_outside_their_namespace(
    source: Path, tmp_path: Path
) -> None:
    options = ["-march=x86-64-v4"] if platform.machine() in ("x86_64", "AMD64") else []
    assert shared_symbols(source, tmp_path, *options) == []


def test_a_shared_inline_function_is_found(tmp_path: Path) -> None:
    source = tmp_path / "leak.cc"
    source.write_text(
        "inline int shared(int x) { return x + 1; }\n"
        "template <class T> T other(T x) { return x; }\n"
        "namespace NEEDLE_NS { struct Own {}; inline int own(int x) { return x + 1; }\n"
        "int kernel(int x) { other(Own()); return own(shared(x)); } }\n"
    )
    found = shared_symbols(source, tmp_path)
    assert [name for name in found if "shared" in name]
    assert [name for name in found if "other" in name]
    assert len(found) == 2
