"""verify.check: any function judged by the judges of needle-verify, from a test or a notebook."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verify import saved, subjects, table, targets
from verify.custom import REGIONS
from verify.request import CHECKS, Request, judge
from verify.same import SHARES
from verify.spec import (
    BUDGETS,
    COMPUTED,
    DTYPES,
    LAYOUTS,
    Case,
    Domain,
    Exit,
    Refusal,
    Status,
    UsageError,
    Verdict,
)
from verify.summary import WRONG, Summary, summarize

FOLDER = Path(".needle-verify")  # failures are saved here, in the current folder
_INPUTS = {"needle": "Tensors of needle", "numpy": "numpy arrays", "torch": "tensors of torch"}


@dataclass
class Report:
    """What verify.check found: `ok`, the verdicts, and a text when printed."""

    name: str
    verdicts: list[Verdict]
    notes: list[str] = field(default_factory=list)  # what was not judged, and why
    files: dict[str, Path] = field(default_factory=dict)  # case id -> where a failure is saved

    @property
    def summary(self) -> Summary:
        """Counts, weak groups, the exit code that a run would have."""
        return summarize(self.verdicts, len(self.verdicts))

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong and the evidence is strong."""
        return self.summary.exit is Exit.GOOD

    def assert_ok(self) -> None:
        """AssertionError with the whole text unless `ok`."""
        if not self.ok:
            raise AssertionError(f"needle-verify: {self}")

    def __str__(self) -> str:
        """Verdict, table, failures, notes."""
        summary = self.summary
        seconds = sum(v.seconds for v in self.verdicts)
        parts = [
            f"{self.name}: {'ok' if self.ok else 'NOT OK'}",
            table.table(summary.lines, table.plain),
            *(table.failure(v, table.plain) for v in _first_of_each_judge(self.verdicts)),
            *(f"note: {note}" for note in self.notes),
            # without the exit code, which a call has not
            table.totals(summary, seconds, table.plain).rpartition("\n")[0],
        ]
        return "\n".join(part for part in parts if part)

    __repr__ = __str__


def check(
    function: Any,
    reference: Callable[..., Any] | None,
    *inputs: Any,
    arguments: Mapping[str, Any] | None = None,
    device: str = "cpu",
    dtype: str | Sequence[str] = COMPUTED,
    judges: str | Sequence[str] = CHECKS,
    domains: Sequence[Domain] | Domain = (),
    kinks: Callable[..., Any] | None = None,
    regions: Sequence[str] = REGIONS,
    layouts: Sequence[str] = LAYOUTS,
    differentiable: bool = True,
    gradient: Callable[..., Any] | None = None,
    linear: bool = False,
    view: bool = False,
    refusals: Sequence[Refusal | str] = (),
    signed_zero: bool = False,
    via: str = "",
    name: str = "",
    seed: int = 0,
    budget: str = "default",
    save: str | Path | None = FOLDER,
    raise_on_failure: bool = False,
) -> Report:
    """Judge a function by the judges of every op: forward, gradients, second order, refusals.

    function: a needle.Op (or its class, made with `arguments`), Module or function of Tensors; a
    torch.autograd.Function, module or function of tensors; or a function of numpy arrays, whose
    `gradient(cotangent, *inputs)` may be given. A plain callable is tried with each; `via`
    ("needle", "numpy", "torch") decides it.
    reference: (*torch tensors, **arguments) -> tensors; None: finite differences alone judge.
    inputs: shapes (tuples of ints), whose values are drawn by region, or values.
    domains, kinks, regions, layouts, differentiable, linear, signed_zero: as in a registry's row.
    view: results may share memory with the inputs.
    refusals: `verify.refuses(*shapes, raises=..., says=..., **arguments)`, calls that must fail;
    of needle's functions also "dtypes" and "devices", inputs of two of them.
    save: the folder for the inputs of a failure; None: nowhere.

    It runs in this process: what crashes ends it.
    Raises: UsageError for a question that cannot be asked; AssertionError with `raise_on_failure`.

    >>> import torch, verify
    >>> verify.check(torch.special.expit, torch.sigmoid, (3, 4)).ok
    True
    """
    dtypes = (dtype,) if isinstance(dtype, str) else tuple(dtype)
    judges = (judges,) if isinstance(judges, str) else tuple(judges)
    _require("dtype", dtypes, DTYPES)
    _require("check", judges, CHECKS)
    _require("budget", (budget,), BUDGETS)
    _require("device", (device,), tuple(targets.DEVICES))
    _require("layout", layouts, LAYOUTS)
    domains = (domains,) if isinstance(domains, Domain) else domains
    if not isinstance(domains, (list, tuple)) or not all(isinstance(d, Domain) for d in domains):
        raise UsageError(
            f"[check] domains are verify.Domain, one an input, got domains={domains!r}"
        )
    with targets.borrowed():
        request = Request(
            function=function,
            reference=reference,
            inputs=inputs,
            arguments=dict(arguments or {}),
            name=name,
            via=via,
            gradient=gradient,
            domains=tuple(domains) or (Domain(),),
            kinks=kinks,
            regions=regions,
            layouts=layouts,
            differentiable=differentiable,
            linear=linear,
            view=view,
            refusals=refusals,
            signed_zero=signed_zero,
        )
        if request.via != "needle":
            if device not in ("cpu", request.via):
                raise UsageError(f"[device] {request.via} is on the cpu, got device={device!r}")
            device = request.via  # whose accuracy the bounds assume
        elif reason := targets.device_status(device):
            raise UsageError(f"[device] {device} cannot be used here: {reason}")
        computed = targets.computed_dtypes(device) if request.via == "needle" else COMPUTED
        _require("dtype", dtypes, computed or ())
        cases = [
            case
            for check in judges
            for precision in dtypes
            for case in request.cases(device, precision, check, seed, budget)
        ]
        notes = list(_notes(request, cases, judges))
        verdicts = _asked([judge(request, case) for case in cases], notes)
        if not verdicts:
            raise UsageError(f"[check] nothing is left to judge: {'; '.join(notes)}")
        report = Report(request.name, verdicts, notes)
    _save(None if save is None else Path(save), request, report)
    if raise_on_failure:
        report.assert_ok()
    return report


def _notes(request: Request, cases: Sequence[Case], wanted: Sequence[str]) -> Iterator[str]:
    """What is not judged and why; which kind of function it was taken for."""
    yield f"called with {_INPUTS[request.via]}"
    if request.reference is None:
        yield "no reference: nothing but finite differences judges it, and only its gradients"
    if not request.differentiable:
        without = "no gradient was given" if request.via == "numpy" else "it is not differentiable"
        yield f"{without}: only its results are judged"
    judged = {case.judge for case in cases}
    unasked = set(wanted) - judged if request.differentiable else set()
    if "second" in unasked and request.via == "numpy":
        yield f"second order is not judged: {subjects.NO_SECOND}"
        unasked -= {"second"}
    if unasked & {"fd", "second"} and not request.finite:
        yield "an input holds NaN or infinity: fd and second were not asked"
    elif unasked & {"fd", "second"}:
        yield "finite differences need float64 and small inputs: they were not asked"


def _asked(verdicts: Sequence[Verdict], notes: list[str]) -> list[Verdict]:
    """Without those of a second order that the function declares it has not; a note instead."""
    asked = []
    for verdict in verdicts:
        second = Case.parse(verdict.id).judge == "second"
        if second and verdict.status is Status.UNIMPLEMENTED:
            note = f"second order is not judged: {verdict.message}"
            notes += [note] if note not in notes else []
        else:
            asked.append(verdict)
    if any(SHARES in v.message for v in asked):
        notes.append("view=True says that results may share memory with the inputs")
    return asked


def _save(folder: Path | None, request: Request, report: Report) -> None:
    """Saves the first failure of each judge, and puts the line that replays it into its text."""
    for verdict in _first_of_each_judge(report.verdicts):
        case = Case.parse(verdict.id)
        replay = f"verify.check(..., seed={case.seed}) as before: save=None kept nothing"
        if folder is not None:
            path = folder / f"{case.op}-{case.judge}-{case.dtype}-{os.getpid()}.json"
            replay = saved.write(path, request, verdict)
            report.files[verdict.id] = path
        verdict.message = f"{verdict.message}\nreplay: {replay}".strip()


def _first_of_each_judge(verdicts: Sequence[Verdict]) -> list[Verdict]:
    first: dict[str, Verdict] = {}
    for verdict in verdicts:
        if verdict.status in WRONG:
            first.setdefault(Case.parse(verdict.id).judge, verdict)
    return list(first.values())


def _require(what: str, got: Sequence[str], valid: Sequence[str]) -> None:
    from verify.plan import require_known

    for value in got:
        require_known(what, value, valid)
