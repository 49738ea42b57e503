"""Three functions with planted faults in their gradients, for torch, jax and needle alike.

What is planted is a fault of the slope f'(x), computed by numpy: the gradient that each framework
is given is cotangent * slope.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from needle import ops
from needle.autograd import Tensor, TensorOp


@dataclass(frozen=True)
class Function:
    """A function in every framework, and its slope in numpy."""

    torch: Callable[[Any], Any]
    needle: Callable[[Any], Any]
    jax: Callable[[Any, Any], Any]  # (jax.numpy, x)
    slope: Callable[[Any], Any]


FUNCTIONS = {
    "x^2": Function(lambda x: x * x, lambda x: x * x, lambda jnp, x: x * x, lambda x: 2 * x),
    "tanh": Function(
        torch.tanh, ops.tanh, lambda jnp, x: jnp.tanh(x), lambda x: 1 - np.tanh(x) ** 2
    ),
    "exp": Function(torch.exp, ops.exp, lambda jnp, x: jnp.exp(x), np.exp),
}


def _scaled(factor: float) -> Callable[..., Any]:
    """One element, a random one, times a factor."""

    def fault(slope: Any, rng: np.random.Generator) -> Any:
        wrong = slope.copy()
        wrong.flat[rng.integers(wrong.size)] *= factor
        return wrong

    return fault


CORRECT = "correct gradient"
FAULTS: dict[str, Callable[..., Any]] = {
    "one element zeroed": _scaled(0.0),
    "one element 1 % off": _scaled(1.01),
    "shuffled": lambda slope, rng: rng.permutation(slope),
    "all zero": lambda slope, rng: np.zeros_like(slope),
    "doubled": lambda slope, rng: 2 * slope,
    "sign flipped": lambda slope, rng: -slope,
    CORRECT: lambda slope, rng: slope,
}


@dataclass(frozen=True)
class Planted:
    """One function with one fault, the same for every framework."""

    function: str
    fault: str
    n: int
    seed: int

    @property
    def point(self) -> np.ndarray:
        """Where it is checked: standard normal values on the grid that verify draws on."""
        return np.round(self._rng("point").standard_normal(self.n) * 2.0**20) * 2.0**-20

    def slope(self, x: np.ndarray) -> np.ndarray:
        """The slope at x with the fault."""
        wrong = FAULTS[self.fault](FUNCTIONS[self.function].slope(x), self._rng(self.fault))
        return np.asarray(wrong, x.dtype)

    def torch(self) -> type[torch.autograd.Function]:
        """As a torch.autograd.Function."""
        planted = self

        class TorchPlanted(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_backward(x)
                return FUNCTIONS[planted.function].torch(x)

            @staticmethod
            def backward(ctx: Any, *grads: Any) -> Any:
                (x,) = ctx.saved_tensors
                return grads[0] * torch.from_numpy(planted.slope(x.numpy()))

        return TorchPlanted

    def needle(self) -> type[TensorOp]:
        """As a needle.Op."""
        planted = self

        class NeedlePlanted(TensorOp):
            def compute(self, *arrays: Any, **_: Any) -> Any:
                return FUNCTIONS[planted.function].needle(Tensor(arrays[0])).realize_cached_data()

            def gradient(self, out_grad: Any, node: Any) -> Any:
                x = node.inputs[0]
                slope = planted.slope(x.numpy())
                return out_grad * Tensor(slope, device=x.device, dtype=x.dtype)

        return NeedlePlanted

    def jax(self, mode: str, dtype: str) -> tuple[Callable[..., Any], np.ndarray]:
        """As a function with a rule of its own (mode "rev": VJP, "fwd": JVP), and its point."""
        import jax
        import jax.numpy as jnp

        f = FUNCTIONS[self.function].jax
        x = self.point.astype(dtype)
        slope = self.slope(x)
        made: Any
        if mode == "rev":
            made = jax.custom_vjp(lambda x: f(jnp, x))
            made.defvjp(lambda x: (f(jnp, x), None), lambda _, g: (g * slope,))
        else:
            made = jax.custom_jvp(lambda x: f(jnp, x))
            made.defjvp(lambda xs, ts: (f(jnp, xs[0]), ts[0] * slope))
        return made, x

    def _rng(self, stream: str) -> np.random.Generator:
        text = f"{self.function}/{self.n}/{self.seed}/{stream}"
        return np.random.default_rng(zlib.crc32(text.encode()))
