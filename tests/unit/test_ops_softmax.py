"""softmax, logsoftmax, logsumexp, cross_entropy and attention against torch and composed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import needle as ndl
import needle.backend_ndarray as nd
from needle import autograd
from needle.ops import AttentionWeights, CrossEntropy, LogSoftmax, LogSumExp, Softmax

pytestmark = pytest.mark.filterwarnings("ignore:Using backward")

AXES = [None, 0, -1, (0, 2), (-1, 1), (0, 1, 2)]


def all_axes(axes: Any) -> Any:
    return (0, 1, 2) if axes is None else axes


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("keepdims", [False, True])
def test_logsumexp(axes: Any, keepdims: bool, agree: Any, rng: Any) -> None:
    a = rng.standard_normal((3, 4, 5))
    op = LogSumExp(axes, keepdims)
    agree(op, lambda t: torch.logsumexp(t, all_axes(axes), keepdim=keepdims), a)
    agree(op, op.composed, a, composed=True)


@pytest.mark.parametrize("axes", AXES)
def test_softmax(axes: Any, agree: Any, rng: Any) -> None:
    a = rng.standard_normal((3, 4, 5))
    agree(
        lambda t: ndl.softmax(t, axes),
        lambda t: t.exp() / t.exp().sum(all_axes(axes), keepdim=True),
        a,
    )
    agree(Softmax(axes), Softmax(axes).composed, a, composed=True)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_logsoftmax(axis: int, agree: Any, rng: Any) -> None:
    a = rng.standard_normal((3, 4, 5))
    agree(lambda t: ndl.logsoftmax(t, axis), lambda t: F.log_softmax(t, axis), a)
    agree(LogSoftmax(axis), LogSoftmax(axis).composed, a, composed=True)


def test_logsoftmax_of_a_matrix_is_over_its_rows(device: nd.BackendDevice) -> None:
    y = ndl.logsoftmax(ndl.Tensor([[0.0, 0.0], [3.0, 3.0]], device=device))
    np.testing.assert_allclose(y.numpy(), np.full((2, 2), -math.log(2)), rtol=1e-6)


def test_stable_at_large_values(device: nd.BackendDevice, dtype: str) -> None:
    def tensor(values: Any) -> ndl.Tensor:
        return ndl.Tensor(values, device=device, dtype=dtype)

    for big in (2.0**33, -(2.0**33)):
        a = tensor([[big, big + 2**17, big]])
        y = ndl.logsumexp(a, 1)
        np.testing.assert_array_equal(y.numpy(), np.asarray([big + 2**17], dtype))
        y.backward()
        np.testing.assert_array_equal(a.grad.numpy(), [[0, 1, 0]])
        np.testing.assert_array_equal(ndl.softmax(a).numpy(), [[0, 1, 0]])
        np.testing.assert_array_equal(ndl.logsoftmax(a).numpy(), [[-(2**17), 0, -(2**17)]])
    equal = tensor([1e10, 1e10])
    ndl.logsumexp(equal).backward()
    np.testing.assert_array_equal(equal.grad.numpy(), [0.5, 0.5])  # torch: [1, 1] in float32


def test_infinities_and_nan_as_in_torch(device: nd.BackendDevice) -> None:
    inf, nan = math.inf, math.nan
    rows = [[1, -inf, 2], [-inf] * 3, [1, inf, 2], [inf, -inf, 0], [nan, 1, 2], [inf, inf, 1]]
    a, t = ndl.Tensor(rows, device=device, dtype="float64"), torch.tensor(rows, dtype=torch.float64)
    np.testing.assert_allclose(ndl.logsumexp(a, 1).numpy(), torch.logsumexp(t, 1).numpy())
    np.testing.assert_allclose(ndl.softmax(a).numpy(), torch.softmax(t, 1).numpy())
    np.testing.assert_allclose(ndl.logsoftmax(a).numpy(), torch.log_softmax(t, 1).numpy())


def test_empty_and_0d(device: nd.BackendDevice) -> None:
    empty = ndl.Tensor(np.ones((2, 0, 3)), device=device)
    assert ndl.logsumexp(empty, 0).shape == (0, 3)
    np.testing.assert_array_equal(ndl.logsumexp(empty, 1).numpy(), np.full((2, 3), -np.inf))
    assert float(ndl.logsumexp(empty)) == -math.inf
    assert ndl.softmax(empty, 1).shape == ndl.logsoftmax(empty, 1).shape == (2, 0, 3)
    ndl.softmax(empty).backward()
    assert empty.grad.shape == (2, 0, 3)
    assert float(ndl.logsumexp(ndl.Tensor(3.0, device=device))) == 3.0
    assert float(ndl.softmax(ndl.Tensor(3.0, device=device), None)) == 1.0


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda a: ndl.logsumexp(a, 2), IndexError, r"\[logsumexp\] axis .* got axis=2, ndim=2"),
        (lambda a: ndl.logsumexp(a, (0, -2)), ValueError, r"\[logsumexp\] axes must be distinct"),
        (lambda a: ndl.softmax(a, -3), IndexError, r"\[softmax\] .* got axis=-3"),
        (lambda a: ndl.logsoftmax(a, 2), IndexError, r"\[logsoftmax\] .* got axis=2"),
        (
            lambda a: ndl.cross_entropy(a, [0]),
            ValueError,
            r"\[cross_entropy\] .* labels.shape=\(1,\)",
        ),
        (lambda a: ndl.cross_entropy(a, [0, 3]), IndexError, r"got label=3, classes=3"),
        (lambda a: ndl.cross_entropy(a, [-1, 0]), IndexError, r"got label=-1, classes=3"),
        (lambda a: ndl.cross_entropy(a, [0.5, 0]), ValueError, r"whole numbers, got label=0.5"),
        (
            lambda a: ndl.cross_entropy(a, [math.nan, 0]),
            ValueError,
            r"whole numbers, got label=nan",
        ),
        (lambda a: ndl.cross_entropy(a[:0], []), ValueError, r"\[cross_entropy\] .*=\(0, 3\)"),
        (lambda a: ndl.cross_entropy(a[0, 0], 0), ValueError, r"\[cross_entropy\] .*=\(\)"),
        (
            lambda a: ndl.attention_weights(a, a[:, :2]),
            ValueError,
            r"\[attention\] .* q.shape=\(2, 3\)",
        ),
        (lambda a: ndl.attention_weights(a[0], a), ValueError, r"\[attention\]"),
        (
            lambda a: ndl.attention_weights(a[:, :0], a[:, :0]),
            ValueError,
            r"\[attention\] .* d > 0",
        ),
        (lambda a: ndl.attention_weights(a, a, scale=math.inf), ValueError, r"got scale=inf"),
        (lambda a: ndl.scaled_dot_product_attention(a, a, a[:1]), ValueError, r"v.shape=\(1, 3\)"),
        (lambda a: ndl.scaled_dot_product_attention(a, a, a[0]), ValueError, r"v.shape=\(3,\)"),
    ],
)
def test_errors(call: Any, error: type[Exception], text: str, device: nd.BackendDevice) -> None:
    with pytest.raises(error, match=text):
        call(ndl.Tensor(np.ones((2, 3)), device=device))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
@pytest.mark.parametrize("wrap", [list, np.asarray, nd.array, ndl.Tensor])
def test_labels_of_any_kind(dtype: str, wrap: Any, device: nd.BackendDevice, rng: Any) -> None:
    logits, labels = rng.standard_normal((4, 5)), np.asarray([0, 4, 2, 2], dtype)
    given = wrap(labels) if wrap in (list, np.asarray) else wrap(labels, dtype=dtype)
    loss = ndl.cross_entropy(ndl.Tensor(logits, device=device, dtype="float64"), given)
    want = F.cross_entropy(torch.tensor(logits), torch.tensor(labels).long())
    np.testing.assert_allclose(loss.numpy(), want.numpy(), rtol=1e-14)


def test_cross_entropy(agree: Any, rng: Any, device: nd.BackendDevice) -> None:
    a, labels = rng.standard_normal((3, 4, 5)), rng.integers(0, 5, (3, 4))
    agree(
        lambda z: ndl.cross_entropy(z, labels),
        lambda z: F.cross_entropy(z.reshape(-1, 5), torch.tensor(labels.ravel())),
        a,
    )
    rows = ndl.Tensor(np.eye(5)[labels], device=device, dtype="float64")
    op = CrossEntropy(rows.realize_cached_data())
    agree(op, op.composed, a, composed=True)


def test_cross_entropy_of_sure_logits(device: nd.BackendDevice, dtype: str) -> None:
    z = ndl.Tensor([[1e10, -1e10], [-np.inf, 0.0]], device=device, dtype=dtype)
    loss = ndl.cross_entropy(z, [1, 1])
    assert float(loss) == 1e10
    loss.backward()
    np.testing.assert_array_equal(z.grad.numpy(), [[0.5, -0.5], [0, 0]])
    assert float(ndl.cross_entropy(z, [0, 0])) == math.inf


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_attention(causal: bool, lead: tuple[int, ...], agree: Any, rng: Any) -> None:
    q, k, v = (rng.standard_normal((*lead, *s)) for s in ((4, 5), (6, 5), (6, 2)))
    agree(
        lambda *x: ndl.scaled_dot_product_attention(*x, causal=causal),
        lambda *x: F.scaled_dot_product_attention(*x, is_causal=causal),
        q, k, v,
    )  # fmt: skip
    op = AttentionWeights(causal, 0.3)
    agree(op, op.composed, q, k, composed=True)


def test_attention_broadcasts_leading_axes(agree: Any, rng: Any) -> None:
    q, k, v = (rng.standard_normal(s) for s in ((2, 3, 4, 5), (3, 6, 5), (1, 6, 2)))
    agree(
        lambda *x: ndl.scaled_dot_product_attention(*x, scale=0.7),
        lambda q, k, v: torch.softmax(0.7 * q @ k.transpose(-1, -2), -1) @ v,
        q, k, v,
    )  # fmt: skip


def test_causal_attention_does_not_see_later_keys(device: nd.BackendDevice, rng: Any) -> None:
    q, k = (ndl.Tensor(rng.standard_normal((4, 3)), device=device) for _ in range(2))
    weights = ndl.attention_weights(q, k, causal=True).numpy()
    assert not np.any(np.triu(weights, 1))
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)


def test_values_may_be_lazy(device: nd.BackendDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autograd, "LAZY_MODE", True)
    a = ndl.Tensor([[0.0, 0.0]], device=device)
    ndl.logsumexp(ndl.softmax(ndl.logsoftmax(a))).backward()
    np.testing.assert_allclose(a.grad.numpy(), [[0, 0]], atol=1e-7)
