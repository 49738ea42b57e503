"""What every Module promises: its parts are found and named, its mode is handed on, it is saved."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from verify.registry.planning import refuses, sample
from verify.registry.promises import kept
from verify.spec import Row

_NAMES = ["first.weight", "rest.0.weight", "rest.1.a.weight", "again.weight", "running"]


def _tree(found: Any, nn: Any, x: Any) -> Any:
    """A Module with parts in attributes, lists and dicts, one of them twice."""

    class Leaf(found):  # type: ignore[misc]
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.weight = nn.Parameter(x * scale)

        def forward(self, y: Any) -> Any:
            return y * self.weight

    class Tree(found):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first = Leaf(2.0)
            self.rest = [Leaf(3.0), {"a": Leaf(5.0)}]
            self.again = self.first
            self.running = nn.Buffer(x * 7.0)
            self.name = "a tree"

    return Tree()


def _call(found: Any, tensors: Sequence[Any], where: Any, ask: str) -> Any:
    nn = importlib.import_module(found.__module__.rpartition(".")[0])
    (x,) = tensors
    made = _tree(found, nn, x)
    if ask == "twice":
        made.rest = {1: made.first, "1": made.first}
        return made.state_dict()
    modules = [made, made.first, made.rest[0], made.rest[1]["a"]]
    parameters = made.parameters()
    kept(
        [p is m.weight for p, m in zip(parameters, modules[1:], strict=True)] == [True] * 3,
        "parameters() finds every parameter once",
    )
    kept(all(p.requires_grad and p.is_leaf() for p in parameters), "a parameter is trained")
    kept(not made.running.requires_grad, "a buffer is not trained")
    kept(all(m.training for m in modules), "a Module begins in training")
    kept(made.eval() is made and not any(m.training for m in modules), "eval() reaches every part")
    kept(made.train() is made and all(m.training for m in modules), "train() reaches every part")
    if ask == "buffer":
        _assign(made, nn, x)
    state = made.state_dict()
    kept(list(state) == _NAMES, f"state_dict has the names {_NAMES}, and has {list(state)}")
    other = _tree(found, nn, x * 0.0)
    kept(other.load_state_dict(state) == ([], []), "a state fits the Module that it is from")
    return [*other.parameters(), made.running, made.first(x)]


def _assign(made: Any, nn: Any, x: Any) -> None:
    """What takes the place of a buffer."""
    other = nn.Buffer(x * 11.0)
    made.running = other
    kept(made.running is other, "a Buffer is kept as it is given")
    made.running = x * 13.0
    kept(isinstance(made.running, nn.Buffer), "what is computed for a buffer becomes one")
    made.name = x * 2.0
    kept(not isinstance(made.name, nn.Buffer), "other Tensors are no part of a Module")
    for odd in (None, 3, type(x).make_const(x, requires_grad=True)):
        made.running = odd
        kept(made.running is odd, "anything may take the place of a buffer")
    made.running = nn.Buffer(x * 13.0)


def _reference(t: Any, x: Any, ask: str) -> Any:
    running = 13.0 if ask == "buffer" else 7.0
    return x * 2.0, x * 3.0, x * 5.0, x * running, x * (x * 2.0)


ROWS = (
    Row(
        name="nn.Module",
        family="layer",
        reference=_reference,
        samples=(sample((3, 4), ask="parts"), sample((7,), ask="buffer")),
        regions=("integer",),
        layouts=("compact",),
        call=_call,
        differentiable=False,
        mixtures=(),
        signed_zero=False,
        errors=(
            refuses((3,), ask="twice", says="a name is one tensor's, got name='rest.1.weight'"),
        ),
    ),
)
