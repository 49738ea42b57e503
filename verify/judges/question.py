"""A case with its numbers, and what a judge says of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from verify import budget, reference, sampling, targets
from verify.accuracy import TF32
from verify.budget import Comparison
from verify.precision import PRECISIONS, rounded
from verify.reference import Expected
from verify.sampling import Laid
from verify.spec import Case, Row, Shape, Status, UsageError


@dataclass(slots=True)
class Finding:
    """What a judge found."""

    status: Status
    rho: float | None = None
    ulp: float | None = None
    torch_rho: float | None = None  # of torch's own result
    torch_ulp: float | None = None
    worst: str = ""
    terms: dict[str, float] = field(default_factory=dict)
    message: str = ""
    impostors: tuple[str, ...] = ()
    digest: str = ""
    vacuous: str = ""  # why the results are constant or zero here
    checked: int = 0
    part: int = 0  # the result or gradient with the worst element
    comparison: Comparison | None = None


def wrong(text: str) -> Finding:
    """A failure that no bound is needed for."""
    return Finding(Status.FAIL, worst=text, message=text)


class Question:
    """A case with its numbers, for the target and for the oracle."""

    def __init__(self, case: Case, row: Row, locate: bool = True) -> None:
        """locate: whether a failure is worth the search for its element."""
        self.case, self.row, self.locate = case, row, locate
        self.problem = sampling.problem(case, row)
        # what a user's function sums with is not known
        maker = row.accuracy.get(case.device, case.device)
        self.fmt = budget.format_of(case.dtype, maker, own_kernels=row.target is None)
        if case.dtype == "float32" and row.target is None and targets.rounds_factors(case.device):
            self.fmt = replace(self.fmt, factor_error=TF32)
        self.values: list[Any] = [laid.value for laid in self.problem.inputs]
        # scalars as the device sees them: rounded to what it computes in, or gives as a result
        inner = PRECISIONS[case.dtype].inner or case.dtype
        self.arguments = {
            name: rounded(v, case.dtype if name in row.chosen else inner)
            if isinstance(v, float)
            else v
            for name, v in self.problem.arguments.items()
        }

    def take(self, inputs: Sequence[Laid]) -> None:
        """Other inputs in the place of its own."""
        self.problem = replace(self.problem, inputs=tuple(inputs))
        self.values = [laid.value for laid in inputs]

    @functools.cached_property
    def laid_cotangents(self) -> list[Laid]:
        """One for each result, with its layout on the device."""
        shapes = reference.output_shapes(self.row, self.values, self.arguments)
        return [self.cotangent(i, shape) for i, shape in enumerate(shapes)]

    def cotangent(self, i: int, shape: Shape) -> Laid:
        """That of result i: drawn, or the one that a saved failure holds."""
        given = self.row.cotangents[i] if i < len(self.row.cotangents) else None
        if given is None or given.shape != shape:
            return sampling.cotangent(self.case, i, shape)
        rng = sampling.generator(self.case, f"cotangent{i}")
        return sampling.lay_out(np.asarray(given, self.case.dtype), self.case.layout, rng)

    @property
    def cotangents(self) -> list[Any]:
        """Their values."""
        return [laid.value for laid in self.laid_cotangents]

    def target(self) -> targets.Target:
        """The target's op on the laid-out inputs."""
        make: Callable[..., targets.Target] = self.row.target or targets.Call
        return make(self.row, self.problem, self.case.device, self.case.dtype)

    def expected(self, without: str = "", values: list[Any] | None = None) -> list[Expected]:
        """What the judge should see; at other values, or bounds without an operation's rounding."""
        at = self.values if values is None else values
        if self.case.judge == "forward":
            return reference.forward(self.row, at, self.arguments, self.fmt, without)
        return reference.vjp(self.row, at, self.arguments, self.cotangents, self.fmt, without)

    @property
    def gradient_names(self) -> list[str]:
        """da, db, ... for the gradients with respect to the inputs."""
        n = len(self.values)
        return ["dx"] if n == 1 else ["da", "db"] if n == 2 else [f"dx{i}" for i in range(n)]


class Raised(Exception):
    """The target raised where it should compute."""


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls the target: its exceptions are findings, those of verify are not."""
    try:
        return function(*arguments)
    except (targets.Missing, targets.Broken, NotImplementedError, UsageError, MemoryError):
        raise
    except Exception as error:
        text = str(error).strip().splitlines() or [""]
        raise Raised(f"it raised {type(error).__name__}: {text[0]}") from error


def number(x: float) -> str:
    """Nine digits: a float32 can be told by them."""
    return f"{x:.9g}"


def both(got: float, want: float) -> tuple[str, str]:
    """What was given and what it should be: all digits where nine do not tell them apart."""
    if number(got) != number(want) or got == want:
        return number(got), number(want)
    return f"{got:.17g}", f"{want:.17g}"


def times(rho: float) -> str:
    """5,100 or 1.28."""
    return f"{rho:,.0f}" if rho >= 100 else f"{rho:.3g}"
