"""Every public op, forward and with its gradient, at three sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import needle as ndl
from verify.bench.definitions import ITEM, Pair, both, steps
from verify.bench.place import PLACE, Call

F = torch.nn.functional
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Operation:
    """`shapes` makes the inputs' shapes from a number of elements; `positive` where the domain is;
    `passes` arrays of the first input's size are read or written at least, backward `back`: nothing
    where a cotangent goes on as it is, or as a view of it; `work` operations are done for each of
    its elements, backward as many again: an elementary function counts as one, and what only moves
    elements has none.
    """

    name: str
    needle: Callable[..., ndl.Tensor]
    torch: Callable[..., torch.Tensor]
    shapes: Callable[[int], list[Shape]]
    passes: float = 2.0
    positive: bool = False
    gradient: bool = True
    work: float = 1.0
    back: float = 3.0
    of: str = ""  # the op, where it is not the name's first word

    @property
    def op(self) -> str:
        """The op, as verify's rows name it."""
        return self.of or self.name.partition(" ")[0]


def flat(n: int) -> list[Shape]:
    return [(n,)]


def two(n: int) -> list[Shape]:
    return [(n,), (n,)]


def square(n: int) -> list[Shape]:
    side = 1 << (n.bit_length() - 1) // 2
    return [(side, n // side)]


def row(n: int) -> list[Shape]:
    (shape,) = square(n)
    return [shape, shape[1:]]


def column(n: int) -> list[Shape]:
    (shape,) = square(n)
    return [shape, (shape[0], 1)]


def unary(name: str, positive: bool = False, gradient: bool = True, **other: Any) -> Operation:
    theirs = other.pop("torch", None) or getattr(torch, name)
    return Operation(name, getattr(ndl, name), theirs, flat, 2.0, positive, gradient, **other)


OPERATIONS = [
    *(unary(n) for n in ("exp", "tanh", "sin", "cos", "erf", "erfc", "expm1", "abs", "sigmoid")),
    *(unary(n, positive=True) for n in ("log", "log1p", "sqrt", "rsqrt")),
    unary("sign", gradient=False),
    unary("negate", torch=torch.neg, back=2.0),
    *(unary(n, torch=getattr(F, n)) for n in ("relu", "gelu", "silu", "softplus", "leaky_relu")),
    Operation("clip", lambda a: ndl.clip(a, -1, 1), lambda t: t.clamp(-1, 1), flat),
    Operation("power_scalar 3", lambda a: a**3, lambda t: t**3, flat),
    Operation("add_scalar", lambda a: a + 2.0, lambda t: t + 2.0, flat, back=0.0),
    Operation("mul_scalar", lambda a: a * 2.0, lambda t: t * 2.0, flat, back=2.0),
    Operation("divide_scalar", lambda a: a / 3.0, lambda t: t / 3.0, flat, back=2.0),
    Operation("add", ndl.add, torch.add, two, 3.0, back=0.0),
    Operation("multiply", ndl.multiply, torch.mul, two, 3.0, back=5.0),
    Operation("divide", ndl.divide, torch.div, two, 3.0, positive=True, back=5.0),
    Operation("power", ndl.power, torch.pow, two, 3.0, positive=True, back=5.0),
    Operation("maximum", ndl.maximum, torch.maximum, two, 3.0, back=5.0),
    Operation("minimum", ndl.minimum, torch.minimum, two, 3.0, back=5.0),
    Operation("less", ndl.less, lambda a, b: (a < b).to(a.dtype), two, 3.0, gradient=False),
    Operation(
        "where",
        lambda a, b: ndl.where(a > 0.0, a, b),
        lambda a, b: torch.where(a > 0, a, b),
        two,
        5.0,
        back=4.0,
    ),
    Operation("add a row", ndl.add, torch.add, row, 2.0, back=1.0),
    Operation("add a column", ndl.add, torch.add, column, 2.0, back=1.0),
    Operation("multiply by a row", ndl.multiply, torch.mul, row, 2.0),
    Operation(
        "add a transposed",
        lambda a: a + ndl.transpose(a),
        lambda t: t + t.T,
        lambda n: [(int(n**0.5),) * 2],
        3.0,
    ),
    Operation(
        "transposed copy",
        lambda a: ndl.permute(a, (1, 0)) + 0.0,
        lambda t: t.T.clone(memory_format=torch.contiguous_format),
        square,
        work=0.0,
        back=2.0,
        of="permute",
    ),
    Operation(
        "add a flipped",  # the flip alone is a view
        lambda a: a + ndl.flip(a, (0,)),
        lambda t: t + t.flip(0),
        square,
        3.0,
        of="flip",
    ),
    Operation(
        "pad",
        lambda a: ndl.pad(a, ((1, 1), (1, 1))),
        lambda t: F.pad(t, (1, 1, 1, 1)),
        square,
        work=0.0,
        back=2.0,
    ),
    Operation(
        "concatenate",
        lambda a, b: ndl.concatenate([a, b], 0),
        lambda a, b: torch.cat([a, b]),
        two,
        4.0,
        work=0.0,
        back=0.0,
    ),
    Operation(
        "stack",
        lambda a, b: ndl.stack([a, b], 0),
        lambda a, b: torch.stack([a, b]),
        two,
        4.0,
        work=0.0,
        back=0.0,
    ),
    Operation(
        "getitem",
        lambda a: a[1:, ::2] + 0.0,
        lambda t: t[1:, ::2].clone(),
        square,
        1.5,
        work=0.0,
        back=1.5,
    ),
    Operation(
        "broadcast_to",
        lambda a: ndl.broadcast_to(a, (64, *a.shape)) + 0.0,
        lambda t: t.expand(64, *t.shape).clone(),
        lambda n: [(max(n // 64, 1),)],
        65.0,
        work=0.0,
        back=65.0,
    ),
    Operation("summation", ndl.summation, torch.sum, square, 1.0, back=0.0),
    Operation(
        "summation axis 0", lambda a: ndl.summation(a, 0), lambda t: t.sum(0), square, 1.0, back=0.0
    ),
    Operation(
        "summation axis 1", lambda a: ndl.summation(a, 1), lambda t: t.sum(1), square, 1.0, back=0.0
    ),
    Operation("mean", lambda a: ndl.mean(a, 1), lambda t: t.mean(1), square, 1.0, back=0.0),
    Operation(
        "var",
        lambda a: ndl.var(a, 1),
        lambda t: t.var(1, unbiased=False),
        square,
        1.0,
        work=4.0,
        back=2.0,
    ),
    Operation("max axis 0", lambda a: ndl.max(a, 0), lambda t: t.amax(0), square, 1.0, back=2.0),
    Operation("max axis 1", lambda a: ndl.max(a, 1), lambda t: t.amax(1), square, 1.0, back=2.0),
    Operation("prod", lambda a: ndl.prod(a, 1), lambda t: t.prod(1), square, 1.0, back=2.0),
    Operation(
        "argmax", lambda a: ndl.argmax(a, 1), lambda t: t.argmax(1), square, 1.0, gradient=False
    ),
    Operation("cumsum", lambda a: ndl.cumsum(a, 1), lambda t: t.cumsum(1), square, back=2.0),
    Operation("softmax", ndl.softmax, lambda t: torch.softmax(t, -1), square, work=5.0),
    Operation("logsoftmax", ndl.logsoftmax, lambda t: torch.log_softmax(t, -1), square, work=5.0),
    Operation(
        "logsumexp",
        lambda a: ndl.logsumexp(a, 1),
        lambda t: t.logsumexp(1),
        square,
        1.0,
        work=4.0,
        back=2.0,
    ),
    Operation(
        "max_pool",
        lambda a: ndl.max_pool(a, 2),
        lambda t: channels(t, F.max_pool2d),
        lambda n: [images(n)],
        1.25,
        back=2.25,
    ),
    Operation(
        "avg_pool",
        lambda a: ndl.avg_pool(a, 2),
        lambda t: channels(t, F.avg_pool2d),
        lambda n: [images(n)],
        1.25,
        back=1.25,
    ),
]


def images(n: int) -> Shape:
    side = 4 if n < 1 << 16 else 32
    return (max(n // (side * side * 4), 1), side, side, 4)


def channels(t: torch.Tensor, pool: Callable[..., torch.Tensor]) -> torch.Tensor:
    """A pool of 2 x 2 over NHWC, by the strides that torch calls channels_last."""
    return pool(t.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


def operation(name: str, dtype: str) -> Iterator[Pair]:
    """The pairs of one op."""
    for op in OPERATIONS:
        if op.op == name:
            for n in PLACE.elements:
                yield from _pairs(op, n, dtype)


def _pairs(op: Operation, n: int, dtype: str) -> Iterator[Pair]:
    shapes = op.shapes(n)
    size = float(np.prod(shapes[0]))
    moved = op.passes * size * ITEM[dtype]
    inputs = [both(s, dtype, i, positive=op.positive) for i, s in enumerate(shapes)]
    ours, theirs = [a for a, _ in inputs], [t for _, t in inputs]
    name = f"{op.name} {'x'.join(map(str, shapes[0]))}"
    calls: dict[str, Call] = {"": lambda: op.torch(*theirs)}
    flops, moves = op.work * size, "read" if op.passes == 1.0 else "copy"
    yield Pair(
        op.op,
        name,
        dtype,
        lambda: op.needle(*ours),
        calls,
        flops=flops,
        bytes=moved,
        moves=moves,
    )
    if not op.gradient:
        return
    inputs = [both(s, dtype, i, True, op.positive) for i, s in enumerate(shapes)]
    out = tuple(op.torch(*(t.detach() for _, t in inputs)).shape)
    step, twin = steps(op.needle, op.torch, inputs, both(out, dtype, 9))
    name, moved = f"{name} forward + backward", moved + op.back * size * ITEM[dtype]
    yield Pair(op.op, name, dtype, step, {"": twin}, flops=2 * flops, bytes=moved)
