"""Functions of torch tensors as targets: a user's torch.autograd.Function, module or callable.

The oracle runs the reference in float64 with bounds; here the subject runs as it is, in the dtype
asked for, through torch's own autograd.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from verify.budget import Array
from verify.reference import _listed
from verify.sampling import Laid, Problem
from verify.spec import Broken, Missing, Row


class TorchCall:
    """A Target: one call of a function of torch tensors on the cpu."""

    def __init__(
        self, row: Row, problem: Problem, device: str, dtype: str, function: Callable[..., Any]
    ) -> None:
        if device != "torch":
            raise Missing(f"a function of torch tensors runs in torch, got device={device}")
        self.problem, self.dtype = problem, dtype
        self.function = function
        if isinstance(function, torch.nn.Module):
            self.function = copy.deepcopy(function).to(getattr(torch, dtype))

    def forward(self) -> list[Array]:
        """The results."""
        bases, tensors = _place(self.problem.inputs)
        with torch.no_grad():
            results = self._results(self._outputs(tensors), "result")
        _unchanged("input", bases, self.problem.inputs)
        return results

    def vjp(self, cotangents: Sequence[Laid], alone: int = 0) -> list[Array]:
        """The cotangents of all results pulled back to every input."""
        bases, tensors = _place(self.problem.inputs)
        inputs = [t.detach().requires_grad_() for t in tensors]
        seed_bases, seeds = _place(cotangents)
        outputs = [(y, s) for y, s in zip(self._outputs(inputs), seeds, strict=True)]
        joined = [(y, s) for y, s in outputs if y.requires_grad]
        if not joined:
            raise Broken("no result depends on the inputs for autograd")
        found = torch.autograd.grad(
            [y for y, _ in joined], inputs, [s for _, s in joined], allow_unused=True
        )
        # None is torch's zero
        grads = [
            torch.zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True)
        ]
        results = self._results(grads, "the gradient of input")
        _unchanged("input", bases, self.problem.inputs)
        _unchanged("cotangent", seed_bases, cotangents)
        return results

    def evaluate(self, values: Sequence[Array]) -> list[Array]:
        """The results at other values, laid out compactly."""
        with torch.no_grad():
            return self._results(self._outputs([torch.tensor(v) for v in values]), "result")

    def second(self, cotangents: Sequence[Laid], directions: Sequence[Array]) -> list[Array]:
        """Not asked of functions of a user's own."""
        raise Missing("second order is not judged here")

    def gradients(self, values: Sequence[Array], cotangents: Sequence[Array]) -> list[Array]:
        """Not asked of functions of a user's own."""
        raise Missing("second order is not judged here")

    def refusal(self, mixture: str) -> Exception | None:
        """Not asked of functions of a user's own."""
        raise Missing("bad input is not judged here")

    def _outputs(self, tensors: Sequence[torch.Tensor]) -> list[Any]:
        return _listed(self.function(*tensors, **self.problem.arguments))

    def _results(self, outputs: Sequence[Any], what: str) -> list[Array]:
        for i, y in enumerate(outputs):
            if y.dtype != getattr(torch, self.dtype):
                raise Broken(f"{what} {i} has dtype {y.dtype}, should have {self.dtype}")
        return [y.detach().numpy().copy() for y in outputs]


def _place(inputs: Sequence[Laid]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Copies of the bases, and the inputs as views of them."""
    bases = [torch.tensor(laid.base) for laid in inputs]
    views = []
    for base, laid in zip(bases, inputs, strict=True):
        view = base
        for kind, argument in laid.views:
            if kind == "getitem":
                view = view[argument]
            else:
                view = view.permute(argument) if kind == "permute" else view.expand(argument)
        views.append(view)
    return bases, views


def _unchanged(what: str, bases: Sequence[torch.Tensor], inputs: Sequence[Laid]) -> None:
    for i, (base, laid) in enumerate(zip(bases, inputs, strict=True)):
        if base.numpy().tobytes() != np.ascontiguousarray(laid.base).tobytes():
            raise Broken(f"{what} {i} was changed by the call")


def as_function(subject: Any) -> Callable[..., Any] | None:
    """An autograd.Function or module as a function of tensors; None for what is not torch's."""
    if isinstance(subject, type) and issubclass(subject, torch.autograd.Function):
        return subject.apply
    return subject if isinstance(subject, torch.nn.Module) else None


def why_not(function: Callable[..., Any], arrays: Sequence[Array], **arguments: Any) -> str:
    """Why a function does not make tensors of tensors; empty: it does."""
    try:
        tensors = [torch.tensor(a) for a in arrays]
        module = isinstance(function, torch.nn.Module)
        made = copy.deepcopy(function).to(tensors[0].dtype) if module else function  # type: ignore[attr-defined]
        outputs = _listed(made(*tensors, **arguments))
    except Exception as error:
        return f"it raised {type(error).__name__}: {error}"
    ok = all(isinstance(y, torch.Tensor) for y in outputs)
    return "" if ok else "it makes no tensors of tensors"
