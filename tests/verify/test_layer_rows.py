"""Softmax, normalisation, pooling: bounds against 50 digits, right variants, planted faults."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np
import pytest

from needle import ops
from needle.autograd import Tensor
from needle.backend_ndarray import NDArray
from needle.ops import attention, loss, normalization, pooling
from needle.ops.broadcast import sum_to_shape
from verify import budget, checks, reference, registry
from verify.budget import format_of
from verify.spec import Case, Row, Status

F32 = format_of("float32")
ROWS = registry.rows()
mp = mpmath.mp.clone()
mp.dps = 50

Vector = Sequence[Any]


def row(expression: Callable[..., Any]) -> Row:
    return Row(name="f", family="test", reference=expression, samples=())


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


# --- bounds of composites: any correct float32 computation lies within, and within reach of, them


def exactly(function: Callable[[Vector], Vector], a: np.ndarray) -> np.ndarray:
    """The function of every row in 50 digits."""
    rows = [function([mp.mpf(float(v)) for v in r]) for r in a]
    return np.array([[float(v) for v in r] for r in rows])


def mp_softmax(a: Vector) -> Vector:
    total = mp.fsum(mp.exp(v) for v in a)
    return [mp.exp(v) / total for v in a]


def mp_standardize(a: Vector) -> Vector:
    mean = mp.fsum(a) / len(a)
    variance = mp.fsum((v - mean) ** 2 for v in a) / len(a)
    return [(v - mean) / mp.sqrt(variance + mp.mpf(1e-5)) for v in a]


def sequential(a: np.ndarray) -> np.ndarray:
    """Row sums, one element after the other."""
    total = np.zeros((len(a), 1), a.dtype)
    for column in a.T:
        total += column[:, None]
    return total


def pairwise(a: np.ndarray) -> np.ndarray:
    return a.sum(1, keepdims=True)


def np_softmax(a: np.ndarray, total: Any) -> np.ndarray:
    e = np.exp(a - a.max(1, keepdims=True))
    return e / total(e)


def np_softmax_by_reciprocal(a: np.ndarray, total: Any) -> np.ndarray:
    e = np.exp(a - a.max(1, keepdims=True))
    return e * (np.float32(1) / total(e))


def np_logsoftmax(a: np.ndarray, total: Any) -> np.ndarray:
    below = a - a.max(1, keepdims=True)
    return below - np.log(total(np.exp(below)))


def np_standardize(a: np.ndarray, total: Any) -> np.ndarray:
    centred = a - total(a) / np.float32(a.shape[1])
    variance = total(centred * centred) / np.float32(a.shape[1])
    return centred / np.sqrt(variance + np.float32(1e-5))


@pytest.mark.parametrize("total", [sequential, pairwise])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize(
    ("name", "true", "variant"),
    [
        ("softmax", mp_softmax, np_softmax),
        ("softmax", mp_softmax, np_softmax_by_reciprocal),
        ("logsoftmax", lambda a: [mp.log(v) for v in mp_softmax(a)], np_logsoftmax),
        ("standardize", mp_standardize, np_standardize),
    ],
)
@pytest.mark.parametrize("n", [2, 13, 400])
def test_bounds_hold_against_50_digits(
    name: str, true: Any, variant: Any, total: Any, scale: float, n: int
) -> None:
    a = draw(4, n, seed=n, scale=scale)
    (want,) = reference.forward(ROWS[name], [a], {}, F32)
    exact = exactly(true, a)
    # torch's own rounding in float64 is what `compare` charges on top: 2**-29 of the bound
    assert np.all(np.abs(want.value - exact) <= want.error * 2.0**-28)
    error = np.abs(variant(a, total) - exact)
    assert np.all(error <= want.error)
    # a bound a thousand times too wide would pass everything
    assert np.max(error / want.error) > 1e-3


@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
@pytest.mark.parametrize("n", [2, 65])
def test_both_gradients_of_logsoftmax_pass(scale: float, n: int) -> None:
    a, g = draw(4, n, seed=n, scale=scale), draw(4, n, seed=n + 1)
    (want,) = reference.vjp(ROWS["logsoftmax"], [a], {}, [g], F32)
    total = pairwise(g)
    for y in (np.exp(np_logsoftmax(a, pairwise)), np_softmax(a, pairwise)):
        assert np.all(np.abs(g - y * total - want.value) <= want.error * (1 + 2.0**-29))


def test_exp_of_something_far_below_zero_is_bounded_by_nearly_nothing() -> None:
    a, e = np.array([-1e8]), np.array([1e3])
    assert budget.exp(F32, np.exp(a), a, e) <= 3 * F32.eta
    # where the error is large, exp(a + e) bounds what lies within it
    a, e = np.array([1.0]), np.array([2.0])
    assert budget.exp(F32, np.exp(a), a, e) >= math.exp(3) - math.exp(1)


def test_the_smallest_float64_rounds_too() -> None:
    F64 = format_of("float64")
    tiny = np.array([5e-324])
    assert budget.rounding(F64, tiny) > 0
    assert budget.multiply(F64, tiny, tiny, 0 * tiny, np.array([0.7]), 0 * tiny) > 0


def test_errors_stay_errors_when_values_change_sign() -> None:
    a, b = draw(9, seed=1), draw(9, seed=2)
    for expression in (lambda t, a, b: -(a * b), lambda t, a, b: (-(a * b)) + a):
        (y,) = reference.forward(row(expression), [a, b], {}, F32)
        assert np.all(y.error > 0)


def test_padding_has_no_error() -> None:
    def padded(t: Any, a: Any) -> Any:
        return t.nn.functional.pad(a * a, (1, 2), value=-math.inf)

    (y,) = reference.forward(row(padded), [draw(3)], {}, F32)
    assert np.array_equal(np.isinf(y.value), [1, 0, 0, 0, 1, 1])
    assert np.array_equal(y.error > 0, [0, 1, 1, 1, 0, 0])


# --- windows put back


def folded(parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Value and bound of putting back 3 x 3 windows at stride 1 of a 5 x 5 image."""

    def windows(t: Any, x: Any) -> Any:
        return t.nn.functional.unfold(x, 3)

    image = np.zeros((1, 1, 5, 5))
    (want,) = reference.vjp(row(windows), [image], {}, [parts], F32)
    return want.value[0, 0], want.error[0, 0]


def put_back(parts: np.ndarray, order: Sequence[int], dtype: Any) -> np.ndarray:
    result = np.zeros((5, 5), dtype)
    for k in order:
        i, j = divmod(k, 3)
        result[i : i + 3, j : j + 3] += parts[0, k].reshape(3, 3).astype(dtype)
    return result


@pytest.mark.parametrize("seed", range(5))
def test_windows_put_back_in_any_order_are_within_the_bound(seed: int) -> None:
    parts = draw(1, 9, 9, seed=seed)
    value, error = folded(parts)
    exact = put_back(parts, range(9), np.longdouble)
    np.testing.assert_allclose(value, exact.astype(float), rtol=1e-14, atol=1e-15)
    order = np.random.default_rng(seed).permutation(9).tolist()
    assert np.all(np.abs(put_back(parts, order, np.float32) - value) <= error)
    lost = put_back(parts, order[1:], np.float32)
    assert np.count_nonzero(np.abs(lost - value) > error) == 9


def test_integer_windows_are_put_back_exactly() -> None:
    _, error = folded(np.rint(draw(1, 9, 9, scale=5)))
    assert not error.any()


# --- finite differences at kinks that several results share


def test_ties_in_windows_that_overlap_are_no_alarm() -> None:
    row = ROWS["max_pool"]
    cases = [
        c
        for c in registry.plan_cases(row, "numpy", "float64", "fd", 0)
        if "broadcast" in c.id or c.region in ("ties", "zeros")
    ]
    assert len(cases) > 3
    assert {checks.run_case(c).status for c in cases} == {Status.PASS}


def test_noise_that_shows_only_along_other_directions_is_no_alarm() -> None:
    """Rows of equal elements: along this direction a table of differences sees no noise."""
    case = Case(
        "nn.LayerNorm1d", "fd", "cpu", "float64", ((2, 257), (257,), (257,)), layout="mixed"
    )
    assert checks.run_case(case).status is Status.PASS


# --- planted faults: found by the judge


def statuses(name: str, judge: str, dtype: str = "float64") -> set[Status]:
    cases = registry.plan_cases(ROWS[name], "numpy", dtype, judge, 0)
    return {checks.run_case(c).status for c in cases}


def parts(g: Tensor, y: Tensor) -> Tensor:
    return g + ops.negate(ops.summation(g * y, -1, keepdims=True))


def without_count(self: Any, g: Tensor, node: Tensor) -> Tensor:
    windows = self.geometry.windows(node.inputs[0].realize_cached_data(), -math.inf)
    mask = windows.equal(node.realize_cached_data().reshape(pooling._kept(g.shape)))
    share = ops.reshape(g, pooling._kept(g.shape)) * Tensor.make_const(mask)
    return ops.Fold(self.geometry, node.inputs[0].shape)(share)


def average(lanes: Any, a: NDArray) -> NDArray:
    return a.sum(axis=lanes.axes, keepdims=True) / lanes.size(a.shape)


def unbiased(self: Any, x: NDArray, weight: Any = None, bias: Any = None) -> NDArray:
    _, self.mean, variance, _ = x.standardize(self.axes, self.eps)
    n = self.size(x.shape)
    self.variance = variance * (n / max(n - 1, 1))
    self.inverse = (self.variance + self.eps) ** -0.5
    y = (x - self.mean) * self.inverse
    return y if weight is None else y * weight + bias


def one_term_less(which: str) -> Callable[..., NDArray]:
    def pull_back(self: Any, h: NDArray, x: NDArray, weight: Any = None) -> NDArray:
        y, h = self.find(x), h if weight is None else h * weight
        mean = 0.0 if which == "mean" else average(self, h)
        along = 0.0 if which == "along" else average(self, h * y)
        scale = 1.0 if which == "scale" else self.inverse
        return (h - mean - y * along) * scale

    return pull_back


def attention_without(which: str) -> Callable[..., Any]:
    def gradient(self: Any, g: Tensor, node: Tensor) -> Any:
        q, k = node.inputs
        ds = node * (g if which == "mean" else parts(g, node)) * self.scale
        dk = ops.matmul(ops.transpose(ds), q)
        if which == "scale":
            dk = dk / self.scale
        return sum_to_shape(ops.matmul(ds, k), q.shape), (sum_to_shape(dk, k.shape))

    return gradient


FAULTS = {
    "softmax without the sum": ("softmax", "vjp", ops.Softmax, "gradient",
        lambda self, g, y: y * g),
    "softmax without the sum, fd": ("softmax", "fd", ops.Softmax, "gradient",
        lambda self, g, y: y * g),
    "softmax of all axes": ("softmax", "vjp", ops.Softmax, "gradient",
        lambda self, g, y: y * (g + ops.negate(ops.summation(g * y)))),
    "softmax without the largest": ("softmax", "forward", ops.Softmax, "compute",
        lambda self, a: a.exp() / a.exp().sum(axis=self.axes, keepdims=True)),
    "logsoftmax without the sum": ("logsoftmax", "vjp", ops.LogSoftmax, "gradient",
        lambda self, g, y: g + ops.negate(ops.exp(y))),
    "logsumexp without the share": ("logsumexp", "fd", ops.LogSumExp, "gradient",
        lambda self, g, y: ops.mul_scalar(y.inputs[0], 0.0) + 1.0),
    "cross_entropy of the sum": ("cross_entropy", "vjp", loss.CrossEntropy, "rows", 1),
    "cross_entropy without labels": ("cross_entropy", "fd", loss.CrossEntropy, "gradient",
        lambda self, g, y: ops.softmax(y.inputs[0]) * (g / self.rows)),
    "attention that sees one key more": ("scaled_dot_product_attention", "forward",
        attention, "_mask", lambda s: NDArray(
            np.triu(np.full(s.shape[-2:], -np.inf), k=2), device=s.device, dtype=s.dtype)),
    "attention without the mean": ("attention_weights", "vjp", ops.AttentionWeights, "gradient",
        attention_without("mean")),
    "attention without the scale": ("scaled_dot_product_attention", "fd", ops.AttentionWeights,
        "gradient", attention_without("scale")),
    "unbiased variance": ("layer_norm", "forward", normalization.Lanes, "find", unbiased),
    "no eps": ("layer_norm", "forward", normalization.Lanes, "eps", 0.0),
    "normalisation without the mean": ("layer_norm", "vjp", normalization.Lanes,
        "pull_back", one_term_less("mean")),
    "normalisation without the variance": ("batch_norm", "vjp", normalization.Lanes,
        "pull_back", one_term_less("along")),
    "normalisation without the scale": ("batch_norm", "fd", normalization.Lanes,
        "pull_back", one_term_less("scale")),
    "ties counted fully": ("max_pool", "vjp", ops.MaxPool, "gradient", without_count),
    "padding of zeros": ("max_pool", "forward", ops.MaxPool, "compute",
        lambda self, x: self.geometry.windows(x, 0.0).max(axis=(3, 4))),
    "padding counted": ("avg_pool", "forward", ops.AvgPool, "compute",
        lambda self, x: x.avg_pool2d(*self.geometry[1:], True)),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, judge, owner, attribute, wrong = FAULTS[fault]
    monkeypatch.setattr(checks, "explain", lambda *_: None)  # the finding is enough
    if attribute == "eps":
        find = owner.find

        def without_eps(self: Any, x: NDArray) -> NDArray:
            self.eps = 0.0
            return find(self, x)

        monkeypatch.setattr(owner, "find", without_eps)
    else:
        monkeypatch.setattr(owner, attribute, wrong)
    assert Status.FAIL in statuses(name, judge)


@pytest.mark.parametrize("name", ["softmax", "layer_norm", "batch_norm", "max_pool"])
@pytest.mark.parametrize("judge", ["forward", "vjp", "fd"])
def test_without_a_fault_all_pass(name: str, judge: str) -> None:
    assert statuses(name, judge) == {Status.PASS}
