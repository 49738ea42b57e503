"""What a benchmark's report holds, and the same as a page."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

import needle as ndl
from verify.bench.place import PLACE
from verify.results import origin


def provenance(command: Sequence[str]) -> dict[str, Any]:
    """By which command, of which versions, on which machine."""
    came = origin(command, ())
    return {
        "cpu": came["machine"]["cpu"],
        "gpu": torch.cuda.get_device_name() if PLACE.name == "cuda" else None,
        "isa": ndl._core.isa(),
        "needle": ndl.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": came["commit"],
        "command": " ".join(command),
    }


def means(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The geometric mean of the ratios, by number of threads."""
    return {
        f"{threads} thread(s)": statistics.geometric_mean(
            [r["ratio"] for r in rows if r["threads"] == threads]
        )
        for threads in sorted({r["threads"] for r in rows})
    }


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
        "precision of their dtype (no TF32), its fastest layout counts. Flops and bytes are the "
        "least that a call needs if every product is a sum over its terms (Winograd's convolutions "
        "do fewer) and every array is read or written once.",
        "",
        *(
            f"- geometric mean, {name}: {mean:.2f}"
            for name, mean in report["geometric_mean"].items()
        ),
        f"- {below} of {len(rows)} rows are below 1; {len(report['not_reached'])} were not reached",
        *(f"- failed: {text}" for text in report["failed"]),
        *_limits(report["limits"]),
        "",
        "| row | type | threads | ratio | quartiles | needle, us | torch, us | flops | bytes | "
        "share of limit | limit |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for r in sorted(rows, key=lambda r: r["ratio"]):
        low, high = r["ratio_quartiles"]
        share = f"{r['share_of_limit']:.0%}" if r.get("share_of_limit") else ""
        work = (f"{r[of]:.4g}" if r.get(of) else "" for of in ("flops", "bytes"))
        lines.append(
            f"| {r['name']} | {r['dtype']} | {r['threads']} | {r['ratio']:.2f} | {low:.2f} - "
            f"{high:.2f} | {r['needle_us']:.2f} | {r['torch_us']:.2f} | {' | '.join(work)} | "
            f"{share} | {r.get('limit', '')} |"
        )
    return "\n".join(lines) + "\n"


def _limits(of: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Peaks and bandwidths, a line for each number of threads."""
    for name, limits in of.items():
        told = ", ".join(
            f"{value / 1e9:.4g} {'GB/s' if k.startswith(('copy', 'read')) else 'GFLOP/s in'} {k}"
            for k, value in limits.items()
        )
        yield f"- limits, {name}: {told}"
