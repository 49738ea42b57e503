"""How faults are found: by a wrong result, an exception, a crash or a hang."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from verify.faults.outcome import FOUND, Outcome
from verify.spec import Status

RESULT, EXCEPTION, CRASH, HANG = "a wrong result", "an exception", "a crash", "a hang"
WAYS = {
    RESULT: "other numbers, shapes, bits or memory than it should give; no error where one is due",
    EXCEPTION: "one where it should compute, or another than it should raise",
    CRASH: "the end of the process",
    HANG: "no answer in time",
}
# How a failure begins that an exception is: of the library (question.call, refusals) or, where it
# ends the check itself, in worker.answer.
_RAISED = re.compile(rf"{Status.FAIL}: (it|preparing the call|the check) raised \w")


def way(found: Outcome) -> str:
    """One of WAYS: what the first case says that found a fault."""
    status = found.says.partition(":")[0]
    if status in (Status.CRASH, Status.TIMEOUT):
        return CRASH if status == Status.CRASH else HANG
    return EXCEPTION if _RAISED.match(found.says) else RESULT


def ways(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How many of the faults that were found were found in each way."""
    counts = Counter(way(outcome) for outcome in outcomes if outcome.state == FOUND)
    return {name: counts[name] for name in WAYS}
