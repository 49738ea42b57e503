"""Verdicts of every kind, as a run would have given them: for tests of reports."""

from __future__ import annotations

from verify.plan import Plan, Selection
from verify.results import Results, provenance
from verify.spec import Case, Status, Verdict
from verify.summary import Summary, summarize


def results(*verdicts: Verdict, planned: int = 0) -> tuple[Results, Summary]:
    plan = Plan(Selection(budget="smoke"), tuple(Case.parse(v.id) for v in verdicts))
    return Results(provenance(plan, ["needle-verify"]), list(verdicts)), summarize(
        verdicts, planned or len(verdicts)
    )


def verdict(op: str, status: Status, n: int = 1, **more: object) -> Verdict:
    case = Case(op, "vjp", "cpu", "float32", ((n,),), (("mode", "a<b>&'c'"),))
    return Verdict(case.id, status, seconds=0.25, **more)  # type: ignore[arg-type]


ALL = (
    verdict("good", Status.PASS, rho=0.5),
    verdict("bad", Status.FAIL, worst="dx[0] = 1, should be 2", message="line\n<&>\x00\x1b[1m"),
    verdict("bad", Status.CRASH, 2, message="the worker died: SIGSEGV"),
    verdict("bad", Status.TIMEOUT, 3, message="no answer within 60 s"),
    verdict("new", Status.UNIMPLEMENTED, message="needle has no new"),
    verdict("later", Status.SKIP, message="until May"),
    verdict("weak", Status.PASS, impostors=("zeros",)),
)
