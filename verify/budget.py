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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from verify.accuracy import K_ULP, ORACLE_ULP, ROUNDINGS_OF_SUM, WINOGRAD, in_turn
from verify.precision import PRECISIONS

Array: TypeAlias = npt.NDArray[np.float64]
ORACLE_P = 53  # the oracle computes in float64
LAMBDA = 6.0  # the probabilistic sum bound fails with probability 2 exp(-LAMBDA**2 / 2) = 3e-8


@dataclass(frozen=True, slots=True)
class Format:
    """An arithmetic: p bits, exponent range, accuracy of its elementary functions.

    `inner` is another one where a kernel computes, sums included, before it rounds a result once to
    this one, in which results are stored.
    """

    name: str
    p: int
    emin: int  # exponent of the smallest normal number
    largest: float
    # function -> error in ULP of the result
    k_ulp: Mapping[str, float] = field(default_factory=dict)
    any_formula: bool = False  # bound every evaluation order of a formula, see `rounding`
    own_kernels: bool = False  # sums and powers are those of the device's kernels
    roundings: Callable[[int], float] = in_turn  # of a sum of so many terms, see accuracy.py
    factor_error: float = 0.0  # relative, of the factors of dot's products: see accuracy.TF32
    winograd: bool = False  # convolutions may be Winograd's: see verify/reference/winograd.py
    inner: Format | None = None  # None: this one

    @property
    def sums(self) -> Format:
        """The format in which sums and products of many terms add up."""
        return self.inner or self

    @property
    def u(self) -> float:
        """Unit roundoff."""
        return math.ldexp(1.0, -self.p)

    @property
    def eta(self) -> float:
        """Smallest subnormal number."""
        return math.ldexp(1.0, self.emin - self.p + 1)

    @property
    def beyond(self) -> float:
        """What follows the largest number, were there a larger exponent."""
        return self.largest + float(ulp(self, self.largest))

    @property
    def safe_integer(self) -> float:
        """Integers up to here are exact."""
        return math.ldexp(1.0, self.p)


_EXPONENT = np.int64(0x7FF << 52)


def ulp(fmt: Format, y: Any) -> Array:
    """Spacing of the format's numbers at |y|; that at 1 where y is infinite or NaN."""
    magnitude = np.asarray(y, np.float64)
    # the exponent's bits alone are the power of two below |y|, 0 for float64's subnormals
    binade = (magnitude.view(np.int64) & _EXPONENT).view(np.float64)
    spacing = math.ldexp(1.0, 1 - fmt.p)
    return np.asarray(np.where(binade < np.inf, np.maximum(binade * spacing, fmt.eta), spacing))


def rounding(fmt: Format, y: Array, e: Array | float = 0.0) -> Array:
    """Error of rounding once a value that lies within e of y: half a ULP.

    Where another formula of as many operations is as right (g a / (b b) for g / b * a / b), its
    intermediate values lie elsewhere in their binades: half a ULP relative to them is up to u,
    whatever it is relative to these.
    """
    magnitude: Array = np.asarray(np.abs(y) + e)
    # half of float64's smallest subnormal is none: there a whole one is allowed
    least = max(0.5 * fmt.eta, math.ulp(0.0))
    if fmt.any_formula:  # at least half a ULP, which is at most u relative to a normal number
        half = np.multiply(magnitude, fmt.u, out=magnitude)
    else:
        half = ulp(fmt, magnitude)
        half *= 0.5
    half = np.maximum(half, least, out=half)
    if fmt.inner is not None:  # once in there, once to here
        half += rounding(fmt.inner, y, e)
    return half


def stored(fmt: Format, y: Array, e: Array) -> Array:
    """The bound of what a kernel has within e of y in the inner format, and rounds to this one."""
    if fmt.inner is None:
        return e
    with np.errstate(over="ignore"):
        same = (e == 0) & (y.astype(fmt.name).astype(np.float64) == y)
    once = replace(fmt, inner=None)
    return np.where(same, 0.0, e + rounding(once, y, e))


def format_of(dtype: str, device: str = "numpy", own_kernels: bool = False) -> Format:
    """The arithmetic of a device for a dtype; own_kernels: sums and powers are its kernels' own."""
    of = PRECISIONS[dtype]
    roundings = ROUNDINGS_OF_SUM.get(device, in_turn) if own_kernels else in_turn
    inner = format_of(of.inner, device, own_kernels) if of.inner else None
    if inner is None:
        k_ulp = K_ULP[device][dtype]
    else:  # rounded once, from a result off by so many of the smaller ULP
        step = math.ldexp(1.0, of.p - inner.p)
        k_ulp = {name: 0.5 + k * step for name, k in inner.k_ulp.items()}
    return Format(
        dtype,
        of.p,
        of.emin,
        of.largest,
        k_ulp,
        roundings=roundings,
        own_kernels=own_kernels,
        winograd=own_kernels and device in WINOGRAD,
        inner=inner,
    )


def with_oracle(fmt: Format, any_formula: bool = False) -> Format:
    """The format as bounds use it, with the oracle's elementary functions and sums charged.

    `compare` multiplies bounds by 1 + u_oracle / u of the sums, so what is added here is what that
    does not cover. The oracle may sum in any order.
    """
    share, charged = (math.ldexp(1.0, of.p - ORACLE_P) for of in (fmt, fmt.sums))
    k = {
        name: (k + share * ORACLE_ULP.get(name, 0.0)) / (1.0 + charged)
        for name, k in fmt.k_ulp.items()
    }

    def roundings(terms: int) -> float:
        return (fmt.roundings(terms) + charged * in_turn(terms)) / (1.0 + charged)

    inner = None if fmt.inner is None else with_oracle(fmt.inner, any_formula)
    return replace(fmt, k_ulp=k, any_formula=any_formula, roundings=roundings, inner=inner)


def exactly(fmt: Format) -> Format:
    """The format with a rounding so fine that it does not count."""
    return replace(fmt, p=200, k_ulp=dict.fromkeys(fmt.k_ulp, 0.0), inner=None)


# --- rules: errors of one operation
# Values are exact: a and b the operands, ea and eb bounds on their errors, y the result.


def _integral(fmt: Format, *arrays: Array) -> Any:
    """Where every array holds an integer; sums and products of these are exact below 2**p."""
    whole: Any = True
    for a in arrays:
        whole = whole & (a == np.rint(a))
    return whole


def _exact(fmt: Format, y: Array) -> Array | float:
    """The bound where no arithmetic rounds: that of storing, where a number of 24 bits was part."""
    return 0.0 if fmt.inner is None else stored(fmt, y, np.zeros_like(y))


def add(fmt: Format, y: Array, a: Array, ea: Array, b: Array, eb: Array) -> Array:
    """a + b and a - b; exact for integers, and where one operand is exactly 0."""
    e = ea + eb
    exact = ((a == 0) & (ea == 0)) | ((b == 0) & (eb == 0))
    precise = (e == 0) & ~exact
    if precise.any():
        exact = exact | (precise & _integral(fmt, a, b) & (np.abs(y) <= fmt.safe_integer))
    return _added(fmt, y, e, exact)


def _added(fmt: Format, y: Array, e: Array, exact: Any) -> Array:
    bound = rounding(fmt, y, e)
    bound += e
    if fmt.inner is None:
        return np.where(exact, e, bound)
    # an error of half a ULP is that of a result, which was stored when it was made
    whole = e >= rounding(replace(fmt, inner=None), y)
    return np.where(exact, np.where(whole, e, stored(fmt, y, e)), bound)


def add_up(fmt: Format, y: Array, up: Array, e: Array, some: Array, whole: Any) -> Array:
    """a + b + c + ... in any order, each sum stored.

    up: the sum of the positive operands; e: that of all errors; some: how many operands are not
    exactly 0; whole: where all are exact integers. Every sum but the last lies between those of the
    negative and of the positive operands, and is rounded relative to these: n additions lose up to
    n u / (1 - n u) of it. Where these leave the range, one order may, and another not.
    """
    reach = np.maximum(up, up - y)
    sums = np.maximum(some - 2, 0)
    exact = whole & (np.where(sums, reach, np.abs(y)) <= fmt.safe_integer)
    nu = sums * (fmt.u if fmt.inner is None else fmt.u + fmt.inner.u)
    # relative to the number, not to its binade: what was lost before may take a sum to the next one
    lost = sums * rounding(replace(fmt, any_formula=True), reach, e) / np.abs(1 - nu)
    lost = np.where((nu < 1) & (reach + e + lost <= fmt.largest), lost, np.inf)
    return _added(fmt, y, e + np.where(exact | (sums == 0), 0.0, lost), exact | (some < 2))


def _power_of_two(a: Array) -> Any:
    mantissa, _ = np.frexp(a)
    return (np.abs(mantissa) == 0.5) | (a == 0)


def multiply(fmt: Format, y: Array, a: Array, ea: Array, b: Array, eb: Array) -> Array:
    """a * b; exact for integers, and by 0 or a power of two where the result is no subnormal."""
    e = np.abs(a) * eb + np.abs(b) * ea + ea * eb
    bound = e + rounding(fmt, y, e)
    precise = (ea == 0) & (eb == 0)
    if not np.any(precise):
        return bound
    normal = (np.abs(y) >= math.ldexp(1.0, fmt.emin)) | (a == 0) | (b == 0)
    exact = (_integral(fmt, a, b) & (np.abs(y) <= fmt.safe_integer)) | (
        (_power_of_two(a) | _power_of_two(b)) & normal
    )
    return np.where(precise & exact, _exact(fmt, y), bound)


def divide(fmt: Format, y: Array, a: Array, ea: Array, b: Array, eb: Array) -> Array:
    """a / b: |a' / b' - a / b| <= (ea + |y| eb) / (|b| - eb); exact as multiply is."""
    room = np.abs(b) - eb
    numerator = ea + np.abs(y) * eb
    e = np.where(numerator == 0, 0.0, np.where(room > 0, numerator / np.abs(room), np.inf))
    normal = (np.abs(y) >= math.ldexp(1.0, fmt.emin)) | (a == 0)
    exact = (ea == 0) & (eb == 0) & ((_power_of_two(b) & normal) | (a == 0))
    own = rounding(fmt, y, e)
    if fmt.any_formula and not fmt.own_kernels:
        # a user's function may multiply by 1 / b, which may be subnormal
        own = own + fmt.u * (np.abs(y) + e) + 0.5 * fmt.eta * (np.abs(a) + ea)
    return np.where(exact, _exact(fmt, y), e + own)


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
        own = fmt.k_ulp["pow"] * ulp(fmt, np.abs(y) + e)
        if not fmt.own_kernels:  # a user's function may multiply: x x x is as right as x**3
            steps = np.where((b == np.rint(b)) & (np.abs(b) <= 8), np.abs(b), 0.0)
            own = np.maximum(own, steps * fmt.u * (np.abs(y) + e))
    return np.where((b == 0) & (eb == 0), 0.0, e + own)


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


def growth(fmt: Format, roundings: float, random: bool, results: float = 0.0) -> float:
    """The factor of sum |terms|: gamma_n, or lambda sqrt(n) u where errors are uncorrelated.

    results: roundings of numbers that are stored, beside those of the sum itself.
    """
    if fmt.inner is not None:
        own, sums = growth(replace(fmt, inner=None), 0, random, results), fmt.inner
        return own + (1.0 + own) * growth(sums, roundings, random)
    roundings += results
    nu = roundings * fmt.u
    gamma = nu / (1.0 - nu) if nu < 1.0 else math.inf
    return min(gamma, LAMBDA * math.sqrt(roundings) * fmt.u) if random else gamma


def total(
    fmt: Format,
    y: Array,
    magnitude: Array,
    e: Array,
    roundings: float,
    random: bool,
    integral: bool,
) -> Array:
    """A sum whose terms meet so many roundings each: magnitude is sum |a|, e that of the errors."""
    if roundings <= 0:
        return e
    own = growth(fmt.sums, roundings, random) * (magnitude + e)
    return stored(fmt, y, np.where(_sure(fmt, magnitude, e, integral), 0.0, e + own))


def _sure(fmt: Format, magnitude: Array, e: Array, integral: Any) -> Any:
    """Where a sum is exact as far as it adds up."""
    return (e == 0) & ((magnitude == 0) | (integral & (magnitude <= fmt.sums.safe_integer)))


def dot(
    fmt: Format, y: Array, magnitude: Array, e: Array, terms: int, random: bool, integral: Any
) -> Array:
    """A sum of `terms` products: magnitude is sum |a||b|, e sum |a| eb + |b| ea + ea eb.

    Where factors are rounded first, or have 16 bits, tensor cores may add their products, which
    cut: up to 2 u an addition, and no errors that cancel.
    """
    if terms == 0:
        return np.zeros(np.shape(y))
    if fmt.factor_error:
        e = e + fmt.factor_error * (2 + fmt.factor_error) * (magnitude + e)
    if fmt.factor_error or fmt.inner is not None:
        terms, random = 2 * terms, False
    own = growth(fmt.sums, terms, random) * (magnitude + e) + terms * fmt.sums.eta
    return stored(fmt, y, np.where(_sure(fmt, magnitude, e, integral), 0.0, e + own))


def sums_of(fmt: Format, y: Array, terms: Any, magnitude: Array, e: Array, integral: bool) -> Array:
    """Each result a sum of its own number of terms, in any order: gamma of terms - 1 roundings."""
    nu = np.maximum(np.asarray(terms) - 1, 0) * fmt.sums.u
    gamma = np.where(nu < 1, nu / np.abs(1 - nu), np.inf)
    exact = _sure(fmt, magnitude, e, integral) | ((e == 0) & (nu == 0))
    return stored(fmt, y, np.where(exact, 0.0, e + gamma * (magnitude + e)))


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


class Held:
    """The oracle's value and bound, ready to hold results against.

    NaN where NaN, infinities equal, elsewhere within the error bound. The oracle's own rounding is
    charged on top of the bound. A value too large for the format may become infinite; where the
    bound itself is infinite (an intermediate left the range) nothing is claimed, nothing counted.
    """

    def __init__(self, fmt: Format, want: Array, error: Array, signed_zero: bool = False) -> None:
        self.fmt, self.want = fmt, want
        with np.errstate(over="ignore"):  # an infinite bound claims nothing
            bound = error * (1.0 + 2.0 ** (fmt.sums.p - ORACLE_P))
        self.bound: Array = np.where(np.isnan(bound), np.inf, bound)
        self.finite = np.isfinite(want)
        self.claimed = np.isfinite(self.bound) | ~self.finite
        self.signed_zero = signed_zero and bool(np.any((want == 0) & (self.bound == 0)))

    def allows(self, got: npt.NDArray[Any]) -> bool:
        """Whether the result would pass."""
        if got.shape != self.want.shape:
            return False
        return bool(self.head_allows(got.reshape(1, -1))[0])

    def head_allows(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which rows would pass as the first elements of the result."""
        part = slice(rows.shape[1])
        bound, claimed = (a.reshape(-1)[part] for a in (self.bound, self.claimed))
        with np.errstate(all="ignore"):
            distance = self._distance(rows.astype(np.float64), part)
            off = (distance > bound) | (distance == np.inf)
        passed: npt.NDArray[np.bool_] = ~np.any(claimed & off, axis=1)
        return passed

    def compare(self, got: npt.NDArray[Any]) -> Comparison:
        """The worst element, and what it uses of its budget."""
        if got.shape != self.want.shape:
            return Comparison(False, math.inf, None)
        if not self.want.size:
            return Comparison(True, None, None, exact=True)
        got = got.astype(np.float64)
        want, bound, claimed = self.want, self.bound, self.claimed
        usable = claimed & self.finite
        with np.errstate(all="ignore"):
            distance = self._distance(got.reshape(-1), slice(None)).reshape(want.shape)
            off = (bound == 0) | (distance == np.inf)
            ratio = np.where(distance == 0, 0.0, np.where(off, np.inf, distance / bound))
            ratio = np.where(claimed, ratio, 0.0)
            ulps = np.where(usable & np.isfinite(distance), distance / ulp(self.fmt, want), 0.0)
        worst = int(np.argmax(ratio))
        exact = not np.any(bound[usable])
        rho = float(ratio.flat[worst])
        return Comparison(
            ok=rho <= 1.0,
            rho=None if exact and rho == 0.0 else rho,
            ulp=float(np.max(ulps)),
            index=tuple(int(i) for i in np.unravel_index(worst, want.shape)),
            got=float(got.flat[worst]),
            want=float(want.flat[worst]),
            bound=float(bound.flat[worst]),
            checked=int(np.count_nonzero(claimed)),
            exact=exact,
        )

    def _distance(self, got: Array, part: slice) -> Array:
        """How far the elements are off; infinitely, where no bound applies."""
        want, finite = (a.reshape(-1)[part] for a in (self.want, self.finite))
        distance = np.abs(got - want)
        if not np.all(np.isfinite(distance)):
            same = np.where(np.isnan(want), np.isnan(got), got == want)
            distance = np.where(same, 0.0, np.where(finite & ~np.isnan(got), distance, np.inf))
            overflow = np.isinf(got) & (np.sign(got) == np.sign(want)) & finite
            # right with a larger exponent: then it lies beyond, on the next number
            reach = np.abs(want) + self.bound.reshape(-1)[part]
            beyond = reach >= self.fmt.beyond * (1 - 2.0**-50)
            distance = np.where(overflow & beyond, 0.0, distance)
        if self.signed_zero:
            flipped = (want == 0) & (got == 0) & (np.signbit(want) != np.signbit(got))
            distance = np.where(flipped & (self.bound.reshape(-1)[part] == 0), np.inf, distance)
        return distance


def compare(
    fmt: Format, got: npt.NDArray[Any], want: Array, error: Array, signed_zero: bool = False
) -> Comparison:
    """Holds one result against value and bound."""
    return Held(fmt, want, error, signed_zero).compare(got)
