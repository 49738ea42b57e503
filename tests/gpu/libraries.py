"""What NVIDIA's libraries do for products on this GPU, in less than a minute.

`python tests/gpu/libraries.py`: which libraries were found, whether each product below was theirs
and is exact on small integers, and milliseconds beside torch, with TF32 off on both sides. Exits 1
on a wrong result. With NEEDLE_CUDA_LIBS=0 it times our own kernels.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import needle.backend_ndarray as nd

CUDA = nd.cuda()
PADDED = {"padding": (1, 1)}


def counts() -> tuple[int, int]:
    """Calls that the libraries computed, and that they left to our kernels."""
    found = importlib.import_module("needle._cuda").libraries().values()
    return sum(f[2] for f in found), sum(f[3] for f in found)


def milliseconds(call: Callable[[], Any], wait: Callable[[], None]) -> float:
    """The best of three rounds of some 40 ms."""
    call()
    wait()
    start = time.perf_counter()
    call()
    wait()
    times = max(1, min(200, int(0.04 / (time.perf_counter() - start))))
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(times):
            call()
        wait()
        best = min(best, (time.perf_counter() - start) / times)
    return best * 1e3


class Case:
    """One product on both sides."""

    def __init__(self, dtype: str) -> None:
        self.rng, self.dtype = np.random.default_rng(0), dtype

    def array(self, *shape: int) -> tuple[nd.NDArray, Any]:
        value = self.rng.integers(-1, 2, size=shape).astype(np.float32)
        ours = nd.NDArray(value, device=CUDA, dtype="float32").astype(self.dtype)
        return ours, torch.from_numpy(value).to("cuda", getattr(torch, self.dtype))

    def matmul(self, m: int, n: int, k: int, *batch: int, flip: bool = False) -> Any:
        (a, s), (b, t) = self.array(*batch, m, k), self.array(*batch, *((n, k) if flip else (k, n)))
        if flip:
            last = (*range(b.ndim - 2), b.ndim - 1, b.ndim - 2)
            b, t = b.permute(last), t.mT
        return {"": (lambda: a @ b, lambda: s @ t)}

    def conv(self, x_shape: tuple[int, ...], w_shape: tuple[int, ...], last: bool = False) -> Any:
        """last: torch's images are channels last, as ours always are."""
        (x, s), (w, t) = self.array(*x_shape), self.array(*w_shape)
        layout = torch.channels_last if last else torch.contiguous_format
        s = s.permute(0, 3, 1, 2).contiguous(memory_format=layout)
        t = t.permute(3, 2, 0, 1).contiguous(memory_format=layout)
        dy, ds = self.array(*x_shape[:3], w_shape[3])
        ds = ds.permute(0, 3, 1, 2).contiguous(memory_format=layout)
        back = torch.nn.grad
        return {
            "": (lambda: x.conv2d(w, **PADDED), lambda: torch.conv2d(s, t, padding=1)),
            " input": (
                lambda: dy.conv2d_grad_input(w, x.shape, **PADDED),
                lambda: back.conv2d_input(s.shape, t, ds, padding=1),
            ),
            " weight": (
                lambda: x.conv2d_grad_weight(dy, w.shape, **PADDED),
                lambda: back.conv2d_weight(s, t.shape, ds, padding=1),
            ),
        }


def cases(dtype: str) -> dict[str, Any]:
    case = Case(dtype)
    size = 2048 if dtype == "float64" else 4096
    found = {
        f"matmul {size}": case.matmul(size, size, size),
        f"matmul {size} T": case.matmul(size, size, size, flip=True),
        "matmul 128 x 4096 x 4096": case.matmul(128, 4096, 4096),
        "matmul 64 x (512, 64, 512)": case.matmul(512, 512, 64, 64, flip=True),
        "matmul 64": case.matmul(64, 64, 64),
        "conv 128x32x32x64": case.conv((128, 32, 32, 64), (3, 3, 64, 64)),
    }
    if dtype != "float64":
        found["conv, torch NHWC"] = case.conv((128, 32, 32, 64), (3, 3, 64, 64), last=True)
    return {name + part: pair for name, parts in found.items() for part, pair in parts.items()}


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def exact(got: nd.NDArray, expected: Any) -> bool:
    if expected.ndim == 4 and tuple(got.shape) != tuple(expected.shape):
        back = (0, 2, 3, 1) if got.shape[0] == expected.shape[0] else (2, 3, 1, 0)
        expected = expected.permute(back)
    # torch may take Winograd's algorithm, which is off by some digits
    return np.array_equal(got.astype("float32").numpy(), expected.float().round().cpu().numpy())


def main() -> int:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    start, wrong, table = time.perf_counter(), [], {}
    for dtype in ("float32", "float64", "float16", "bfloat16"):
        for name, (ours, theirs) in cases(dtype).items():
            before = counts()
            result = ours()
            after = counts()
            who = "library" if after[0] > before[0] else "ours"
            # where bfloat16 does not have a sum, both sides round it once
            if not exact(result, theirs()):
                wrong.append(f"{dtype} {name}")
            times = (
                milliseconds(ours, CUDA.synchronize),
                milliseconds(theirs, torch.cuda.synchronize),
            )
            table[f"{dtype} {name}"] = [who, *(round(t, 4) for t in times)]
            say(f"{dtype:9} {name:36} {who:8} {times[0]:9.4f} ms  torch {times[1]:9.4f}")
    say(json.dumps({"libraries": CUDA.libraries, "calls": counts(), "table": table}))
    say(f"{time.perf_counter() - start:.1f} s; wrong: {wrong or 'none'}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
