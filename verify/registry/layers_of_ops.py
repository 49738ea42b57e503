"""Layers that apply one op: its row with the layer's name, shapes and way of being called."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from verify.registry import activation, elementwise, normalization, pooling, softmax
from verify.registry.layers import layer
from verify.registry.planning import sample
from verify.registry.promises import in_a_graph
from verify.spec import Row, Sample

_OPS = {
    row.name: row
    for family in (elementwise, activation, normalization, pooling, softmax)
    for row in family.ROWS
}


def _like(op: str, name: str, call: Callable[..., Any], **changes: Any) -> Row:
    """The op's row as that of a layer."""
    row: Row = replace(_OPS[op], name=name, family="layer", call=call, flops=None, **changes)
    return row


_ACTIVATED = (sample(()), sample((1,)), sample((33,)), sample((2, 3, 4)), sample((0, 5)))
_ALONG = (
    sample((7,)),
    sample((5, 13)),
    sample((2, 4, 5), axis=-1),
    sample((5, 3, 4), axis=-3),
    sample((2, 3, 4), axis=-2),
    sample((0, 5)),
)


def _activation(op: str, name: str, samples: Sequence[Sample] = _ACTIVATED) -> Row:
    """An argument of the op is the constructor's only one."""
    return _like(op, name, layer(lambda shapes, **given: tuple(given.values())), samples=samples)


# --- pooling: the op is NHWC, the layer NCHW


def _of_images(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reference of NHWC images as one of NCHW images."""

    def reference(t: Any, x: Any, **arguments: Any) -> Any:
        return function(t, x.permute(0, 2, 3, 1), **arguments).permute(0, 3, 1, 2)

    return reference


def _first_channels(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The samples of NHWC images as ones of NCHW images."""
    return tuple(
        replace(s, shapes=((s.shapes[0][0], s.shapes[0][3], *s.shapes[0][1:3]),)) for s in samples
    )


def _pool(op: str, name: str) -> Row:
    row = _OPS[op]
    kinks = row.kinks
    return _like(
        op,
        name,
        layer(lambda shapes: (), keywords=("kernel", "stride", "padding", "count_include_pad")),
        reference=_of_images(row.reference),
        samples=_first_channels(row.samples),
        kinks=kinks and (lambda x, **geometry: kinks(x.transpose(0, 2, 3, 1), **geometry)),
    )


# --- normalisation

# Momenta are exact: 1 - momentum is then the same in every dtype.


def _batch_norm(
    t: Any,
    x: Any,
    weight: Any,
    bias: Any,
    *running: Any,
    momentum: float = 0.5,
    captured: bool = False,
    **arguments: Any,
) -> Any:
    """The result and both running statistics, which in training start as weight and bias."""
    y = _OPS["batch_norm"].reference(t, x, weight, bias, *running, **arguments)
    if running:
        return y, *(old.detach() for old in running)
    x = x.detach()
    axes = tuple(d for d in range(x.dim()) if d != 1)
    n = x.numel() // x.shape[1]
    mean = x.sum(axes, keepdim=True) / n
    variance = ((x - mean) * (x - mean)).sum(axes) / n  # biased, unlike torch's running one
    return y, *(
        old.detach() * (1 - momentum) + new * momentum
        for old, new in ((weight, mean.reshape(-1)), (bias, variance))
    )


def _call_batch_norm(
    found: Any,
    tensors: Sequence[Any],
    where: dict[str, Any],
    training: bool = True,
    momentum: float = 0.5,
    eps: float = 1e-5,
    captured: bool = False,
) -> Any:
    x, weight, bias, *running = tensors
    made = found(weight.shape[0], eps, momentum, **where)
    made.weight, made.bias = weight, bias

    def start() -> None:
        """A graph that was captured before goes on from these."""
        made.running_mean.data, made.running_var.data = weight.detach() * 1, bias.detach() * 1

    if not training:
        made.eval()
        made.running_mean, made.running_var = running
    y = in_a_graph(made, [x], where, captured, start if training else lambda: None)
    return y, made.running_mean.detach() * 1, made.running_var.detach() * 1


def _batch_row(name: str, samples: Sequence[Sample]) -> Row:
    changes = {"reference": _batch_norm, "samples": samples, "without_gradient": 2}
    kept = (replace(samples[0], kwargs=(*samples[0].kwargs, ("captured", True))),)
    return _like("batch_norm", name, _call_batch_norm, captured=kept, **changes)


def _group_norm(t: Any, x: Any, weight: Any, bias: Any, groups: int, eps: float = 1e-5) -> Any:
    shape = (-1, *[1] * (x.dim() - 2))
    grouped = x.reshape(x.shape[0], groups, math.prod(x.shape[1:]) // groups)
    y = _OPS["standardize"].reference(t, grouped, -1, eps).reshape(x.shape)
    return y * weight.reshape(shape) + bias.reshape(shape)


def _group_reach(x: Any, weight: Any, bias: Any, groups: int, eps: float = 1e-5) -> Any:
    """As normalization's: steps longer than this do not see how the root turns."""
    if not x.size:
        return np.zeros(0)
    return np.sqrt(np.var(x.reshape(x.shape[0], groups, -1), axis=-1) + eps)


def _softmax_loss(t: Any, scores: Any, targets: Any) -> Any:
    losses = _OPS["logsumexp"].reference(t, scores, 1) - (scores * targets).sum(1)
    return losses.sum() / scores.shape[0]


_PER_CHANNEL = ("weight", "bias")
_EVAL: dict[str, Any] = {"training": False}
ROWS = (
    _activation("relu", "nn.ReLU"),
    _activation("tanh", "nn.Tanh"),
    _activation("sigmoid", "nn.Sigmoid"),
    _activation("silu", "nn.SiLU"),
    _activation("softplus", "nn.Softplus"),
    _like(
        "leaky_relu",
        "nn.LeakyReLU",
        layer(lambda shapes, slope, said=True: (slope,) if said else ()),
        samples=(
            sample((33,), slope=-0.25),
            sample((40,), slope=0.01, said=False),  # its own
            sample((2, 3, 4), slope=0.0),
            sample((), slope=2),
        ),
    ),
    _activation("gelu", "nn.GELU", (*_ACTIVATED, sample((33,), approximate="tanh"))),
    _activation(
        "softmax",
        "nn.Softmax",
        (*_ALONG, sample((2, 3, 4), axis=(0, -1)), sample((3, 4), axis=None)),
    ),
    _activation("logsoftmax", "nn.LogSoftmax", _ALONG),
    _like(
        "cross_entropy",
        "nn.SoftmaxLoss",
        lambda found, tensors, where, labels: found()(tensors[0], np.array(labels)),
        samples=_OPS["cross_entropy"].samples[1:],
    ),
    Row(
        name="models.softmax_loss",  # of one-hot rows, or of any
        family="layer",
        reference=_softmax_loss,
        samples=(
            sample((1, 1), (1, 1)),
            sample((5, 4), (5, 4)),
            sample((3, 129), (3, 129)),
            sample((40, 10), (40, 10)),
        ),
        regions=("tiny", "huge", "zeros", "integer", "ties"),
        signed_zero=False,
    ),
    _pool("max_pool", "nn.MaxPool"),
    _pool("avg_pool", "nn.AvgPool"),
    _batch_row(
        "nn.BatchNorm1d",
        (
            sample((5, 3), (3,), (3,)),
            sample((1, 3), (3,), (3,), momentum=0.25),
            sample((33, 17), (17,), (17,), eps=0.01, momentum=0.125),
            sample((5, 3), (3,), (3,), region="shifted"),
            sample((4, 2, 9), (2,), (2,)),
            sample((5, 3), (3,), (3,), (3,), (3,), **_EVAL),
            sample((4, 2, 9), (2,), (2,), (2,), (2,), **_EVAL, eps=0.1),
            sample((0, 3), (3,), (3,), (3,), (3,), **_EVAL),
        ),
    ),
    _batch_row(
        "nn.BatchNorm2d",
        (
            sample((2, 3, 4, 5), (3,), (3,)),
            sample((1, 2, 1, 1), (2,), (2,), momentum=0.25),
            sample((3, 5, 2, 3), (5,), (5,), eps=0.01, momentum=1.0),
            sample((2, 3, 4, 5), (3,), (3,), (3,), (3,), **_EVAL),
            sample((0, 3, 2, 2), (3,), (3,), (3,), (3,), **_EVAL),
        ),
    ),
    _like(
        "layer_norm",
        "nn.LayerNorm1d",
        layer(lambda shapes, eps=1e-5: (shapes[1][0], eps), _PER_CHANNEL),
        samples=_OPS["layer_norm"].samples,
    ),
    _like(
        "layer_norm",
        "nn.GroupNorm",
        layer(
            lambda shapes, groups, **given: (groups, shapes[1][0], *given.values()),
            _PER_CHANNEL,
        ),
        reference=_group_norm,
        samples=(
            sample((5, 6), (6,), (6,), groups=2),
            sample((2, 4, 3), (4,), (4,), groups=1),
            sample((2, 6, 3, 5), (6,), (6,), groups=3, eps=0.1),
            sample((2, 3, 4, 5), (3,), (3,), groups=3),
            sample((3, 4), (4,), (4,), groups=4),
            sample((1, 2), (2,), (2,), groups=1, eps=0.0),
            sample((0, 4, 2), (4,), (4,), groups=2),
        ),
        kinks=_group_reach,
    ),
)
