"""Random chains of views, writes and sums: equal to numpy, or an exception where numpy has one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices

from needle.backend_ndarray import BackendDevice, NDArray

BAD_INPUT = (ValueError, IndexError, TypeError)
small = st.integers(-5, 5)


@st.composite
def step(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[str, Any]:
    """A view operation with arguments that mostly fit the shape."""
    kind = draw(st.sampled_from(["index", "any index", "permute", "reshape", "flip", "broadcast"]))
    ndim = len(shape)
    if kind == "index":
        return kind, draw(basic_indices(shape, allow_newaxis=ndim < 4))
    if kind == "any index":
        part = st.one_of(small, st.builds(slice, *[st.none() | small] * 3))
        return "index", tuple(draw(st.lists(part, max_size=ndim + 1)))
    if kind == "permute":
        return kind, draw(st.permutations(range(ndim)) | st.lists(small, max_size=ndim))
    if kind == "reshape":
        size = math.prod(shape)
        fitting = [(size,), (-1,), (1, size), (size, 1, 1)]
        fitting += [(size // n, n) for n in range(1, 5) if size % n == 0]
        return kind, draw(
            st.sampled_from(fitting) | st.lists(st.integers(-1, 5), max_size=3).map(tuple)
        )
    if kind == "flip":
        return kind, tuple(draw(st.lists(small, max_size=2)))
    grown = tuple(draw(st.integers(0, 3)) if n == 1 else n for n in shape)
    extra = tuple(draw(st.lists(st.integers(0, 2), max_size=1))) if ndim < 6 else ()
    return kind, extra + grown


def apply_numpy(x: np.ndarray, kind: str, argument: Any) -> np.ndarray:
    match kind:
        case "index":
            return np.asarray(x[argument])
        case "permute":
            return x.transpose(tuple(argument))
        case "reshape":
            return x.reshape(argument)
        case "flip":
            return np.flip(x, argument)
        case _:
            return np.broadcast_to(x, argument)


def apply_needle(a: NDArray, kind: str, argument: Any) -> NDArray:
    match kind:
        case "index":
            return a[argument]
        case "permute":
            return a.permute(argument)
        case "reshape":
            return a.reshape(argument)
        case "flip":
            return a.flip(argument)
        case _:
            return a.broadcast_to(argument)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_nd_backend_chains_of_views_equal_numpy(device: BackendDevice, data: st.DataObject) -> None:
    shape = data.draw(array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    x = np.arange(math.prod(shape), dtype="float64").reshape(shape)
    a = NDArray(x, device=device, dtype="float64")
    x = x.copy()
    for _ in range(data.draw(st.integers(1, 5))):
        kind, argument = data.draw(step(x.shape))
        try:
            expected = apply_numpy(x, kind, argument)
        except BAD_INPUT:
            with pytest.raises(BAD_INPUT):
                apply_needle(a, kind, argument)
            continue
        a, x = apply_needle(a, kind, argument), expected
        assert a.shape == x.shape
        np.testing.assert_array_equal(a.numpy(), x)
    np.testing.assert_array_equal((a + 1).numpy(), x + 1)
    np.testing.assert_array_equal(a.sum().numpy(), x.sum())
    if x.ndim:
        axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
        np.testing.assert_array_equal(a.sum(axis=axis).numpy(), x.sum(axis=axis))
    if x.size and x.flags.writeable:
        a[...] = -1.0
        assert (a.numpy() == -1).all()
