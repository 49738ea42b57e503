"""What the fuzz tests throw: random shapes, dtypes, devices, layouts, axes, indices and numbers.

NEEDLE_FUZZ=N multiplies the number of examples by N, draws fresh ones and shrinks what fails.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import needle.backend_ndarray as nd
from needle.backend_ndarray import BackendDevice, NDArray

# What bad input may raise; anything else, and a crash above all, is a defect.
DOCUMENTED = (ValueError, IndexError, TypeError, MemoryError)
DTYPES = ("float32", "float64", "int32", "int64", "bool", "float16", "bfloat16")
COMPUTED = ("float32", "float64")
VALUES = np.array([-2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 3.0, np.nan, np.inf, -np.inf])


def profile(examples: int) -> settings:
    deep = "NEEDLE_FUZZ" in os.environ
    return settings(
        max_examples=examples * int(os.environ.get("NEEDLE_FUZZ", "1")),
        phases=[Phase.generate, Phase.shrink] if deep else [Phase.generate],
        deadline=None,
        derandomize=not deep,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@dataclass
class World:
    """What the inputs of one call have in common."""

    device: BackendDevice
    dtype: str
    shape: tuple[int, ...]
    clean: bool  # one device, one computed dtype: then the result must be numpy's


@st.composite
def worlds(draw: st.DrawFn, device: BackendDevice) -> World:
    clean = draw(st.integers(0, 3)) > 0
    dtype = draw(st.sampled_from(COMPUTED if clean else DTYPES))
    deep = draw(st.integers(0, 5)) == 0
    shapes = array_shapes(
        min_dims=0, max_dims=8 if deep else 4, min_side=0, max_side=2 if deep else 4
    )
    return World(device, dtype, draw(shapes), clean)


@st.composite
def shapes_near(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape itself, one that broadcasts with it, or another."""
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return draw(array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    if kind < 4:
        return shape
    kept = shape[draw(st.integers(0, len(shape))) :]
    return tuple(1 if draw(st.booleans()) else n for n in kept)


@st.composite
def arrays(draw: st.DrawFn, world: World, shape: tuple[int, ...] | None = None) -> NDArray:
    """An NDArray of any layout: compact, permuted, reversed, strided or broadcast."""
    if shape is None:
        shape = draw(shapes_near(world.shape))
    device, dtype = world.device, world.dtype
    if not world.clean:
        dtype = draw(st.sampled_from((dtype, dtype, *DTYPES)))
        device = draw(st.sampled_from((device, device, device, nd.cpu_numpy())))
    layout = draw(st.sampled_from(["compact", "permuted", "reversed", "strided", "broadcast"]))
    seed = draw(st.integers(0, 1000))
    values = VALUES if dtype in (*COMPUTED, "float16", "bfloat16") else VALUES[:9]

    def made(sizes: tuple[int, ...]) -> NDArray:
        data = np.random.default_rng(seed).choice(values, sizes)
        return NDArray(data, device=device, dtype="float64").astype(dtype)

    def integral(sizes: tuple[int, ...]) -> NDArray:
        data = np.random.default_rng(seed).integers(0, 2, sizes)
        return NDArray(data, device=device, dtype=dtype)

    make = made if dtype in (*COMPUTED, "float16", "bfloat16") else integral
    if not shape or layout == "compact":
        return make(shape)
    if layout == "permuted":
        return make(shape[::-1]).permute(range(len(shape))[::-1])
    if layout == "reversed":
        return make(shape).flip((0,))
    if layout == "strided":
        wide = make((*shape[:-1], 2 * shape[-1] + 1))
        return wide[..., 1::2]
    return make((1, *shape[1:])).broadcast_to(shape)


def some_ints() -> st.SearchStrategy[Any]:
    usual = st.integers(-4, 4)
    return st.one_of(usual, usual, usual, st.sampled_from([1 << 62, -(1 << 63), 1 << 70]))


def axis(world: World) -> st.SearchStrategy[Any]:
    n = len(world.shape)
    fits = st.integers(-n, max(n - 1, 0))
    return st.one_of(fits, fits, fits, some_ints(), st.sampled_from([1.5, "x", (), np.int64(0)]))


def axes(world: World) -> st.SearchStrategy[Any]:
    n = len(world.shape)
    many = st.lists(st.integers(-n, max(n - 1, 0)), max_size=3)
    return st.one_of(st.none(), axis(world), many.map(tuple), many, st.permutations(range(n)))


def shapes(world: World) -> st.SearchStrategy[Any]:
    size = math.prod(world.shape)
    fitting = [(size,), (-1,), world.shape[::-1], (2, *world.shape), (*world.shape, 1), (size, 1)]
    wild = st.lists(st.one_of(st.integers(-1, 4), some_ints()), max_size=9).map(tuple)
    return st.one_of(st.sampled_from(fitting), st.sampled_from(fitting), wild, some_ints())


def numbers() -> st.SearchStrategy[Any]:
    usual = st.sampled_from([-2, -1, 0, 1, 2, 3, 0.5, -0.5, np.float32(1.5), np.int64(2), True])
    return st.one_of(usual, usual, st.sampled_from([math.nan, math.inf, 1e300, 1 << 70, "x", None]))


def index(world: World) -> st.SearchStrategy[Any]:
    part = st.one_of(
        st.integers(-4, 3),
        st.builds(slice, *[st.none() | st.integers(-5, 5)] * 3),
        st.builds(slice, some_ints(), some_ints(), some_ints()),
        st.sampled_from(
            [None, ..., 1.0, "x", True, slice(None), slice(None), slice(None, None, -1)]
        ),
    )
    most = min(len(world.shape) + 1, 8)
    return st.one_of(st.lists(part, max_size=most).map(tuple), part)


def small(least: int = 0) -> st.SearchStrategy[Any]:
    """Sizes such as strides and paddings: an int or a pair, mostly in range."""
    one = st.integers(least, 3)
    wild = st.one_of(some_ints(), st.sampled_from([-1, 0, 2.5, "x", (1, 2, 3), None]))
    return st.one_of(one, one, one, st.tuples(one, one), st.tuples(one, one), wild)
