"""Functions of numpy arrays as targets: what verify.check judges beside needle's and torch's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from verify.sampling import Array, Laid, Problem, apply_views
from verify.spec import Broken, Missing, Row


class ArrayCall:
    """A Target: one call of a function of numpy arrays, and of the VJP that comes with it.

    gradient: (cotangent, *inputs, **arguments) -> the inputs' cotangents; of several results, the
    cotangents come as a tuple.
    """

    def __init__(
        self,
        row: Row,
        problem: Problem,
        device: str,
        dtype: str,
        function: Callable[..., Any],
        gradient: Callable[..., Any] | None = None,
    ) -> None:
        if device != "numpy":
            raise Missing(f"a function of numpy arrays runs in numpy, got device={device}")
        self.problem, self.dtype = problem, dtype
        self.function, self.gradient = function, gradient

    def forward(self) -> list[Array]:
        """The results."""
        bases, arrays = _place(self.problem.inputs)
        results = self._listed(self._call(arrays), "result")
        _unchanged("input", bases, self.problem.inputs)
        return results

    def vjp(self, cotangents: Sequence[Laid], alone: int = 0) -> list[Array]:
        """The cotangents of all results pulled back to every input."""
        if self.gradient is None:
            raise Missing("the function came without a gradient")
        bases, arrays = _place(self.problem.inputs)
        seed_bases, seeds = _place(cotangents)
        seed = seeds[0] if len(seeds) == 1 else tuple(seeds)
        with np.errstate(all="ignore"):
            grads = self.gradient(seed, *arrays, **self.problem.arguments)
        results = self._listed(grads, "the gradient of input")
        _unchanged("input", bases, self.problem.inputs)
        _unchanged("cotangent", seed_bases, cotangents)
        if len(results) != len(arrays):
            raise Broken(f"it gave {len(results)} gradients, should give {len(arrays)}")
        return results

    def evaluate(self, values: Sequence[Array]) -> list[Array]:
        """The results at other values, laid out compactly."""
        return self._listed(self._call([v.copy() for v in values]), "result")

    def second(self, cotangents: Sequence[Laid], directions: Sequence[Array]) -> list[Array]:
        """Not asked of functions of a user's own."""
        raise Missing("second order is not judged here")

    def gradients(self, values: Sequence[Array], cotangents: Sequence[Array]) -> list[Array]:
        """Not asked of functions of a user's own."""
        raise Missing("second order is not judged here")

    def refusal(self, mixture: str) -> Exception | None:
        """Not asked of functions of a user's own."""
        raise Missing("bad input is not judged here")

    def _call(self, arrays: Sequence[Array]) -> Any:
        with np.errstate(all="ignore"):  # overflow is judged, not warned of
            return self.function(*arrays, **self.problem.arguments)

    def _listed(self, outputs: Any, what: str) -> list[Array]:
        results = [
            np.asarray(y) for y in (outputs if isinstance(outputs, (tuple, list)) else [outputs])
        ]
        for i, y in enumerate(results):
            if y.dtype != self.dtype:
                raise Broken(f"{what} {i} has dtype {y.dtype}, should have {self.dtype}")
        return results


def _place(inputs: Sequence[Laid]) -> tuple[list[Array], list[Array]]:
    """Copies of the bases, and the inputs as views of them."""
    bases = [laid.base.copy() for laid in inputs]
    return bases, [apply_views(base, laid.views) for base, laid in zip(bases, inputs, strict=True)]


def _unchanged(what: str, bases: Sequence[Array], inputs: Sequence[Laid]) -> None:
    for i, (base, laid) in enumerate(zip(bases, inputs, strict=True)):
        if base.tobytes() != laid.base.tobytes():
            raise Broken(f"{what} {i} was changed by the call")


def why_not(function: Callable[..., Any], arrays: Sequence[Array], **arguments: Any) -> str:
    """Why a function does not make arrays of arrays; empty: it does."""
    try:
        outputs = function(*(a.copy() for a in arrays), **arguments)
    except Exception as error:
        return f"it raised {type(error).__name__}: {error}"
    outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]
    ok = all(isinstance(y, (np.ndarray, np.generic, float)) for y in outputs)
    return "" if ok else "it makes no arrays of arrays"
