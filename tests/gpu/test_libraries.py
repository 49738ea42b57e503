"""cuBLASLt and cuDNN on a real device: right over shapes, strides and dtypes, used, repeatable.

Factors are small integers, so that every sum is exact in every dtype and any order: results are
compared bit for bit, with NEEDLE_CUDA_LIBS=0 too, which proves our own kernels on the same cases.
"""

from __future__ import annotations

import importlib
import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import needle.backend_ndarray as nd

CUDA = nd.cuda()
DTYPES = ("float32", "float64", "float16", "bfloat16")
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not CUDA.enabled(), reason=str(CUDA.reason))]


def taken(name: str) -> int:
    """How many calls a library has computed."""
    return int(importlib.import_module("needle._cuda").libraries()[name][2])


def used(name: str) -> bool:
    return CUDA.libraries[name][0].isdigit()


def integers(rng: np.random.Generator, *shape: int) -> Any:
    return rng.integers(-2, 3, size=shape).astype(np.float64)


def laid(rng: np.random.Generator, value: Any, dtype: str, plain: bool) -> nd.NDArray:
    """value on the device; unless plain as a view: permuted, with gaps, or starting off a line."""
    style = 0 if plain else int(rng.integers(0, 5))
    if style == 1:
        order = rng.permutation(value.ndim)
        stored = nd.NDArray(value.transpose(order), device=CUDA, dtype=dtype)
        return stored.permute(tuple(int(i) for i in np.argsort(order)))
    if style == 2:
        stored = nd.NDArray(value.swapaxes(-1, -2), device=CUDA, dtype=dtype)
        return stored.permute((*range(value.ndim - 2), value.ndim - 1, value.ndim - 2))
    if style == 3:  # one element later than aligned, and rows apart
        stored = nd.NDArray(np.pad(value, [(0, 0)] * (value.ndim - 1) + [(1, 2)]), CUDA, dtype)
        return stored[(..., slice(1, 1 + value.shape[-1]))]
    if style == 4:
        stored = nd.NDArray(np.repeat(value, 2, axis=-1), device=CUDA, dtype=dtype)
        return stored[(..., slice(None, None, 2))]
    return nd.NDArray(value, device=CUDA, dtype=dtype)


def same(got: nd.NDArray, expected: Any, dtype: str) -> None:
    assert got.dtype == dtype
    assert np.array_equal(got.astype("float64").numpy(), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(60))
def test_products_of_any_shape_and_layout(dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    batch = tuple(int(n) for n in rng.integers(1, 4, size=rng.integers(0, 4)))
    m, n, k = (int(i) for i in rng.choice([1, 2, 3, 7, 8, 16, 31, 33], size=3))
    a, b = integers(rng, *batch, m, k), integers(rng, *batch[rng.integers(0, 2) :], k, n)
    x, y = (laid(rng, v, dtype, plain=seed % 3 == 0) for v in (a, b))
    same(x @ y, a @ b, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transposed", list(itertools.product((False, True), repeat=2)))
@pytest.mark.parametrize("sizes", [(256, 384, 48), (130, 67, 33), (1, 512, 40), (512, 1, 40)])
def test_large_products_are_the_librarys(
    dtype: str, transposed: tuple[bool, bool], sizes: Sequence[int]
) -> None:
    rng = np.random.default_rng(0)
    m, n, k = sizes
    a, b = integers(rng, m, k), integers(rng, k, n)
    before = taken("cublasLt")
    x, y = (
        nd.NDArray(v.T, device=CUDA, dtype=dtype).permute((1, 0))
        if flip
        else nd.NDArray(v, device=CUDA, dtype=dtype)
        for v, flip in zip((a, b), transposed, strict=True)
    )
    same(x @ y, a @ b, dtype)
    assert taken("cublasLt") - before == used("cublasLt")


def test_an_empty_depth_gives_zeros() -> None:
    same(CUDA.empty((3, 0)) @ CUDA.empty((0, 2)), np.zeros((3, 2)), "float32")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(60))
def test_convolutions_of_any_geometry(dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = int(rng.choice([1, 1, 2, 3]))
    kernel = tuple(int(i) for i in rng.integers(1, 4, size=2))
    how = {
        "stride": tuple(int(i) for i in rng.integers(1, 4, size=2)),
        "padding": tuple(int(i) for i in rng.integers(0, 3, size=2)),
        "dilation": tuple(int(i) for i in rng.integers(1, 3, size=2)),
    }
    reach = [d * (k - 1) + 1 for d, k in zip(how["dilation"], kernel, strict=True)]
    room = [max(r - 2 * p, 1) for r, p in zip(reach, how["padding"], strict=True)]
    size = [n + int(rng.integers(0, 4)) for n in room]
    c, f = int(rng.choice([1, 2, 4, 8])), int(rng.choice([1, 2, 4]))
    x = integers(rng, int(rng.integers(1, 3)), *size, c * groups)
    w = integers(rng, *kernel, c, f * groups)
    ours = [nd.NDArray(v, device=nd.cpu(), dtype="float64") for v in (x, w)]
    y = ours[0].conv2d(ours[1], **how, groups=groups)
    dy = nd.NDArray(integers(rng, *y.shape), device=nd.cpu(), dtype="float64")
    expected = (
        y,
        dy.conv2d_grad_input(ours[1], x.shape, **how, groups=groups),
        ours[0].conv2d_grad_weight(dy, w.shape, **how, groups=groups),
    )
    gx, gw, gdy = (v.to(CUDA).astype(dtype) for v in (*ours, dy))
    got = (
        gx.conv2d(gw, **how, groups=groups),
        gdy.conv2d_grad_input(gw, x.shape, **how, groups=groups),
        gx.conv2d_grad_weight(gdy, w.shape, **how, groups=groups),
    )
    for result, value in zip(got, expected, strict=True):
        same(result, value.numpy(), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_common_convolutions_are_the_librarys(dtype: str) -> None:
    rng = np.random.default_rng(0)
    how = {"padding": (1, 1)}
    x = nd.NDArray(integers(rng, 2, 8, 8, 16), device=CUDA, dtype=dtype)
    w = nd.NDArray(integers(rng, 3, 3, 16, 32), device=CUDA, dtype=dtype)
    before = taken("cudnn")
    y = x.conv2d(w, **how)
    y.conv2d_grad_input(w, x.shape, **how)
    x.conv2d_grad_weight(y, w.shape, **how)
    assert taken("cudnn") - before == 3 * used("cudnn")


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_repeat_bit_for_bit(dtype: str) -> None:
    rng = np.random.default_rng(0)
    x = nd.NDArray(rng.normal(size=(8, 16, 16, 32)), device=CUDA, dtype=dtype)
    w = nd.NDArray(rng.normal(size=(3, 3, 32, 32)), device=CUDA, dtype=dtype)
    a = nd.NDArray(rng.normal(size=(64, 20000)), device=CUDA, dtype=dtype)  # invites split-K

    def results() -> list[bytes]:
        y = x.conv2d(w)
        made = (
            y,
            y.conv2d_grad_input(w, x.shape),
            x.conv2d_grad_weight(y, w.shape),
            a @ a.permute((1, 0)),
        )
        return [r.astype("float64").numpy().tobytes() for r in made]

    first = results()
    kept = [CUDA.empty((1000 + i,), dtype=dtype) for i in range(7)]  # other addresses
    assert all(results() == first for _ in range(3))
    del kept


def test_tf32_rounds_only_when_allowed() -> None:
    if not used("cublasLt"):
        pytest.skip(CUDA.libraries["cublasLt"])
    x = nd.NDArray(np.full((256, 256), 1 + 2.0**-12), device=CUDA, dtype="float32")
    assert not CUDA.allow_tf32
    full = (x @ x).numpy()
    CUDA.allow_tf32 = True
    try:
        rounded = (x @ x).numpy()
    finally:
        CUDA.allow_tf32 = False
    assert np.all(np.abs(full - 256 * (1 + 2.0**-11)) <= 2.0**-8)
    assert np.all(rounded == 256)
    assert np.array_equal((x @ x).numpy(), full)


@pytest.mark.parametrize("value", ["0", "1"])
def test_the_environment_chooses(value: str) -> None:
    code = "import needle; print(needle.cuda().libraries)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NEEDLE_CUDA_LIBS": value},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("NEEDLE_CUDA_LIBS=0" in run.stdout) == (value == "0")


def test_one_copy_of_each_library_is_loaded() -> None:
    CUDA.libraries  # noqa: B018  loads them
    with open("/proc/self/maps") as maps:
        files = {line.split()[-1] for line in maps if "/" in line}
    for name in ("libcublasLt.so", "libcudnn.so"):
        assert len([path for path in files if path.rsplit("/", 1)[-1].startswith(name)]) <= 1


@pytest.mark.slow
def test_a_product_of_more_than_31_bits() -> None:
    a = CUDA.full((70000, 32768), 1.0, dtype="float16")
    got = (a @ CUDA.full((32768, 8), 1.0, dtype="float16")).astype("float32").numpy()
    assert np.all(got == 32768)


@pytest.mark.slow
def test_a_convolution_of_more_than_31_bits_is_ours() -> None:
    x = CUDA.full((1, 46400, 46400, 1), 1.0, dtype="float16")
    before = taken("cudnn")
    y = x.conv2d(CUDA.full((1, 1, 1, 1), 2.0, dtype="float16"))
    assert taken("cudnn") == before
    assert np.all(y[0, -3:, -3:, 0].astype("float32").numpy() == 2)
