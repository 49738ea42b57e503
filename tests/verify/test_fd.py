"""Finite differences: known derivatives, noise, kinks, and wrong gradients of every size."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from verify import fd, regularity


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def grid(x: np.ndarray) -> np.ndarray:
    return np.round(x * 2.0**20) * 2.0**-20


SMOOTH: dict[str, tuple[Callable[..., Any], Callable[..., Any], float]] = {
    "square": (lambda x: x * x, lambda x: 2 * x, 1.0),
    "exp": (np.exp, np.exp, 1.0),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2, 1.0),
    "log": (lambda x: np.log(np.abs(x) + 0.1), lambda x: np.sign(x) / (np.abs(x) + 0.1), 1.0),
    "sin": (np.sin, np.cos, 1.0),
    "linear": (lambda x: 3 * x, lambda x: np.full_like(x, 3.0), 1.0),
    "identity": (lambda x: x, np.ones_like, 1.0),
    "constant": (np.ones_like, np.zeros_like, 1.0),
    "steep": (lambda x: np.exp(8 * x), lambda x: 8 * np.exp(8 * x), 0.3),
}


def prober(
    f: Callable[..., Any], x: np.ndarray, seed: int, **how: Any
) -> tuple[fd.Prober, np.ndarray]:
    ct = rng(seed + 1).uniform(0.5, 1.5, x.shape) * rng(seed + 2).choice([-1, 1], x.shape)
    return fd.Prober(lambda v: [f(v[0])], [x], [ct], rng(seed + 3), **how), ct


@pytest.mark.parametrize("name", SMOOTH)
def test_right_gradients_pass(name: str) -> None:
    f, df, spread = SMOOTH[name]
    for seed in range(20):
        for n in (1, 5, 300):
            x = grid(rng(seed).standard_normal(n) * spread)
            x = np.where(np.abs(x) < 0.01, 0.5, x) if name == "log" else x
            p, ct = prober(
                f, x, seed, margin=float(np.min(np.abs(x))) if name == "log" else math.inf
            )
            outcome = p.judge(ct * df(x))
            assert outcome.ok, (seed, n, outcome)


@pytest.mark.parametrize("name", ["square", "exp", "tanh"])
@pytest.mark.parametrize("n", [16, 256, 4096, 65536])
def test_wrong_gradients_are_found_at_every_size(name: str, n: int) -> None:
    f, df, _ = SMOOTH[name]
    for seed in range(3):
        x = grid(rng(seed).standard_normal(n))
        p, ct = prober(f, x, seed)
        right = ct * df(x)
        assert p.judge(right).ok
        i = int(np.argmax(np.abs(right) > np.median(np.abs(right))))
        zeroed, off, flipped = right.copy(), right.copy(), right.copy()
        zeroed[i], off[i], flipped[i] = 0, right[i] * 1.01, -right[i]
        for wrong in (
            zeroed,
            off,
            flipped,
            0 * right,
            2 * right,
            -right,
            rng(9).permutation(right),
        ):
            assert not p.judge(wrong).ok
        found = p.localise(off, p.judge(off))
        assert found.element == i
        assert p.index(i) == (0, (i,))


def test_the_noise_of_a_noisy_function_is_measured_and_tolerated() -> None:
    def noisy(x: np.ndarray) -> np.ndarray:
        return np.exp(x.astype(np.float64)).astype(np.float32).astype(np.float64)

    x = grid(rng().standard_normal(8))
    p, ct = prober(noisy, x, 0)
    assert 1e-9 < p.epsilon < 1e-6
    assert p.judge(ct * np.exp(x)).ok
    assert not p.judge(1.01 * ct * np.exp(x)).ok


def test_noise_that_no_table_sees_is_asked_before_anyone_is_accused() -> None:
    """g (1 - tanh(x)**2) at x = 16: a tread is wider than every step, and g makes it a slope."""
    ones = np.ones(2)
    point, right = [16.0 * ones, ones], 4.0 * np.exp(-32.0) * ones

    def asked(rounding: float, wrong: float) -> bool:
        prober = fd.Prober(
            lambda v: [v[1] * (1.0 - np.tanh(v[0]) ** 2)],
            point,
            [ones],
            rng(1),
            rounding=lambda: rounding,
        )
        return prober.accuse(wrong * np.concatenate([-2.0 * right, right])).ok

    assert not asked(0.0, 1.0)
    assert asked(4 * fd.U, 1.0)
    assert not asked(4 * fd.U, 1e4)


def test_an_exact_function_has_no_noise() -> None:
    assert fd.noise(lambda t: np.longdouble(2.0) * np.longdouble(t)) < 1e-18


def test_a_step_never_crosses_a_kink() -> None:
    """|x - 1| right beside its kink."""
    x = np.array([1.0 + 2.0**-12, -3.0])
    ct = np.ones(2)
    seen: list[float] = []

    def f(v: Any) -> list[np.ndarray]:
        seen.append(float(v[0][0]))
        return [np.abs(v[0] - 1.0)]

    p = fd.Prober(f, [x], [ct], rng(), margin=2.0**-12)
    assert min(seen) > 1.0
    assert p.judge(np.array([1.0, -1.0])).ok
    assert not p.judge(np.array([-1.0, -1.0])).ok


@pytest.mark.parametrize(
    ("claimed", "ok"), [(0.0, True), (0.5, True), (1.0, True), (1.1, False), (-0.1, False)]
)
def test_at_a_kink_the_gradient_lies_between_the_one_sided_slopes(claimed: float, ok: bool) -> None:
    x = np.array([0.0, 2.0])
    p = fd.Prober(
        lambda v: [np.maximum(v[0], 0)], [x], [np.ones(2)], rng(), margin=2.0, at_kink=True
    )
    assert p.probes[0].slope.kink
    assert not p.probes[1].slope.kink
    assert p.judge(np.array([claimed, 1.0])).ok is ok


def test_a_function_that_is_not_finite_verifies_nothing() -> None:
    p = fd.Prober(lambda v: [v[0] * np.nan], [np.ones(3)], [np.ones(3)], rng())
    assert not p.judge(np.zeros(3)).ok


def test_nan_in_the_gradient_is_found() -> None:
    p = fd.Prober(lambda v: [v[0] * 2], [np.ones(3)], [np.ones(3)], rng())
    assert not p.judge(np.array([2.0, np.nan, 2.0])).ok


def test_several_inputs_and_results() -> None:
    a, b = grid(rng(1).standard_normal((3, 4))), grid(rng(2).standard_normal((4, 5)))
    ct = [rng(3).standard_normal((3, 5)), rng(4).standard_normal((3, 4))]
    p = fd.Prober(lambda v: [v[0] @ v[1], v[0] * 2], [a, b], ct, rng())
    right = [ct[0] @ b.T + 2 * ct[1], a.T @ ct[0]]
    assert p.judge(fd.concatenate(right)).ok
    right[1][2, 3] += 1e-6
    outcome = p.localise(fd.concatenate(right), p.judge(fd.concatenate(right)))
    assert not outcome.ok
    assert p.index(outcome.element) == (1, (2, 3))


def test_an_empty_input_has_no_probes() -> None:
    p = fd.Prober(lambda v: [v[0]], [np.zeros((0, 3))], [np.zeros((0, 3))], rng())
    assert p.probes == []
    assert p.judge(np.zeros(0)).ok


def test_localising_takes_a_probe_for_each_halving() -> None:
    n = 4096
    calls = 0

    def f(v: Any) -> list[np.ndarray]:
        nonlocal calls
        calls += 1
        return [np.exp(v[0])]

    x = grid(rng().standard_normal(n))
    ct = rng(1).uniform(0.5, 1.5, n)
    p = fd.Prober(f, [x], [ct], rng(3))
    for i in (0, n // 2, n - 1):
        wrong = ct * np.exp(x)
        wrong[i] *= 1.01
        outcome = p.accuse(wrong)
        before = calls
        assert p.localise(wrong, outcome).element == i
        assert calls - before <= (2 * fd.LEVELS + 7) * (math.log2(n) + 2)


# --- what a function is like at a point


def hashed(x: np.ndarray, size: float) -> np.ndarray:
    """Noise that depends on every bit of x."""
    bits = np.asarray(x, np.float64).view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return size * ((bits >> np.uint64(40)).astype(np.float64) / 2.0**24 - 0.5)


CLASSES: dict[str, tuple[Callable[..., Any], float, str]] = {
    "abs away from its kink": (np.abs, 1.0, regularity.SMOOTH),
    "steep": (lambda x: np.exp(30 * x), 0.5, regularity.SMOOTH),
    "a wave shorter than the steps": (lambda x: np.sin(40 * x), 0.3, regularity.SMOOTH),
    "linear": (lambda x: 3 * x, 1.0, regularity.SMOOTH),
    "constant": (np.ones_like, 1.0, regularity.SMOOTH),
    "zero": (np.zeros_like, 1.0, regularity.SMOOTH),
    "|x|**1.5 on a slope": (lambda x: np.abs(x) ** 1.5 + x, 0.0, regularity.SMOOTH),
    "log close to 0": (np.log, 2.0**-20, regularity.SMOOTH),
    "sqrt close to 0": (np.sqrt, 2.0**-20, regularity.SMOOTH),
    "a little noise": (lambda x: np.exp(x) + hashed(x, 1e-10), 0.3, regularity.SMOOTH),
    "abs": (np.abs, 0.0, regularity.KINK),
    "relu": (lambda x: np.maximum(x, 0), 0.0, regularity.KINK),
    "relu on a slope": (lambda x: np.maximum(x, 0) + np.exp(3 * x), 0.0, regularity.KINK),
    "a tiny kink": (lambda x: x + 1e-6 * np.abs(x), 0.0, regularity.KINK),
    "cube root": (np.cbrt, 0.0, regularity.OUTSIDE),
    "cusp": (lambda x: np.sqrt(np.abs(x)), 0.0, regularity.OUTSIDE),
    "step": (lambda x: (x > 0) * 1.0, 0.0, regularity.OUTSIDE),
    "step on a slope": (lambda x: (x >= 0) + np.sin(x), 0.0, regularity.OUTSIDE),
    "sign": (np.sign, 0.0, regularity.OUTSIDE),
    "sqrt at 0": (np.sqrt, 0.0, regularity.OUTSIDE),
    "power at 0": (lambda x: x**0.5, 0.0, regularity.OUTSIDE),
    "log at 0": (np.log, 0.0, regularity.OUTSIDE),
    "infinite": (lambda x: x + np.inf, 1.0, regularity.OUTSIDE),
    "a stair": (lambda x: np.floor(x * 1024) / 1024, 0.5, regularity.OUTSIDE),
    "rounding": (lambda x: np.round(x * 1e3) / 1e3, 0.3217, regularity.NOISE),
    "rounding in steps of the stencil": (
        lambda x: np.floor(x * 1024) / 1024,
        0.5 + 2.0**-11,
        regularity.NOISE,
    ),
    "much noise": (lambda x: np.exp(x) + hashed(x, 1e-3), 0.3, regularity.NOISE),
}


def one_point(f: Callable[..., Any], x: float) -> fd.Prober:
    with np.errstate(all="ignore"):
        return fd.Prober(lambda v: [f(v[0])], [grid(np.array([x]))], [np.ones(1)], rng())


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_is_told_by_itself(name: str) -> None:
    f, x, kind = CLASSES[name]
    p = one_point(f, x)
    assert p.classes() == {kind: 1}
    with np.errstate(all="ignore"):
        several = fd.Prober(
            lambda v: [f(v[0]), v[1] * v[1]],
            [grid(np.array([x])), np.array([1.5])],
            [np.ones(1), np.ones(1)],
            rng(),
        )
    assert several.probes[0].slope.kind == kind, "among others"


@pytest.mark.parametrize("name", [n for n, c in CLASSES.items() if c[2] == regularity.OUTSIDE])
@pytest.mark.parametrize("claimed", [0.0, 1.0, np.inf, np.nan])
def test_no_gradient_is_right_where_there_is_no_slope(name: str, claimed: float) -> None:
    f, x, _ = CLASSES[name]
    with np.errstate(all="ignore"):
        assert not one_point(f, x).judge(np.array([claimed])).ok


def test_an_unannounced_kink_is_judged_as_one() -> None:
    for f, x, low, high in ((np.abs, 0.0, -1, 1), (lambda x: np.maximum(x, 0), 0.0, 0, 1)):
        p = one_point(f, x)
        for claimed in (low, 0.5 * (low + high), high):
            assert p.judge(np.array([claimed])).ok
        for claimed in (low - 0.01, high + 0.01):
            assert not p.judge(np.array([claimed])).ok


@pytest.mark.parametrize("name", ["rounding", "much noise", "rounding in steps of the stencil"])
def test_noise_tells_no_zero_from_the_truth(name: str) -> None:
    """Which makes its group weak, if nothing else does."""
    f, x, _ = CLASSES[name]
    p = one_point(f, x)
    assert p.judge(np.array([p.probes[0].slope.value])).ok
    assert name == "much noise" or p.judge(np.zeros(1)).ok


def test_what_is_smooth_tells_one_percent() -> None:
    for name, (f, x, kind) in CLASSES.items():
        p = one_point(f, x)
        value = p.probes[0].slope.value
        if kind == regularity.SMOOTH and abs(value) > 0.1:
            assert p.judge(np.array([value])).ok, name
            assert not p.judge(np.array([1.01 * value])).ok, name


STEEP: dict[str, tuple[Callable[..., Any], Callable[..., Any], float, float]] = {
    # function, derivative, spread of the points, largest tolerance of a slope of 1
    "exp": (np.exp, np.exp, 1.0, 1e-8),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2, 1.0, 1e-8),
    "exp(100 x)": (
        lambda x: np.exp(100 * x),
        lambda x: 100 * np.exp(100 * x),
        1.0,
        regularity.TELLING,
    ),
    "x**20": (lambda x: x**20, lambda x: 20 * x**19, 1.0, regularity.TELLING),
    "x**-4": (lambda x: x**-4.0, lambda x: -4 * x**-5.0, 0.1, regularity.TELLING),
    "1 / x": (lambda x: 1 / x, lambda x: -1 / x**2, 0.1, regularity.TELLING),
}


@pytest.mark.parametrize("name", STEEP)
def test_steep_functions_tell_one_percent_and_accuse_nobody(name: str) -> None:
    f, slope, spread, tolerance = STEEP[name]
    for seed in range(20):
        with np.errstate(all="ignore"):
            x = grid(rng(seed).uniform(0.05, 2.0, 5) * spread)
            ct = rng(seed + 1).uniform(0.5, 1.5, 5)
            p = fd.Prober(lambda v: [f(v[0])], [x], [ct], rng(seed + 2))
            right = ct * slope(x)
            assert p.accuse(right).ok, seed
            for probe in p.probes:
                assert probe.slope.kind == regularity.SMOOTH
                assert probe.slope.tolerance <= tolerance * abs(probe.slope.value) + 1e-300
            assert not p.judge(1.01 * right).ok, seed
            assert not p.judge(0 * right).ok, seed
