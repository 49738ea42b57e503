"""What a gate found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from verify.spec import Exit

# rule -> what breaks it
RULES: Mapping[str, str] = {
    "failures": "cases that fail and are no known failures",
    "coverage": "ops, devices, judges or cases that were on record and are gone",
    "accuracy": "rho above the recorded quantiles, by more than chance allows",
    "speed": "ratios to torch below the recorded ones, by more than noise and a threshold",
    "faults": "planted faults that are no longer found as often",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One regression."""

    rule: str  # one of RULES
    subject: str  # what regressed
    text: str
    replay: str = ""  # the command that runs the case again, where it is one


@dataclass
class Outcome:
    """All there is to say of a run beside its baseline."""

    findings: list[Finding] = field(default_factory=list)
    weak: list[str] = field(default_factory=list)  # why the evidence is too weak
    held: dict[str, str] = field(default_factory=dict)  # rule -> what was compared
    notes: list[str] = field(default_factory=list)

    @property
    def exit(self) -> Exit:
        """The smallest code that applies."""
        if self.weak:
            return Exit.WEAK
        return Exit.REGRESSED if self.findings else Exit.GOOD

    @property
    def verdict(self) -> str:
        """In a line."""
        n = len(self.findings)
        found = [f"{n:,} regression{'s' * (n > 1)}"] if n else []
        weak = ["the evidence is too weak"] if self.weak else []
        return f"{' and '.join(found + weak) or 'nothing regressed'} (exit {self.exit:d})"
