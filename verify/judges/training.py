"""Training steps against torch in float64: one at a time under bounds, and many in a row.

step: before each of a few steps the twin takes the target's state, so no error adds up: the loss,
every gradient, every parameter after the step, running statistics and what the optimizer remembers
each lie within the bound of one step.

trajectory: target and twin run freely from one start; how far rounding errors may take them apart
is measured, see _expected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from verify import batches, budget, sampling, targets
from verify.judges.against_torch import equation
from verify.judges.impostors import impostor
from verify.judges.question import Finding, Question, call, number, wrong
from verify.reference import Expected
from verify.reference.training import Bounds, Twin
from verify.spec import IMPOSTORS, Status, UsageError
from verify.training import Array, Setup, State, Step

STEPS = 20  # of a trajectory
EVERY, RUNS, SAFETY = 5, 4, 16.0  # see _expected
_UPDATE = 8  # more roundings than the formula of any update has


@dataclass(slots=True)
class _Part:
    """An array beside what it should be; `before`: what it was before the step."""

    kind: str  # loss, gradient, parameter, statistic or memory: impostors must show in each
    name: str
    got: Array
    want: Expected
    before: Array | None = None


class _Run:
    """What both judges begin with."""

    def __init__(self, question: Question, steps: int) -> None:
        case = question.case
        self.question, self.training = question, question.row.training
        known = [(s.shapes, s.kwargs, s.region) for s in self.training.samples]
        if (case.shapes, case.kwargs, case.region) not in known:
            raise UsageError(f"[case] {case.op} is not trained like that, got id={case.id}")
        arguments = dict(case.kwargs)
        self.setup: Setup = self.training.setup(arguments)
        self.batches = batches.draw(
            case, steps, self.training.classes(arguments), self.training.words
        )
        self.twin = Twin(self.training, self.setup)
        rng = sampling.generator(case, "parameters")
        self.start, self.kinds = self.twin.start(self.batches[0], rng, case.dtype)
        self.trainer = call(targets.Trainer, self.setup, case.device, case.dtype)
        call(self.trainer.load, self.start.parameters)

    def noisy(self, i: int) -> bool:
        """Whether parameter i moves along rounding errors."""
        return self.kinds[i] in self.training.zero and self.setup.reach is not None


def judge_step(question: Question) -> Finding:
    """Single steps from the target's own state."""
    run = _Run(question, question.row.training.steps)
    state, parts = run.start, []
    for count, batch in enumerate(run.batches, 1):
        got = call(run.trainer.step, batch)
        want = run.twin.bounded(state, batch, count, question.fmt)
        text = _mismatch(got, want) or _too_far(run, state, got, count)
        if text:
            return wrong(f"step {count}: {text}")
        found = _parts(run, state, got, want, f" of step {count}")
        if text := _misshapen(found):
            return wrong(text)
        parts += found
        state = got.state
    return _verdict(question, parts)


def _mismatch(got: Step, want: Bounds) -> str:
    """What keeps the two from being compared element by element."""
    if len(got.state.statistics) != len(want.statistics):
        return f"{len(got.state.statistics)} running statistics, should be {len(want.statistics)}"
    for i, (g, w) in enumerate(zip(got.state.memory, want.memory, strict=True)):
        if g.keys() != w.keys():
            return f"the optimizer remembers {sorted(g)} of parameter {i}, should {sorted(w)}"
    return ""


def _too_far(run: _Run, before: State, got: Step, count: int) -> str:
    """Where a parameter that moves along rounding errors moves further than any gradient tells."""
    reach, u = run.setup.reach, run.question.fmt.u
    for i, (old, new) in enumerate(zip(before.parameters, got.state.parameters, strict=True)):
        if reach is None or not run.noisy(i):
            continue
        moved = np.abs(new.astype(np.float64) - old)
        limit = reach(count) * (1 + _UPDATE * u) + u * np.abs(new)
        if not np.all(moved <= limit):
            return f"p{i} moved by {number(float(np.max(moved)))}, at most {number(reach(count))}"
    return ""


def _parts(run: _Run, before: State, got: Step, want: Bounds, of: str) -> list[_Part]:
    parts = [_Part("loss", f"loss{of}", got.loss, want.loss)]
    for i, (g, e) in enumerate(zip(got.gradients, want.gradients, strict=True)):
        parts.append(_Part("gradient", f"dp{i}{of}", g, e))
    for i, (g, e) in enumerate(zip(got.state.parameters, want.parameters, strict=True)):
        if not run.noisy(i):
            parts.append(_Part("parameter", f"p{i}{of}", g, e, before.parameters[i]))
    for i, (g, e) in enumerate(zip(got.state.statistics, want.statistics, strict=True)):
        parts.append(_Part("statistic", _statistic(i) + of, g, e, before.statistics[i]))
    for i, memory in enumerate(got.state.memory):
        for name, g in memory.items():
            e, old = want.memory[i][name], before.memory[i].get(name)
            parts.append(_Part("memory", f"{name}.{i}{of}", g, e, old))
    return parts


def _statistic(i: int) -> str:
    return f"running_{'var' if i % 2 else 'mean'}.{i // 2}"


# --- trajectories


def judge_trajectory(question: Question) -> Finding:
    """Losses, last parameters and running statistics of target and twin after the same start."""
    run = _Run(question, STEPS)
    told = [call(run.trainer.step, batch) for batch in run.batches]
    last = told[-1].state
    losses, parameters, statistics = _expected(run)
    parts = [_Part("loss", "losses", np.array([float(s.loss) for s in told]), losses)]
    for i, e in enumerate(parameters):
        if not run.noisy(i):
            start = run.start.parameters[i]
            parts.append(_Part("parameter", f"p{i}", last.parameters[i], e, start))
    if len(last.statistics) != len(statistics):
        return wrong(f"{len(last.statistics)} running statistics, should be {len(statistics)}")
    for i, e in enumerate(statistics):
        start = run.start.statistics[i]
        parts.append(_Part("statistic", _statistic(i), last.statistics[i], e, start))
    return _verdict(question, parts)


def _expected(run: _Run) -> tuple[Expected, list[Expected], list[Expected]]:
    """Losses, last parameters and running statistics of the twin, and what rounding may make of it.

    Measured: the twin runs again, RUNS times, and at every step each element of a gradient is moved
    up or down by the bound of its error in a step (of every EVERY-th step: bounds change slowly),
    each parameter by the rounding of its update. A correct target's errors are smaller than these
    bounds, and go their way through the same network. What an error does is nearly linear in it, so
    a divergence is a sum of many random terms, about normal. Were the target's errors as large as
    the bounds, one of its numbers would diverge more than SAFETY times as far as in each of RUNS
    runs with a probability of 0.8**4 E[z**4] / SAFETY**4 = 2e-5 (z normal; P(|z| < x) < 0.8 x), and
    less here: the largest divergence of a whole array serves its elements, that of the steps so far
    a loss. On top lies what is rounded directly: the bound of the loss in a step, and the rounding
    of every step's result.
    """
    fmt, rng = run.question.fmt, sampling.generator(run.question.case, "shaken")
    state, twin, bounds = run.start, [], []
    for count, batch in enumerate(run.batches, 1):
        if count % EVERY == 1:
            bounds.append(run.twin.bounded(state, batch, count, fmt))
        twin.append(run.twin.plain(state, batch, count))
        state = twin[-1].state
    spread: Array = np.zeros(len(twin))
    ends = []
    for _ in range(RUNS):
        at = run.start
        for step, (batch, exact) in enumerate(zip(run.batches, twin, strict=True)):
            moves = [g.error * _signs(rng, g.error) for g in bounds[step // EVERY].gradients]
            found = run.twin.plain(at, batch, step + 1, moves)
            spread[step] = max(spread[step], _furthest(found.loss, exact.loss))
            at = _rounded(found.state, at, fmt.u, rng)
        ends.append(at)
    losses: Array = np.array([float(s.loss) for s in twin])
    loss_bound = max(float(b.loss.error) for b in bounds)
    parameters = [
        Expected(
            p,
            SAFETY * max(_furthest(e.parameters[i], p) for e in ends)
            + np.asarray(STEPS * fmt.u * np.abs(p)),
        )
        for i, p in enumerate(state.parameters)
    ]
    statistics = [
        Expected(
            s,
            SAFETY * max(_furthest(e.statistics[i], s) for e in ends)
            + STEPS * np.max([b.statistics[i].error for b in bounds], axis=0),
        )
        for i, s in enumerate(state.statistics)
    ]
    return (
        Expected(losses, SAFETY * np.asarray(np.maximum.accumulate(spread)) + loss_bound),
        parameters,
        statistics,
    )


def _signs(rng: np.random.Generator, like: Array) -> Array:
    return rng.choice([-1.0, 1.0], like.shape)


def _furthest(a: Array, b: Array) -> float:
    return float(np.max(np.abs(a - b), initial=0.0))


def _rounded(state: State, before: State, u: float, rng: np.random.Generator) -> State:
    """Parameters moved by the rounding of what they are, and of what an update added to them."""
    parameters = []
    for new, old in zip(state.parameters, before.parameters, strict=True):
        size = u * (np.abs(new) + _UPDATE * np.abs(new - old))
        parameters.append(new + size * _signs(rng, new))
    return State(parameters, state.statistics, state.memory)


# --- verdicts


def _misshapen(parts: list[_Part]) -> str:
    for p in parts:
        if p.got.shape != p.want.value.shape:
            return f"{p.name} has shape {p.got.shape}, should have {p.want.value.shape}"
    return ""


def _verdict(question: Question, parts: list[_Part]) -> Finding:
    fmt = question.fmt
    if text := _misshapen(parts):
        return wrong(text)
    compared = [budget.compare(fmt, p.got, p.want.value, p.want.error) for p in parts]
    at = max(range(len(parts)), key=lambda i: -1.0 if (r := compared[i].rho) is None else r)
    worst, part = compared[at], parts[at]
    ok = all(c.ok for c in compared)
    size, checked = sum(p.got.size for p in parts), sum(c.checked for c in compared)
    told = sum(
        np.count_nonzero((p.want.value == 0) | (p.want.error < np.abs(p.want.value))) for p in parts
    )
    terms = {"error": abs(worst.got - worst.want), "bound": worst.bound}
    terms |= {"share claimed": checked / size, "share told from 0": float(told / size)}
    return Finding(
        status=Status.PASS if ok else Status.FAIL,
        rho=worst.rho,
        ulp=max((c.ulp for c in compared if c.ulp is not None), default=None),
        worst="" if worst.rho is None and ok else equation(part.name, worst, part.got),
        terms={k: v for k, v in terms.items() if math.isfinite(v)},
        impostors=tuple(name for name in IMPOSTORS if _fooled(question, parts, name)),
        checked=checked,
    )


def _fooled(question: Question, parts: list[_Part], name: str) -> bool:
    """Whether an impostor passes for all arrays of one kind, the others being right."""

    def passes(kind: str) -> bool:
        made = False
        for p in parts:
            if p.kind != kind:
                continue
            fake = impostor(name, p.want.value, p.before, question.case.dtype)
            if fake is None:
                continue
            made = True
            if not budget.Held(question.fmt, p.want.value, p.want.error).allows(fake):
                return False
        return made

    return any(passes(kind) for kind in dict.fromkeys(p.kind for p in parts))
