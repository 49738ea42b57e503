"""Results that are pulled back one by one: what cancels between them was rounded before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from verify import reference
from verify.budget import format_of
from verify.registry import rows


def _two(t: Any, a: Any) -> Any:
    y = t.exp(a)
    return y, y


def test_what_cancels_between_results_has_been_rounded() -> None:
    x = np.linspace(0.1, 0.9, 7)
    g = np.arange(1.0, 8.0)
    row = replace(rows()["exp"], reference=_two)
    fmt = format_of("float32", "cpu")
    (together,) = reference.vjp(row, [x], {}, [g, -g], fmt)
    (apart,) = reference.vjp(replace(row, apart=True), [x], {}, [g, -g], fmt)
    assert (together.value == 0).all()
    assert (apart.value == 0).all()
    each = np.abs(g * np.exp(x)) * 2.0**-24
    assert (together.error < each).all()
    assert (apart.error >= each).all()


def test_one_result_is_bounded_as_ever() -> None:
    x, g = np.linspace(0.1, 0.9, 7), np.arange(1.0, 8.0)
    row, fmt = rows()["exp"], format_of("float32", "cpu")
    (one,) = reference.vjp(row, [x], {}, [g], fmt)
    (apart,) = reference.vjp(replace(row, apart=True), [x], {}, [g], fmt)
    assert (one.value == apart.value).all()
    assert (one.error == apart.error).all()
