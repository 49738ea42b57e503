"""Recurrent layers, and Embedding, which feeds them. Weights are inputs like any other.

References state each step as one matrix product, so that its bound holds for every order of adding
the parts up, and give each step a copy of the weights, so that a weight's gradient is one sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from verify.registry.planning import sample
from verify.sampling import OF_TENSORS
from verify.spec import Domain, Row, Sample, Shape

_CELL = ("W_ih", "W_hh", "bias_ih", "bias_hh")
# Sums of products of three inputs stay in range, and gates away from where they are flat.
MILD = Domain(spread=0.5, huge=lambda largest: largest**0.2, special=False)
REGIONS = ("tiny", "huge", "zeros", "integer")


# --- references


def _gates(t: Any, x: Any, h: Any, weights: Sequence[Any]) -> Any:
    """x W_ih + h W_hh + bias_ih + bias_hh as one product."""
    operands, ones = [x, h], t.ones((x.shape[0], 1), dtype=x.dtype)
    rows = [*weights[:2], *(b.unsqueeze(0) for b in weights[2:])]
    operands += [ones] * (len(rows) - 2)
    left, right = t.cat(operands, 1), t.cat(rows, 0)
    size = t.matmul(left.detach().abs(), right.detach().abs())
    return t.ops.needle_verify.in_parts(t.matmul(left, right), size, len(rows))


def _rnn_step(t: Any, x: Any, state: Any, weights: Sequence[Any], nonlinearity: str) -> Any:
    return (getattr(t, nonlinearity)(_gates(t, x, state[0], weights)),)


def _lstm_step(t: Any, x: Any, state: Any, weights: Sequence[Any]) -> Any:
    return lstm_pointwise(t, _gates(t, x, state[0], weights), state[1])


def lstm_sequence(t: Any, projected: Any, weight: Any, h: Any, c: Any) -> Any:
    outputs = []
    copies = weight.expand(len(projected), *weight.shape).unbind(0)
    for part, of_step in zip(projected.unbind(0), copies, strict=True):
        h, c = lstm_pointwise(t, part + t.matmul(h, of_step), c)
        outputs.append(h)
    return t.stack(outputs, 0), h, c


def lstm_pointwise(t: Any, gates: Any, c: Any) -> Any:
    i, f, g, o = gates.unflatten(1, (4, c.shape[1])).unbind(1)
    c = t.sigmoid(f) * c + t.sigmoid(i) * t.tanh(g)
    return t.sigmoid(o) * t.tanh(c), c


def recurrent(
    t: Any, step: Callable[..., Any], x: Any, state: Any, weights: Sequence[Any], **arguments: Any
) -> tuple[Any, tuple[Any, ...]]:
    """Outputs of the last layer and last states of all; weights: those of each layer in turn."""
    layers = state[0].shape[0]
    each = len(weights) // layers
    ends = []
    for layer in range(layers):
        own = weights[layer * each : (layer + 1) * each]
        copies = zip(*(w.expand(len(x), *w.shape).unbind(0) for w in own), strict=True)
        now, outputs = tuple(s[layer] for s in state), []
        for x_t, weights_t in zip(x.unbind(0), copies, strict=True):
            now = step(t, x_t, now, weights_t, **arguments)
            outputs.append(now[0])
        x = t.stack(outputs, 0)
        ends.append(now)
    return x, tuple(t.stack(parts, 0) for parts in zip(*ends, strict=True))


def rnn(t: Any, x: Any, h: Any, *weights: Any, nonlinearity: str = "tanh") -> Any:
    """nn.RNN."""
    return recurrent(t, _rnn_step, x, (h,), weights, nonlinearity=nonlinearity)


def lstm(t: Any, x: Any, h: Any, c: Any, *weights: Any) -> Any:
    """nn.LSTM."""
    return recurrent(t, _lstm_step, x, (h, c), weights)


def _embedding(t: Any, weight: Any, indices: Any) -> Any:
    """Rows, those named more than once copied first: a row's gradient is one sum."""
    flat = [int(i) for i in np.ravel(indices)]
    copies = {i: iter(weight[i].expand(flat.count(i), -1).unbind(0)) for i in set(flat)}
    rows = t.stack([next(copies[i]) for i in flat], 0)
    return rows.reshape(*np.shape(indices), weight.shape[1])


# --- calls


def set_cell(cell: Any, weights: Sequence[Any]) -> None:
    """Replaces the weights of a cell."""
    for name, weight in zip(_CELL, weights, strict=False):
        setattr(cell, name, weight)


def _cell_call(states: int) -> Callable[..., Any]:
    def call(found: Any, tensors: Sequence[Any], where: Any, **arguments: Any) -> Any:
        x, *state = tensors[: 1 + states]
        weights = tensors[1 + states :]
        bias = len(weights) == 4
        cell = found(x.shape[1], state[0].shape[1], bias=bias, **arguments, **where)
        set_cell(cell, weights)
        return cell(x, state[0] if states == 1 else tuple(state))

    return call


def _layers_call(states: int, cells: str) -> Callable[..., Any]:
    def call(found: Any, tensors: Sequence[Any], where: Any, **arguments: Any) -> Any:
        x, *state = tensors[: 1 + states]
        weights = tensors[1 + states :]
        layers, _, hidden = state[0].shape
        each = len(weights) // layers
        sizes = (x.shape[2], hidden, layers)[: 2 if layers == 1 else 3]  # one layer is its own
        arguments |= {} if each == 4 else {"bias": False}
        made = found(*sizes, **arguments, **where)
        for i, cell in enumerate(getattr(made, cells)):
            set_cell(cell, weights[i * each : (i + 1) * each])
        return made(x, state[0] if states == 1 else tuple(state))

    return call


def _embedding_call(
    found: Any, tensors: Sequence[Any], where: Any, indices: Any, bare: bool = False
) -> Any:
    (weight,) = tensors
    made = found(*weight.shape, **where)
    made.weight = weight
    if bare:
        return made(indices)  # which it refuses
    return made(type(weight)(indices, device=where["device"], requires_grad=False))


# --- samples


def _weights(inputs: int, hidden: int, gates: int, bias: bool) -> tuple[Shape, ...]:
    width = gates * hidden
    return ((inputs, width), (hidden, width), *[(width,)] * (2 * bias))


def _cell(
    batch: int, inputs: int, hidden: int, states: int, bias: bool = True, **arguments: Any
) -> Sample:
    weights = _weights(inputs, hidden, states**2, bias)
    return sample((batch, inputs), *[(batch, hidden)] * states, *weights, **arguments)


def _layers(
    steps: int,
    batch: int,
    inputs: int,
    hidden: int,
    layers: int,
    states: int,
    bias: bool = True,
    **arguments: Any,
) -> Sample:
    weights = _weights(inputs, hidden, states**2, bias)
    weights += _weights(hidden, hidden, states**2, bias) * (layers - 1)
    state = [(layers, batch, hidden)] * states
    return sample((steps, batch, inputs), *state, *weights, **arguments)


ROWS = (
    Row(
        name="nn.RNNCell",
        family="recurrent",
        reference=lambda t, x, h, *weights, nonlinearity="tanh": _rnn_step(
            t, x, (h,), weights, nonlinearity
        )[0],
        samples=(
            _cell(1, 1, 1, 1),
            _cell(3, 2, 5, 1),
            _cell(3, 2, 5, 1, bias=False),
            _cell(2, 7, 3, 1, nonlinearity="tanh"),
            _cell(7, 1, 3, 1, nonlinearity="relu"),
            _cell(0, 2, 3, 1),
            _cell(5, 33, 17, 1),
        ),
        regions=REGIONS,
        domains=(MILD,),
        call=_cell_call(1),
        signed_zero=False,
    ),
    Row(
        name="lstm_step",
        family="recurrent",
        reference=lstm_pointwise,
        samples=(
            sample((1, 4), (1, 1)),
            sample((3, 20), (3, 5)),
            sample((0, 8), (0, 2)),
            sample((2, 64), (2, 16)),
            sample((4, 132), (4, 33)),
        ),
        regions=REGIONS,
        domains=(MILD,),
        signed_zero=False,
        flops=lambda shapes, **_: 9.0 * math.prod(shapes[1]),
    ),
    Row(
        name="lstm_sequence",
        family="recurrent",
        reference=lstm_sequence,
        samples=tuple(
            sample((steps, batch, 4 * n), (n, 4 * n), (batch, n), (batch, n))
            for steps, batch, n in ((1, 1, 1), (4, 2, 3), (3, 0, 2), (2, 3, 17), (9, 2, 2))
        ),
        regions=REGIONS,
        domains=(MILD,),
        signed_zero=False,
        flops=lambda shapes, **_: math.prod(shapes[0]) * (2.0 * shapes[1][0] + 3.0),
    ),
    Row(
        name="nn.LSTMCell",
        family="recurrent",
        reference=lambda t, x, h, c, *weights: _lstm_step(t, x, (h, c), weights),
        samples=(
            _cell(1, 1, 1, 2),
            _cell(3, 2, 5, 2),
            _cell(3, 2, 5, 2, bias=False),
            _cell(0, 2, 3, 2),
            _cell(4, 13, 9, 2),
        ),
        regions=REGIONS,
        domains=(MILD,),
        call=_cell_call(2),
        signed_zero=False,
    ),
    Row(
        name="nn.RNN",
        family="recurrent",
        reference=rnn,
        samples=(
            _layers(1, 1, 1, 1, 1, 1),
            _layers(4, 2, 3, 5, 1, 1),
            _layers(3, 2, 3, 4, 2, 1),
            _layers(3, 2, 3, 4, 2, 1, bias=False),
            _layers(2, 1, 5, 3, 3, 1, nonlinearity="relu"),
            _layers(12, 3, 2, 3, 1, 1),
        ),
        regions=REGIONS,
        domains=(MILD,),
        call=_layers_call(1, "rnn_cells"),
        signed_zero=False,
    ),
    Row(
        name="nn.LSTM",
        family="recurrent",
        reference=lstm,
        samples=(
            _layers(1, 1, 1, 1, 1, 2),
            _layers(4, 2, 3, 5, 1, 2),
            _layers(3, 2, 3, 4, 2, 2),
            _layers(2, 2, 3, 4, 2, 2, bias=False),
            _layers(9, 3, 2, 3, 1, 2),
        ),
        regions=REGIONS,
        domains=(MILD,),
        call=_layers_call(2, "lstm_cells"),
        signed_zero=False,
    ),
    Row(
        name="nn.Embedding",
        mixtures=OF_TENSORS,  # the row makes Tensors like its input
        family="recurrent",
        reference=_embedding,
        samples=(
            sample((1, 1), indices=(0,)),
            sample((7, 3), indices=(6, 0, 3, 3, 0)),
            sample((7, 3), indices=2),
            sample((5, 4), indices=((1, 4, 0), (2, 2, 1))),
            sample((3, 2), indices=(1,) * 9),
            sample((5, 4), indices=(((0.0,), (4.0,)), ((3.0,), (3.0,)))),
            sample((33, 17), indices=tuple(7 * i % 33 for i in range(40))),
        ),
        regions=("tiny", "huge", "zeros", "integer"),
        call=_embedding_call,
        linear=True,
        signed_zero=False,
    ),
)
