"""Everyday torch operations in a reference: torch's own float32 is within their finite bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import verify
from verify import reference
from verify.budget import compare, format_of
from verify.spec import Row, UsageError

F32 = format_of("float32", "torch")
DRAWS = 200
WEIGHT = torch.linspace(-1, 1, 18).reshape(2, 3, 3)
LOWER = torch.ones(3, 4).tril() == 0
CLASSES = torch.tensor([0, 3, 2])

M, ROW, POSITIVE, FOUR = (3, 4), (1, 3, 8), "positive", (4,)
CASES: dict[str, tuple[Any, ...]] = {
    # function, shapes; POSITIVE: of values above 0
    "reciprocal": (lambda x: 1 / x, M, POSITIVE),
    "mean": (torch.mean, M),
    "mean of an axis": (lambda x: x.mean(-1, keepdim=True), M),
    "std": (torch.std, M),
    "var": (lambda x: x.var(-1, unbiased=False), M),
    "norm": (torch.norm, M),
    "1-norm": (lambda x: x.norm(1, dim=-1), M),
    "3-norm": (lambda x: x.norm(3, dim=-1), M),
    "softmax": (lambda x: F.softmax(x, -1), M),
    "masked softmax": (lambda x: F.softmax(x.masked_fill(LOWER, -torch.inf), -1), M),
    "logsumexp": (lambda x: torch.logsumexp(x, -1), M),
    "gelu": (F.gelu, M),
    "gelu by tanh": (lambda x: F.gelu(x, approximate="tanh"), M),
    "leaky_relu": (F.leaky_relu, M),
    "elu": (F.elu, M),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, FOUR, w, b), M, FOUR, FOUR),
    "plain layer_norm": (lambda x: F.layer_norm(x, FOUR), M),
    "group_norm": (lambda x: F.group_norm(x, 2), M),
    "rms_norm": (lambda x, w: x * torch.rsqrt(x.pow(2).mean(-1, True) + 1e-6) * w, M, FOUR),
    "max": (torch.max, M),
    "max of an axis": (lambda x: x.max(-1)[0], M),
    "min": (torch.min, M),
    "prod": (torch.prod, M),
    "prod of an axis": (lambda x: x.prod(-1), M),
    "mse_loss": (F.mse_loss, M, M),
    "smooth_l1_loss": (F.smooth_l1_loss, M, M),
    "cross_entropy": (lambda x: F.cross_entropy(x, CLASSES), M),
    "masked_fill": (lambda x: x.masked_fill(LOWER, -1e9), M),
    "tan": (torch.tan, M),
    "log2": (torch.log2, M, POSITIVE),
    "log10": (torch.log10, M, POSITIVE),
    "roll": (lambda x: x.roll(1, -1), M),
    "tril": (torch.tril, M),
    "add_": (lambda x: (x * 2).add_(1), M),
    "mul_": (lambda x: (x * x).mul_(0.3), M),
    "conv1d": (lambda x: F.conv1d(x, WEIGHT), ROW),
    "conv_transpose2d": (
        lambda x, w: F.conv_transpose2d(x, w, stride=2, output_padding=1, dilation=2),
        (2, 4, 3, 2),
        (4, 3, 3, 2),
    ),
    "conv_transpose2d of groups": (
        lambda x, w: F.conv_transpose2d(x, w, padding=1, groups=2),
        (1, 6, 4, 3),
        (6, 5, 3, 3),
    ),
    "matmul of a constant": (lambda x: x @ WEIGHT.reshape(-1)[:8].reshape(4, 2), M),
    "linear": (F.linear, M, (5, 4), (5,)),
    "lerp": (lambda x, y: torch.lerp(x, y, 0.3), M, M),
    "addcmul": (torch.addcmul, M, M, M),
    "times a tenth": (lambda x: x * 0.1, M),
    "hardtanh": (F.hardtanh, M),
    "indexed": (lambda x: x[:, [0, 2, 2]], M),
    "leaky_relu of a product": (lambda x, w: F.leaky_relu(x @ w), M, (4, 5)),
    "elu of a product": (lambda x, w: F.elu(x @ w), M, (4, 5)),
}


def drawn(seed: int, shapes: list[Any]) -> list[Any]:
    rng = np.random.default_rng(seed)
    low = 0.1 if POSITIVE in shapes else -3.0
    return [rng.uniform(low, 3.0, s).astype(np.float32) for s in shapes if s != POSITIVE]


@pytest.mark.parametrize("name", CASES)
def test_torchs_own_results_and_gradients_are_within_finite_bounds(name: str) -> None:
    function, *shapes = CASES[name]
    row = Row(name="f", family="t", reference=lambda _, *a: function(*a), samples=())
    for seed in range(DRAWS):
        arrays = drawn(seed, shapes)
        tensors = [torch.tensor(a).requires_grad_() for a in arrays]
        y = function(*tensors)
        c = np.random.default_rng(seed + DRAWS).standard_normal(y.shape).astype(np.float32)
        grads = torch.autograd.grad(y, tensors, torch.tensor(c))
        expected = [
            *reference.forward(row, arrays, {}, F32),
            *reference.vjp(row, arrays, {}, [c], F32),
        ]
        for got, want in zip((y, *grads), expected, strict=True):
            found = compare(F32, got.detach().numpy(), want.value, want.error)
            assert found.ok, f"seed {seed}: {found}"
            assert np.isfinite(want.error).all()


def test_an_infinite_number_has_no_rounding() -> None:
    row = Row(name="f", family="t", reference=lambda _, x: x / math.inf, samples=())
    [x] = drawn(0, [M])
    [want] = reference.forward(row, [x], {}, F32)
    assert not want.value.any()
    assert np.isfinite(want.error).all()
    assert not compare(F32, x, want.value, want.error).ok


@pytest.mark.parametrize("function", [F.gelu, F.softmax, torch.std], ids=["gelu", "softmax", "std"])
def test_a_wrong_result_is_outside(function: Callable[..., Any]) -> None:
    how = {"dim": -1}
    f = function if function is F.gelu else lambda x: function(x, **how)
    row = Row(name="f", family="t", reference=lambda _, x: f(x), samples=())
    [x] = drawn(0, [M])
    [want] = reference.forward(row, [x], {}, F32)
    wrong = f(torch.tensor(x)).numpy() * np.float32(1 + 1e-4)
    assert not compare(F32, wrong, want.value, want.error).ok


@pytest.mark.filterwarnings("ignore:TF32")  # of the switch itself
def test_torchs_gelu_is_within_its_bound_in_every_kernel_of_this_machine() -> None:
    """In 1 + erf as in the polynomials: below -2 oneDNN's for AVX-512 was outside once."""
    x = np.linspace(-8, 8, 400_001).astype(np.float32)
    row = Row(name="f", family="t", reference=lambda _, a: F.gelu(a), samples=())
    [want] = reference.forward(row, [x], {}, F32)
    for accelerated in (True, False):
        with torch.backends.mkldnn.flags(enabled=accelerated):
            assert compare(F32, F.gelu(torch.tensor(x)).numpy(), want.value, want.error).ok
    wrong = F.gelu(torch.tensor(x)).numpy() + np.float32(2.0**-20) * np.abs(x)
    assert not compare(F32, wrong, want.value, want.error).ok


def test_an_operation_without_a_rule_says_what_to_do() -> None:
    words = r"no error rule for aten::sort: write the reference with other operations, or pass"
    with pytest.raises(UsageError, match=words):
        verify.check(torch.special.expit, lambda x: x.sort()[0], (3,))


def test_a_comparison_that_errors_may_turn_claims_nothing() -> None:
    """hardswish is decomposed with one: at its kink, an error decides."""
    row = Row(name="f", family="t", reference=lambda _, x, w: F.hardswish(x @ w), samples=())
    x, w = np.array([[0.1, 0.2]], np.float32), np.array([[10.0], [0.0]], np.float32)
    exact = -3 / np.float64(x[0, 0])
    arrays = [np.float64(x), np.array([[exact], [0.0]])]
    c = np.ones((1, 1))
    assert np.isinf(reference.vjp(row, arrays, {}, [c], F32)[0].error).any()
    assert np.isfinite(reference.vjp(row, [x, w], {}, [c], F32)[0].error).all()
