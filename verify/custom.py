"""A function of a user's own as a row: what verify.check judges, and what plugins add."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from verify import subjects, targets
from verify.sampling import KNOWN, MIXTURES
from verify.spec import LAYOUTS, Case, Domain, Missing, Refusal, Row, Sample, UsageError
from verify.targets import functions

KINDS = ("needle", "numpy", "torch")  # of functions: what they take
REGIONS = ("tiny", "huge", "integer")
# whose elementary functions a result has where it is computed on the cpu
_ACCURACY = {"needle": {}, "numpy": {"cpu": "numpy"}, "torch": {"cpu": "torch"}}
_NAME = re.compile(r"[A-Za-z_]\w*")


def row(
    name: str,
    function: Any,
    reference: Callable[..., Any],
    samples: Sequence[Sample],
    *,
    domains: Sequence[Domain] | Domain = (),
    kinks: Callable[..., Any] | None = None,
    regions: Sequence[str] = REGIONS,
    layouts: Sequence[str] = LAYOUTS,
    differentiable: bool = True,
    twice: bool = True,
    gradient: Callable[..., Any] | None = None,
    linear: bool = False,
    view: bool = False,
    refusals: Sequence[Refusal | str] = (),
    signed_zero: bool = False,
    via: str = "",
) -> Row:
    """A row for an op of your own: a plugin lists its rows in ROWS (`needle-verify --plugin`).

    name: of the op on the command line; a word that no op of needle has.
    function, gradient, reference and the others: as verify.check takes them, but a plain function
    needs `via`, and its reference cannot be left out.
    samples: `verify.sample(*shapes, **arguments)`, at least one.
    twice: whether the gradient has a gradient of its own.

    Raises: UsageError for what no row can have.
    """
    kind = via or kind_of(function) or ("numpy" if gradient is not None else "")
    domains = (domains,) if isinstance(domains, Domain) else tuple(domains) or (Domain(),)
    samples = tuple(samples)
    for rule, holds, got in (
        ("a name is a word", _NAME.fullmatch(str(name)), f"name={name!r}"),
        ("a function", callable(function), f"function={function!r}"),
        ("a reference is a function of torch tensors", callable(reference), f"{reference=}"),
        ("samples are verify.sample(...)", samples and _all(Sample, samples), f"{samples=}"),
        ("domains are verify.Domain, one an input", _all(Domain, domains), f"{domains=}"),
        ("a plain function needs via='needle', 'numpy' or 'torch'", kind, "via=''"),
        (f"via is one of {', '.join(KINDS)}", kind in KINDS, f"{via=}"),
        (f"regions are of {', '.join(sorted(KNOWN))}", set(regions) <= KNOWN, f"{regions=}"),
        (f"layouts are of {', '.join(LAYOUTS)}", set(layouts) <= set(LAYOUTS), f"{layouts=}"),
        (f"{kind} brings its own gradient", kind == "numpy" or gradient is None, "gradient=..."),
    ):
        if not holds:
            raise UsageError(f"[row] {rule}, got {got} in row {name!r}")
    for s in samples:
        require_literals(name, s)
    for refusal in refusals:
        require_refusal(name, refusal, kind, max(len(s.shapes) for s in samples))
    caller = sys._getframe(1).f_code.co_filename, sys._getframe(1).f_lineno
    return make_row(
        name,
        function,
        reference,
        samples,
        kind,
        gradient,
        layouts=layouts,
        domains=domains,
        kinks=kinks,
        regions=tuple(regions),
        differentiable=differentiable,
        twice=twice,
        linear=linear,
        view=view,
        errors=tuple(r for r in refusals if isinstance(r, Refusal)),
        mixtures=tuple(r for r in refusals if not isinstance(r, Refusal)),
        signed_zero=signed_zero,
        place=":".join(map(str, caller)),
    )


def make_row(
    name: str,
    function: Any,
    reference: Callable[..., Any],
    samples: Sequence[Sample],
    kind: str,
    gradient: Callable[..., Any] | None,
    *,
    differentiable: bool,
    twice: bool = True,
    layouts: Sequence[str],
    **more: Any,
) -> Row:
    """The row of a function of a known kind; what the kind cannot have is left out."""
    unfit = {"needle": set(), "numpy": {"aliased"}, "torch": {"aliased", "reversed", "mixed"}}
    wanted = {"compact", *layouts} - unfit[kind]  # torch has no negative strides
    without = getattr(function, "differentiable", True) is False  # an Op says so
    without = without or (kind == "numpy" and gradient is None)
    return Row(
        name=name,
        reference=lambda torch, *tensors, **arguments: reference(*tensors, **arguments),
        samples=tuple(samples),
        layouts=tuple(layout for layout in LAYOUTS if layout in wanted),
        differentiable=differentiable and not without,
        twice=twice and kind != "numpy",
        target=_target(function, kind, gradient),
        accuracy=_ACCURACY[kind],
        **{"family": "user", **more},
    )


def kind_of(function: Any) -> str:
    """ "needle" or "torch" for what derives from a class of theirs; neither is imported for it."""
    kind = function if isinstance(function, type) else type(function)
    homes = [c.__module__.partition(".")[0] for c in kind.__mro__]
    return next((home for home in homes if home in ("needle", "torch")), "")


def require_literals(name: str, sample: Sample) -> None:
    """UsageError unless a case's id can hold the shapes and each of the arguments."""
    if not _in_an_id(name, Sample(sample.shapes)):
        raise UsageError(
            f"[check] shapes are tuples of ints, got shapes={sample.shapes!r} in row {name!r}"
        )
    for argument in sample.kwargs:
        if not _in_an_id(name, Sample(sample.shapes, (argument,))):
            key, value = argument
            raise UsageError(
                "[check] keyword arguments are literals without '/' or spaces (numbers, words, "
                "tuples of them; no lists), which a case's id can hold; bind others with "
                f"functools.partial, got {key}={value!r} in row {name!r}"
            )


def _in_an_id(name: str, sample: Sample) -> bool:
    try:
        case = Case(name, "forward", "cpu", "float32", sample.shapes, sample.kwargs)
        hash(case)  # a plan keeps every case once
        return Case.parse(case.id) == case
    except (UsageError, TypeError, ValueError):
        return False


def require_refusal(name: str, refusal: Refusal | str, kind: str, inputs: int) -> None:
    """UsageError for a refusal that cannot be asked of the function."""
    if isinstance(refusal, Refusal):
        require_literals(name, Sample(refusal.shapes, refusal.kwargs))
    elif refusal not in MIXTURES:
        raise UsageError(
            f"[check] a refusal is verify.refuses(shapes..., raises=...) or one of "
            f"{', '.join(MIXTURES)}, got refusals={refusal!r}"
        )
    elif kind != "needle" or inputs < 2:
        raise UsageError(
            f"[check] mixtures are of several Tensors of needle, got refusals={refusal!r}"
        )


def _all(kind: type, values: Sequence[Any]) -> bool:
    return all(isinstance(value, kind) for value in values)


def _target(
    function: Any, kind: str, gradient: Callable[..., Any] | None
) -> Callable[..., targets.Target]:
    """Row.target of a function."""

    def make(row: Row, problem: Any, device: str, dtype: str) -> targets.Target:
        if kind == "numpy":
            return subjects.ArrayCall(row, problem, device, dtype, function, gradient)
        if kind == "torch":
            from verify.reference import subject

            call = subject.as_function(function) or function
            return subject.TorchCall(row, problem, device, dtype, call)
        if (library := targets.foreign()) is not None:
            made = _as_call(function)
            return targets.CourseCall(library, row, problem, device, dtype, made)
        if device != "cpu" and targets.device_status(device) is not None:
            raise Missing(f"{device} cannot be used here")
        call = functions.as_function(function) or function
        return targets.Call(row, problem, device, dtype, call)

    return make


def _as_call(function: Any) -> Callable[..., Any]:
    """A class of ops of somebody else's needle as a function: arguments make it, as with ours."""
    if not isinstance(function, type):
        call: Callable[..., Any] = function
        return call
    return lambda *tensors, **arguments: function(**arguments)(*tensors)
