"""Functions of torch tensors as targets: a user's torch.autograd.Function, module or callable.

The oracle runs the reference in float64 with bounds; here the subject runs as it is, in the dtype
asked for, through torch's own autograd.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch

from verify.budget import Array
from verify.reference import _listed
from verify.same import SHARES, require_same, require_unchanged
from verify.sampling import Laid, Problem
from verify.spec import Broken, Missing, Row

_PLACES = {"torch": "cpu", "cpu": "cpu", "cuda": "cuda"}


class TorchCall:
    """A Target: one call of a function of torch tensors."""

    def __init__(
        self, row: Row, problem: Problem, device: str, dtype: str, function: Callable[..., Any]
    ) -> None:
        if device not in _PLACES:
            raise Missing(f"a function of torch tensors runs on cpu and cuda, got device={device}")
        self.row, self.problem, self.dtype = row, problem, dtype
        self.place = torch.device(_PLACES[device])
        self.function = function
        if isinstance(function, torch.nn.Module):
            self.function = copy.deepcopy(function).to(self.place, getattr(torch, dtype))

    def forward(self) -> list[Array]:
        """The results; the same bits again, and in memory of their own."""
        bases, tensors = self._place(self.problem.inputs)
        with torch.no_grad():
            outputs = self._outputs(tensors)
            _unchanged("input", bases, self.problem.inputs)
            if not self.row.view:
                _require_fresh(outputs, bases)
            results = self._results(outputs, "result")
            again = self._results(self._outputs(tensors), "result")
        require_same(results, again, "the same call again")
        return results

    def vjp(self, cotangents: Sequence[Laid], alone: int = 0) -> list[Array]:
        """The cotangents of all results pulled back to every input; the same bits again.

        That of input `alone` is the one where no other requires a gradient, which torch may compute
        in another way: the bound judges it, and in other cases the one of all together.
        """
        bases, tensors = self._place(self.problem.inputs)
        seed_bases, seeds = self._place(cotangents)
        results = self._pulled(tensors, seeds)
        _unchanged("input", bases, self.problem.inputs)
        _unchanged("cotangent", seed_bases, cotangents)
        require_same(results, self._pulled(tensors, seeds), "the same gradient again")
        if len(tensors) > 1:
            results[alone] = self._pulled(tensors, seeds, alone)[alone]
        return results

    def second(self, cotangents: Sequence[Laid], directions: Sequence[Array]) -> list[Array]:
        """The gradient of <directions, vjp> with respect to the inputs and the cotangents."""
        _, tensors = self._place(self.problem.inputs)
        _, seeds = self._place(cotangents)
        leaves = [t.detach().requires_grad_() for t in (*tensors, *seeds)]
        inputs, seeds = leaves[: len(tensors)], leaves[len(tensors) :]
        first = _pull(self._outputs(inputs), inputs, seeds, create_graph=True)
        weights = self._tensors(directions)
        _require_twice(first)
        grads = _pull(first, leaves, weights, constant=True)
        return self._results(grads, "the second gradient")

    def gradients(self, values: Sequence[Array], cotangents: Sequence[Array]) -> list[Array]:
        """The VJP at other values, laid out compactly."""
        return self._pulled(self._tensors(values), self._tensors(cotangents))

    def evaluate(self, values: Sequence[Array]) -> list[Array]:
        """The results at other values, laid out compactly."""
        with torch.no_grad():
            return self._results(self._outputs(self._tensors(values)), "result")

    def refusal(self, mixture: str) -> Exception | None:
        """What it raises for these inputs."""
        _, tensors = self._place(self.problem.inputs)
        try:
            with torch.no_grad():
                self._outputs(tensors)
        except Exception as error:
            return error
        return None

    def _pulled(
        self, tensors: Sequence[torch.Tensor], seeds: Sequence[torch.Tensor], alone: int = -1
    ) -> list[Array]:
        """The gradients of all inputs; only that of one, where no other requires one."""
        wanted = [alone < 0 or i == alone for i in range(len(tensors))]
        inputs = [t.detach().requires_grad_(w) for t, w in zip(tensors, wanted, strict=True)]
        asked = [x for x, w in zip(inputs, wanted, strict=True) if w]
        grads = iter(_pull(self._outputs(inputs), asked, seeds, constant=alone >= 0))
        listed = [next(grads) if w else x for x, w in zip(inputs, wanted, strict=True)]
        return self._results(listed, "the gradient of input")

    def _outputs(self, tensors: Sequence[torch.Tensor]) -> list[Any]:
        return _listed(self.function(*tensors, **self.problem.arguments))

    def _results(self, outputs: Sequence[Any], what: str) -> list[Array]:
        for i, y in enumerate(outputs):
            if y.dtype != getattr(torch, self.dtype):
                raise Broken(f"{what} {i} has dtype {y.dtype}, should have {self.dtype}")
            if y.device.type != self.place.type:
                raise Broken(f"{what} {i} is on {y.device}, should be on {self.place}")
        return [y.detach().cpu().numpy().copy() for y in outputs]

    def _tensors(self, arrays: Sequence[Array]) -> list[torch.Tensor]:
        return [torch.tensor(a, device=self.place) for a in arrays]

    def _place(self, inputs: Sequence[Laid]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Copies of the bases, and the inputs as views of them."""
        bases = self._tensors([laid.base for laid in inputs])
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


def _pull(
    outputs: Sequence[torch.Tensor],
    inputs: Sequence[torch.Tensor],
    seeds: Sequence[torch.Tensor],
    create_graph: bool = False,
    constant: bool = False,
) -> list[torch.Tensor]:
    """The seeds of all outputs pulled back; Broken where no output depends on the inputs.

    constant: it need not, and the gradient is zero then.
    """
    if len(outputs) != len(seeds):
        raise Broken(f"it gave {len(outputs)} results, should give {len(seeds)}")
    joined = [(y, s) for y, s in zip(outputs, seeds, strict=True) if y.requires_grad]
    if not joined and not constant:
        raise Broken("no result depends on the inputs for autograd")
    found: Sequence[torch.Tensor | None] = [None] * len(inputs)
    if joined:
        found = torch.autograd.grad(
            [y for y, _ in joined],
            inputs,
            [s for _, s in joined],
            create_graph=create_graph,
            allow_unused=True,
        )
    # None is torch's zero
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True)]


def _require_twice(first: Sequence[torch.Tensor]) -> None:
    """Missing where a gradient's graph ends in an error that torch keeps for whoever goes there.

    It has no way to the inputs, so that autograd.grad would give zeros instead of raising it.
    """
    nodes: list[Any] = [g.grad_fn for g in first]
    seen = {None}
    while nodes:
        node = nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.name() in ("torch::autograd::Error", "torch::autograd::NotImplemented"):
            raise Missing("torch cannot derive its backward again (once_differentiable)")
        nodes += [following for following, _ in node.next_functions]


def _require_fresh(outputs: Sequence[torch.Tensor], bases: Sequence[torch.Tensor]) -> None:
    taken = {base.untyped_storage().data_ptr() for base in bases if base.numel()}
    for i, y in enumerate(outputs):
        if y.numel() and y.untyped_storage().data_ptr() in taken:
            raise Broken(f"result {i} {SHARES}")


def _unchanged(what: str, bases: Sequence[torch.Tensor], inputs: Sequence[Laid]) -> None:
    require_unchanged(what, [base.cpu().numpy() for base in bases], [laid.base for laid in inputs])


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
