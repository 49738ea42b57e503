"""What is timed of single ops: pairs of calls, needle's and torch's, that do the same work.

Each side allocates its result, as users do. Where torch has several layouts, every one is a
candidate and the fastest counts. `work` is what one call computes or moves, for rates.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

import needle as ndl
from verify.bench.place import PLACE, Call

ITEM = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}  # bytes of an element


@dataclass(frozen=True)
class Pair:
    """One comparison; `torch` holds one call per layout."""

    op: str  # as verify's rows name it
    name: str
    dtype: str
    needle: Call
    torch: Mapping[str, Call]
    flops: float = 0.0  # of products; elsewhere one an element, or what its formula has
    bytes: float = 0.0  # read and written, each array once
    moves: str = "copy"  # or "read": next to nothing is written
    nodes: int = 1  # a time per node is the call's time / nodes
    whole_step: bool = False  # of training: its memory is compared too


def both(
    shape: tuple[int, ...], dtype: str, seed: int, grad: bool = False, positive: bool = False
) -> tuple[ndl.Tensor, torch.Tensor]:
    """The same normal numbers (their magnitudes, if positive) for needle and torch.

    Large arrays repeat a million of them, laid out on the device.
    """
    n = math.prod(shape)
    some = max(min(n, 1 << 20), 1)
    times = -(-n // some)
    drawn = np.random.default_rng(seed).standard_normal(some, np.float32)
    values = torch.from_numpy(abs(drawn) + 0.1 if positive else drawn).to(getattr(torch, dtype))
    array = ndl.backend_ndarray.NDArray(values.double().numpy(), device=PLACE.needle, dtype=dtype)
    array = array.broadcast_to((times, some)).reshape((times * some,))[:n].reshape(shape).compact()
    theirs = values.to(PLACE.name).repeat(times)[:n].reshape(shape).contiguous()
    return ndl.Tensor(array, requires_grad=grad), theirs.requires_grad_(grad)


def bytes_of(dtype: str, *shapes: tuple[int, ...]) -> float:
    """Of arrays of these shapes."""
    return float(ITEM[dtype] * sum(math.prod(shape) for shape in shapes))


def pull_back(y: Any, cotangent: Any) -> None:
    """torch's backward, which has no type."""
    y.backward(cotangent)


def steps(
    ours: Callable[..., ndl.Tensor],
    theirs: Callable[..., torch.Tensor],
    inputs: list[tuple[ndl.Tensor, torch.Tensor]],
    cotangent: tuple[ndl.Tensor, torch.Tensor],
) -> tuple[Call, Call]:
    """Forward and backward of both."""
    mine, other = [a for a, _ in inputs], [t for _, t in inputs]

    def step() -> object:
        y = ours(*mine)
        y.backward(cotangent[0])
        return y

    def twin() -> object:
        for t in other:
            t.grad = None
        y = theirs(*other)
        pull_back(y, cotangent[1])
        return y

    return step, twin


def matmul(dtype: str) -> Iterator[Pair]:
    sizes = [(n, n, n) for n in (64, 256, 512, 1024)] + [(8, 1024, 1024)]
    if PLACE.name == "cuda":
        sizes += [(4096, 4096, 4096), (8192, 8192, 8192), (128, 4096, 4096), (4096, 64, 4096)]
    for m, k, n in sizes:
        a, ta = both((m, k), dtype, 4)
        b, tb = both((k, n), dtype, 5)
        flops = 2.0 * m * k * n
        yield Pair(
            "matmul",
            f"matmul {m}x{k}x{n}",
            dtype,
            partial(operator.matmul, a, b),
            {"": partial(operator.matmul, ta, tb)},
            flops=flops,
            bytes=bytes_of(dtype, (m, k), (k, n), (m, n)),
        )


def convolution(dtype: str) -> Iterator[Pair]:
    shapes = [
        (32, 32, 32, 3, 1, 32),
        (16, 16, 64, 3, 1, 64),
        (32, 32, 16, 3, 2, 32),
        (32, 32, 3, 7, 4, 16),
    ]
    if PLACE.name == "cuda":
        shapes += [(32, 32, 64, 3, 1, 128), (8, 8, 256, 3, 1, 512), (16, 16, 256, 1, 1, 256)]
    batch = 128 if PLACE.name == "cuda" else 8
    for height, width, cin, kernel, stride, cout in shapes:
        pad = kernel // 2
        x, tx = both((batch, height, width, cin), dtype, 6, grad=True)
        w, tw = both((kernel, kernel, cin, cout), dtype, 7, grad=True)
        out = ndl.conv(x, w, stride=stride, padding=pad)
        g, tg = both(tuple(out.shape), dtype, 8)
        flops = 2.0 * float(np.prod(out.shape)) * kernel * kernel * cin
        moved = bytes_of(dtype, tuple(x.shape), tuple(w.shape), tuple(out.shape))
        name = f"{batch}x{height}x{width}x{cin} k{kernel} s{stride} {cout}"

        def layouts(
            backward: bool,
            tx: torch.Tensor = tx,
            tw: torch.Tensor = tw,
            tg: torch.Tensor = tg,
            stride: int = stride,
            pad: int = pad,
        ) -> dict[str, Call]:
            calls: dict[str, Call] = {}
            for layout, form in (("NCHW", torch.contiguous_format), ("NHWC", torch.channels_last)):
                xs = (
                    tx.detach()
                    .permute(0, 3, 1, 2)
                    .contiguous(memory_format=form)
                    .requires_grad_(backward)
                )
                ws = (
                    tw.detach()
                    .permute(3, 2, 0, 1)
                    .contiguous(memory_format=form)
                    .requires_grad_(backward)
                )
                gs = tg.permute(0, 3, 1, 2).contiguous(memory_format=form)

                def call(
                    xs: torch.Tensor = xs, ws: torch.Tensor = ws, gs: torch.Tensor = gs
                ) -> object:
                    y = torch.nn.functional.conv2d(xs, ws, stride=stride, padding=pad)
                    if backward:
                        xs.grad = ws.grad = None
                        pull_back(y, gs)
                    return y

                calls[layout] = call
            return calls

        xd, wd = x.detach(), w.detach()
        yield Pair(
            "conv",
            f"conv forward {name}",
            dtype,
            partial(ndl.conv, xd, wd, stride=stride, padding=pad),
            layouts(False),
            flops=flops,
            bytes=moved,
        )

        def step(
            x: ndl.Tensor = x, w: ndl.Tensor = w, g: ndl.Tensor = g, s: int = stride, p: int = pad
        ) -> object:
            y = ndl.conv(x, w, stride=s, padding=p)
            y.backward(g)
            return y

        name = f"conv forward + backward {name}"
        yield Pair("conv", name, dtype, step, layouts(True), flops=3 * flops, bytes=3 * moved)


def dispatch(dtype: str) -> Iterator[Pair]:
    """A chain of 100 additions of 16 elements, forward and backward: the cost of a node."""
    nodes = 100
    x, tx = both((16,), dtype, 9, grad=True)
    y, ty = both((16,), dtype, 10)
    g, tg = both((16,), dtype, 11)

    def ours() -> object:
        z = x
        for _ in range(nodes):
            z = z + y
        z.backward(g)
        return x.grad

    def theirs() -> object:
        tx.grad = None
        z = tx
        for _ in range(nodes):
            z = z + ty
        pull_back(z, tg)
        return tx.grad

    yield Pair(
        "add",
        "dispatch, forward + backward a node, 16 elements",
        dtype,
        ours,
        {"": theirs},
        flops=2.0 * 16,
        bytes=2 * bytes_of(dtype, (16,), (16,), (16,)),
        nodes=nodes,
    )
