"""What verify.check is asked: a function as a row, so that the judges are those of every op."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from verify import checks, custom, sampling, subjects, targets
from verify.registry.planning import plan_cases
from verify.sampling import Array
from verify.spec import (
    LAYOUTS,
    Case,
    Domain,
    Refusal,
    Row,
    Sample,
    Shape,
    UsageError,
    Verdict,
)
from verify.targets import functions

CHECKS = ("forward", "vjp", "fd", "second", "errors")
_NEED_A_REFERENCE = ("forward", "vjp")


def _no_reference(*_: Any, **__: Any) -> tuple[Any, ...]:
    return ()


@dataclass(kw_only=True)
class Request:
    """A function, its reference and its inputs; `row` is what the judges see."""

    function: Any
    reference: Callable[..., Any] | None
    inputs: Sequence[Any]  # shapes (tuples of ints), or values
    arguments: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    via: str = ""  # one of KINDS; empty: found out by calling it
    gradient: Callable[..., Any] | None = None  # of a function of numpy arrays
    domains: Sequence[Domain] = (Domain(),)
    kinks: Callable[..., Any] | None = None
    regions: Sequence[str] = custom.REGIONS
    layouts: Sequence[str] = LAYOUTS
    differentiable: bool = True
    linear: bool = False
    view: bool = False
    refusals: Sequence[Refusal | str] = ()  # or words of MIXTURES
    signed_zero: bool = False

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise UsageError(f"[check] a function, got function={self.function!r}")
        if self.via and self.via not in custom.KINDS:
            raise UsageError(
                f"[check] via is one of {', '.join(custom.KINDS)}, got via={self.via!r}"
            )
        if not self.inputs:
            raise UsageError("[check] at least one input: a shape or an array")
        given_name = self.name or getattr(self.function, "__name__", type(self.function).__name__)
        self.name = "user." + (re.sub(r"\W+", "_", given_name).strip("_") or "function")
        self.given = [None if _is_shape(x) else _array(x) for x in self.inputs]
        self.shapes: tuple[Shape, ...] = tuple(
            x if g is None else g.shape for x, g in zip(self.inputs, self.given, strict=True)
        )
        custom.require_literals(self.name, Sample(self.shapes, tuple(self.arguments.items())))
        self.via = self._kind()
        if getattr(self.function, "differentiable", True) is False:  # an Op says so
            self.differentiable = False
        if self.via == "numpy":
            self.differentiable = self.differentiable and self.gradient is not None
        elif self.gradient is not None:
            raise UsageError(f"[check] {self.via} brings its own gradient, got gradient=...")
        for refusal in self.refusals:
            custom.require_refusal(self.name, refusal, self.via, len(self.shapes))

    @property
    def drawn(self) -> bool:
        """Whether any input is drawn and not given."""
        return any(g is None for g in self.given)

    @property
    def finite(self) -> bool:
        """Whether no given input holds NaN or infinity, from which no difference is taken."""
        return all(g is None or bool(np.isfinite(g).all()) for g in self.given)

    @functools.cached_property
    def row(self) -> Row:
        """The function as a row."""
        wanted = set(self.layouts)
        if any(g is not None for g in self.given):
            wanted -= {"broadcast", "mixed", "aliased"}  # these change values
        return custom.make_row(
            self.name,
            self.function,
            self.reference or _no_reference,
            (Sample(self.shapes, tuple(self.arguments.items())),),
            self.via,
            self.gradient,
            regions=tuple(self.regions) if self.drawn else (),
            domains=tuple(self.domains),
            layouts=tuple(wanted),
            differentiable=self.differentiable,
            kinks=self.kinks,
            linear=self.linear,
            view=self.view,
            errors=tuple(r for r in self.refusals if isinstance(r, Refusal)),
            mixtures=tuple(r for r in self.refusals if not isinstance(r, Refusal)),
            signed_zero=self.signed_zero,
            given=tuple(self.given),
        )

    def cases(self, device: str, dtype: str, check: str, seed: int, budget: str) -> list[Case]:
        """The plan of one judge."""
        if self.reference is None and check in _NEED_A_REFERENCE:
            return []
        if check in ("fd", "second") and not self.finite:
            return []
        planned = plan_cases(self.row, device, dtype, check, seed, budget)
        if planned or check != "fd" or dtype != "float64" or not self.differentiable:
            return planned
        # the registry has small samples beside large ones; here there is no other
        return [Case(self.name, check, device, dtype, self.shapes, tuple(self.arguments.items()))]

    def _kind(self) -> str:
        """Which kind of function it is.

        A plain callable is called once with the smallest rights: Tensors of needle, then numpy
        arrays, then tensors of torch; the first that it takes, and makes again, is its kind.
        """
        from verify.reference import subject as torch_subject

        found = custom.kind_of(self.function)
        if found and self.via not in ("", found):
            raise UsageError(f"[check] the function is {found}'s, got via={self.via!r}")
        if kind := found or self.via or ("numpy" if self.gradient is not None else ""):
            return kind
        arrays = self._values()
        reasons = {}
        for kind, module in zip(custom.KINDS, (functions, subjects, torch_subject), strict=True):
            reasons[kind] = module.why_not(self.function, arrays, **self.arguments)
            if not reasons[kind]:
                return kind
        text = "".join(f"\n  {kind}: {reason}" for kind, reason in reasons.items())
        raise UsageError(
            f"[check] {self.name} takes neither Tensors, arrays nor tensors of these shapes; "
            f"via= says what it should take:{text}"
        )

    def _values(self) -> list[Array]:
        """Inputs to find out with what the function can be called."""
        rng = np.random.default_rng(0)
        return [
            sampling.values(rng, self._domain(i), "interior", shape, "float32")
            if given is None
            else given.astype("float32")
            for i, (shape, given) in enumerate(zip(self.shapes, self.given, strict=True))
        ]

    def _domain(self, i: int) -> Domain:
        return self.domains[min(i, len(self.domains) - 1)]


def judge(request: Request, case: Case) -> Verdict:
    """One verdict. Raises: UsageError where the reference cannot be asked."""
    began = time.perf_counter()
    verdict = checks.judge(case, request.row)
    verdict.seconds = time.perf_counter() - began
    verdict.environment = targets.environment()
    # the id alone does not bring the function back
    lines = verdict.message.splitlines()
    verdict.message = "\n".join(line for line in lines if not line.startswith("replay: "))
    return verdict


def _is_shape(x: Any) -> bool:
    if not isinstance(x, tuple) or not all(type(n) is int for n in x):
        return False
    if any(n < 0 for n in x):
        raise UsageError(
            f"[check] a shape has no negative sizes (values are arrays), got input={x}"
        )
    return True


def _array(x: Any) -> Array:
    """Values as an array; those of a Tensor of needle or torch too."""
    try:
        array = np.asarray(x.detach().numpy() if hasattr(x, "detach") else x)
        if array.dtype.kind == "c":
            raise UsageError(f"[check] an input is of reals, got dtype={array.dtype}")
        return array.astype(np.float64) if array.dtype.kind in "biu" else array * 1.0
    except (TypeError, ValueError) as error:
        raise UsageError(f"[check] an input is a shape or an array, got input={x!r}") from error
