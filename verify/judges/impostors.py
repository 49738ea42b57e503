"""Wrong outputs that a judge must be able to tell from a right one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from verify.budget import Array, Held
from verify.judges.question import Question
from verify.spec import IMPOSTORS

_HEAD = 64  # elements of a result that tell most impostors
# what memory may hold: numbers of an ordinary size
_STALE = np.random.Generator(np.random.PCG64(77)).standard_normal(4099)


def impostor(name: str, like: Array, source: Any, dtype: str) -> Any:
    """An output that a judge must tell from a right one; None where it cannot be made."""
    if name == "zeros":
        return np.zeros(like.shape, dtype)
    if name == "constant":
        if like.size == 1:
            return None  # the right number itself
        fake: Any = np.full(like.shape, like.flat[0] if like.size else 0.0)
    elif name == "nan":
        return np.full(like.shape, np.nan, dtype)
    elif name == "stale":
        fake = np.resize(_STALE, like.shape)
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
    held: Sequence[Held] = (),
) -> tuple[str, ...]:
    """Those of IMPOSTORS that the judge would have taken for right here.

    held: the results as `passes` holds them, if it does: then the first elements tell most of them.
    """
    sources = question.values
    beside = [sources[min(i, len(sources) - 1)] for i in range(len(right))] if sources else None
    found = []
    for name in _credible(right, beside, held, question.case.dtype) if held else IMPOSTORS:
        fakes = [
            impostor(name, r, beside[i] if beside else None, question.case.dtype)
            for i, r in enumerate(right)
        ]
        if all(f is not None for f in fakes) and passes(fakes):
            found.append(name)
    return tuple(found)


def _credible(
    right: Sequence[Array], beside: Sequence[Any] | None, held: Sequence[Held], dtype: str
) -> list[str]:
    """The impostors whose first elements would pass."""
    credible = list(IMPOSTORS)
    for i, (r, h) in enumerate(zip(right, held, strict=True)):
        if not credible:
            break
        head = r.reshape(-1)[:_HEAD]
        fakes = np.empty((len(credible), head.size))
        for fake, name in zip(fakes, credible, strict=True):
            if name == "copy":
                source = beside[i] if beside else None
                alike = source is not None and source.shape == r.shape
                fake[:] = source.reshape(-1)[:_HEAD] if alike and source is not None else np.nan
            elif name == "stale":
                fake[:] = _STALE[: head.size]
            elif name == "constant":
                fake[:] = head[0] if head.size else 0.0
            else:
                fake[:] = 0.0 if name == "zeros" else np.nan
        with np.errstate(all="ignore"):
            rows = h.head_allows(fakes.astype(dtype))
        credible = [name for name, ok in zip(credible, rows, strict=True) if ok]
    return credible


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

        def fake(right: Array, source: Any, name: str = name) -> Any:
            made = impostor(name, right, source, question.case.dtype)
            if made is None:
                raise _Unmade
            return made

        try:
            if passes(fake):
                found.append(name)
        except _Unmade:
            continue
    return tuple(found)
