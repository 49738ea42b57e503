"""What the course's layers and optimizers are called with, where that is not as for ours."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from verify import targets
from verify.registry import course_autograd
from verify.registry.layers import SEED
from verify.registry.planning import sample
from verify.registry.promises import kept
from verify.registry.recurrent import set_cell
from verify.spec import Missing, Row, Sample, Shape
from verify.targets import alike, array_of

_STATES = {"nn.RNNCell": 1, "nn.RNN": 1, "nn.LSTMCell": 2, "nn.LSTM": 2}
_CELLS = {"nn.RNN": "rnn_cells", "nn.LSTM": "lstm_cells"}
_ENOUGH = 20  # elements whose draws are hardly twice the same
_MOST_OF_SGD: dict[str, Any] = {"lr": 0.1875, "momentum": 0.875, "weight_decay": 0.375}
_TWO: tuple[Shape, ...] = ((3, 4), (5,)) * 4  # parameters, three steps


def _weights(inputs: int, hidden: int, gates: int, layers: int = 1) -> tuple[Shape, ...]:
    width = gates * hidden
    sizes = (inputs, *(hidden,) * (layers - 1))
    return tuple(s for n in sizes for s in ((n, width), (hidden, width), (width,), (width,)))


# asked beside the row's own, which are open there, or of arguments that the course has not
MORE: dict[str, tuple[Sample, ...]] = {
    "autograd.Tensor": course_autograd.FORMS,
    "nn.Embedding": (
        sample((7, 3), indices=((6, 0), (3, 3), (0, 6))),
        sample((33, 17), indices=(tuple(7 * i % 33 for i in range(40)),)),
    ),
    "logsoftmax": (sample((7, 4)), sample((33, 65)), sample((1, 9))),
    "conv": (sample((2, 9, 11, 33), (3, 3, 33, 35), padding=2),),
    "nn.Module": (sample((3, 4)), sample((7,))),
    "nn.RNNCell": (sample((3, 2), *_weights(2, 5, 1), fresh=True),),
    "nn.LSTMCell": (sample((3, 2), *_weights(2, 5, 4), fresh=True),),
    "nn.RNN": (sample((4, 2, 3), *_weights(3, 5, 1, layers=2), fresh=True),),
    "nn.LSTM": (sample((4, 2, 3), *_weights(3, 5, 4, layers=2), fresh=True),),
    "optim.SGD": (
        sample(*_TWO, count=2, **_MOST_OF_SGD),
        sample(*_TWO, count=2, lr=0.1875),
        sample(*_TWO, count=2, **_MOST_OF_SGD, reset=True),
    ),
    "optim.Adam": (sample(*_TWO, count=2, lr=0.1875, reset=True),),
}


def _batch_norm(
    found: Any,
    tensors: Sequence[Any],
    where: dict[str, Any],
    training: bool = True,
    momentum: float = 0.5,
    eps: float = 1e-5,
) -> Any:
    """As for ours, without arithmetic on the statistics."""
    x, weight, bias, *running = tensors

    def layer(statistics: Sequence[Any]) -> Any:
        made = found(weight.shape[0], eps, momentum, **where)
        made.weight, made.bias = weight, bias
        made.running_mean, made.running_var = statistics
        return made

    def step(made: Any) -> list[Any]:
        made(x)
        return [array_of(s, "running statistics") for s in (made.running_mean, made.running_var)]

    begun = running or (weight, bias)
    made = layer(begun)
    if training:
        first = layer(begun)
        once = step(first)
        further = zip(step(first), step(layer(once)), strict=True)
        kept(all(alike(a, b) for a, b in further), "a second batch is taken as the first is")
    else:
        made.eval()
    return made(x), made.running_mean, made.running_var


def _dropout(
    found: Any, tensors: Sequence[Any], where: Any, p: float | None = None, training: bool = True
) -> Any:
    """As for ours; each call drops others."""
    (x,) = tensors
    made = found() if p is None else found(p)
    if not training:
        made.eval()
    np.random.seed(SEED)
    result = made(x)
    if training and math.prod(x.shape) >= _ENOUGH and 0 < (0.5 if p is None else p) < 1:
        first, second = (array_of(y, "nn.Dropout") != 0 for y in (result, made(x)))
        kept((first != second).any() or not first.any(), "each call of a dropout drops others")
    return result


def _embedding(found: Any, tensors: Sequence[Any], where: dict[str, Any], indices: Any) -> Any:
    (weight,) = tensors
    made = found(*weight.shape, **where)
    made.weight = weight
    return made(np.array(indices, np.float32))


def _conv(op: Any, tensors: Sequence[Any], where: Any, stride: int = 1, padding: int = 1) -> Any:
    """Implementations have defaults of their own."""
    return op(*tensors, stride=stride, padding=padding)


def _module(found: Any, tensors: Sequence[Any], where: Any) -> Any:
    """A Module with parts in attributes, lists, tuples and dicts, at any depth."""
    library = targets.foreign()
    assert library is not None
    base: Any = library.resolve("nn.Module")
    parameter = library.resolve("nn.Parameter")
    for name in ("parameters", "eval", "train"):
        if not hasattr(base, name):
            raise Missing(f"Module has no {name}")
    (x,) = tensors

    class Part(base):  # type: ignore[misc]
        def __init__(self, *parts: Any) -> None:
            super().__init__()
            self.weight = parameter(x)
            self.parts = parts

        def forward(self, y: Any) -> Any:
            return y + self.weight

    class Tree(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.own = leaves[0], parameter(x)
            self.some, self.named = [leaves[1], (leaves[2],)], {"a": leaves[3], "b": [inner]}

    leaves = [Part() for _ in range(5)]
    inner = Part(leaves[4])
    made = Tree()
    modules: list[Any] = [made, inner, *leaves]
    wanted = {id(made.own), *(id(m.weight) for m in modules[1:])}
    got = [id(p) for p in made.parameters()]
    kept(wanted == set(got), "parameters() finds those of every part, in lists and dicts too")
    kept(len(got) == len(wanted), "parameters() finds every parameter once")
    kept(all(m.training for m in modules), "a Module begins in training")
    made.eval()
    kept(not any(m.training for m in modules), "eval() reaches every part")
    made.train()
    kept(all(m.training for m in modules), "train() reaches every part")
    return made.first(x)


def _fresh(name: str, known: Callable[..., Any]) -> Callable[..., Any]:
    """A recurrent layer's call; fresh: without a state."""

    def call(
        found: Any, tensors: Sequence[Any], where: Any, fresh: bool = False, **arguments: Any
    ) -> Any:
        if not fresh:
            return known(found, tensors, where, **arguments)
        x, *weights = tensors
        layers = (len(weights) // 4,) if name in _CELLS else ()
        made = found(x.shape[-1], weights[1].shape[0], *layers, **where)
        for i, cell in enumerate(getattr(made, _CELLS[name]) if layers else [made]):
            set_cell(cell, weights[4 * i : 4 * i + 4])
        return made(x)

    return call


CALLS: dict[str, Callable[..., Any]] = {
    "autograd.Tensor": course_autograd.call,
    "conv": _conv,
    "nn.Dropout": _dropout,
    "nn.BatchNorm1d": _batch_norm,
    "nn.BatchNorm2d": _batch_norm,
    "nn.Embedding": _embedding,
    "nn.Module": _module,
}


def call_of(row: Row) -> Callable[..., Any] | None:
    """How a row's op is called."""
    if row.name in _STATES:
        assert row.call is not None
        return _fresh(row.name, row.call)
    return CALLS.get(row.name, row.call)


def _dropped(known: Any, t: Any, x: Any, p: float = 0.5, training: bool = True) -> Any:
    """With the draws that it keeps: those up to 1 - p, or those above p."""
    library = targets.foreign()
    assert library is not None
    rules = {targets.dropout_of(library, device, min(p, 0.5)) for device in targets.DEVICES}
    if training and p < 1 and "greatest" in rules:
        np.random.seed(SEED)
        return x * t.tensor(np.random.rand(*x.shape) > p, dtype=x.dtype) / (1 - p)
    return known(t, x, p, training)


def reference_of(row: Row) -> Callable[..., Any]:
    """A row's reference, with what the course fixes: statistics, and states that are not given."""
    known, name = row.reference, row.name
    if name == "autograd.Tensor":
        return course_autograd.reference
    if name == "nn.Module":
        return lambda t, x: x + x
    if name == "nn.Dropout":
        return functools.partial(_dropped, known)
    if name in ("nn.BatchNorm1d", "nn.BatchNorm2d"):
        # running statistics are no inputs of the course's layers: they have no gradient
        return lambda t, x, weight, bias, *running, **how: known(
            t, x, weight, bias, *(r.detach() for r in running), **how
        )
    if name not in _STATES:
        return known

    def begun(t: Any, x: Any, *rest: Any, fresh: bool = False, **how: Any) -> Any:
        if fresh:  # it begins at zeros
            hidden = rest[1].shape[0]
            layers = (len(rest) // 4,) if name in _CELLS else ()
            zeros = t.zeros((*layers, x.shape[-2], hidden), dtype=x.dtype)
            rest = (*[zeros] * _STATES[name], *rest)
        return known(t, x, *rest, **how)

    return begun
