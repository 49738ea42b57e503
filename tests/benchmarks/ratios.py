"""needle against torch in one process: calls interleaved, equal threads, medians and quartiles,
written to a JSON.

    python tests/benchmarks/ratios.py --json reports/speed.json --threads 1 2 --family matmul

A ratio above 1 means that needle is faster. Absolute times drift with the machine; the ratio of
neighbours does not.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from definitions import Call, Pair
from families import FAMILIES, pairs
from place import PLACE

import needle as ndl


def repeats_for(call: Call, target: float) -> int:
    call()
    once = max(min(PLACE.seconds(call, 1) for _ in range(3)), 1e-7)
    return max(1, int(target / once))


def slower(call: Call, by: float) -> Call:
    """The call, and as long again times `by`: what the gate is to find."""

    def planted() -> object:
        start = time.perf_counter()
        result = call()
        end = start + (time.perf_counter() - start) * (1 + by)
        while time.perf_counter() < end:
            pass
        return result

    return planted


def compare(
    pair: Pair,
    rounds: int,
    target: float,
    slowdown: float = 0.0,
    limits: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Times every side in turn, `rounds` times; torch's fastest layout by median counts."""
    sides = {
        "needle": slower(pair.needle, slowdown) if slowdown else pair.needle,
        **{f"torch {k}".strip(): call for k, call in pair.torch.items()},
    }
    repeats = {name: repeats_for(call, target) for name, call in sides.items()}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, call in sides.items():
            times[name].append(PLACE.seconds(call, repeats[name]) / pair.nodes)
    best = min((n for n in times if n != "needle"), key=lambda n: statistics.median(times[n]))
    ratios = [t / o for t, o in zip(times[best], times["needle"], strict=True)]
    median = statistics.median(times["needle"])
    quartiles = statistics.quantiles(ratios, n=4, method="inclusive")
    row: dict[str, Any] = {
        "name": pair.name,
        "dtype": pair.dtype,
        "ratio": statistics.median(ratios),
        "ratio_quartiles": [quartiles[0], quartiles[2]],
        "ratios": [float(f"{r:.5g}") for r in ratios],  # of each round: what the gate compares
        "needle_us": median * 1e6,
        "torch_us": statistics.median(times[best]) * 1e6,
        "torch_layout": best.removeprefix("torch").strip(),
    }
    if pair.flops:
        row["needle_gflops"] = pair.flops / median / 1e9
    if pair.bytes:
        row["needle_gbytes"] = pair.bytes / median / 1e9
    if pair.whole_step:
        row["needle_peak_bytes"] = PLACE.peak(sides["needle"])
        row["torch_peak_bytes"] = PLACE.peak(sides[best])
    if limits:  # the larger of the two times that the device needs at least, by the time taken
        row["share_of_limit"] = (
            max(pair.bytes / limits["copy"], pair.flops / limits[pair.dtype]) / median
        )
    return row


def provenance() -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {
        "cpu": model,
        "gpu": torch.cuda.get_device_name() if PLACE.name == "cuda" else None,
        "isa": ndl._core.isa(),
        "needle": ndl.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit,
        "command": " ".join(sys.argv),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="where the rows go")
    parser.add_argument("--markdown", type=Path, help="the same to read, slowest first")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--cold", action="store_true", help="cuda: with nothing in the L2 cache")
    parser.add_argument("--seconds", type=float, help="stop after this time: what is left is told")
    parser.add_argument("--family", nargs="+", choices=sorted(FAMILIES))
    parser.add_argument("--dtype", nargs="+", default=["float32", "float64"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--target", type=float, default=0.01, help="seconds of one round of one side"
    )
    parser.add_argument(
        "--slowdown", type=float, default=0.0, help="plant one: 0.2 makes needle 20 %% slower"
    )
    options = parser.parse_args()
    PLACE.name, PLACE.cold = options.device, options.cold
    # Products of torch in the precision of their dtype: TF32 would be another computation.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    limits = PLACE.limits()
    end = time.monotonic() + (options.seconds or float("inf"))
    rows: list[dict[str, Any]] = []
    left: list[str] = []
    failed: list[str] = []
    for threads in options.threads if options.device == "cpu" else [1]:
        torch.set_num_threads(threads)
        ndl.set_num_threads(threads)
        for pair in pairs(options.family, tuple(options.dtype)):
            if time.monotonic() > end:
                left.append(f"{pair.name} {pair.dtype}")
                continue
            try:
                row = {"threads": threads} | compare(
                    pair, options.rounds, options.target, options.slowdown, limits
                )
            except Exception as error:  # the other rows count all the same; the exit code tells
                failed.append(f"{pair.name} {pair.dtype}: {type(error).__name__}: {error}")
                sys.stderr.write(f"{failed[-1]}\n")
                continue
            rows.append(row)
            low, high = row["ratio_quartiles"]
            sys.stdout.write(
                f"{threads} thread(s)  {row['dtype']}  {row['name']:<52}{row['ratio']:6.2f} x "
                f"({low:.2f} - {high:.2f})  {row['needle_us']:10.2f} us\n"
            )
            sys.stdout.flush()
    means = {
        f"{threads} thread(s)": statistics.geometric_mean(
            [r["ratio"] for r in rows if r["threads"] == threads]
        )
        for threads in sorted({r["threads"] for r in rows})
    }
    for name, mean in means.items():
        sys.stdout.write(f"geometric mean, {name}: {mean:.2f} x\n")
    report = {
        "provenance": provenance(),
        "limits": limits,
        "geometric_mean": means,
        "rows": rows,
        "not_reached": left,
        "failed": failed,
    }
    for path, text in (
        (options.json, json.dumps(report, indent=1) + "\n"),
        (options.markdown, markdown(report)),
    ):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if failed:
        sys.exit(1)


def markdown(report: Mapping[str, Any]) -> str:
    """The report as a page."""
    origin, rows = report["provenance"], report["rows"]
    below = sum(r["ratio"] < 1 for r in rows)
    lines = [
        "# Speed beside torch",
        "",
        f"{origin['gpu'] or origin['cpu']}; torch {origin['torch']}; commit {origin['commit']}; "
        f"`{origin['command']}`. Ratio: torch's time by needle's, median of rounds in which both "
        "took turns, with quartiles; above 1 needle is faster. Torch's products are in the "
        "precision of their dtype (no TF32), its fastest layout counts.",
        "",
        *(
            f"- geometric mean, {name}: {mean:.2f}"
            for name, mean in report["geometric_mean"].items()
        ),
        f"- {below} of {len(rows)} rows are below 1; {len(report['not_reached'])} were not reached",
        *(f"- failed: {text}" for text in report["failed"]),
        *(f"- limit, {name}: {value:.4g} a second" for name, value in report["limits"].items()),
        "",
        "| row | type | threads | ratio | quartiles | needle, us | torch, us | share of limit |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for r in sorted(rows, key=lambda r: r["ratio"]):
        low, high = r["ratio_quartiles"]
        share = f"{r['share_of_limit']:.0%}" if r.get("share_of_limit") else ""
        lines.append(
            f"| {r['name']} | {r['dtype']} | {r['threads']} | {r['ratio']:.2f} | {low:.2f} - "
            f"{high:.2f} | {r['needle_us']:.2f} | {r['torch_us']:.2f} | {share} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
