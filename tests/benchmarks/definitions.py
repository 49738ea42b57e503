"""What is timed of single ops: pairs of calls, needle's and torch's, that do the same work.

Each side allocates its result, as users do. Where torch has several layouts, every one is a
candidate and the fastest counts. `work` is what one call computes or moves, for rates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

import needle as ndl

Call = Callable[[], object]


@dataclass(frozen=True)
class Pair:
    """One comparison; `torch` holds one call per layout."""

    name: str
    dtype: str
    needle: Call
    torch: dict[str, Call]
    flops: float = 0.0
    bytes: float = 0.0
    nodes: int = 1  # a time per node is the call's time / nodes
    notes: dict[str, object] = field(default_factory=dict)


def both(
    shape: tuple[int, ...], dtype: str, seed: int, grad: bool = False
) -> tuple[ndl.Tensor, torch.Tensor]:
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    ours = ndl.Tensor(values, device=ndl.cpu(), dtype=dtype, requires_grad=grad)
    return ours, torch.from_numpy(values.copy()).requires_grad_(grad)


def elementwise(dtype: str) -> Iterator[Pair]:
    size = np.dtype(dtype).itemsize
    for n in (16, 1 << 16, 1 << 22):
        x, tx = both((n,), dtype, 1)
        y, ty = both((n,), dtype, 2)
        yield Pair(
            f"exp {n}",
            dtype,
            lambda x=x: ndl.exp(x),
            {"": lambda t=tx: torch.exp(t)},
            bytes=2.0 * n * size,
        )
        yield Pair(
            f"tanh {n}",
            dtype,
            lambda x=x: ndl.tanh(x),
            {"": lambda t=tx: torch.tanh(t)},
            bytes=2.0 * n * size,
        )
        yield Pair(
            f"add {n}",
            dtype,
            lambda x=x, y=y: x + y,
            {"": lambda t=tx, s=ty: t + s},
            bytes=3.0 * n * size,
        )
    for rows, columns in ((256, 256), (2048, 2048)):
        x, tx = both((rows, columns), dtype, 3)
        moved = float(rows * columns * size)
        yield Pair(
            f"sum all {rows}x{columns}",
            dtype,
            lambda x=x: x.sum(),
            {"": lambda t=tx: t.sum()},
            bytes=moved,
        )
        for axis in (0, 1):
            yield Pair(
                f"sum axis {axis} {rows}x{columns}",
                dtype,
                lambda x=x, a=axis: ndl.summation(x, a),
                {"": lambda t=tx, a=axis: t.sum(a)},
                bytes=moved,
            )


def matmul(dtype: str) -> Iterator[Pair]:
    for m, k, n in (
        (64, 64, 64),
        (256, 256, 256),
        (512, 512, 512),
        (1024, 1024, 1024),
        (8, 1024, 1024),
    ):
        a, ta = both((m, k), dtype, 4)
        b, tb = both((k, n), dtype, 5)
        flops = 2.0 * m * k * n
        yield Pair(
            f"matmul {m}x{k}x{n}",
            dtype,
            lambda a=a, b=b: a @ b,
            {"": lambda a=ta, b=tb: a @ b},
            flops=flops,
        )


def convolution(dtype: str) -> Iterator[Pair]:
    shapes = (
        (8, 32, 32, 32, 3, 1, 32),
        (8, 16, 16, 64, 3, 1, 64),
        (8, 32, 32, 16, 3, 2, 32),
        (8, 32, 32, 3, 7, 4, 16),
    )
    for batch, height, width, cin, kernel, stride, cout in shapes:
        pad = kernel // 2
        x, tx = both((batch, height, width, cin), dtype, 6, grad=True)
        w, tw = both((kernel, kernel, cin, cout), dtype, 7, grad=True)
        out = ndl.conv(x, w, stride=stride, padding=pad)
        g, tg = both(tuple(out.shape), dtype, 8)
        flops = 2.0 * float(np.prod(out.shape)) * kernel * kernel * cin
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
                        y.backward(gs)
                    return y

                calls[layout] = call
            return calls

        xd, wd = x.detach(), w.detach()
        yield Pair(
            f"conv forward {name}",
            dtype,
            lambda x=xd, w=wd, s=stride, p=pad: ndl.conv(x, w, stride=s, padding=p),
            layouts(False),
            flops=flops,
        )

        def step(
            x: ndl.Tensor = x, w: ndl.Tensor = w, g: ndl.Tensor = g, s: int = stride, p: int = pad
        ) -> object:
            y = ndl.conv(x, w, stride=s, padding=p)
            y.backward(g)
            return y

        yield Pair(f"conv forward + backward {name}", dtype, step, layouts(True), flops=3 * flops)


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
        z.backward(tg)
        return tx.grad

    yield Pair(
        "dispatch, forward + backward a node, 16 elements", dtype, ours, {"": theirs}, nodes=nodes
    )
