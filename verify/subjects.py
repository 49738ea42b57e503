"""Functions of numpy arrays as targets: what verify.check judges beside needle's and torch's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from verify.same import SHARES, require_same, require_unchanged
from verify.sampling import Array, Laid, Problem, apply_views
from verify.spec import Broken, Missing, Row

NO_SECOND = "a function of numpy arrays brings no gradient of its gradient"


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
        if device not in ("numpy", "cpu"):
            raise Missing(f"a function of numpy arrays runs on the cpu, got device={device}")
        self.row, self.problem, self.dtype = row, problem, dtype
        self.function, self.gradient = function, gradient

    def forward(self) -> list[Array]:
        """The results; the same bits again, and in memory of their own."""
        bases, arrays = _place(self.problem.inputs)
        outputs = _listed(self._call(arrays))
        _unchanged("input", bases, self.problem.inputs)
        if not self.row.view:
            _require_fresh(outputs, bases)
        results = self._checked(outputs, "result")
        require_same(results, _copies(self._call(arrays)), "the same call again")
        return results

    def vjp(self, cotangents: Sequence[Laid], alone: int = 0) -> list[Array]:
        """The cotangents of all results pulled back to every input; the same bits again."""
        bases, arrays = _place(self.problem.inputs)
        seed_bases, seeds = _place(cotangents)
        results = self._checked(_listed(self._pulled(arrays, seeds)), "the gradient of input")
        if len(results) != len(arrays):
            raise Broken(f"it gave {len(results)} gradients, should give {len(arrays)}")
        _unchanged("input", bases, self.problem.inputs)
        _unchanged("cotangent", seed_bases, cotangents)
        require_same(results, _copies(self._pulled(arrays, seeds)), "the same gradient again")
        return results

    def evaluate(self, values: Sequence[Array]) -> list[Array]:
        """The results at other values, laid out compactly."""
        return self._checked(_listed(self._call([v.copy() for v in values])), "result")

    def second(self, cotangents: Sequence[Laid], directions: Sequence[Array]) -> list[Array]:
        """Raises: Missing."""
        raise Missing(NO_SECOND)

    def gradients(self, values: Sequence[Array], cotangents: Sequence[Array]) -> list[Array]:
        """Raises: Missing."""
        raise Missing(NO_SECOND)

    def refusal(self, mixture: str) -> Exception | None:
        """What it raises for these inputs."""
        _, arrays = _place(self.problem.inputs)
        try:
            self._call(arrays)
        except Exception as error:
            return error
        return None

    def _call(self, arrays: Sequence[Array]) -> Any:
        with np.errstate(all="ignore"):  # overflow is judged, not warned of
            return self.function(*arrays, **self.problem.arguments)

    def _pulled(self, arrays: Sequence[Array], seeds: Sequence[Array]) -> Any:
        if self.gradient is None:
            raise Missing("the function came without a gradient")
        seed = seeds[0] if len(seeds) == 1 else tuple(seeds)
        with np.errstate(all="ignore"):
            return self.gradient(seed, *arrays, **self.problem.arguments)

    def _checked(self, outputs: Sequence[Array], what: str) -> list[Array]:
        """Copies, of the dtype asked for: a second call may write where the first one did."""
        for i, y in enumerate(outputs):
            if y.dtype != self.dtype:
                raise Broken(f"{what} {i} has dtype {y.dtype}, should have {self.dtype}")
        return [y.copy() for y in outputs]


def _listed(outputs: Any) -> list[Array]:
    several = isinstance(outputs, (tuple, list))
    return [np.asarray(y) for y in (outputs if several else [outputs])]


def _copies(outputs: Any) -> list[Array]:
    return [y.copy() for y in _listed(outputs)]


def _place(inputs: Sequence[Laid]) -> tuple[list[Array], list[Array]]:
    """Copies of the bases, and the inputs as views of them."""
    bases = [laid.base.copy() for laid in inputs]
    return bases, [apply_views(base, laid.views) for base, laid in zip(bases, inputs, strict=True)]


def _unchanged(what: str, bases: Sequence[Array], inputs: Sequence[Laid]) -> None:
    require_unchanged(what, bases, [laid.base for laid in inputs])


def _require_fresh(outputs: Sequence[Array], bases: Sequence[Array]) -> None:
    for i, y in enumerate(outputs):
        if any(np.may_share_memory(y, base) for base in bases):  # bases are whole allocations
            raise Broken(f"result {i} {SHARES}")


def why_not(function: Callable[..., Any], arrays: Sequence[Array], **arguments: Any) -> str:
    """Why a function does not make arrays of arrays; empty: it does."""
    try:
        outputs = function(*(a.copy() for a in arrays), **arguments)
    except Exception as error:
        return f"it raised {type(error).__name__}: {error}"
    outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]
    ok = all(isinstance(y, (np.ndarray, np.generic, float)) for y in outputs)
    return "" if ok else "it makes no arrays of arrays"
