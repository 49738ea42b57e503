"""Gradients and results against algebra: adjoints, Taylor remainders, identities. No oracle.

adjoint: a linear op J and the J^T that its gradient applies fulfil <J x, y> = <x, J^T y>, and J (a
+ b) = J a + J b; an op that is linear in each input alone fulfils it for each. Points are integers:
sums are exact, and each result has few roundings.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from verify import budget, sampling, targets
from verify.budget import Array
from verify.judges.claims import Claim, claim, finding, holding
from verify.judges.impostors import Fake, passing_fakes
from verify.judges.question import Finding, Question, call
from verify.judges.taylor import taylor
from verify.sampling import Laid
from verify.spec import IMPOSTORS, Identity, UsageError

# (question, impostors) -> claims, and those of the impostors that they let through
Ask: TypeAlias = Callable[[Question, tuple[str, ...]], tuple[list[Claim], tuple[str, ...]]]

_WIDE = 512  # integers of the points: two wrong elements rarely cancel; exact, and two of them
_MANY = 4096  # more than there are elements
# Of a result or gradient of integers: a quotient, its rounded divisor, the sum of both sides here.
_ROUNDINGS = 4


def judge_algebra(question: Question) -> Finding:
    """All that algebra says in the case's region: of integers, or of smooth functions.

    Raises: UsageError for another region, where an infinity less itself is no counterexample.
    """
    row, region = question.row, question.case.region
    if region not in ("integer", "interior"):
        raise UsageError(
            f"[case] algebra is asked in regions integer and interior, got region={region!r} "
            f"in id={question.case.id!r}"
        )
    integers = region == "integer"
    asked: list[Ask] = [
        functools.partial(_identity, identity)
        for identity in row.identities
        if (identity.bound is None) == integers
    ]
    if integers and row.differentiable and (row.linear or row.multilinear):
        asked.append(_adjoint)
    if not integers and question.case.dtype == "float64" and row.differentiable and not row.linear:
        asked.append(taylor)
    claims: list[Claim] = []
    passing: tuple[str, ...] = IMPOSTORS
    for ask in asked:  # each only of the impostors that passed what came before
        made, passing = ask(question, passing)
        claims += made
    return finding(claims, passing)


# --- adjoints


class _Operator:
    """The row's op and its gradient at integers; an impostor in their place, where there is one."""

    def __init__(self, question: Question, fake: Fake | None = None) -> None:
        self.question, self.fake = question, fake
        self.target = call(question.target)

    def at(self, points: Sequence[Array]) -> list[Array]:
        """The results at these points."""
        return self._told(call(self.target.evaluate, list(points)), points)

    def back(self, seeds: Sequence[Array]) -> list[Array]:
        """The cotangents pulled back."""
        return self._told(call(self.target.vjp, [Laid(s, s) for s in seeds]), seeds)

    def _told(self, results: Sequence[Array], sources: Sequence[Array]) -> list[Array]:
        if self.fake is not None:
            last = len(sources) - 1
            results = [self.fake(y, sources[min(i, last)]) for i, y in enumerate(results)]
        return [np.asarray(y, np.longdouble) for y in results]


def _adjoint(question: Question, impostors: tuple[str, ...]) -> tuple[list[Claim], tuple[str, ...]]:
    right, claims = _Operator(question), _multilinear if question.row.multilinear else _linear
    return claims(right, right), passing_fakes(
        question, impostors, lambda fake: holding(claims(_Operator(question, fake), right))
    )


def _seeds(question: Question, like: Sequence[Array]) -> list[Array]:
    return [sampling.cotangent(question.case, i, y.shape).value for i, y in enumerate(like)]


def _wide(question: Question, stream: str = "points") -> list[Array]:
    """Points of large integers."""
    rng, wide = sampling.generator(question.case, stream), _widest(question)
    return [
        np.asarray(rng.integers(1, wide, v.shape) * rng.choice([-1, 1], v.shape), v.dtype)
        for v in question.values
    ]


def _widest(question: Question) -> int:
    """Exact in the format, as are two of them together; so many of them do not leave its range."""
    fmt = question.fmt
    return int(min(_WIDE, fmt.safe_integer / 4, fmt.largest / _MANY))


def _inner(a: Sequence[Array], b: Sequence[Array]) -> Any:
    return sum(np.sum(np.asarray(p, np.longdouble) * q) for p, q in zip(a, b, strict=True))


def _roundings(question: Question, results: Sequence[Array]) -> float:
    """The factor of the magnitudes: sums of integers are exact, others may round at each term."""
    whole = all(np.all(r == np.rint(r)) for r in results)
    terms = 0 if whole else sampling.size(question.case.shapes)
    return budget.growth(question.fmt, terms, False, _ROUNDINGS)


def _linear(operator: _Operator, right: _Operator) -> list[Claim]:
    """J x = f(x) - f(0): adding a constant is no part of it.

    Magnitudes are those of J |x| and J^T |y|: the entries of a row's J have one sign.
    """
    question = operator.question
    a, b = _wide(question), _wide(question, "other points")
    coarse = question.fmt.inner is not None
    if coarse:  # what cancels is lost in the roundings of 16 bits
        a = [np.abs(v) for v in a]
    zero = [np.zeros_like(v) for v in a]
    f0, fa, fb = (operator.at(p) for p in (zero, a, b))
    both = operator.at([p + q for p, q in zip(a, b, strict=True)])
    seeds = [np.abs(s) for s in _seeds(question, fa)] if coarse else _seeds(question, fa)
    gradients = operator.back(seeds)
    weights = [np.abs(s) for s in seeds]
    sizes = [
        np.abs(p) + np.abs(q) + 2 * np.abs(z)
        for p, q, z in zip(
            *(right.at([np.abs(v) for v in p]) for p in (a, b)), right.at(zero), strict=True
        )
    ]
    pulled = right.back(weights)
    gamma = _roundings(question, [*fa, *gradients, *sizes, *pulled])
    moved = [p - z for p, z in zip(fa, f0, strict=True)]
    total = _inner(sizes, weights) + _inner([np.abs(v) for v in a], [np.abs(p) for p in pulled])
    return [
        claim("<J x, y> = <x, J^T y>", _inner(moved, seeds), _inner(a, gradients), gamma * total),
        *(
            claim("f(a + b) + f(0) = f(a) + f(b)", s + z, p + q, gamma * 2 * size)
            for s, z, p, q, size in zip(both, f0, fa, fb, sizes, strict=True)
        ),
    ]


def _multilinear(operator: _Operator, right: _Operator) -> list[Claim]:
    """The gradient of one input does not depend on it: it pairs with any other in its place."""
    question = operator.question
    values, claims = question.values, []
    seeds = _seeds(question, right.at(values))
    gradients = operator.back(seeds)
    gamma = budget.growth(question.fmt, 0, False, _ROUNDINGS)
    for k, wide in enumerate(_wide(question)):
        moved = operator.at([*values[:k], wide, *values[k + 1 :]])
        left, pulled = _inner(moved, seeds), _inner([wide], gradients[k : k + 1])
        size = _inner(
            [np.abs(y) for y in right.at([np.abs(v) for v in values])], [np.abs(s) for s in seeds]
        )
        says = f"<f with x{k} = z, y> = <z, dx{k}>"
        claims.append(claim(says, left, pulled, gamma * _widest(question) * size))
    return claims


# --- identities


def _identity(
    identity: Identity, question: Question, impostors: tuple[str, ...]
) -> tuple[list[Claim], tuple[str, ...]]:
    """An equation between ops; without sides for these inputs it claims nothing."""
    named = call(
        targets.Named, question.row, question.problem, question.case.device, question.case.dtype
    )
    tensors = [named.ops.tensor(v) for v in question.values]

    def claims(op: Callable[..., Any]) -> list[Claim] | None:
        sides = identity.sides(op, named.ops, *tensors, **question.problem.arguments)
        if sides is None:
            return None
        left, right = (named.arrays(side) for side in sides)
        bound = 0.0
        if identity.bound is not None:
            bound = identity.bound(
                question.fmt, left[0].astype(np.float64), *question.values, **question.arguments
            )
        if len(left) != len(right):
            return [claim(f"{identity.says} ({len(left)} and {len(right)} results)", 1, 0, 0)]
        return [claim(identity.says, p, q, bound) for p, q in zip(left, right, strict=True)]

    found = call(claims, named.op)
    if found is None:
        return [], impostors
    return found, passing_fakes(
        question, impostors, lambda fake: holding(claims(named.pretending(fake)) or ())
    )
