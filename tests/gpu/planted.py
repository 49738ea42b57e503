"""Which tool finds which planted bug: the simulator, compute-sanitizer, or a wrong result alone.

`python tests/gpu/planted.py [REPORTS]` builds tests/native/sim/planted twice, for the simulator and
for the GPU at hand, runs each bug under every finder, and writes planted.json and planted.md. Exit
1 when the simulator misses one, or a finder accuses a kernel that is right. Without a GPU or nvcc
the simulator's column alone is filled.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from verify.output import by_lines

ROOT = Path(__file__).resolve().parents[2]
PLANTED = ROOT / "tests/native/sim/planted"
SIMULATOR = ROOT / "csrc/cuda/sim"
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
ACCUSED = 9  # compute-sanitizer's exit code when it has found something
SECONDS = 20  # a kernel that waits for a thread that never comes is ended then
JOBS = os.cpu_count() or 1
RIGHT = "(all, right)"


def run(command: list[object], timeout: int = SECONDS) -> tuple[int, str]:
    """Exit code and output; -1 where it had to be ended, with all that it had started."""
    with subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return -1, ""
    return process.returncode, output


def build(command: list[object]) -> None:
    code, output = run(command, timeout=300)
    if code != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{output}")


def compile_all(folder: Path, compilers: dict[str, list[object]]) -> None:
    """One object file for each kernel and compiler, and the simulator's own."""
    commands: list[list[object]] = []
    for source in PLANTED.glob("*.cu"):
        for name, compiler in compilers.items():
            commands.append([*compiler, "-c", source, "-o", folder / f"{name}-{source.stem}.o"])
    host: list[object] = ["g++", "-std=c++20", "-O2", "-w", f"-I{SIMULATOR}"]
    for source in SIMULATOR.glob("*.cc"):
        commands.append([*host, "-c", source, "-o", folder / f"sim-{source.stem}.o"])
    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(build, commands))


def finders(folder: Path) -> dict[str, list[object]]:
    """The command line, without its arguments, of everything that may find a bug here."""
    options = ["-std=c++20", "-O1", "-g1", "-fsanitize=thread,alignment,bounds", "-w"]
    compilers: dict[str, list[object]] = {
        "sim": ["g++", *options, f"-I{SIMULATOR}", "-x", "c++"],
    }
    gpu = bool(shutil.which("nvcc") and shutil.which("nvidia-smi")) and run(["nvidia-smi"])[0] == 0
    if gpu:
        compilers["gpu"] = ["nvcc", "-std=c++20", "-O1", "-lineinfo", "-arch=native"]
    compile_all(folder, compilers)
    build(["g++", *sorted(folder.glob("sim-*.o")), "-o", folder / "sim"])
    found: dict[str, list[object]] = {"simulator": [folder / "sim"]}
    if gpu:
        build(["nvcc", *sorted(folder.glob("gpu-*.o")), "-o", folder / "gpu"])
        found["plain run"] = [folder / "gpu"]
        if shutil.which("compute-sanitizer") is not None:
            for tool in TOOLS:
                sanitizer = ["compute-sanitizer", "--tool", tool, "--error-exitcode", ACCUSED]
                found[tool] = [*sanitizer, folder / "gpu"]
    return found


def verdict(finder: str, code: int) -> str:
    """What a run says: "" when nothing is wrong."""
    if finder in TOOLS:  # the program's own exit code says what a plain run says
        return {ACCUSED: "found", -1: "hangs"}.get(code, "")
    return {0: "", 1: "wrong result", 2: "error", -1: "hangs"}.get(code, f"exit {code}")


def table(names: list[str]) -> tuple[list[str], dict[str, dict[str, str]]]:
    """The finders, and by bug and finder what was found."""
    with tempfile.TemporaryDirectory() as folder:
        commands = finders(Path(folder))
        tasks = [(name, finder) for name in [*names, RIGHT] for finder in commands]

        def judge(task: tuple[str, str]) -> str:
            name, finder = task
            right = name == RIGHT
            arguments = ["--all", "right"] if right else [name, "wrong"]
            return verdict(
                finder, run([*commands[finder], *arguments], 3 * SECONDS if right else SECONDS)[0]
            )

        with ThreadPoolExecutor(JOBS) as pool:
            verdicts = dict(zip(tasks, pool.map(judge, tasks), strict=True))
    rows = {
        name: {finder: verdicts[name, finder] for finder in commands} for name in [*names, RIGHT]
    }
    return list(commands), rows


def markdown(columns: list[str], rows: dict[str, dict[str, str]]) -> str:
    lines = ["| bug | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [
        f"| {name} | " + " | ".join(row[column] or "—" for column in columns) + " |"
        for name, row in rows.items()
    ]
    return "\n".join(lines) + "\n"


def bug_names() -> list[str]:
    lines = [
        line for path in sorted(PLANTED.glob("*.cu")) for line in path.read_text().splitlines()
    ]
    return sorted({line.split("// BUG ")[1].split(":")[0] for line in lines if "// BUG " in line})


def main(reports: str = "reports") -> int:
    columns, rows = table(bug_names())
    Path(reports).mkdir(parents=True, exist_ok=True)
    (Path(reports) / "planted.json").write_text(by_lines(rows))
    (Path(reports) / "planted.md").write_text(markdown(columns, rows))
    right = rows.pop(RIGHT)
    missed = [name for name, row in rows.items() if not row["simulator"]]
    accused = [finder for finder, said in right.items() if said]
    found = {column: sum(bool(row[column]) for row in rows.values()) for column in columns}
    sys.stdout.write(f"{len(rows)} bugs; found: {found}\n")
    if "plain run" not in columns:
        sys.stdout.write("no GPU or no nvcc: the simulator alone was asked\n")
    if missed or accused:
        sys.stdout.write(f"missed by the simulator: {missed}; accused though right: {accused}\n")
    return bool(missed or accused)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
