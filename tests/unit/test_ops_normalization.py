"""standardize, layer_norm and batch_norm against torch and their composed form."""

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
from needle.ops.normalization import Lanes, Normalize

pytestmark = pytest.mark.filterwarnings("ignore:Using backward")


def torch_standardize(x: torch.Tensor, axes: Any, eps: float) -> torch.Tensor:
    centred = x - x.mean(axes, keepdim=True)
    return centred / ((centred**2).mean(axes, keepdim=True) + eps).sqrt()


@pytest.mark.parametrize("axes", [0, -1, (0, 2), (0, 1, 2)])
def test_standardize(axes: Any, agree: Any, rng: Any) -> None:
    x = rng.standard_normal((3, 4, 5)) + 2
    agree(lambda x: ndl.standardize(x, axes, 0.1), lambda x: torch_standardize(x, axes, 0.1), x)


def test_third_order(device: nd.BackendDevice, rng: Any) -> None:
    values = [rng.standard_normal((2, 5)) for _ in range(4)]

    def third(call: Any, make: Any, gradient: Any) -> Any:
        x, *weights = [make(v) for v in values]
        y = call(x)
        for w in weights:
            y = gradient((y * w).sum(), x)
        return y

    def ours(y: Any, x: Any) -> Any:
        y.backward()
        return x.grad

    def theirs(y: Any, x: Any) -> Any:
        return torch.autograd.grad(y, x, create_graph=True)[0]

    got = third(
        lambda x: ndl.standardize(x, eps=0.1),
        lambda v: ndl.Tensor(v, device=device, dtype="float64"),
        ours,
    )
    want = third(
        lambda x: torch_standardize(x, -1, 0.1),
        lambda v: torch.tensor(v, requires_grad=True),
        theirs,
    )
    np.testing.assert_allclose(got.numpy(), want.detach().numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_layer_norm(lead: tuple[int, ...], agree: Any, rng: Any) -> None:
    x, w, b = rng.standard_normal((*lead, 5)), rng.standard_normal(5), rng.standard_normal(5)
    agree(
        lambda *a: ndl.layer_norm(*a, eps=0.01),
        lambda x, w, b: F.layer_norm(x, (5,), w, b, 0.01),
        x, w, b,
    )  # fmt: skip
    op = Normalize(Lanes("layer_norm", -1, 0.01))
    agree(
        lambda *a: Normalize(Lanes("layer_norm", -1, 0.01))(*a), op.composed, x, w, b, composed=True
    )


@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 4), (2, 3, 4, 5)])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(
    shape: tuple[int, ...], training: bool, device: Any, agree: Any, rng: Any
) -> None:
    x, w, b = rng.standard_normal(shape), rng.standard_normal(3), rng.standard_normal(3)
    mean, var = rng.standard_normal(3), rng.uniform(0.5, 2, 3)

    def ours(x: Any, w: Any, b: Any, axis: int = 1) -> Any:
        running = [
            ndl.Tensor(s, device=device, dtype="float64", requires_grad=False) for s in (mean, var)
        ]
        return ndl.batch_norm(x, w, b, *running, training=training, eps=0.01, axis=axis)

    def theirs(x: Any, w: Any, b: Any) -> Any:
        running = (torch.tensor(mean), torch.tensor(var))
        return F.batch_norm(x, *running, w, b, training=training, eps=0.01)

    agree(ours, theirs, x, w, b)
    agree(
        lambda x, w, b: ours(x, w, b, axis=-1),
        lambda x, w, b: theirs(x.moveaxis(-1, 1), w, b).moveaxis(1, -1),
        np.moveaxis(x, 1, -1), w, b,
    )  # fmt: skip


def test_running_statistics_are_biased_and_have_no_graph(
    device: nd.BackendDevice, rng: Any
) -> None:
    x = rng.standard_normal((4, 3, 5)) * 2 + 1
    tensors = {"device": device, "dtype": "float64"}
    ones, zeros = ndl.Tensor(np.ones(3), **tensors), ndl.Tensor(np.zeros(3), **tensors)
    mean, var = ndl.Tensor(np.zeros(3), **tensors), ndl.Tensor(np.ones(3), **tensors)
    before = mean.realize_cached_data()
    ndl.batch_norm(ndl.Tensor(x, **tensors), ones, zeros, mean, var, momentum=0.25)
    np.testing.assert_allclose(mean.numpy(), 0.25 * x.mean((0, 2)), rtol=1e-14)
    np.testing.assert_allclose(var.numpy(), 0.75 + 0.25 * x.var((0, 2)), rtol=1e-14)
    assert mean.is_leaf()
    assert not np.any(before.numpy())  # new data: what was there is not written to
    kept = mean.numpy()
    ndl.batch_norm(ndl.Tensor(x, **tensors), ones, zeros, mean, var, training=False)
    np.testing.assert_array_equal(mean.numpy(), kept)


def test_running_statistics_of_lazy_values(
    device: nd.BackendDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autograd, "LAZY_MODE", True)
    c = [ndl.Tensor([v], device=device) for v in (1.0, 0.0, 0.0, 1.0)]
    y = ndl.batch_norm(ndl.Tensor([[1.0], [3.0]], device=device), *c, momentum=1.0, eps=0.0)
    np.testing.assert_array_equal(y.numpy(), [[-1], [1]])
    assert (c[2].numpy(), c[3].numpy()) == (2.0, 1.0)


def test_constant_lanes_give_the_bias(device: nd.BackendDevice, dtype: str) -> None:
    x = ndl.Tensor(np.full((3, 4), 2.0), device=device, dtype=dtype)
    w, b = (ndl.Tensor(np.full(4, v), device=device, dtype=dtype) for v in (5.0, 0.25))
    y = ndl.layer_norm(x, w, b)
    np.testing.assert_array_equal(y.numpy(), np.full((3, 4), 0.25))
    y.backward()
    assert np.all(np.isfinite(x.grad.numpy()))


def test_far_from_zero_the_variance_is_right(device: nd.BackendDevice) -> None:
    # E[x²] - E[x]² would lose every digit here in float32.
    x = ndl.Tensor([[4096.0, 4097.0, 4098.0, 4099.0]], device=device)
    y = ndl.standardize(x, eps=0.0)
    np.testing.assert_allclose(y.numpy(), [np.array([-3, -1, 1, 3]) / math.sqrt(5)], rtol=1e-6)


def test_empty(device: nd.BackendDevice) -> None:
    def ones(*shape: int) -> ndl.Tensor:
        return ndl.Tensor(np.ones(shape), device=device)

    for x, c in ((ones(0, 3), 3), (ones(2, 0), 0)):
        w, b = ones(c), ones(c)
        y = ndl.layer_norm(x, w, b)
        y.backward()
        assert y.shape == x.grad.shape == x.shape
        np.testing.assert_array_equal(w.grad.numpy(), np.zeros(c))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x, c: ndl.layer_norm(x, c, c), r"\[layer_norm\] weight .*\(3,\), channels=4"),
        (lambda x, c: ndl.layer_norm(x[0, 0], c, c), r"\[layer_norm\] x has at least one axis"),
        (lambda x, c: ndl.standardize(x, eps=-1), r"\[standardize\] eps .* got eps=-1"),
        (lambda x, c: ndl.standardize(x, eps=math.nan), r"\[standardize\] eps .* got eps=nan"),
        (lambda x, c: ndl.batch_norm(x, c, c), r"\[batch_norm\] weight .*\(3,\), channels=4"),
        (lambda x, c: ndl.batch_norm(x, c, c, axis=0), r"\[batch_norm\] weight .* channels=2"),
        (lambda x, c: ndl.batch_norm(x[:, :3], c, c, c), r"given=\['running_mean'\]"),
        (
            lambda x, c: ndl.batch_norm(x[:, :3], c, c, training=False),
            r"training=False, given=\[\]",
        ),
        (lambda x, c: ndl.batch_norm(x[:, :3], c, c, c, c[:1]), r"running_var.shape=\(1,\)"),
        (lambda x, c: ndl.batch_norm(x[:, :3], c, c, momentum=1.5), r"got momentum=1.5"),
        (lambda x, c: ndl.batch_norm(x[:, :3], c, c, eps=math.inf), r"got eps=inf"),
        (lambda x, c: ndl.batch_norm(x[:0, :3], c, c), r"\[batch_norm\] training needs elements"),
    ],
)
def test_value_errors(call: Any, text: str, device: nd.BackendDevice) -> None:
    x, c = ndl.Tensor(np.ones((2, 4)), device=device), ndl.Tensor(np.ones(3), device=device)
    with pytest.raises(ValueError, match=text):
        call(x, c)


def test_axis_out_of_range(device: nd.BackendDevice) -> None:
    x = ndl.Tensor(np.ones((2, 4)), device=device)
    with pytest.raises(IndexError, match=r"\[batch_norm\] axis .* got axis=2, ndim=2"):
        ndl.batch_norm(x, x, x, axis=2)
    with pytest.raises(IndexError, match=r"got axis=3, ndim=2"):
        ndl.standardize(x, 3)


def test_forward_and_backward_find_the_statistics_once(
    device: nd.BackendDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    find = Lanes.find
    monkeypatch.setattr(Lanes, "find", lambda lanes, *a: found.append(a) or find(lanes, *a))
    x, w, b = (
        ndl.Tensor(np.ones(s), device=device, requires_grad=s == (2, 3)) for s in ((2, 3), 3, 3)
    )
    ndl.layer_norm(x, w, b).backward()
    assert len(found) == 1


def test_an_op_that_is_called_twice_has_the_gradients_of_both(rng: Any) -> None:
    op = Normalize(Lanes("layer_norm", -1, 1e-5))
    weight, bias = (ndl.Tensor(rng.standard_normal(4), dtype="float64") for _ in range(2))
    xs = [ndl.Tensor(rng.standard_normal((3, 4)), dtype="float64") for _ in range(2)]
    first, _ = (op(x, weight, bias) for x in xs)
    (first * first).sum().backward()
    alone = ndl.Tensor(xs[0].numpy(), dtype="float64")
    y = ndl.ops.layer_norm(alone, weight, bias)
    (y * y).sum().backward()
    np.testing.assert_array_equal(xs[0].grad.numpy(), alone.grad.numpy())
