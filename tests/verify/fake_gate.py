"""Runs of the fake registry with rhos that were drawn, and the gate over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from verify.cli import main
from verify.plan import Selection, make_plan
from verify.results import Writer, provenance
from verify.spec import Case, Status, Verdict

Change = Callable[[Verdict], Verdict | None]


def same(verdict: Verdict) -> Verdict | None:
    return verdict


class Bench:
    """Writes results files of the fake registry's ops and holds them against each other."""

    def __init__(self, fake: ModuleType, folder: Path) -> None:
        self.fake, self.folder = fake, folder
        self.parts = fake.parts(cases=20, names=("good", "goodness", "slow"))
        self.baseline = folder / "baseline.json"

    def results(
        self, name: str, seed: int = 0, change: Change = same, devices: Sequence[str] = ("cpu",)
    ) -> Path:
        """Rhos of a case differ by its kind, and by seed within a factor of two or so."""
        ops = tuple(self.parts.registry.rows())
        selection = Selection(ops, tuple(devices), judges=("forward", "vjp"), seed=seed)
        plan = make_plan(selection, self.parts.registry)
        path = self.folder / name
        with Writer(path, provenance(plan, ["needle-verify"])) as writer:
            for case in plan.cases:
                verdict = change(Verdict(case.id, Status.PASS, rho=rho(case), checked=1))
                if verdict is not None:
                    writer.write(verdict)
        return path

    def gate(self, results: Path, *options: str) -> int:
        arguments = ["gate", str(results), "--baseline", str(self.baseline), *options]
        return main(arguments, self.parts)


def rho(case: Case) -> float:
    kind = np.random.default_rng(list(case.id.rpartition("/")[0].encode()))
    draw = np.random.default_rng(list(case.id.encode()))
    return float(np.exp(kind.normal(-3, 1) + draw.normal(0, 0.4)))
