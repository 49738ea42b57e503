"""The peak memory of a ResNet9 training step, needle's and torch's, each in a process of its own.

    python tests/evidence/memory.py --json reports/memory.json --markdown reports/memory.md

A process makes both models, notes what it holds, and then runs steps of one library alone: what its
resident memory grows by at most is that library's (getrusage, begun anew through
/proc/self/clear_refs). Beside it, what needle's allocator
counts: bytes of arrays that live at once, and of blocks that it keeps to use again.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from report import provenance, table

from verify.output import by_lines

SIZES = {"course": 0, "DAWNBench": 1}  # as verify.bench.training yields them
SIDES = ("needle", "torch")
STEPS = 3  # the optimizer's state is made in the first


def resident() -> int:
    """Bytes that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def largest() -> int:
    """The most bytes that this process has held since the peak was begun anew."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def one(side: str, size: str, batch: int, dtype: str, threads: int) -> dict[str, Any]:
    """What steps of one library took, in this process."""
    import torch

    import needle as ndl
    from verify.bench import training

    torch.set_num_threads(threads)
    ndl.set_num_threads(threads)
    training.products = lambda *_: 0.0  # it would run a step of torch
    pair = list(training.resnet(dtype, batch))[SIZES[size]]
    step = pair.needle if side == "needle" else pair.torch[""]
    device = ndl.cpu()
    device.empty_cache()
    ctypes.CDLL(None).malloc_trim(0)  # what making the models left
    device.reset_peak()
    Path("/proc/self/clear_refs").write_text("5")
    before, held = resident(), device.memory_stats()["live_bytes"]
    imported = largest()
    for _ in range(STEPS):
        step()
    found = {"peak_bytes": largest() - before, "bytes_before": before, "peak_before": imported}
    if side == "needle":
        stats = device.memory_stats()
        found["arrays_peak_bytes"] = stats["peak_bytes"] - held
        found["cached_bytes"] = stats["cached_bytes"]
    return found


def measure(batches: Sequence[int], dtype: str, threads: int) -> list[dict[str, Any]]:
    """A row for each size and batch."""
    rows = []
    for size in SIZES:
        for batch in batches:
            row: dict[str, Any] = {"model": f"ResNet9, {size}", "batch": batch, "dtype": dtype}
            for side in SIDES:
                told = json.dumps([side, size, batch, dtype, threads])
                command = [sys.executable, __file__, "--one", told]
                # PYTHONSAFEPATH would hide report.py, which lies beside this file.
                environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
                done = subprocess.run(
                    command, capture_output=True, text=True, check=False, env=environment
                )
                if done.returncode != 0:
                    raise RuntimeError(done.stderr)
                row[side] = json.loads(done.stdout)
            row["ratio"] = row["needle"]["peak_bytes"] / row["torch"]["peak_bytes"]
            sys.stderr.write(f"{row['model']}, batch {batch}: {row['ratio']:.2f} of torch's\n")
            rows.append(row)
    return rows


def page(data: dict[str, Any]) -> str:
    """The rows as a page."""

    def mebibytes(n: int) -> str:
        return f"{n / 2**20:,.1f}"

    origin = data["provenance"]
    head = (
        "model", "batch", "type", "needle, MiB", "torch, MiB", "of torch's",
        "needle's arrays at once, MiB",
    )  # fmt: skip
    lines = [
        (
            r["model"], str(r["batch"]), r["dtype"],
            *(mebibytes(r[side]["peak_bytes"]) for side in SIDES),
            f"{r['ratio']:.2f}", mebibytes(r["needle"]["arrays_peak_bytes"]),
        )
        for r in data["rows"]
    ]  # fmt: skip
    return (
        "# Peak memory of a training step\n\n"
        f"`{origin['command']}`; {origin['cpu']}; commit {str(origin['commit'])[:12]}; torch "
        f"{origin['versions']['torch']}. What resident memory grows by in {STEPS} steps at most, "
        f"each library in a process of its own.\n\n{table(head, lines)}\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[128], metavar="N")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.one is not None:
        sys.stdout.write(json.dumps(one(*json.loads(chosen.one))))
        return 0
    rows = measure(chosen.batch, chosen.dtype, chosen.threads)
    data = {"provenance": provenance("tests/evidence/memory.py", arguments), "rows": rows}
    if chosen.json is not None:
        chosen.json.write_text(by_lines(data))
    if chosen.markdown is not None:
        chosen.markdown.write_text(page(data))
    sys.stdout.write(page(data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
