"""Ops that misbehave on purpose, in place of verify's registry and checks.

The name of an op says what its cases do in the worker. As a script it is needle-verify over these
ops: tests start it to interrupt it, and to see its exit codes from outside.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from verify.cli import main
from verify.setup import Parts
from verify.spec import Case, Row, Status, UsageError, Verdict

OPS = {  # name -> family
    "good": "calm",
    "goodness": "calm",
    "weak": "hollow",
    "missing": "hollow",
    "wrong": "bad",
    "raising": "bad",
    "segfault": "deadly",
    "abort": "deadly",
    "exits": "deadly",
    "hang": "deadly",
    "slow": "calm",
    "cuda_error": "bad",
    "malformed": "bad",
    "nn.Good": "layer",
}
CASES = 5  # per op, judge, device and dtype


class Registry:
    """Stands for verify.registry."""

    def __init__(self, cases: int = CASES, names: Sequence[str] = tuple(OPS)) -> None:
        self.cases, self.names = cases, names

    def rows(self) -> Mapping[str, Row]:
        return {
            name: Row(name=name, family=OPS.get(name, "bad"), reference=print, samples=())
            for name in self.names
        }

    def plan_cases(
        self, row: Row, device: str, dtype: str, judge: str, seed: int, budget: str = "default"
    ) -> Sequence[Case]:
        layouts = ("compact", "strided")
        n = {"smoke": 2, "default": self.cases, "deep": self.cases + 3}[budget]
        return [
            Case(row.name, judge, device, dtype, ((i + 1,),), (), layouts[i % 2], "interior", seed)
            for i in range(n)
        ]


def warm_up(threads: int) -> dict[str, str]:
    return {"isa": os.environ.get("NEEDLE_ISA", "native"), "pid": str(os.getpid())}


def run_case(case: Case) -> Verdict:
    verdict = Verdict(case.id, Status.PASS, rho=0.25, ulp=1.5, checked=1)
    verdict.worst = f"OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}"
    match case.op:
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "abort":
            os.abort()
        case "exits":
            os._exit(0)
        case "hang":
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            time.sleep(1000)
        case "raising":
            raise RuntimeError("a bug of the check")
        case "slow":
            time.sleep(0.3)
        case "wrong" | "tanh":  # the second is a name that needle has too
            verdict.status, verdict.rho = Status.FAIL, 5100.0
            verdict.message = "dx[0] = 1.3120, should be 1.3447; error 5,100 x budget"
        case "cuda_error":
            verdict.status, verdict.message = Status.FAIL, "it raised: a CUDA call failed"
        case "weak":
            verdict.impostors = ("zeros", "nan") if case.shapes == ((1,),) else ("zeros",)
        case "malformed":
            raise UsageError("[case] shapes do not fit")
        case "missing":
            verdict.status = Status.UNIMPLEMENTED
    return verdict


def device_status(name: str) -> str | None:
    return "no GPU was found: install one" if name == "cuda" else None


def parts(**registry: Any) -> Parts:
    return Parts("fake_parts:run_case", Registry(**registry), device_status)


if __name__ == "__main__":
    raise SystemExit(main(parts=parts(cases=int(os.environ.get("FAKE_CASES", CASES)))))
