"""How long a run takes after a change: nothing, an op, a row, a kernel.

    python tests/evidence/incremental.py --json reports/incremental.json -- --device cpu,numpy \\
        --budget smoke

What follows `--` are options of needle-verify. needle and verify are copied to a folder and edited
there; verdicts go to a cache of its own. A kernel is rebuilt by other bytes of the native module:
whatever is compiled, the whole module is another one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from report import provenance

import verify
from verify.output import by_lines

OURS = Path(verify.__file__).parents[1]
# name of a step -> file, text, what takes its place; a step goes on from the one before
EDITS = {
    "exp edited": ("needle/ops/elementwise.py", "return a.exp()", "return (a).exp().compact()"),
    "softmax edited": ("needle/ops/softmax.py", "def softmax(", None),
    "conv edited": ("needle/ops/convolution.py", "def conv(", None),
    "a row of pooling edited": ("verify/registry/pooling.py", '"""', '"""Edited. '),
}


def statement_in(text: str, function: str) -> str:
    """The source with one more statement in a function, which changes nothing."""
    lines = text.splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if line.startswith(function))
    while not lines[at].rstrip().endswith(":"):
        at += 1
    indent = lines[at + 1][: len(lines[at + 1]) - len(lines[at + 1].lstrip())]
    return "".join([*lines[: at + 1], f"{indent}'edited'\n", *lines[at + 1 :]])


def run(folder: Path, options: list[str]) -> dict[str, Any]:
    """A run over the copy: seconds, and what was judged."""
    results = folder / "results.jsonl"
    command = [sys.executable, "-m", "verify", *options, "-q", "--json", str(results)]
    path = os.pathsep.join([str(folder), *filter(None, sys.path[1:])])
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": path, "XDG_CACHE_HOME": str(folder / "cache")},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cached = [json.loads(line)["cached"] for line in results.read_text().splitlines()[1:]]
    processor = sum(getattr(after, f) - getattr(before, f) for f in ("ru_utime", "ru_stime"))
    return {
        "exit": done.returncode,
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        "load_average": round(os.getloadavg()[0], 1),
        "judged": cached.count(False),
        "of_earlier_runs": cached.count(True),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("options", nargs="*", help="of needle-verify, after --")
    chosen = parser.parse_args()
    came = provenance("tests/evidence/incremental.py", None)  # of what is copied now
    steps: dict[str, Any] = {}

    def step(name: str, *more: str) -> None:
        steps[name] = run(folder, [*chosen.options, *more])
        sys.stderr.write(f"{name}: {steps[name]}\n")

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for name in ("needle", "verify"):
            ignored = shutil.ignore_patterns("__pycache__", "_cuda.*")
            shutil.copytree(OURS / name, folder / name, ignore=ignored)
        step("without a cache", "--no-cache")
        step("first run")
        step("nothing changed")
        for name, (file, before, after) in EDITS.items():
            path = folder / file
            text = path.read_text()
            assert before in text, path
            edited = text.replace(before, after, 1) if after else statement_in(text, before)
            path.write_text(edited)
            step(name)
        for path in (folder / "needle").glob("_core.*"):
            path.write_bytes(path.read_bytes() + b"rebuilt")
        step("a kernel rebuilt")
        cache = sum(p.stat().st_size for p in (folder / "cache").rglob("*") if p.is_file())
    report = {
        "provenance": came,
        "options": chosen.options,
        "steps": steps,
        "cache_bytes": cache,
    }
    chosen.json.write_text(by_lines(report))


if __name__ == "__main__":
    main()
