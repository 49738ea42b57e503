"""Elementwise results lie in memory as their operands do, where these agree; values are numpy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import needle.backend_ndarray as nd

CHANNELS_FIRST = (0, 3, 1, 2)
# Each takes x and another array of its shape and gives what lies as both do.
OPS: dict[str, Any] = {
    "unary": lambda x, _: x.exp(),
    "scalar": lambda x, _: 2.0 - x,
    "binary": lambda x, y: x * y,
    "one for each channel": lambda x, y: x + y[:1, :, :1, :1],
    "one for each channel, first": lambda x, y: y[:1, :, :1, :1] / x,
    "spread": lambda x, y: x + y[:1].broadcast_to(y.shape),
    "where": lambda x, y: nd.NDArray.where(x > y, x, y[:, :1]),
}


def images(device: nd.BackendDevice, order: tuple[int, ...], seed: int = 0) -> nd.NDArray:
    """(2, 5, 3, 4), compact before it was permuted."""
    shape = [0] * 4
    for place, axis in enumerate(order):
        shape[axis] = (2, 5, 3, 4)[place]
    values = np.random.default_rng(seed).uniform(1, 2, shape).astype("float32")
    return nd.NDArray(values, device=device).permute(order)


def moving(a: nd.NDArray) -> list[int]:
    return [s for s, n in zip(a.strides, a.shape, strict=True) if n > 1]


@pytest.mark.parametrize("op", OPS.values(), ids=OPS.keys())
@pytest.mark.parametrize("order", [CHANNELS_FIRST, (3, 2, 1, 0), (1, 0, 2, 3), (0, 1, 2, 3)])
def test_results_lie_as_operands(op: Any, order: tuple[int, ...], device: Any) -> None:
    x, y = images(device, order), images(device, order, 1)
    result = op(x, y)
    assert result.strides == x.strides
    np.testing.assert_array_equal(result.numpy(), op(x.compact(), y.compact()).numpy())
    assert result._handle.ptr() not in (x._handle.ptr(), y._handle.ptr())


@pytest.mark.parametrize("other", [(0, 1, 2, 3), (3, 2, 1, 0)])
def test_operands_that_differ_give_compact_results(other: Any, device: Any) -> None:
    x, y = images(device, CHANNELS_FIRST), images(device, other, 1)
    for result in (x * y, y * x, nd.NDArray.where(x > y, y, x)):
        assert result.is_compact()
    np.testing.assert_array_equal((x * y).numpy(), x.numpy() * y.numpy())


@pytest.mark.parametrize(
    "view",
    [lambda x: x[::-1], lambda x: x[..., ::2], lambda x: x[:, :2], lambda x: x[:, :1]],
    ids=["reversed", "steps", "part", "one channel"],
)
def test_gaps_and_reversed_axes(view: Any, device: Any) -> None:
    x = view(images(device, CHANNELS_FIRST))
    assert (x + 1).is_compact()
    np.testing.assert_array_equal((x + x).numpy(), x.numpy() + x.numpy())


def test_axes_of_one_element_and_none(device: Any) -> None:
    for shape in ((1, 5, 3, 1), (2, 1, 1, 4), (1, 1, 1, 1), (0, 5, 3, 4)):
        x = nd.NDArray(np.ones(shape, "float32"), device=device).permute(CHANNELS_FIRST)
        y = x + x
        assert y.shape == x.shape
        assert x.size == 0 or moving(y) == moving(x)
        np.testing.assert_array_equal(y.numpy(), 2 * np.ones(x.shape))


def test_normalisation_lies_as_its_input(device: Any) -> None:
    x, g = images(device, CHANNELS_FIRST), images(device, (0, 1, 2, 3), 1)
    weight = nd.NDArray(np.arange(1.0, 6), device=device, dtype="float32").reshape((1, 5, 1, 1))
    y, mean, _, inverse = x.standardize((0, 2, 3), 0.1, weight, weight)
    assert y.strides == x.strides
    want = x.compact().standardize((0, 2, 3), 0.1, weight, weight)[0].numpy()
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-5, atol=1e-5)
    found = x.normalize_grad(g, mean, inverse, (0, 2, 3), weight)
    wanted = x.compact().normalize_grad(g, mean, inverse, (0, 2, 3), weight)
    assert found[0].strides == x.strides
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5)
