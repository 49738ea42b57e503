"""Instructions of a few cpu kernels under callgrind: a measure of speed without noise.

    python tests/benchmarks/instructions.py            # beside what is on record
    python tests/benchmarks/instructions.py --update   # instructions.json again: review its diff

One thread, and an instruction set that valgrind knows (it has no AVX-512), so that the counts are
those of any machine. They depend on the compiler, whose name the record has. valgrind runs this
file again with --count, as a process that marks where each kernel begins and ends (mark.c).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import needle as ndl

HERE = Path(__file__).resolve().parent
RECORD = HERE / "instructions.json"
SETS = ("v2", "v3")
ALLOWED = 0.03


def kernels() -> dict[str, Callable[[], object]]:
    """What is counted; sizes at which what surrounds a kernel is little."""

    def full(*shape: int, dtype: str = "float32") -> ndl.backend_ndarray.NDArray:
        return ndl.backend_ndarray.full(shape, 0.5, dtype=dtype, device=ndl.cpu())

    square, square64 = full(192, 192), full(192, 192, dtype="float64")
    long, wide = full(1 << 18), full(512, 512)
    flat, flat64, rows = full(1 << 16), full(1 << 16, dtype="float64"), full(256, 256)
    images, weights = full(2, 16, 16, 32), full(3, 3, 32, 32)
    return {
        "gemm 192 float32": lambda: square @ square,
        "gemm 192 float64": lambda: square64 @ square64,
        "exp 65536 float32": flat.exp,
        "exp 65536 float64": flat64.exp,
        "sum 262144 float32": long.sum,
        "sum over axis 0 512x512 float32": lambda: wide.sum(0),
        "softmax 256x256 float32": lambda: rows.softmax((1,)),
        "conv 2x16x16x32 k3 32 float32": lambda: images.conv2d(weights, padding=1),
        "conv 2x16x16x32 k3 s2 32 float32": lambda: images.conv2d(weights, stride=2, padding=1),
        "transposed copy 256x256 float32": lambda: rows.permute((1, 0)).compact(),
    }


def count(library: str) -> None:
    """Runs every kernel between marks, once before so that memory and code are there."""
    mark = ctypes.CDLL(library)
    for name, call in kernels().items():
        call()
        mark.begin()
        call()
        mark.end(name.encode())


def compiler() -> str:
    """Which one made the kernels, as it wrote into the module."""
    assert ndl._core.__file__ is not None
    found = re.search(
        rb"(GCC: \([^\0]*|clang version [^\0]*)\0", Path(ndl._core.__file__).read_bytes()
    )
    return "unknown" if found is None else found[1].decode()


def missing() -> str:
    """Why nothing can be counted here, or nothing."""
    for tool in ("valgrind", "cc"):
        if shutil.which(tool) is None:
            return f"there is no {tool} here"
    made = subprocess.run(
        ["cc", "-fsyntax-only", str(HERE / "mark.c")], capture_output=True, check=False
    )
    return "valgrind's headers are missing" if made.returncode else ""


def counts(isa: str) -> dict[str, int]:
    """Instructions by kernel."""
    with tempfile.TemporaryDirectory() as folder:
        library, out = f"{folder}/mark.so", Path(folder, "out")
        subprocess.run(
            ["cc", "-O1", "-shared", "-fPIC", str(HERE / "mark.c"), "-o", library], check=True
        )
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no"]
        command += [f"--callgrind-out-file={out}", sys.executable, __file__, "--count", library]
        # One order of dicts and sets, one thread, and memory from where it always comes.
        fixed = {"NEEDLE_ISA": isa, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        done = subprocess.run(
            command, env=os.environ | fixed, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        texts = [path.read_text() for path in sorted(Path(folder).glob("out.*"))]
    found = {}
    for text in texts:
        name = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.M)
        total = re.search(r"^totals: (\d+)$", text, re.M)
        if name is not None and total is not None:
            found[name[1]] = int(total[1])
    return found


def differences(then: dict[str, int], now: dict[str, int]) -> list[str]:
    """What is no longer as recorded, a line each."""
    said = [f"{name}: not on record" for name in now.keys() - then.keys()]
    said += [f"{name}: on record, and not counted" for name in then.keys() - now.keys()]
    for name in sorted(now.keys() & then.keys()):
        change = now[name] / then[name] - 1
        if abs(change) > ALLOWED:
            said.append(
                f"{name}: {then[name]:,} instructions then, {now[name]:,} now ({change:+.1%})"
            )
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--update", action="store_true", help="write the record")
    parser.add_argument("--count", metavar="LIBRARY", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.count is not None:
        count(chosen.count)
        return 0
    if why := missing():
        sys.stderr.write(f"nothing is counted: {why}\n")
        return 2
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    then, now = record.get(compiler(), {}), {isa: counts(isa) for isa in SETS}
    said = []
    for isa in SETS:
        for name, n in now[isa].items():
            sys.stdout.write(f"x86-64-{isa}  {name:<36}{n:>12,}\n")
        said += [f"x86-64-{isa} {text}" for text in differences(then.get(isa, {}), now[isa])]
    if chosen.update:
        RECORD.write_text(json.dumps(record | {compiler(): now}, indent=1) + "\n")
        return 0
    sys.stderr.write("".join(f"{text}\n" for text in said))
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
