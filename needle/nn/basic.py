"""Modules that join others, reshape, or apply one matrix."""

from __future__ import annotations

import math
from typing import Any

from needle import init, ops
from needle.autograd import Tensor
from needle.backend_ndarray import BackendDevice
from needle.nn.module import Module, Parameter, require_positive
from needle.ops.broadcast import check_tensors


def _require_callable(op: str, name: str, value: Any) -> None:
    if not callable(value):
        raise TypeError(f"[{op}] {name} is a Module or a function, got type={type(value).__name__}")


class Identity(Module):
    """Its input, unchanged."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Flatten(Module):
    """All axes but the first, joined.

    Shape: (N, ...) gives (N, product of the rest).
    Raises: ValueError when there is no axis.
    """

    def forward(self, x: Tensor) -> Tensor:
        check_tensors("nn.Flatten", x=x)
        if x.ndim == 0:
            raise ValueError("[nn.Flatten] x has at least one axis, got x.shape=()")
        return ops.reshape(x, (x.shape[0], math.prod(x.shape[1:])))


class Linear(Module):
    """x @ weight + bias.

    Shape: (..., in_features) gives (..., out_features); weight (in_features, out_features),
    bias (1, out_features).
    Draws: weight kaiming_uniform, then bias kaiming_uniform with fan_in = out_features.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: BackendDevice | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        require_positive("nn.Linear", in_features=in_features, out_features=out_features)
        self.in_features = in_features
        self.out_features = out_features
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = Parameter(init.kaiming_uniform(in_features, out_features, **where))
        self.bias = None
        if bias:
            column = init.kaiming_uniform(out_features, 1, **where)
            self.bias = Parameter(column.reshape((1, out_features)))

    def forward(self, x: Tensor) -> Tensor:
        check_tensors("nn.Linear", x=x)
        y = x @ self.weight
        if self.bias is None:
            return y
        # (1, out) would give a vector an axis more
        return y + (self.bias if y.ndim > 1 else ops.reshape(self.bias, y.shape))


class Sequential(Module):
    """Modules, each applied to the result of the one before.

    Raises: TypeError when one of them cannot be called.
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__()
        for i, module in enumerate(modules):
            _require_callable("nn.Sequential", f"modules[{i}]", module)
        self.modules = modules

    def forward(self, x: Any) -> Any:
        for module in self.modules:
            x = module(x)
        return x


class Residual(Module):
    """fn(x) + x.

    Raises: TypeError when fn cannot be called.
    """

    def __init__(self, fn: Module) -> None:
        super().__init__()
        _require_callable("nn.Residual", "fn", fn)
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(x) + x  # type: ignore[no-any-return]
