"""The kill rates of other projects' checks beside those of needle-verify, on the same faults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from verify.faults.outcome import ALARM, FOUND, MISSED, NOT_APPLICABLE, Outcome
from verify.faults.rates import Rate
from verify.spec import Case, Status
from verify.summary import WRONG


def verdicts(faulty: Mapping[str, Status], right: Mapping[str, Status]) -> dict[str, str]:
    """Each peer's verdict on a fault, from its answers with the fault and without."""
    said = {}
    for peer, status in faulty.items():
        if status is Status.SKIP:
            said[peer] = NOT_APPLICABLE
        elif right[peer] in WRONG:
            said[peer] = ALARM  # it says so of the right library too: no find
        else:
            said[peer] = FOUND if status in WRONG else MISSED
    return said


@dataclass
class Beside:
    """One check on all the faults that the peers were asked about."""

    of_all: Rate = field(default_factory=Rate)
    of_asked: Rate = field(default_factory=Rate)  # where it applies and raises no false alarm
    alarms: list[str] = field(default_factory=list)  # rows

    def count(self, said: str, row: str) -> None:
        """One more fault."""
        self.of_all.count(said == FOUND)
        if said in (FOUND, MISSED):
            self.of_asked.count(said == FOUND)
        if said == ALARM and row not in self.alarms:
            self.alarms.append(row)


def beside(outcomes: Iterable[Outcome]) -> dict[str, Beside]:
    """needle-verify first: on the row that the peers were asked of, and with all rows."""
    table: dict[str, Beside] = {}

    def count(name: str, said: str, row: str) -> None:
        table.setdefault(name, Beside()).count(said, row)

    asked: Sequence[Outcome] = [outcome for outcome in outcomes if outcome.peers]
    for outcome in asked:
        on_first = outcome.state == FOUND and Case.parse(outcome.case).op == outcome.row
        count("needle-verify", outcome.state if outcome.state == FOUND else MISSED, outcome.row)
        count("needle-verify, that row alone", FOUND if on_first else MISSED, outcome.row)
        for peer, said in outcome.peers.items():
            count(peer, said, outcome.row)
    return table
