"""A row's op beside the other ops of its library, by public name: identities are written so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from verify.sampling import Array, Problem
from verify.spec import Row
from verify.targets import call
from verify.targets.devices import checked_device, resolve


class Ops:
    """Public functions as attributes, and Tensors of one device and dtype."""

    def __init__(self, device: str, dtype: str) -> None:
        self._device, self._dtype = checked_device(device), dtype

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return resolve(name)

    def tensor(self, values: Any) -> Any:
        """A Tensor of these values."""
        return call._make(call._array(np.asarray(values), self._device, self._dtype), grad=False)


class Named:
    """The row's op as a function of Tensors and keyword arguments, and the ops beside it."""

    def __init__(self, row: Row, problem: Problem, device: str, dtype: str) -> None:
        # without inputs to lay out, a row that draws would be asked for its parameters
        self.row, self.dtype, self.device = replace(row, draws=None), dtype, device
        self.ops = Ops(device, dtype)

    def op(self, *tensors: Any, **arguments: Any) -> Any:
        """The row's op: a Tensor, or a list of them."""
        function = call._function(
            self.row, Problem((), arguments), self.ops._device, self.dtype, None
        )
        found = call.listed(function(list(tensors)))
        return found[0] if len(found) == 1 and self.row.name not in ("split", "iter") else found

    def pretending(self, fake: Callable[[Array, Array], Any]) -> Callable[..., Any]:
        """The row's op with other values in its results: fake(right values, first input)."""

        def pretended(*tensors: Any, **arguments: Any) -> Any:
            right = self.op(*tensors, **arguments)
            first = np.array(tensors[0].numpy())
            several = isinstance(right, list)
            made = [
                self.ops.tensor(fake(np.array(y.numpy()), first))
                for y in (right if several else [right])
            ]
            return made if several else made[0]

        return pretended

    def arrays(self, side: Any) -> list[Array]:
        """A side of an identity as arrays."""
        parts: Sequence[Any] = side if isinstance(side, list) else [side]
        return [
            np.array(p if isinstance(p, (np.ndarray, np.generic)) else p.numpy()) for p in parts
        ]
