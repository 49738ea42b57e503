"""Forward and VJP against torch in float64, element by element, under the derived bound."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

from verify import budget, sampling
from verify.budget import Comparison, Held
from verify.judges.impostors import passing_impostors
from verify.judges.question import Finding, Question, both, call, times, wrong
from verify.reference import Expected, itself
from verify.spec import Status


def judge_forward(question: Question) -> Finding:
    """The results against torch in float64, from the same inputs, under the derived bound."""
    got = call(call(question.target).forward)
    want = question.expected()
    names = ["y"] if len(want) == 1 else [f"y{i}" for i in range(len(want))]
    return _compare_all(question, got, want, names, question.row.signed_zero)


def judge_vjp(question: Question) -> Finding:
    """The analytic gradient against torch's, for a random signed cotangent."""
    alone = int(sampling.generator(question.case, "alone").integers(len(question.values)))
    got = call(call(question.target).vjp, question.laid_cotangents, alone)
    return _compare_all(question, got, question.expected(), question.gradient_names, False)


def _compare_all(
    question: Question,
    got: Sequence[Any],
    want: Sequence[Expected],
    names: Sequence[str],
    signed_zero: bool,
) -> Finding:
    fmt = question.fmt
    if len(got) != len(want):
        return wrong(f"it gave {len(got)} results, should give {len(want)}")
    held = [budget.Held(fmt, w.value, w.error, signed_zero) for w in want]
    comparisons = []
    for name, g, h in zip(names, got, held, strict=True):
        if g.shape != h.want.shape:
            return wrong(f"{name} has shape {g.shape}, should have {h.want.shape}")
        comparisons.append(h.compare(g))
    part = max(range(len(want)), key=lambda i: -1.0 if (r := comparisons[i].rho) is None else r)
    worst = comparisons[part]
    ok = all(c.ok for c in comparisons)
    torch_rho, torch_ulp = _of_torch(question, held)
    terms = {}
    if worst.index or worst.bound:
        terms = {"error": abs(worst.got - worst.want), "bound": worst.bound}
    return Finding(
        status=Status.PASS if ok else Status.FAIL,
        rho=None if all(c.exact for c in comparisons) else worst.rho,
        ulp=max((c.ulp for c in comparisons if c.ulp is not None), default=None),
        torch_rho=torch_rho,
        torch_ulp=torch_ulp,
        worst="" if worst.rho is None and ok else equation(names[part], worst, got[part]),
        terms={k: v for k, v in terms.items() if math.isfinite(v)},
        impostors=passing_impostors(
            question,
            [w.value for w in want],
            lambda fakes: all(h.allows(f) for f, h in zip(fakes, held, strict=True)),
            held,
        ),
        digest=digest(got),
        checked=sum(c.checked for c in comparisons),
        part=part,
        comparison=worst,
    )


def _of_torch(question: Question, held: Sequence[Held]) -> tuple[float | None, float | None]:
    """rho and ULP of torch's own result in the dtype; in float64 it would be the oracle itself."""
    case = question.case
    if case.dtype == "float64":
        return None, None
    cotangents = question.cotangents if case.judge == "vjp" else None
    own = itself.computed(question.row, question.values, question.arguments, cotangents)
    if own is None or [y.shape for y in own] != [h.want.shape for h in held]:
        return None, None
    found = [h.compare(y) for h, y in zip(held, own, strict=True)]
    return (
        max((c.rho for c in found if c.rho is not None), default=None),
        max((c.ulp for c in found if c.ulp is not None), default=None),
    )


def digest(arrays: Sequence[Any]) -> str:
    """A hash of the bits of all arrays."""
    found = hashlib.blake2b(digest_size=8)
    for a in arrays:
        found.update(a.tobytes())
    return found.hexdigest()


def equation(name: str, c: Comparison, got: Any) -> str:
    """`dx[0,7,7,2] = 1.3120, should be 1.3447; error 5,100 x budget`."""
    index = f"[{','.join(map(str, c.index))}]" if c.index else ""
    given, wanted = both(c.got, c.want)
    if math.isnan(c.got) and got[c.index].tobytes() == b"\xff" * got.itemsize:
        given = "nan (memory that was never written)"
    text = f"{name}{index} = {given}, should be {wanted}"
    if c.rho is None:
        return text
    if math.isinf(c.rho):
        return text + ("; the result is exact" if c.bound == 0 else "")
    return text + f"; error {times(c.rho)} x budget"
