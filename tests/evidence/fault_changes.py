"""How long a run of faults takes after a change of one op: what it asks again.

    python tests/evidence/fault_changes.py --results FILE --json reports/resumed-faults.json

FILE is what `needle-verify faults --first --json FILE` left, of all languages. The
sources are copied and edited there, one file a step; each step goes on from the same results. The
cache is the user's: what was measured and built without a fault is taken from there, and
measured or built again where the edit asks for it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from report import provenance

import verify
from verify.faults import record
from verify.output import by_lines

ROOT = Path(verify.__file__).parents[1]
EDITS = {  # step -> language, file
    "an op": ("python", "needle/ops/softmax.py"),
    "a kernel of the cpu": ("cpu", "csrc/cpu/softmax.cc"),
    "a CUDA kernel": ("cuda_sim", "csrc/cuda/softmax.cu"),
}


def resumed(folder: Path, language: str, kept: Path, options: list[str]) -> dict[str, Any]:
    """A run that goes on in a copy of the results: seconds, and what was asked again."""
    before = kept.read_bytes().count(b"\n")
    path = os.pathsep.join([str(folder), *filter(None, sys.path[1:])])
    command = [sys.executable, "-m", "verify", "faults", "--language", language, "--first"]
    began = time.monotonic()
    done = subprocess.run(
        [*command, *options, "--resume", str(kept), "-q"],
        env=os.environ | {"PYTHONPATH": path},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    asked = kept.read_bytes().count(b"\n") - before
    if done.returncode not in (0, 1) or not asked:
        raise SystemExit(f"exit {done.returncode}, {asked} faults were asked again: no evidence")
    return {
        "exit": done.returncode,
        "seconds": round(time.monotonic() - began, 1),
        "asked_again": asked,
        "faults": len(record.read(kept).outcomes),
        "load_average": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("options", nargs="*", help="of needle-verify faults, after --")
    chosen = parser.parse_args()
    came, steps = provenance("tests/evidence/fault_changes.py", None), {}
    with tempfile.TemporaryDirectory() as made:
        folder, kept = Path(made, "source"), Path(made, "kept.jsonl")
        ignored = shutil.ignore_patterns("__pycache__", "_cuda.*", ".*", "venv", "build", "reports")
        shutil.copytree(ROOT, folder, ignore=ignored)
        for name, (language, file) in EDITS.items():
            shutil.copy(chosen.results, kept)
            path = folder / file
            text = path.read_text()
            path.write_text(f"{text}{'#' if language == 'python' else '//'} edited\n")
            steps[name] = {"file": file} | resumed(folder, language, kept, chosen.options)
            path.write_text(text)
            sys.stderr.write(f"{name}: {steps[name]}\n")
            chosen.json.write_text(by_lines({"provenance": came, "steps": steps}))  # so far


if __name__ == "__main__":
    main()
