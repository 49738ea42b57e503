"""Where the pairs live and how a call is timed there: the cpu, or a CUDA device.

On CUDA both libraries queue their work on the legacy default stream, so one pair of events brackets
either's. A cold call finds the L2 cache full of something else.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

import needle as ndl
from verify.bench import limits

Call = Callable[[], object]


@dataclass
class Place:
    """A device of both libraries, and the sizes that are small, medium and large there."""

    name: str = "cpu"
    cold: bool = False
    large: bool = True  # False: nothing that takes long

    @property
    def needle(self) -> ndl.backend_ndarray.BackendDevice:
        return ndl.cuda() if self.name == "cuda" else ndl.cpu()

    @property
    def elements(self) -> tuple[int, ...]:
        """Sizes of arrays: a few elements, what a cache holds, what it does not."""
        sizes = (16, 1 << 20, 1 << 26) if self.name == "cuda" else (16, 1 << 16, 1 << 22)
        return sizes if self.large else sizes[:2]

    @property
    def batch(self) -> int:
        """Images of a training step."""
        return 128 if self.large else 4

    def seconds(self, call: Call, repeats: int) -> float:
        """Mean time of a call; on CUDA that of its work on the device, or of queueing it where
        that takes longer.
        """
        if self.name == "cuda":
            return self._cold(call, repeats) if self.cold else self._warm(call, repeats)
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - start) / repeats

    def _warm(self, call: Call, repeats: int) -> float:
        event: Any = torch.cuda.Event
        start, end = event(enable_timing=True), event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        for _ in range(repeats):
            call()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end)) * 1e-3 / repeats

    def _cold(self, call: Call, repeats: int) -> float:
        total = 0.0
        other = torch.empty(1 << 28, dtype=torch.uint8, device="cuda")  # several times the L2
        for _ in range(repeats):
            other.fill_(1)  # the call is queued meanwhile: launching it costs no device time
            total += self._warm(call, 1)
        return total / repeats

    def peak(self, call: Call) -> int | None:
        """Bytes that live at once during a call, of whichever library makes it; None where torch
        does not count.
        """
        if self.name != "cuda":
            return None
        call()
        self.needle.reset_peak()
        torch.cuda.reset_peak_memory_stats()
        before = self.needle.memory_stats()["peak_bytes"], torch.cuda.max_memory_allocated()
        call()
        after = self.needle.memory_stats()["peak_bytes"], torch.cuda.max_memory_allocated()
        return max(b - a for a, b in zip(before, after, strict=True))

    def limits(self, threads: int) -> dict[str, float]:
        """What this device reaches here and now: bytes copied a second (read and written), flops
        a second by dtype; on CUDA those of a matrix product.
        """
        if self.name != "cuda":
            return limits.cpu(threads)
        source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda").random_()
        target = torch.empty_like(source)
        found = {"copy": 2.0 * source.numel() / self._best(lambda: target.copy_(source))}
        for dtype, n in (
            ("float32", 8192),
            ("float64", 8192),
            ("float16", 8192),
            ("bfloat16", 8192),
        ):
            a = torch.randn(n, n, device="cuda", dtype=getattr(torch, dtype))
            found[dtype] = 2.0 * n**3 / self._best(functools.partial(torch.matmul, a, a))
        return found

    def _best(self, call: Call) -> float:
        call()
        return min(self._warm(call, 5) for _ in range(5))


PLACE = Place()  # ratios.py sets it before any pair is made
