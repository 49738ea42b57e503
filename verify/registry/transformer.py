"""Attention layers and transformers of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from verify.registry import normalization, softmax
from verify.registry.layers import dropped
from verify.registry.packing import LAYOUTS_OF_WEIGHTS, place, size, slices
from verify.registry.planning import sample
from verify.spec import Domain, Row, Sample, Shape

_OPS = {row.name: row.reference for row in (*normalization.ROWS, *softmax.ROWS)}
_SEED = 1


# --- references


def _dropout(t: Any, x: Any, p: float) -> Any:
    return dropped(t, x, p) if p else x


def _heads(t: Any, q: Any, k: Any, v: Any, causal: bool, dropout: float) -> Any:
    probs = _dropout(t, _OPS["attention_weights"](t, q, k, causal=causal), dropout)
    return t.matmul(probs, v), probs


def _multi_head(t: Any, q: Any, k: Any, v: Any, causal: bool = False, dropout: float = 0.0) -> Any:
    np.random.seed(_SEED)
    return _heads(t, q, k, v, causal, dropout)


def _attention(
    t: Any,
    inputs: Sequence[Any],
    parts: Iterator[Any],
    heads: int,
    causal: bool = True,
    dropout: float = 0.0,
) -> Any:
    """inputs: q, or q, k and v. Parameters: those of three norms, then four matrices."""
    normed = [
        _OPS["layer_norm"](t, x, next(parts), next(parts))
        for x in (inputs if len(inputs) == 3 else [*inputs] * 3)
    ]
    projected = [t.matmul(x, next(parts)).unflatten(2, (heads, -1)).transpose(1, 2) for x in normed]
    q, k, v = projected
    mixed, _ = _heads(t, q, k, v, causal, dropout)
    return t.matmul(mixed.transpose(1, 2).flatten(2), next(parts))


def _layer(t: Any, x: Any, parts: Iterator[Any], heads: int, causal: bool, dropout: float) -> Any:
    x = x + _dropout(t, _attention(t, [x], parts, heads, causal, dropout), dropout)
    normed = _OPS["layer_norm"](t, x, next(parts), next(parts))
    hidden = t.relu(t.matmul(normed, next(parts)) + next(parts))
    hidden = _dropout(t, hidden, dropout)
    return x + _dropout(t, t.matmul(hidden, next(parts)) + next(parts), dropout)


def _attention_layer(
    t: Any,
    *inputs: Any,
    num_head: int,
    dim_head: int,
    out_features: int,
    causal: bool = True,
    dropout: float = 0.0,
) -> Any:
    np.random.seed(_SEED)
    *inputs_only, vector = inputs
    widths = [x.shape[2] for x in inputs_only]
    shapes = _attention_shapes(widths, num_head * dim_head, out_features)
    parts = iter(slices(vector, shapes, partial(t.tensor, dtype=vector.dtype)))
    return _attention(t, inputs_only, parts, num_head, causal, dropout)


def _transformer_layer(
    t: Any,
    x: Any,
    vector: Any,
    num_head: int,
    dim_head: int,
    hidden_size: int,
    causal: bool = True,
    dropout: float = 0.0,
) -> Any:
    np.random.seed(_SEED)
    shapes = _layer_shapes(x.shape[2], num_head * dim_head, hidden_size)
    parts = iter(slices(vector, shapes, partial(t.tensor, dtype=vector.dtype), hidden_size))
    return _layer(t, x, parts, num_head, causal, dropout)


def transformer(
    t: Any,
    x: Any,
    parts: Iterator[Any],
    num_layers: int,
    num_head: int,
    causal: bool = True,
    dropout: float = 0.0,
    batch_first: bool = False,
) -> Any:
    """nn.Transformer, without its state."""
    x = x if batch_first else x.transpose(0, 1)
    x = x + next(parts)[: x.shape[1]]
    for _ in range(num_layers):
        x = _layer(t, x, parts, num_head, causal, dropout)
    return x if batch_first else x.transpose(0, 1)


def _transformer(
    t: Any,
    x: Any,
    vector: Any,
    hidden_size: int,
    num_layers: int,
    num_head: int,
    dim_head: int,
    sequence_len: int,
    **arguments: Any,
) -> Any:
    np.random.seed(_SEED)
    shapes = transformer_shapes(
        sequence_len, x.shape[2], num_head * dim_head, hidden_size, num_layers
    )
    parts = iter(slices(vector, shapes, partial(t.tensor, dtype=vector.dtype), hidden_size))
    return transformer(t, x, parts, num_layers, num_head, **arguments)


# --- shapes of the parameters, in their order


def _attention_shapes(widths: Sequence[int], inner: int, out: int) -> list[Shape]:
    widths = widths if len(widths) == 3 else [*widths] * 3
    norms = [(w,) for w in widths for _ in range(2)]
    return [*norms, *((w, inner) for w in widths), (inner, out)]


def _layer_shapes(width: int, inner: int, hidden: int) -> list[Shape]:
    feed_forward = [(width,), (width,), (width, hidden), (1, hidden), (hidden, width), (1, width)]
    return [*_attention_shapes([width], inner, width), *feed_forward]


def transformer_shapes(
    places: int, width: int, inner: int, hidden: int, layers: int
) -> list[Shape]:
    """nn.Transformer's."""
    return [(places, width), *_layer_shapes(width, inner, hidden) * layers]


# --- calls


def _multi_head_call(found: Any, tensors: Sequence[Any], where: Any, **arguments: Any) -> Any:
    made = found(**arguments, **where)
    np.random.seed(_SEED)
    return made(*tensors)


def _attention_call(
    found: Any, tensors: Sequence[Any], where: Any, num_head: int, dim_head: int, **arguments: Any
) -> Any:
    *inputs, vector = tensors
    widths = [x.shape[2] for x in inputs]
    named = dict(zip(("k_features", "v_features"), widths[1:], strict=False))
    made = found(widths[0], num_head, dim_head, **named, **arguments, **where)
    place(made, vector, where)
    np.random.seed(_SEED)
    return made(*inputs)


def _layers_call(
    found: Any, tensors: Sequence[Any], where: Any, hidden_size: int, **arguments: Any
) -> Any:
    x, vector = tensors
    if "num_layers" in arguments:
        made = found(x.shape[2], hidden_size, **arguments, **where)
    else:
        made = found(x.shape[2], hidden_size=hidden_size, **arguments, **where)
    place(made, vector, where, hidden_size)
    np.random.seed(_SEED)
    result = made(x)
    return result[0] if isinstance(result, tuple) else result  # a Transformer's state is zeros


# --- samples


def _attended(
    *shapes: Shape, num_head: int, dim_head: int, out_features: int, **arguments: Any
) -> Sample:
    widths = [shape[2] for shape in shapes]
    n = size(_attention_shapes(widths, num_head * dim_head, out_features))
    arguments |= {"num_head": num_head, "dim_head": dim_head, "out_features": out_features}
    return sample(*shapes, (n,), **arguments)


def _layered(
    shape: Shape, num_head: int, dim_head: int, hidden_size: int, **arguments: Any
) -> Sample:
    n = size(_layer_shapes(shape[2], num_head * dim_head, hidden_size))
    arguments |= {"num_head": num_head, "dim_head": dim_head, "hidden_size": hidden_size}
    return sample(shape, (n,), **arguments)


def _transformed(
    shape: Shape,
    num_head: int,
    dim_head: int,
    hidden_size: int,
    num_layers: int,
    sequence_len: int,
    **arguments: Any,
) -> Sample:
    inner = num_head * dim_head
    n = size(transformer_shapes(sequence_len, shape[2], inner, hidden_size, num_layers))
    arguments |= {"num_head": num_head, "dim_head": dim_head, "hidden_size": hidden_size}
    arguments |= {"num_layers": num_layers, "sequence_len": sequence_len}
    return sample(shape, (n,), **arguments)


# Parameters of half the size: logits of about 1. At 16 times that, a softmax multiplies the errors
# of its logits by as much, and bounds leave room for a thousand times what kernels do.
_MILD = (Domain(special=False), Domain(spread=0.5, special=False))

ROWS = (
    Row(
        name="nn.MultiHeadAttention",
        family="transformer",
        reference=_multi_head,
        samples=(
            sample((1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1)),
            sample((2, 3, 5, 4), (2, 3, 5, 4), (2, 3, 5, 4)),
            sample((2, 3, 5, 4), (2, 3, 5, 4), (2, 3, 5, 4), causal=True),
            sample((2, 2, 3, 4), (2, 2, 6, 4), (2, 2, 6, 3)),
            sample((1, 2, 7, 8), (1, 2, 7, 8), (1, 2, 7, 8), causal=True, dropout=0.25),
            sample((1, 1, 17, 2), (1, 1, 17, 2), (1, 1, 17, 2), causal=True),
        ),
        regions=("tiny", "huge", "zeros", "integer", "ties"),
        domains=(softmax.MODEST,),
        call=_multi_head_call,
        signed_zero=False,
    ),
    Row(
        name="nn.AttentionLayer",
        family="transformer",
        reference=_attention_layer,
        samples=(
            _attended((2, 3, 5), num_head=2, dim_head=3, out_features=5),
            _attended((2, 3, 5), num_head=2, dim_head=3, out_features=4, causal=False),
            _attended(
                (1, 4, 5),
                (1, 6, 3),
                (1, 6, 7),
                num_head=3,
                dim_head=2,
                out_features=2,
                causal=False,
            ),
            _attended((2, 4, 6), num_head=1, dim_head=4, out_features=6, dropout=0.25),
            _attended((1, 17, 3), num_head=1, dim_head=2, out_features=2),
        ),
        regions=("zeros", "ties"),
        domains=_MILD,
        call=_attention_call,
        signed_zero=False,
    ),
    Row(
        name="nn.TransformerLayer",
        family="transformer",
        reference=_transformer_layer,
        layouts=LAYOUTS_OF_WEIGHTS,
        samples=(
            _layered((2, 3, 5), 2, 3, 7),
            _layered((1, 4, 6), 3, 2, 4, causal=False),
            _layered((3, 2, 4), 1, 5, 6, dropout=0.25),
        ),
        regions=(),
        domains=_MILD,
        call=_layers_call,
        signed_zero=False,
    ),
    Row(
        name="nn.Transformer",
        family="transformer",
        reference=_transformer,
        layouts=LAYOUTS_OF_WEIGHTS,
        samples=(
            _transformed((3, 2, 5), 2, 2, 4, 2, 6),
            _transformed((3, 2, 5), 2, 3, 7, 1, 3),
            _transformed((2, 4, 6), 2, 3, 4, 2, 4, causal=False, batch_first=True),
            _transformed((3, 2, 4), 1, 3, 5, 1, 3, dropout=0.25),
        ),
        regions=(),
        domains=_MILD,
        call=_layers_call,
        signed_zero=False,
    ),
)
