"""Where values and shapes reach: every region is judged, and faults that show only there fail."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from needle import ops
from needle.autograd import Tensor
from needle.backend_ndarray import NDArray
from needle.ops import attention, normalization, reduction
from verify import checks, registry
from verify.spec import Case, Status

ROWS = registry.rows()
_BOUNDED = [
    name
    for name, row in ROWS.items()
    if row.family in ("softmax", "normalization")
    or name in ("var", "nn.MultiHeadAttention", "nn.LayerNorm1d", "nn.GroupNorm")
    or name.startswith("nn.BatchNorm")
]


def planned(name: str, judge: str, dtype: str, device: str = "numpy") -> Iterator[Case]:
    yield from registry.plan_cases(ROWS[name], device, dtype, judge, 0)


@pytest.mark.parametrize("name", _BOUNDED)
def test_every_region_has_elements_with_a_finite_bound(name: str) -> None:
    judged: dict[str, bool] = {}
    for case in planned(name, "forward", "float32", "cpu"):
        if all(math.prod(s) for s in case.shapes) and not judged.get(case.region):
            judged[case.region] = checks.run_case(case).checked > 0
    assert all(judged.values()), judged
    own = {s.region for s in ROWS[name].samples}
    assert judged.keys() == {"interior", *ROWS[name].regions, *own}


def of_all_digits(self: Any, q: NDArray, k: NDArray) -> NDArray:
    scores = (q * self.scale) @ k.transpose()
    powers = (scores + attention._mask(scores) if self.causal else scores).exp()
    return powers / powers.sum(axis=-1, keepdims=True)


def one_pass(self: Any, x: NDArray, weight: Any = None, bias: Any = None) -> NDArray:
    _, self.mean, _, _ = x.standardize(self.axes, self.eps)
    squares = (x * x).sum(axis=self.axes, keepdims=True) / self.size(x.shape)
    self.variance = squares - self.mean * self.mean
    self.inverse = (self.variance + self.eps) ** -0.5
    y = (x - self.mean) * self.inverse
    return y if weight is None else y * weight + bias


def one_pass_var(a: Tensor, axes: Any = None, keepdims: bool = False, correction: float = 0) -> Any:
    n = reduction._length("var", a, axes)
    mean = ops.mean(a, axes, keepdims)
    squares = ops.mean(a * a, axes, keepdims) + ops.negate(mean * mean)
    return squares * n / (n - correction if n > correction else 0)


def one_key_more(scores: NDArray) -> NDArray:
    """Where there are many keys."""
    shape = scores.shape[-2:]
    above = np.triu(np.full(shape, -np.inf), k=2 if shape[1] > 8 else 1)
    return NDArray(above, device=scores.device, dtype=scores.dtype)


def cut(compute: Callable[[Any, NDArray], NDArray]) -> Callable[[Any, NDArray], NDArray]:
    """The activation, 0 below -40."""

    def short(self: Any, a: NDArray) -> NDArray:
        y = compute(self, a).numpy()
        zeroed = np.where(a.numpy() < -40, np.zeros_like(y), y)
        return NDArray(zeroed, device=a.device, dtype=a.dtype)

    return short


def last_axis(self: Any, a: NDArray) -> NDArray:
    """-2 taken for -1."""
    axes = -1 if self.axes in (-2, (-2,)) else self.axes
    powers = (a - a.max(axis=axes, keepdims=True)).exp()
    return powers / powers.sum(axis=axes, keepdims=True)


_WEIGHTS = (attention.AttentionWeights, "compute", of_all_digits)
_ONE_PASS = (normalization.Lanes, "find", one_pass)
_MORE = (attention, "_mask", one_key_more)
FAULTS: list[tuple[str, str, tuple[Any, str, Any]]] = [
    ("attention_weights", "huge", _WEIGHTS),
    ("scaled_dot_product_attention", "huge", _WEIGHTS),
    ("nn.MultiHeadAttention", "huge", _WEIGHTS),
    *(
        (name, "shifted", _ONE_PASS)
        for name in (
            "standardize",
            "layer_norm",
            "batch_norm",
            "nn.LayerNorm1d",
            "nn.GroupNorm",
            "nn.BatchNorm1d",
            "nn.BatchNorm2d",
        )
    ),
    ("var", "shifted", (ops, "var", one_pass_var)),
    ("nn.MultiHeadAttention", "interior", _MORE),
    ("nn.AttentionLayer", "interior", _MORE),
    ("sigmoid", "huge", (ops.Sigmoid, "compute", cut(ops.Sigmoid.compute))),
    ("silu", "huge", (ops.SiLU, "compute", cut(ops.SiLU.compute))),
    ("softplus", "huge", (ops.Softplus, "compute", cut(ops.Softplus.compute))),
    ("softmax", "interior", (ops.Softmax, "compute", last_axis)),
]


@pytest.mark.parametrize(
    ("name", "region", "fault"), FAULTS, ids=[f"{n}-{r}" for n, r, _ in FAULTS]
)
def test_planted_faults_are_found(
    name: str, region: str, fault: tuple[Any, str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "explain", lambda *_: None)  # the finding is enough
    monkeypatch.setattr(*fault)
    for dtype in ("float32", "float64") if region == "shifted" else ("float32",):
        cases = [c for c in planned(name, "forward", dtype) if c.region == region]
        assert Status.FAIL in {checks.run_case(c).status for c in cases}, dtype


def below(change: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Of a function of the base and of what it gives, its result where the base is below 0."""

    def changed(a: Any, y: Any) -> Any:
        wrong = np.where(a.numpy() < 0, change(a.numpy(), y.numpy()), y.numpy())
        return type(y)(wrong.astype(a.dtype), device=a.device, dtype=a.dtype)

    return changed


def test_powers_of_negative_bases_are_judged_with_their_slopes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compute, gradient = ops.EWisePow.compute, ops.EWisePow.gradient
    unsigned = below(lambda a, y: np.abs(y))
    falling = below(lambda a, da: -da)

    def pulled(self: Any, g: Tensor, node: Tensor) -> Any:
        da, db = gradient(self, g, node)
        return (da if da is None else falling(node.inputs[0], da)), db

    monkeypatch.setattr(checks, "explain", lambda *_: None)
    monkeypatch.setattr(
        ops.EWisePow, "compute", lambda self, a, b: unsigned(a, compute(self, a, b))
    )
    monkeypatch.setattr(ops.EWisePow, "gradient", pulled)
    for judge in ("forward", "vjp"):
        failed = {
            c.region
            for c in planned("power", judge, "float32")
            if checks.run_case(c).status is Status.FAIL
        }
        assert failed - {"special"} == {"whole"}  # infinities of both signs are asked already
