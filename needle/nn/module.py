"""Module, Parameter and Buffer: how a model is put together and how its parts are found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from needle.autograd import Tensor
from needle.backend_ndarray import NDArray
from needle.backend_ndarray.checks import finite, integers


class Parameter(Tensor):
    """A Tensor that belongs to a Module and is trained."""

    __slots__ = ()


class Buffer(Tensor):
    """A Tensor that belongs to a Module and is saved with it, but not trained."""

    __slots__ = ()

    def __init__(self, array: Any) -> None:
        super().__init__(array, requires_grad=False)


class Module:
    """Base of all modules. Its parts are the Parameters and Modules in its attributes.

    They are found in lists, tuples and dicts too, in the order of the attributes.
    """

    def __init__(self) -> None:
        self.training = True

    def __setattr__(self, name: str, value: Any) -> None:
        plain = isinstance(value, Tensor) and not isinstance(value, Parameter | Buffer)
        if plain and isinstance(vars(self).get(name), Buffer) and not value.requires_grad:
            value = Buffer(value)  # running statistics that user code computes stay in the state
        super().__setattr__(name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's result; modules define it, users call the module."""
        raise NotImplementedError(f"[{type(self).__name__}] forward is not defined")

    def parameters(self) -> list[Tensor]:
        """Its parameters and those of the modules in it, each once."""
        return _distinct(part for _, part in _parts(self) if isinstance(part, Parameter))

    def _children(self) -> list[Module]:
        """Every module in it, at any depth, each once."""
        found = _distinct(part for _, part in _parts(self) if isinstance(part, Module))
        return found[1:]  # the first is itself

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of its parameters and buffers by dotted name: "modules.0.weight".

        Raises: ValueError when two of them have one name (a dict with the keys 1 and "1").
        """
        return {name: tensor.numpy() for name, tensor in self._tensors().items()}

    def load_state_dict(
        self, state: Mapping[str, Any], strict: bool = True
    ) -> tuple[list[str], list[str]]:
        """Copies a state (numpy arrays, NDArrays or Tensors) into its parameters and buffers.

        Gives the names that the state lacks and those that it has in excess; unless strict is
        False, either is an error. When anything does not fit, nothing is loaded.
        Raises: ValueError when names or shapes differ, TypeError when a dtype does.
        """
        check_mapping("load_state_dict", state)
        tensors = self._tensors()
        missing = [name for name in tensors if name not in state]
        unexpected = [name for name in state if name not in tensors]
        if strict and (missing or unexpected):
            raise ValueError(
                "[load_state_dict] the state has the module's names, "
                f"got missing={missing}, unexpected={unexpected}"
            )
        loaded = {
            name: fitting("load_state_dict", name, state[name], tensor)
            for name, tensor in tensors.items()
            if name in state
        }
        for name, array in loaded.items():
            tensors[name].cached_data = array
        return missing, unexpected

    def _tensors(self) -> dict[str, Tensor]:
        """Its parameters and buffers by dotted name; one that is shared has several names."""
        found: dict[str, Tensor] = {}
        for path, part in _parts(self):
            if isinstance(part, Parameter | Buffer):
                name = ".".join(path)
                if name in found:
                    raise ValueError(
                        f"[state_dict] a name is one tensor's, got name={name!r} twice"
                    )
                found[name] = part
        return found

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


def _parts(
    value: Any, path: tuple[str, ...] = (), around: tuple[Module, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Parameters, buffers and modules in value and where they are, depth first.

    A module comes before what is in it. One that is among those `around` is a reference back, and
    no part.
    """
    if isinstance(value, Parameter | Buffer):
        yield path, value
    elif isinstance(value, Module):
        if not any(value is module for module in around):
            yield path, value
            yield from _parts(value.__dict__, path, (*around, value))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _parts(item, (*path, str(key)), around)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _parts(item, (*path, str(i)), around)


def _distinct(values: Iterator[Any]) -> list[Any]:
    return list({id(value): value for value in values}.values())


def check_mapping(op: str, state: Any) -> None:
    """Raises: TypeError unless state is a mapping."""
    if not isinstance(state, Mapping):
        raise TypeError(f"[{op}] state is a mapping of names, got type={type(state).__name__}")


def as_array(op: str, name: str, value: Any) -> npt.NDArray[Any]:
    """value as a numpy array. Raises: ValueError when it is lists of several lengths."""
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"[{op}] {name!r} is an array, got {error}") from error


def fitting(op: str, name: str, value: Any, like: Tensor) -> NDArray:
    """A copy of value on like's device. Raises: ValueError or TypeError when it is unlike it."""
    array = as_array(op, name, value)
    if array.shape != like.shape:
        raise ValueError(
            f"[{op}] {name!r} keeps its shape, got shape={array.shape}, expected={like.shape}"
        )
    if array.dtype.name != like.dtype:
        raise TypeError(
            f"[{op}] {name!r} keeps its dtype, got dtype={array.dtype.name}, expected={like.dtype}"
        )
    return NDArray(array, device=like.device, dtype=like.dtype)


def require_positive(op: str, **sizes: int) -> None:
    """Raises: TypeError unless every size is an int, ValueError unless it is at least 1."""
    integers(op, **sizes)
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"[{op}] {name} must be at least 1, got {name}={value}")


def require_eps(op: str, eps: float) -> None:
    """Raises: TypeError unless eps is a number, ValueError unless it is finite and not negative."""
    finite(op, eps=eps)
    if eps < 0:
        raise ValueError(f"[{op}] eps must not be negative, got eps={eps}")
