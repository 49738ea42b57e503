"""Layers: parameters are inputs like any other, so gradients of weights are judged too."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from verify.registry.planning import sample
from verify.registry.promises import in_a_graph
from verify.sampling import OF_TENSORS
from verify.spec import Domain, Row, Shape


def layer(
    construct: Callable[..., tuple[Any, ...]],
    parameters: Sequence[str] = (),
    keywords: Sequence[str] = (),
) -> Callable[..., Any]:
    """How a layer is called: made, given the inputs after the first as its parameters, applied.

    construct: (shapes, **arguments) -> the constructor's positional arguments. parameters: the
    attributes that hold the inputs after the first, or as many of them as there are. keywords: the
    arguments that the constructor takes by name.
    """

    def call(found: Any, tensors: Sequence[Any], where: dict[str, Any], **arguments: Any) -> Any:
        placed = dict(where) if parameters else {}
        placed |= {name: arguments.pop(name) for name in keywords if name in arguments}
        made = found(*construct([t.shape for t in tensors], **arguments), **placed)
        for name, tensor in zip(parameters, tensors[1:], strict=False):
            setattr(made, name, tensor)
        return made(tensors[0])

    return call


def _conv(
    t: Any,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = None,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """NCHW, weight (k, k, in / groups, out), padding k // 2 unless told."""
    return t.nn.functional.conv2d(
        x,
        weight.permute(3, 2, 0, 1),
        bias,
        stride=stride,
        padding=weight.shape[0] // 2 if padding is None else padding,
        dilation=dilation,
        groups=groups,
    )


def _conv_arguments(shapes: Sequence[Shape], stride: Any = None) -> tuple[Any, ...]:
    kernel, *_, cout = shapes[1]
    sizes = (shapes[0][1], cout, kernel)
    if stride is None and len(shapes) == 3:
        return sizes  # its own stride and bias
    return *sizes, 1 if stride is None else stride, len(shapes) == 3


def _linear(t: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    rows, (fan_in, fan_out) = math.prod(x.shape[:-1]), weight.shape
    y = t.matmul(x.reshape(rows, fan_in), weight).reshape(*x.shape[:-1], fan_out)
    return y if bias is None else y + bias.reshape(fan_out)


# --- randomness: both sides draw the same numbers from numpy's global generator

SEED = 1


def _dropout_call(
    found: Any,
    tensors: Sequence[Any],
    where: dict[str, Any],
    p: float | None = None,
    training: bool = True,
    captured: bool = False,
) -> Any:
    made = found() if p is None else found(p)  # its own
    if not training:
        made.eval()
    np.random.seed(SEED)
    return in_a_graph(made, tensors, where, captured)


def dropped(t: Any, x: Any, p: float) -> Any:
    """x after dropout in training, with numpy's next draw."""
    mask = t.tensor(np.random.rand(*x.shape) <= 1 - p, dtype=x.dtype)
    return x * mask / (1 - p) if p < 1 else x * (mask * 0)


def _dropout(t: Any, x: Any, p: float = 0.5, training: bool = True, captured: bool = False) -> Any:
    np.random.seed(SEED)
    if training and p == 1:
        return t.where(t.ones(x.shape, dtype=t.bool), 0.0, x)  # of infinities too
    return dropped(t, x, p) if training else x.clone()


# --- losses


def _mse(t: Any, x: Any, y: Any) -> Any:
    return ((x - y) * (x - y)).sum() / x.numel()


ROWS = (
    Row(
        name="nn.Linear",
        family="layer",
        reference=_linear,
        samples=(
            sample((1, 1), (1, 1), (1, 1)),
            sample((5, 3), (3, 4), (1, 4)),
            sample((2, 5, 3), (3, 7), (1, 7)),
            sample((9,), (9, 2), (1, 2)),
            sample((4, 6), (6, 3)),
            sample((0, 3), (3, 2), (1, 2)),
            sample((17, 33), (33, 9), (1, 9)),
        ),
        regions=("tiny", "huge", "integer", "ties", "special"),
        domains=(Domain(), Domain(special=False), Domain(special=False)),
        call=layer(lambda shapes: (*shapes[1], len(shapes) == 3), ("weight", "bias")),
        signed_zero=False,
    ),
    Row(
        name="nn.Conv",
        family="layer",
        reference=_conv,
        samples=(
            sample((1, 1, 4, 4), (1, 1, 1, 1), (1,)),
            sample((2, 3, 5, 7), (3, 3, 3, 4), (4,)),
            sample((2, 3, 8, 8), (3, 3, 3, 2), (2,), stride=2),
            sample((1, 2, 6, 5), (2, 2, 2, 3), (3,)),
            sample((2, 4, 9, 9), (5, 5, 4, 8), (8,), stride=3),
            sample((1, 8, 7, 7), (7, 7, 8, 3), (3,), stride=4),
            sample((2, 3, 5, 6), (3, 3, 3, 2)),
            sample((2, 4, 6, 5), (3, 3, 2, 6), (6,), groups=2),
            sample((1, 4, 7, 7), (3, 3, 1, 4), (4,), groups=4, stride=2, padding=0),
            sample((1, 2, 9, 8), (3, 3, 2, 3), (3,), padding=(2, 0), dilation=2),
            sample((1, 2, 9, 8), (2, 2, 2, 3), (3,), dilation=(1, 3), stride=(2, 1)),
        ),
        regions=("tiny", "huge", "integer", "ties", "special"),
        domains=(Domain(), Domain(special=False), Domain(special=False)),
        call=layer(_conv_arguments, ("weight", "bias"), ("padding", "dilation", "groups")),
        signed_zero=False,
    ),
    Row(
        name="nn.Flatten",
        family="layer",
        reference=lambda t, x: x.reshape(x.shape[0], -1),
        samples=(
            sample((3, 4)),
            sample((2, 3, 4)),
            sample((1, 2, 3, 5)),
            sample((5, 1, 13)),
            sample((7, 2, 1, 1)),
        ),
        regions=("special", "zeros", "integer"),
        call=layer(lambda shapes: ()),
        linear=True,
        view=True,
    ),
    Row(
        # negated: a copy of the input would be the right result
        name="nn.Identity",
        mixtures=OF_TENSORS,  # it takes whatever its functions take
        family="layer",
        reference=lambda t, x: -x,
        samples=(sample(()), sample((7,)), sample((2, 3, 4)), sample((0, 3))),
        regions=("special", "integer"),
        call=lambda found, tensors, where: -found()(tensors[0]),
        linear=True,
    ),
    Row(
        name="nn.Sequential",
        mixtures=OF_TENSORS,  # it takes whatever its functions take
        family="layer",
        reference=lambda t, x: (x + x) * (x + x),
        samples=(sample(()), sample((7,)), sample((2, 3, 4)), sample((0, 3))),
        regions=("special", "integer"),
        call=lambda found, tensors, where, **odd: found(
            lambda v: v + v, lambda v: v * v, *odd.values()
        )(tensors[0]),
    ),
    Row(
        name="nn.Residual",
        mixtures=OF_TENSORS,  # it takes whatever its functions take
        family="layer",
        reference=lambda t, x: x * x + x,
        samples=(sample(()), sample((7,)), sample((2, 3, 4)), sample((0, 3))),
        regions=("special", "integer"),
        call=lambda found, tensors, where, fn=None: found(fn or (lambda v: v * v))(tensors[0]),
        signed_zero=False,
    ),
    Row(
        name="nn.Dropout",
        family="layer",
        reference=_dropout,
        samples=(
            sample((7,)),
            sample((65,), p=0.25),
            sample((5, 13), p=0.125),
            sample((2, 3, 4), p=0.75),
            sample((9,), p=0.0),
            sample((9,), p=1.0),
            sample((0, 3)),
            sample((5, 13), training=False),
            sample((5, 13), p=1.0, training=False),
        ),
        captured=(sample((5, 13), p=0.0, captured=True),),
        regions=("tiny", "huge", "zeros", "special", "integer"),
        call=_dropout_call,
        view=True,  # in evaluation it is its input
        linear=True,
    ),
    Row(
        name="nn.MSELoss",
        family="layer",
        reference=_mse,
        samples=(
            sample((), ()),
            sample((1,), (1,)),
            sample((7,), (7,)),
            sample((5, 13), (5, 13)),
            sample((2, 3, 4), (2, 3, 4)),
            sample((3, 129), (3, 129)),
        ),
        regions=("tiny", "huge", "zeros", "special", "integer", "ties"),
        call=lambda found, tensors, where: found()(*tensors),
        signed_zero=False,
        flops=lambda shapes: 3.0 * math.prod(shapes[0]),
    ),
)
