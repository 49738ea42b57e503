"""Times a pair: both sides in turn, so that what disturbs one disturbs the other."""

from __future__ import annotations

import statistics
import time
from typing import Any

from verify.bench.definitions import Pair
from verify.bench.limits import Limits, applied
from verify.bench.place import PLACE, Call


def repeats_for(call: Call, target: float) -> int:
    """How many calls take `target` seconds."""
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
    limits: Limits | None = None,
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
        "op": pair.op,
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
    row |= {"flops": pair.flops, "bytes": pair.bytes}
    if pair.whole_step:
        row["needle_peak_bytes"] = PLACE.peak(sides["needle"])
        row["torch_peak_bytes"] = PLACE.peak(sides[best])
    if limits and (pair.flops or pair.bytes):
        least, name = applied(limits, pair.dtype, pair.flops, pair.bytes, pair.moves)
        row |= {"limit": name, "share_of_limit": least / median}
    return row
