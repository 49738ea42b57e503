"""Layers: parameters are inputs like any other, so gradients of weights are judged too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from verify.registry.planning import sample
from verify.spec import Domain, Row


def layer(
    construct: Callable[..., tuple[Any, ...]], parameters: Sequence[str] = ()
) -> Callable[..., Any]:
    """How a layer is called: made, given the inputs after the first as its parameters, applied.

    construct: (shapes, **arguments) -> the constructor's positional arguments. parameters: the
    attributes that hold the inputs after the first.
    """

    def call(found: Any, tensors: Sequence[Any], where: dict[str, Any], **arguments: Any) -> Any:
        placed = where if parameters else {}
        made = found(*construct([t.shape for t in tensors], **arguments), **placed)
        for name, tensor in zip(parameters, tensors[1:], strict=True):
            setattr(made, name, tensor)
        return made(tensors[0])

    return call


def _conv(t: Any, x: Any, weight: Any, bias: Any = None, stride: int = 1) -> Any:
    """NCHW, weight (k, k, in, out), padding k // 2."""
    return t.nn.functional.conv2d(
        x, weight.permute(3, 2, 0, 1), bias, stride=stride, padding=weight.shape[0] // 2
    )


ROWS = (
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
        ),
        regions=("tiny", "huge", "integer", "ties", "special"),
        domains=(Domain(), Domain(special=False), Domain(special=False)),
        call=layer(
            lambda shapes, stride=1: (shapes[1][2], shapes[1][3], shapes[1][0], stride),
            ("weight", "bias"),
        ),
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
)
