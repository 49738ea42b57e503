"""Wrong outputs that a judge must be able to tell from a right one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from verify import sampling
from verify.budget import Array
from verify.judges.question import Question
from verify.spec import IMPOSTORS


def _impostor(name: str, like: Array, stale: Array, source: Any, dtype: str) -> Any:
    """An output that a judge must tell from a right one; None where it cannot be made."""
    if name == "zeros":
        fake = np.zeros(like.shape)
    elif name == "constant":
        if like.size == 1:
            return None  # the right number itself
        fake = np.full(like.shape, like.flat[0] if like.size else 0.0)
    elif name == "nan":
        fake = np.full(like.shape, np.nan)
    elif name == "stale":
        fake = stale
    elif source is not None and source.shape == like.shape:
        fake = source
    else:
        return None
    with np.errstate(all="ignore"):
        return np.asarray(fake, dtype)


def passing_impostors(
    question: Question,
    right: Sequence[Array],
    passes: Callable[[Sequence[Any]], bool],
) -> tuple[str, ...]:
    """Those of IMPOSTORS that the judge would have taken for right here."""
    rng = sampling.generator(question.case, "impostors")
    stale = [rng.standard_normal(r.shape) for r in right]
    sources = question.values
    found = []
    for name in IMPOSTORS:
        fakes = [
            _impostor(name, r, s, sources[min(i, len(sources) - 1)], question.case.dtype)
            for i, (r, s) in enumerate(zip(right, stale, strict=True))
        ]
        if all(f is not None for f in fakes) and passes(fakes):
            found.append(name)
    return tuple(found)


# (what the target gave, the input that a copy would be of) -> what an impostor gives instead
Fake: TypeAlias = Callable[[Array, Any], Any]


class _Unmade(Exception):
    """There is no such impostor of this result: a copy has another shape."""


def passing_fakes(
    question: Question, names: Sequence[str], passes: Callable[[Fake], bool]
) -> tuple[str, ...]:
    """Those of the named that pass where every call of the target gives one of them."""
    found = []
    for name in names:
        rng = sampling.generator(question.case, f"impostors/{name}")

        def fake(right: Array, source: Any, name: str = name, rng: Any = rng) -> Any:
            stale = rng.standard_normal(right.shape)
            made = _impostor(name, right, stale, source, question.case.dtype)
            if made is None:
                raise _Unmade
            return made

        try:
            if passes(fake):
                found.append(name)
        except _Unmade:
            continue
    return tuple(found)
