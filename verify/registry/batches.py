"""Where ops hold rows that do not depend on each other, and where kernels guarantee the same bits.

A guarantee is read off the kernels, never off their results. cpu: elementwise formulas are applied
to every element alike (csrc/cpu/elementwise.cc); an element of a product is one chain of fma
wherever in a tile it lies (gemm_block.h), but a product of one row or column goes another way
(gemm_vector.cc); a row's sum depends on its own length alone while it is not cut into parts, which
takes 4,096 elements (reduce.cc) or, in kernels over rows, 16,384 (rows.h). cuda: elementwise;
cuBLASLt and cuDNN choose by the shape of the whole batch (csrc/cuda/libraries), so products have
the same bits at the same shape only. numpy
guarantees nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from verify.registry.reduction import reduced_axes
from verify.spec import Batch, Row, Shape

Axes: TypeAlias = tuple[Sequence[int | None], int] | None

_UNCUT = 4096  # elements of a sum


def _elementwise(shapes: tuple[Shape, ...], **_: Any) -> Axes:
    """The first axis with two elements: inputs that broadcast along it are shared."""
    whole = np.broadcast_shapes(*shapes)
    axis = next((d for d, n in enumerate(whole) if n > 1), None)
    if axis is None:
        return None
    places = [axis - len(whole) + len(s) for s in shapes]
    return [p if p >= 0 and s[p] > 1 else None for p, s in zip(places, shapes, strict=True)], axis


def _over(arguments: dict[str, Any], ndim: int, default: Any) -> tuple[int, ...]:
    named = [arguments[name] for name in ("axes", "axis") if name in arguments]
    return reduced_axes(named[0] if named else default, ndim)


def _kept(default: Any, dropped: bool) -> Callable[..., Axes]:
    """The first axis that is not reduced over; dropped: those before it leave the result."""

    def axes(shapes: tuple[Shape, ...], **arguments: Any) -> Axes:
        over = _over(arguments, len(shapes[0]), default)
        rows = [d for d, n in enumerate(shapes[0]) if d not in over and n > 1]
        if not rows:
            return None
        gone = dropped and not arguments.get("keepdims", False)
        return (
            [rows[0], *(None for _ in shapes[1:])],
            rows[0] - (sum(d < rows[0] for d in over) if gone else 0),
        )

    return axes


def _summed(default: Any) -> Callable[..., bool]:
    """Of rows that lie outside all reduced axes, each summed in one piece."""

    def bitwise(device: str, shapes: tuple[Shape, ...], **arguments: Any) -> bool:
        over = _over(arguments, len(shapes[0]), default)
        first = next(d for d, n in enumerate(shapes[0]) if d not in over and n > 1)
        terms = math.prod(shapes[0][d] for d in over)
        return device == "cpu" and terms < _UNCUT and all(d > first for d in over)

    return bitwise


def _leading(batched: int, axis: int = 0, ndim: int = 2) -> Callable[..., Axes]:
    """The first `batched` inputs, of `ndim` axes or more, and the results have rows along axis."""

    def axes(shapes: tuple[Shape, ...], **arguments: Any) -> Axes:
        if arguments.get("training", False) or arguments.get("dropout", 0) > 0:
            return None  # statistics of the batch; masks drawn for it
        if len(shapes[0]) < ndim or len({s[axis] for s in shapes[:batched]}) > 1:
            return None
        inputs = [axis if i < batched else None for i in range(len(shapes))]
        return (inputs, axis) if shapes[0][axis] > 1 else None

    return axes


def _matmul(shapes: tuple[Shape, ...], **_: Any) -> Axes:
    """A batch that both have, else the rows of a."""
    a, b = shapes
    if len(a) == len(b) == 3 and a[0] == b[0] > 1:
        return [0, 0], 0
    return ([0, None], 0) if len(a) > 1 and len(b) <= 2 and a[0] > 1 else None


def _product(device: str, shapes: tuple[Shape, ...], **_: Any) -> bool:
    return device == "cpu" and len(shapes[1]) > 1 and shapes[1][-1] > 1


def _always(device: str, shapes: tuple[Shape, ...], **_: Any) -> bool:
    return True


def _never(device: str, shapes: tuple[Shape, ...], **_: Any) -> bool:
    return False


def _formula(device: str, shapes: tuple[Shape, ...], **_: Any) -> bool:
    return device != "numpy"


def _cpu(device: str, shapes: tuple[Shape, ...], **_: Any) -> bool:
    return device == "cpu"


def _trained(axes: Callable[..., Axes]) -> Callable[..., Axes]:
    """Normalisation over a batch: rows are alone in evaluation only, which must be asked for."""
    return lambda shapes, **how: None if how.get("training", True) else axes(shapes, **how)


BATCHES: dict[str, Batch] = {
    **dict.fromkeys(("summation", "mean", "var"), Batch(_kept(None, True), _summed(None))),
    **dict.fromkeys(("max", "min", "argmax", "argmin"), Batch(_kept(None, True), _always)),
    "prod": Batch(_kept(None, True), _summed(None)),
    "logsumexp": Batch(_kept(None, True), _summed(None)),
    **dict.fromkeys(
        ("softmax", "logsoftmax", "standardize", "nn.Softmax", "nn.LogSoftmax"),
        Batch(_kept(-1, False), _summed(-1)),
    ),
    "cumsum": Batch(_kept(None, False), _cpu),
    "layer_norm": Batch(_kept(-1, False), _summed(-1)),
    "nn.LayerNorm1d": Batch(_leading(1), _cpu),
    "nn.GroupNorm": Batch(_leading(1), _cpu),
    "batch_norm": Batch(_trained(_leading(1)), _cpu),
    **dict.fromkeys(("nn.BatchNorm1d", "nn.BatchNorm2d"), Batch(_trained(_leading(1)), _cpu)),
    "matmul": Batch(_matmul, _product, least=2),
    "nn.Linear": Batch(_leading(1), _product, least=2),
    **dict.fromkeys(("conv", "nn.Conv", "avg_pool", "nn.AvgPool"), Batch(_leading(1), _cpu)),
    **dict.fromkeys(("max_pool", "nn.MaxPool"), Batch(_leading(1), _always)),
    "attention_weights": Batch(_leading(2, ndim=3), _cpu),
    "scaled_dot_product_attention": Batch(_leading(3, ndim=3), _cpu),
    "nn.MultiHeadAttention": Batch(_leading(3), _cpu),
    "nn.TransformerLayer": Batch(_leading(1), _cpu),
    "lstm_step": Batch(_leading(2), _cpu),
    "nn.RNNCell": Batch(_leading(2), _cpu, least=2),
    "nn.LSTMCell": Batch(_leading(3), _cpu, least=2),
    "nn.RNN": Batch(_leading(2, axis=1), _cpu, least=2),
    "nn.LSTM": Batch(_leading(3, axis=1), _cpu, least=2),
    "models.ResNet9": Batch(_trained(_leading(1)), _never),
    "models.MLPResNet": Batch(_trained(_leading(1)), _cpu, least=2),
}
_ELEMENTWISE = Batch(_elementwise, _formula)


def batch_of(row: Row) -> Batch | None:
    """The rows of an op, where it has any."""
    return _ELEMENTWISE if row.family == "elementwise" else BATCHES.get(row.name)
