"""Error bounds: how far a correct kernel's result may lie from the exact one.

A `Format` is an arithmetic (unit roundoff, smallest subnormal, largest number). Each rule below
takes exact values and bounds on the errors of the operands, as float64 arrays, and bounds the error
of the result of one operation carried out in that format: the operands' errors propagated (mean
value forms, no first-order truncation) plus the operation's own rounding. `verify/reference`
applies them along torch's own computation, forward and backward, so a bound for a composite op or
for a gradient needs no formula of its own. `compare` holds a result against value and bound.

Sources: Higham, Accuracy and Stability of Numerical Algorithms, ch. 3; Ipsen & Zhou, arXiv
1906.10465.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from verify.accuracy import K_ULP, ORACLE_ULP

Array: TypeAlias = npt.NDArray[np.float64]
ORACLE_P = 53  # the oracle computes in float64
LAMBDA = 6.0  # the probabilistic sum bound fails with probability 2 exp(-LAMBDA**2 / 2) = 3e-8


@dataclass(frozen=True, slots=True)
class Format:
    """An arithmetic: p bits, exponent range, accuracy of its elementary functions."""

    name: str
    p: int
    emin: int  # exponent of the smallest normal number
    largest: float
    # function -> error in ULP of the result
    k_ulp: Mapping[str, float] = field(default_factory=dict)
    any_formula: bool = False  # bound every evaluation order of a formula, see `rounding`

    @property
    def u(self) -> float:
        """Unit roundoff."""
        return math.ldexp(1.0, -self.p)

    @property
    def eta(self) -> float:
        """Smallest subnormal number."""
        return math.ldexp(1.0, self.emin - self.p + 1)

    @property
    def safe_integer(self) -> float:
        """Integers up to here are exact."""
        return math.ldexp(1.0, self.p)


def ulp(fmt: Format, y: Any) -> Array:
    """Spacing of the format's numbers at |y|."""
    magnitude = np.abs(np.asarray(y, np.float64))
    _, exponent = np.frexp(np.where(np.isfinite(magnitude), magnitude, 1.0))
    smallest = fmt.emin - fmt.p + 1
    return np.ldexp(1.0, np.where(magnitude == 0, smallest, np.maximum(exponent - fmt.p, smallest)))


def rounding(fmt: Format, y: Array, e: Array | float = 0.0) -> Array:
    """Error of rounding once a value that lies within e of y: half a ULP.

    Where another formula of as many operations is as right (g a / (b b) for g / b * a / b), its
    intermediate values lie elsewhere in their binades: half a ULP relative to them is up to u,
    whatever it is relative to these.
    """
    # half of float64's smallest subnormal is none: there a whole one is allowed
    half = np.maximum(0.5 * ulp(fmt, np.abs(y) + e), math.ulp(0.0))
    return np.maximum(half, fmt.u * (np.abs(y) + e)) if fmt.any_formula else half


_SHAPES = {"float32": (24, -126), "float64": (53, -1022)}


def format_of(dtype: str, device: str = "numpy") -> Format:
    """The arithmetic of a device's kernels for a dtype."""
    p, emin = _SHAPES[dtype]
    return Format(dtype, p, emin, float(np.finfo(dtype).max), K_ULP[device][dtype])


def with_oracle(fmt: Format, any_formula: bool = False) -> Format:
    """The format as bounds use it, with the oracle's elementary functions charged.

    `compare` multiplies bounds by 1 + u_oracle / u, so what is added here is what that does not
    cover.
    """
    share = math.ldexp(1.0, fmt.p - ORACLE_P)
    k = {name: (k + share * ORACLE_ULP[name]) / (1.0 + share) for name, k in fmt.k_ulp.items()}
    return replace(fmt, k_ulp=k, any_formula=any_formula)


# --- rules: errors of one operation
# Values are exact: a and b the operands, ea and eb bounds on their errors, y the result.


def _integral(fmt: Format, *arrays: Array) -> Any:
    """Where every array holds an integer; sums and products of these are exact below 2**p."""
    whole: Any = True
    for a in arrays:
        whole = whole & (a == np.rint(a))
    return whole


def add(fmt: Format, y: Array, a: Array, ea: Array, b: Array, eb: Array) -> Array:
    """a + b and a - b; exact for integers, and where one operand is 0."""
    e = ea + eb
    exact = (e == 0) & (
        (_integral(fmt, a, b) & (np.abs(y) <= fmt.safe_integer)) | (a == 0) | (b == 0)
    )
    return np.where(exact, 0.0, e + rounding(fmt, y, e))


def _power_of_two(a: Array) -> Any:
    mantissa, _ = np.frexp(np.abs(a))
    return (mantissa == 0.5) | (a == 0)


def multiply(fmt: Format, y: Array, a: Array, ea: Array, b: Array, eb: Array) -> Array:
    """a * b; exact for integers, and by 0 or a power of two where the result is no subnormal."""
    e = np.abs(a) * eb + np.abs(b) * ea + ea * eb
    normal = (np.abs(y) >= math.ldexp(1.0, fmt.emin)) | (a == 0) | (b == 0)
    exact = (
        (ea == 0)
        & (eb == 0)
        & (
            (_integral(fmt, a, b) & (np.abs(y) <= fmt.safe_integer))
            | ((_power_of_two(a) | _power_of_two(b)) & normal)
        )
    )
    return np.where(exact, 0.0, e + rounding(fmt, y, e))


def divide(fmt: Format, y: Array, a: Array, ea: Array, b: Array, eb: Array) -> Array:
    """a / b: |a' / b' - a / b| <= (ea + |y| eb) / (|b| - eb); exact as multiply is."""
    room = np.abs(b) - eb
    numerator = ea + np.abs(y) * eb
    e = np.where(numerator == 0, 0.0, np.where(room > 0, numerator / np.abs(room), np.inf))
    normal = (np.abs(y) >= math.ldexp(1.0, fmt.emin)) | (a == 0)
    exact = (ea == 0) & (eb == 0) & ((_power_of_two(b) & normal) | (a == 0))
    return np.where(exact, 0.0, e + rounding(fmt, y, e))


def exp(fmt: Format, y: Array, a: Array, ea: Array) -> Array:
    """|exp(a + d) - exp(a)| <= exp(a) (exp(ea) - 1) <= exp(a + ea): no 0 times infinity."""
    e = np.where(ea == 0, 0.0, np.where(ea < 1, y * np.expm1(np.minimum(ea, 1.0)), np.exp(a + ea)))
    return e + fmt.k_ulp["exp"] * ulp(fmt, y + e)


def log(fmt: Format, y: Array, a: Array, ea: Array) -> Array:
    """|log(a + d) - log(a)| <= -log(1 - ea / a)."""
    with np.errstate(all="ignore"):
        e = np.where(ea == 0, 0.0, np.where(ea < a, -np.log1p(-ea / a), np.inf))
    return np.where((a == 1) & (ea == 0), 0.0, e + fmt.k_ulp["log"] * ulp(fmt, np.abs(y) + e))


def tanh(fmt: Format, y: Array, a: Array, ea: Array) -> Array:
    """|tanh(a + d) - tanh(a)| <= ea times the largest slope within ea of a."""
    nearest = np.maximum(np.abs(a) - ea, 0.0)
    e = ea / np.cosh(np.minimum(nearest, 300.0)) ** 2
    return np.where((a == 0) & (ea == 0), 0.0, e + fmt.k_ulp["tanh"] * ulp(fmt, np.abs(y) + e))


def power(fmt: Format, y: Array, a: Array, ea: Array, b: Array, eb: Array) -> Array:
    """|a|**b = exp(b log|a|): relative error exp(d) - 1 with d the error of the exponent."""
    with np.errstate(all="ignore"):
        d_log = np.where(ea == 0, 0.0, np.where(ea < np.abs(a), -np.log1p(-ea / np.abs(a)), np.inf))
        d = np.abs(b) * d_log
        d = d + np.where(eb == 0, 0.0, eb * (np.abs(np.log(np.abs(a))) + d_log))
        e = np.where(d == 0, 0.0, np.abs(y) * np.expm1(d))
    return np.where((b == 0) & (eb == 0), 0.0, e + fmt.k_ulp["pow"] * ulp(fmt, np.abs(y) + e))


def uncorrelated(a: Array, axes: tuple[int, ...]) -> bool:
    """Whether the values along the axes look like independent draws of both signs, in every lane.

    Only then do rounding errors of a sum over the axes cancel as random ones do.
    """
    if a.size == 0 or not np.all(np.isfinite(a)):
        return False
    kept = [d for d in range(a.ndim) if d not in axes]
    lanes = a.transpose([*kept, *axes]).reshape(math.prod(a.shape[d] for d in kept), -1)
    lanes = np.sort(lanes, axis=1)
    if lanes.shape[1] < 2:
        return False
    distinct = 1 + np.count_nonzero(np.diff(lanes, axis=1), axis=1)
    mixed = (lanes[:, 0] < 0) & (lanes[:, -1] > 0)
    return bool(np.all(mixed & (2 * distinct >= lanes.shape[1])))


def growth(fmt: Format, roundings: int, random: bool) -> float:
    """The factor of sum |terms|: gamma_n, or lambda sqrt(n) u where errors are uncorrelated."""
    nu = roundings * fmt.u
    gamma = nu / (1.0 - nu) if nu < 1.0 else math.inf
    return min(gamma, LAMBDA * math.sqrt(roundings) * fmt.u) if random else gamma


def total(
    fmt: Format, y: Array, magnitude: Array, e: Array, terms: int, random: bool, integral: bool
) -> Array:
    """A sum of `terms` numbers: magnitude is sum |a|, e that of the errors; one is copied."""
    if terms <= 1:
        return e
    own = growth(fmt, terms - 1, random) * (magnitude + e)
    exact = (e == 0) & ((magnitude == 0) | (integral & (magnitude <= fmt.safe_integer)))
    return np.where(exact, 0.0, e + own)


def dot(
    fmt: Format, y: Array, magnitude: Array, e: Array, terms: int, random: bool, integral: bool
) -> Array:
    """A sum of `terms` products: magnitude is sum |a||b|, e sum |a| eb + |b| ea + ea eb."""
    if terms == 0:
        return np.zeros(np.shape(y))
    own = growth(fmt, terms, random) * (magnitude + e) + terms * fmt.eta
    exact = (e == 0) & ((magnitude == 0) | (integral & (magnitude <= fmt.safe_integer)))
    return np.where(exact, 0.0, e + own)


# --- the verdict on one array


@dataclass(frozen=True, slots=True)
class Comparison:
    """A result held against value and bound; the worst element uses most of its budget."""

    ok: bool
    rho: float | None  # None: every bound is zero (an exact result)
    ulp: float | None
    index: tuple[int, ...] = ()
    got: float = math.nan
    want: float = math.nan
    bound: float = 0.0
    checked: int = 0
    exact: bool = False  # every bound is zero: equal or not, and no ratio


def compare(
    fmt: Format, got: npt.NDArray[Any], want: Array, error: Array, signed_zero: bool = False
) -> Comparison:
    """Holds got against want: NaN where NaN, infinities equal, elsewhere within the error bound.

    The oracle's own rounding is charged on top of the bound. A value too large for the format may
    become infinite; where the bound itself is infinite (an intermediate left the range) nothing is
    claimed, and nothing counted.
    """
    if got.shape != want.shape:
        return Comparison(False, math.inf, None)
    if not want.size:
        return Comparison(True, None, None, exact=True)
    got = got.astype(np.float64)
    bound = error * (1.0 + 2.0 ** (fmt.p - ORACLE_P))
    bound = np.where(np.isnan(bound), np.inf, bound)
    finite = np.isfinite(want)
    with np.errstate(all="ignore"):
        distance = np.where(finite, np.abs(got - want), 0.0)
        same = np.where(np.isnan(want), np.isnan(got), got == want)
        distance = np.where(finite | same, distance, np.inf)
        distance = np.where(finite & np.isnan(got), np.inf, distance)
        overflow = np.isinf(got) & (np.sign(got) == np.sign(want)) & finite
        distance = np.where(
            overflow & (np.abs(want) + bound > fmt.largest * (1 + fmt.u / 2)), 0.0, distance
        )
        if signed_zero:
            flipped = (want == 0) & (got == 0) & (np.signbit(want) != np.signbit(got))
            distance = np.where(flipped & (bound == 0), np.inf, distance)
        ratio = np.where(distance == 0, 0.0, np.where(bound == 0, np.inf, distance / bound))
    claimed = np.isfinite(bound) | ~finite
    ratio = np.where(claimed, ratio, 0.0)
    worst = int(np.argmax(ratio))
    index = tuple(int(i) for i in np.unravel_index(worst, want.shape))
    usable = claimed & finite & np.isfinite(distance)
    with np.errstate(all="ignore"):
        ulps = float(np.max(np.where(usable, distance / ulp(fmt, want), 0.0)))
    exact = not np.any(bound[claimed & finite])
    rho = float(ratio.flat[worst])
    return Comparison(
        ok=rho <= 1.0,
        rho=None if exact and rho == 0.0 else rho,
        ulp=ulps,
        index=index,
        got=float(got.flat[worst]),
        want=float(want.flat[worst]),
        bound=float(bound.flat[worst]),
        checked=int(np.count_nonzero(claimed)),
        exact=exact,
    )
