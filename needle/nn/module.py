"""Module and Parameter: how a model is put together and how its parts are found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from needle.autograd import Tensor


class Parameter(Tensor):
    """A Tensor that belongs to a Module and is trained."""

    __slots__ = ()


class Module:
    """Base of all modules. Its parts are the Parameters and Modules in its attributes.

    They are found in lists, tuples and dicts too, in the order of the attributes.
    """

    def __init__(self) -> None:
        self.training = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's result; modules define it, users call the module."""
        raise NotImplementedError(f"[{type(self).__name__}] forward is not defined")

    def parameters(self) -> list[Tensor]:
        """Its parameters and those of the modules in it, each once."""
        return _distinct(part for part in _parts(self.__dict__) if isinstance(part, Parameter))

    def _children(self) -> list[Module]:
        """Every module in it, at any depth, each once."""
        return _distinct(part for part in _parts(self.__dict__) if isinstance(part, Module))

    def train(self) -> Self:
        """Switches it and every module in it to training."""
        return self._set_training(True)

    def eval(self) -> Self:
        """Switches it and every module in it to evaluation."""
        return self._set_training(False)

    def _set_training(self, training: bool) -> Self:
        self.training = training
        for module in self._children():
            module.training = training
        return self


def _parts(value: Any) -> Iterator[Any]:
    """Parameters and modules in value, depth first; a module before what is in it."""
    if isinstance(value, Parameter):
        yield value
    elif isinstance(value, Module):
        yield value
        yield from _parts(value.__dict__)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _parts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _parts(item)


def _distinct(values: Iterator[Any]) -> list[Any]:
    return list({id(value): value for value in values}.values())
