"""What the algebraic judges claim: that two arrays lie within a bound of each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from verify.judges.question import Finding, number, times
from verify.spec import Status


@dataclass(frozen=True, slots=True)
class Claim:
    """left = right within bound, as `says` has it; the worst element, or nothing comparable."""

    says: str
    rho: float  # infinite: unequal where equality is asked, or NaN
    exact: bool
    checked: int
    left: float = math.nan
    right: float = math.nan
    place: str = ""

    @property
    def equation(self) -> str:
        """`-x + x = 0: [0,1] = 3 on the left, 4 on the right; error 5,100 x budget`."""
        text = f"{self.says}: "
        text += f"{self.place} = " if self.place else ""
        text += f"{number(self.left)} on the left, {number(self.right)} on the right"
        return text + (f"; error {times(self.rho)} x budget" if math.isfinite(self.rho) else "")


def claim(says: str, left: Any, right: Any, bound: Any) -> Claim:
    """The claim that left = right within bound, at its worst element; NaN equals nothing."""
    left, right = (np.asarray(side, np.longdouble) for side in (left, right))
    try:
        right = np.broadcast_to(right, left.shape)
        bound = np.broadcast_to(np.asarray(bound, np.longdouble), left.shape)
    except ValueError:
        return Claim(f"{says} (shapes {left.shape} and {right.shape})", math.inf, False, left.size)
    if not left.size:
        return Claim(says, 0.0, True, 0)
    with np.errstate(all="ignore"):
        distance = np.abs(left - right)
        usable = np.isfinite(bound) & (bound > 0)
        ratio = np.where(distance == 0, 0, np.where(usable, distance / bound, np.inf))
    ratio = np.where(np.isfinite(distance), ratio, np.inf)
    worst = np.unravel_index(int(np.argmax(ratio)), left.shape)
    place = f"[{','.join(str(int(i)) for i in worst)}]" if worst else ""
    exact = not np.any(bound)
    return Claim(
        says,
        float(ratio[worst]),
        exact,
        left.size,
        float(left[worst]),
        float(right[worst]),
        place,
    )


def holding(claims: Sequence[Claim]) -> bool:
    """Whether all hold."""
    return all(c.rho <= 1.0 for c in claims)


def finding(claims: Sequence[Claim], impostors: tuple[str, ...]) -> Finding:
    """The finding of a case that made these claims."""
    if not claims:
        return Finding(Status.PASS, impostors=impostors)
    worst = max(claims, key=lambda c: c.rho)
    ok = holding(claims)
    return Finding(
        Status.PASS if ok else Status.FAIL,
        rho=None if ok and all(c.exact for c in claims) else worst.rho,
        worst="" if ok and worst.exact else worst.equation,
        impostors=impostors,
        checked=sum(c.checked for c in claims),
    )
