"""A CUDA kernel of your own behind a torch.autograd.Function, and the same without its barrier.

On tensors of the GPU it runs what nvcc made of cuda_kernel.cu; on tensors of the cpu what the host
compiler made of the same file with needle's simulator (csrc/cuda/sim).
"""

import ctypes
import functools
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

import torch
from torch.autograd.function import once_differentiable

import verify

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "cuda_kernel.cu"
SIMULATOR = HERE.parents[1] / "csrc" / "cuda" / "sim"


def command(target, where, *flags):
    """The compiler's command line for one of the two places."""
    if where == "cuda":
        return ["nvcc", "-O3", "-shared", "-Xcompiler=-fPIC", *flags, SOURCE, "-o", target]
    host = ["g++", "-std=c++20", "-O2", "-ffp-contract=off", "-shared", "-fPIC", f"-I{SIMULATOR}"]
    return [*host, *flags, "-x", "c++", SOURCE, *sorted(SIMULATOR.glob("*.cc")), "-o", target]


@functools.cache
def library(where, *flags):
    """The library for tensors of `where`, compiled once for each text of the source."""
    text = SOURCE.read_bytes() + repr((where, flags)).encode()
    digest = hashlib.blake2b(text, digest_size=8).hexdigest()
    target = Path(tempfile.gettempdir(), f"row_norms-{digest}.so")
    if not target.exists():
        mine = target.with_suffix(f".{os.getpid()}.so")
        subprocess.run([str(part) for part in command(mine, where, *flags)], check=True)
        mine.replace(target)  # at once: another worker may be here too
    return ctypes.CDLL(str(target))


def call(direction, flags, *tensors):
    """Launch a kernel on the tensors, the last of which it writes."""
    x = tensors[0]
    columns = x.shape[-1]
    name = f"{direction}_{str(x.dtype).removeprefix('torch.')}"
    stream = torch.cuda.current_stream().cuda_stream if x.is_cuda else None
    pointers = [ctypes.c_void_p(t.data_ptr()) for t in tensors]
    rows = x.numel() // columns
    kernel = getattr(library(x.device.type, *flags), name)
    error = kernel(*pointers, rows, columns, ctypes.c_void_p(stream))
    if error:
        raise RuntimeError(f"the launch failed, got error={error}")


class RowNorms(torch.autograd.Function):
    """The sum of squares of each row."""

    FLAGS = ()

    @classmethod
    def forward(cls, ctx, x):
        x = x.contiguous()
        ctx.save_for_backward(x)
        y = torch.empty(x.shape[:-1], dtype=x.dtype, device=x.device)
        call("forward", cls.FLAGS, x, y)
        return y

    @classmethod
    @once_differentiable
    def backward(cls, ctx, grad):
        (x,) = ctx.saved_tensors
        dx = torch.empty_like(x)
        call("backward", cls.FLAGS, x, grad.contiguous(), dx)
        return dx


class WithoutBarrier(RowNorms):
    FLAGS = ("-DWITHOUT_BARRIER",)


def reference(x):
    """What it should be."""
    return x.square().sum(-1)


SAMPLES = [verify.sample((1, 1)), verify.sample((3, 7)), verify.sample((4, 300))]

ROWS = [
    verify.row("row_norms", RowNorms, reference, SAMPLES, twice=False),
    verify.row("without_barrier", WithoutBarrier, reference, SAMPLES, twice=False),
]
