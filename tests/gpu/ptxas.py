"""Registers, shared memory and spills of every CUDA kernel, as ptxas reports them.

    python tests/gpu/ptxas.py [--build FOLDER] [--reports FOLDER] [--jobs N] [NAME.cu ...]

Compiles csrc/cuda/*.cu as the build does, for all its architectures, and writes ptxas.json and
ptxas.md (to reports/). Needs nvcc and no GPU. Exit 1 when a kernel spills.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_ENTRY = re.compile(r"Compiling entry function '(?P<name>\w+)' for '(?P<target>\w+)'")
_FRAME = re.compile(
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads"
)
_USED = re.compile(r"Used (?P<registers>\d+) registers")
_SHARED = re.compile(r"(?P<shared>\d+) bytes smem")


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel for one architecture; sizes in bytes."""

    file: str
    family: str
    name: str
    target: str
    registers: int
    shared: int
    stack: int
    spill: int


def commands(build: Path) -> dict[str, list[str]]:
    """How a build folder compiles each .cu file; it is configured if it is none yet."""
    options = ["-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"]
    if not (build / "CMakeCache.txt").exists():
        options += ["-G", "Ninja", "-S", str(ROOT), "-DNEEDLE_CUDA=ON"]
        options += ["-DCMAKE_BUILD_TYPE=Release", f"-DPython_EXECUTABLE={sys.executable}"]
        found = subprocess.run(
            [sys.executable, "-m", "pybind11", "--cmakedir"], capture_output=True, text=True
        )
        if found.returncode != 0:
            raise SystemExit(f"[ptxas] {sys.executable} needs pybind11: pip install pybind11")
        options.append(f"-DCMAKE_PREFIX_PATH={found.stdout.strip()}")
    subprocess.run(["cmake", "-B", build, *options], check=True, stdout=sys.stderr)
    entries = json.loads((build / "compile_commands.json").read_text())
    return {
        Path(entry["file"]).name: shlex.split(entry["command"])
        for entry in entries
        if entry["file"].endswith(".cu")
    }


def compiled(command: list[str]) -> str:
    """What ptxas says. Raises: CalledProcessError when the file does not compile."""
    with tempfile.TemporaryDirectory() as folder:
        kept = list(command)
        for option in ("-MT", "-MF", "-o"):  # nothing goes to the build's folder
            if option in kept:
                kept[kept.index(option) + 1] = f"{folder}/{option}"
        done = subprocess.run([*kept, "-Xptxas=-v"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
    done.check_returncode()
    return done.stdout + done.stderr


def kernels(file: str, text: str) -> Iterator[Kernel]:
    """The kernels that ptxas speaks of. Raises: ValueError when it says less than it used to."""
    entries = list(_ENTRY.finditer(text))
    mangled = "\n".join(entry["name"] for entry in entries)
    names = subprocess.run(["c++filt"], input=mangled, capture_output=True, text=True, check=True)
    ends = [entry.start() for entry in entries[1:]] + [len(text)] * bool(entries)
    for entry, end, name in zip(entries, ends, names.stdout.splitlines(), strict=True):
        section = text[entry.end() : end]
        frame, used, shared = _FRAME.search(section), _USED.search(section), _SHARED.search(section)
        if frame is None or used is None:
            raise ValueError(f"no figures for {name}")
        bare = name.replace("(anonymous namespace)::", "").removeprefix("void ")
        yield Kernel(
            file=file,
            family=re.split(r"[<(]", bare)[0].rpartition("::")[2],
            name=bare,
            target=entry["target"],
            registers=int(used["registers"]),
            shared=int(shared["shared"]) if shared else 0,
            stack=int(frame["stack"]),
            spill=int(frame["stores"]) + int(frame["loads"]),
        )


def table(found: list[Kernel]) -> str:
    """A row per family: the most registers for each architecture, the most of everything else."""
    targets = sorted({k.target for k in found}, key=lambda t: int(t.removeprefix("sm_")))
    families: dict[tuple[str, str], list[Kernel]] = defaultdict(list)
    for kernel in found:
        families[kernel.file, kernel.family].append(kernel)
    registers = "".join(f" {target} |" for target in targets)
    lines = [
        "# What ptxas says of the CUDA kernels",
        "",
        "Written by `tests/gpu/ptxas.py`. Registers per architecture, shared memory, stack and",
        "spills in bytes: the most of a family's kernels.",
        "",
        f"| file | kernels | of them |{registers} shared | stack | spill |",
        f"|---|---|---:|{'---:|' * len(targets)}---:|---:|---:|",
    ]
    for (file, family), group in sorted(families.items()):
        most = [max(k.registers for k in group if k.target == target) for target in targets]
        figures = [len({k.name for k in group}), *most]
        figures += [max(k.shared for k in group), max(k.stack for k in group)]
        figures.append(max(k.spill for k in group))
        lines.append(f"| {file} | {family} | " + " | ".join(map(str, figures)) + " |")
    return "\n".join([*lines, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME.cu", help="these files only")
    parser.add_argument("--build", type=Path, help="a build folder; default: one for this run")
    parser.add_argument("--reports", type=Path, default=ROOT / "reports")
    parser.add_argument("--jobs", type=int, default=2, help="files compiled at once")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        every = commands(chosen.build or Path(folder))
        unknown = set(chosen.names) - set(every)
        if unknown:
            parser.error(f"no such file in the build: {', '.join(sorted(unknown))}")
        names = sorted(chosen.names or every)
        with ThreadPoolExecutor(chosen.jobs) as pool:
            texts = zip(names, pool.map(compiled, [every[n] for n in names]), strict=True)
            found = [kernel for name, text in texts for kernel in kernels(name, text)]
    (chosen.reports / "ptxas.md").write_text(table(found))
    rows = sorted(found, key=lambda k: (k.file, k.name, k.target))
    (chosen.reports / "ptxas.json").write_text(
        json.dumps([asdict(k) for k in rows], indent=0).replace('",\n"', '", "') + "\n"
    )
    spilling = [k for k in found if k.spill > 0]
    for k in spilling:
        sys.stderr.write(f"{k.file}: {k.name} spills {k.spill} bytes on {k.target}\n")
    sys.stdout.write(f"{len(found)} kernels, {len(spilling)} of them spill\n")
    return 1 if spilling else 0


if __name__ == "__main__":
    sys.exit(main())
