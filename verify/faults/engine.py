"""Faults judged: the first row judge by judge, then the other rows until one finds it.

Where none does whose smoke cases execute it, those follow whose larger plans do.

Runs in a process that imports torch and verify once and needle never; each fault gets processes of
its own, forked from it (child.py).
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from verify import checks
from verify.faults import peers
from verify.faults.baseline import KNOWN, Baseline, Cache, cases_of
from verify.faults.beside import verdicts
from verify.faults.child import Answer, Asked, Stillborn, ask
from verify.faults.fault import Fault
from verify.faults.language import Language, language
from verify.faults.outcome import FOUND, STILLBORN, SURVIVED, UNREACHED, Outcome, Tried
from verify.faults.tasks import Judge, Measure, Setup
from verify.spec import Case, Status

_SECONDS = 20.0  # that a case may take, beside 20 times what it takes without a fault


class Engine:
    """One process's work."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.cache = Cache(Path(setup.cache), setup.key)
        self._languages: dict[str, Language] = {}
        self._baselines: dict[tuple[str, str], Baseline] = {}
        self._planned: dict[tuple[str, str], tuple[Case, ...]] = {}
        self._right: dict[tuple[str, str], dict[str, Answer]] = {}  # of peers, without a fault

    def do(self, task: Measure | Judge) -> Outcome | None:
        """A task's result; a measurement is left in the cache."""
        found = self._language(task.language)
        if isinstance(task, Judge):
            return self.judge(found, task)
        self.cache.put(found, measure(found, task.row, task.budget), task.budget)
        return None

    def judge(self, spoken: Language, task: Judge) -> Outcome:
        """What becomes of a fault. Raises: Unready, which ends the run: it is no find, and none."""
        outcome = Outcome(task.fault.id, task.digest, SURVIVED if task.rows else UNREACHED)
        outcome.row = task.rows[0] if task.rows else ""
        began = time.perf_counter()
        try:
            if task.known and self.setup.first:
                self._ask_known(spoken, task, outcome)
            for row in task.rows:
                if outcome.state == FOUND:
                    break
                outcome.rows += 1
                self._ask(spoken, task.fault, row, outcome)
            if outcome.state != FOUND and task.others:
                self._ask_others(spoken, task, outcome)
            if self.setup.peers and outcome.row:
                outcome.peers = self._peers(spoken, task.fault, outcome.row)
        except Stillborn as error:
            if outcome.state != FOUND:  # a process after the one that found it
                outcome.state, outcome.says = STILLBORN, _first_line(str(error))
        outcome.seconds = round(time.perf_counter() - began, 3)
        return outcome

    def _ask_known(self, spoken: Language, task: Judge, outcome: Outcome) -> None:
        """The case that found the fault before, where it is one of this run's."""
        row = Case.parse(task.known).op
        if row in task.rows or row in task.others:
            self._ask(spoken, task.fault, row, outcome, task.known)
        if outcome.state == FOUND:
            outcome.rows = 1
            if row not in task.rows:
                outcome.row, outcome.digest = outcome.row or row, task.wide

    def _ask(
        self, spoken: Language, fault: Fault, row: str, outcome: Outcome, only: str = ""
    ) -> None:
        """One row's cases, or one case of them; on the first row every judge has its turn, unless
        one is enough.
        """
        each = row == outcome.row and not self.setup.first
        asked = self._questions(spoken, fault, row, each)
        if only:
            asked = [question for question in asked if question.case == only]
        tried: dict[str, Tried] = {}
        while asked:
            again: list[Asked] = []
            for answer in ask(spoken, fault, asked, stop=True):
                judge = Case.parse(answer.case).judge
                outcome.cases += 1
                number = tried[judge].cases + 1 if judge in tried else 1
                tried[judge] = Tried(number)
                if outcome.state != FOUND:
                    outcome.to_kill = round(outcome.to_kill + answer.seconds, 4)
                if not answer.wrong:
                    continue
                stands = self._stands(spoken, fault, row, answer)
                again += _left_out(asked, answer, stands)
                if stands:
                    tried[judge] = Tried(number, answer.case, str(answer.status))
                    if outcome.state != FOUND:
                        outcome.state, outcome.case = FOUND, answer.case
                        outcome.says = f"{answer.status}: {_first_line(answer.message)}"
            asked = again
        if each:
            outcome.judges = tried

    def _ask_others(self, spoken: Language, task: Judge, outcome: Outcome) -> None:
        """Rows that execute the place in their larger plans only: of a large array, a refusal."""
        outcome.digest = task.wide
        place = spoken.place(task.fault)
        for row in task.others:
            if place not in self._baseline(spoken, row).places:
                continue
            if not outcome.row:
                outcome.row, outcome.state = row, SURVIVED
            outcome.rows += 1
            self._ask(spoken, task.fault, row, outcome)
            if outcome.state == FOUND:
                return

    def _peers(self, spoken: Language, fault: Fault, row: str) -> dict[str, str]:
        """What other projects' checks say of the row."""
        if (spoken.name, row) not in self._right:
            asked = peers.questions(row, spoken.device, {})
            self._right[spoken.name, row] = peers.by_peer(ask(spoken, None, asked))
        right = self._right[spoken.name, row]
        limits = {name: _SECONDS + 20 * answer.seconds for name, answer in right.items()}
        asked = peers.questions(row, spoken.device, limits)
        faulty = peers.by_peer(ask(spoken, fault, asked))
        return verdicts(
            {name: answer.status for name, answer in faulty.items()},
            {name: answer.status for name, answer in right.items()},
        )

    def _questions(self, spoken: Language, fault: Fault, row: str, each: bool) -> list[Asked]:
        """The cases of a row that execute the fault's function, and are right without it."""
        seen, place = self._baseline(spoken, row).cases, spoken.place(fault)
        found = []
        for case in self._cases(spoken, row):
            group = case.judge if each else ""
            known = seen.get(case.id)
            if known is None:
                found.append(Asked(case.id, group, 60.0))
            elif place in known.places and not known.wrong:
                found.append(Asked(case.id, group, _SECONDS + 20 * known.seconds))
        return found

    def _cases(self, spoken: Language, row: str) -> tuple[Case, ...]:
        key = (spoken.name, row)
        if key not in self._planned:
            budget = self.setup.budget
            self._planned[key] = cases_of(row, spoken.device, budget, spoken.beside)
        return self._planned[key]

    def _stands(self, spoken: Language, fault: Fault, row: str, answer: Answer) -> bool:
        """Whether a wrong answer is the fault's: others may kill a process, or stop it for long."""
        if answer.killed or answer.status is Status.TIMEOUT:
            again = ask(spoken, fault, [Asked(answer.case, limit=60.0)])
            if not any(a.wrong for a in again):
                return False
        return not self._alarm(spoken, row, answer)

    def _alarm(self, spoken: Language, row: str, answer: Answer) -> bool:
        """Whether the right library fails the case, too.

        Those of a deep plan are asked now, and those that hang: the machine may be busy.
        """
        known = answer.case in self._baseline(spoken, row).cases
        if known and answer.status is not Status.TIMEOUT:
            return False
        return any(a.wrong for a in ask(spoken, None, [Asked(answer.case, limit=60.0)]))

    def _baseline(self, spoken: Language, row: str) -> Baseline:
        key = (spoken.name, row)
        if key not in self._baselines:
            budget = KNOWN[self.setup.budget]
            found = self.cache.get(spoken, row, budget)
            if found is None:
                found = measure(spoken, row, budget)
                self.cache.put(spoken, found, budget)
            self._baselines[key] = found
        return self._baselines[key]

    def _language(self, name: str) -> Language:
        if name not in self._languages:
            self._languages[name] = language(name)
            self._languages[name].prepare()
        return self._languages[name]


def measure(spoken: Language, row: str, budget: str) -> Baseline:
    """Every case of a row without a fault."""
    cases = cases_of(row, spoken.device, budget, spoken.beside)
    asked = [Asked(case.id, limit=60.0) for case in cases]
    return Baseline.of(row, ask(spoken, None, asked, watch=True))


def warm_up() -> None:
    """Once per process: torch on one thread, its first reference, and nothing of needle."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a process that used CUDA cannot be forked
    checks.warm_reference()
    if "needle" in sys.modules:
        raise RuntimeError("needle was imported where faults are to be planted")
    gc.collect()
    gc.freeze()  # forks share these objects: no collection writes to them


def _left_out(asked: Sequence[Asked], answer: Answer, stands: bool) -> list[Asked]:
    """What was not asked after a wrong answer, and is to be: of its own group what follows an
    answer that is not the fault's, of the others what follows a hang.
    """
    at = next(i for i, question in enumerate(asked) if question.case == answer.case)
    late = answer.status is Status.TIMEOUT
    return [
        question
        for question in asked[at + 1 :]
        if (not stands if question.group == answer.group else late)
    ]


def _first_line(text: str) -> str:
    lines: Sequence[str] = text.strip().splitlines() or [""]
    return lines[0][:300]
