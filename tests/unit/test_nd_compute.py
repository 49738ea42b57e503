"""Operators, reductions, matmul and convolution of NDArray, on every device, against numpy."""

from __future__ import annotations

import functools
import itertools
import operator

import numpy as np
import pytest

from needle.backend_ndarray import BackendDevice, NDArray, cpu, from_dlpack

TOLERANCE = {"float32": {"rtol": 2e-6, "atol": 1e-6}, "float64": {"rtol": 1e-14, "atol": 1e-14}}

# Applied to numpy arrays and NDArrays alike.
LAYOUTS = {
    "compact": lambda a: a,
    "transposed": lambda a: a.T,
    "reversed": lambda a: a[::-1, ::-1],
    "strided": lambda a: a[::2, 1::3],
    "offset": lambda a: a[2:, 1:],
    "column": lambda a: a[:, 1:2],
    "row vector": lambda a: a[1],
    "empty": lambda a: a[:0],
}


def normal(*shape: int, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def close(result: NDArray, expected: np.ndarray, dtype: str, scale: float = 1) -> None:
    assert result.dtype == dtype
    assert result.shape == expected.shape
    bound = {name: value * scale for name, value in TOLERANCE[dtype].items()}
    np.testing.assert_allclose(result.numpy(), expected, **bound)


def exact(result: NDArray, expected: np.ndarray) -> None:
    assert result.shape == expected.shape
    np.testing.assert_array_equal(result.numpy(), expected)


UNARY = {
    "negate": np.negative,
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "relu": lambda x: np.where(x < 0, 0, x),
}
BINARY = {
    "add": (np.add, operator.add),
    "subtract": (np.subtract, operator.sub),
    "multiply": (np.multiply, operator.mul),
    "divide": (np.divide, operator.truediv),
    "power": (np.power, operator.pow),
    "maximum": (np.maximum, None),
    "equal": (np.equal, operator.eq),
    "not_equal": (np.not_equal, operator.ne),
    "less": (np.less, operator.lt),
    "less_equal": (np.less_equal, operator.le),
    "greater": (np.greater, operator.gt),
    "greater_equal": (np.greater_equal, operator.ge),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("op", UNARY)
def test_nd_backend_unary(device: BackendDevice, dtype: str, op: str, layout) -> None:
    x = normal(8, 9, dtype=dtype)
    if op == "log":
        x = np.abs(x)
    a = layout(NDArray(x, device=device, dtype=dtype))
    close(getattr(a, op)(), UNARY[op](layout(x)), dtype)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("op", BINARY)
def test_nd_backend_binary(device: BackendDevice, dtype: str, op: str, layout) -> None:
    x, y = normal(8, 9, dtype=dtype), normal(8, 9, dtype=dtype, seed=1)
    if op == "power":
        x = np.abs(x)
    y[::2] = x[::2]  # so that comparisons see equal elements
    a = layout(NDArray(x, device=device, dtype=dtype))
    b = layout(NDArray(y, device=device, dtype=dtype))
    reference, python = BINARY[op]
    expected = reference(layout(x), layout(y)).astype(dtype)
    close(getattr(a, op)(b), expected, dtype)
    if python:
        close(python(a, b), expected, dtype)
    # contiguous against non-contiguous
    close(getattr(a.compact(), op)(b), expected, dtype)


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize(
    "number", [2, 0.3, -0.0, True, np.float32(1.7), np.int64(-3), np.float64(0.1)]
)
def test_nd_backend_scalar_operands(device: BackendDevice, dtype: str, op: str, number) -> None:
    x = np.abs(normal(3, 4, dtype=dtype)) + dtype_of(dtype)(0.1)
    a = NDArray(x, device=device, dtype=dtype)
    s = dtype_of(dtype)(number)
    reference, python = BINARY[op]
    with np.errstate(all="ignore"):
        close(getattr(a, op)(number), reference(x, s).astype(dtype), dtype)
        if python:
            close(python(a, number), reference(x, s).astype(dtype), dtype)
            close(python(number, a), reference(s, x).astype(dtype), dtype)


def dtype_of(name: str):
    return np.dtype(name).type


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3, 4), (4,)),
        ((3, 1), (1, 4)),
        ((), (2, 3)),
        ((2, 1, 4), (3, 1)),
        ((0, 3), (1, 3)),
        ((1,), ()),
    ],
)
def test_nd_backend_broadcasts_as_numpy(device: BackendDevice, left, right) -> None:
    x, y = normal(*left), normal(*right, seed=1)
    a, b = NDArray(x, device=device), NDArray(y, device=device)
    exact(a + b, x + y)
    exact(b - a, y - x)
    exact(a < b, (x < y).astype("float32"))


def test_nd_backend_special_values(device: BackendDevice, dtype: str) -> None:
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0], dtype=dtype)
    x, y = (
        np.array(v, dtype=dtype) for v in zip(*itertools.product(special, special), strict=True)
    )
    a, b = (NDArray(v, device=device, dtype=dtype) for v in (x, y))
    with np.errstate(all="ignore"):
        for op, (reference, _) in BINARY.items():
            expected = reference(x, y).astype(dtype)
            np.testing.assert_array_equal(getattr(a, op)(b).numpy(), expected, err_msg=op)
        for op, reference in UNARY.items():
            result = getattr(NDArray(special, device=device, dtype=dtype), op)().numpy()
            expected = reference(special).astype(dtype)
            np.testing.assert_allclose(result, expected, rtol=1e-6, err_msg=op)
            zero = expected == 0
            np.testing.assert_array_equal(np.signbit(result[zero]), np.signbit(expected[zero]), op)


AXES = [None, 0, 1, 2, -1, -2, (0, 1), (0, 2), (-1, 1), (0, 1, 2), ()]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES)
def test_nd_backend_reductions(device: BackendDevice, dtype: str, axis, keepdims: bool) -> None:
    x = normal(4, 5, 6, dtype=dtype)
    for view in (lambda a: a, lambda a: a.T, lambda a: a[::-1, 1::2, ::-2]):
        a = view(NDArray(x, device=device, dtype=dtype))
        expected = view(x).sum(axis=axis, keepdims=keepdims)
        close(a.sum(axis=axis, keepdims=keepdims), expected, dtype, scale=10)
        exact(a.max(axis=axis, keepdims=keepdims), view(x).max(axis=axis, keepdims=keepdims))


def test_nd_backend_reductions_of_empty_axes(device: BackendDevice) -> None:
    a = NDArray(np.zeros((3, 0, 2)), device=device)
    exact(a.sum(axis=1), np.zeros((3, 2)))
    exact(a.sum(), np.zeros(()))
    assert a.max(axis=0).shape == (0, 2)
    for axis in (1, None):
        with pytest.raises(ValueError, match="max"):
            a.max(axis=axis)


def test_nd_backend_max_propagates_nan(device: BackendDevice, dtype: str) -> None:
    x = normal(6, 40, dtype=dtype)
    for position in (0, 17, 39):
        x[position % 6, position] = np.nan
    a = NDArray(x, device=device, dtype=dtype)
    exact(a.max(axis=1), x.max(axis=1))
    exact(a.max(axis=0), x.max(axis=0))
    assert np.isnan(a.max().item())


MATMULS = [
    ((3, 4), (4, 5)),
    ((1, 1), (1, 1)),
    ((17, 33), (33, 9)),
    ((4,), (4,)),
    ((3, 4), (4,)),
    ((4,), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)),
    ((3, 0), (0, 2)),
    ((0, 3), (3, 2)),
    ((2, 3, 4), (4,)),
]


@pytest.mark.parametrize(("left", "right"), MATMULS)
def test_nd_backend_matmul(device: BackendDevice, dtype: str, left, right) -> None:
    x, y = normal(*left, dtype=dtype), normal(*right, dtype=dtype, seed=1)
    a, b = (NDArray(v, device=device, dtype=dtype) for v in (x, y))
    close(a @ b, x @ y, dtype, scale=10)
    close(a.matmul(b), x @ y, dtype, scale=10)


def test_nd_backend_matmul_of_views(device: BackendDevice, dtype: str) -> None:
    x, y = normal(12, 10, dtype=dtype), normal(12, 14, dtype=dtype, seed=1)
    a, b = (NDArray(v, device=device, dtype=dtype) for v in (x, y))
    close(a.T @ b, x.T @ y, dtype, scale=10)
    close(b[::-1].T @ a[:, ::2], y[::-1].T @ x[:, ::2], dtype, scale=10)
    row = a[:1].broadcast_to((5, 10))
    close(row @ a.T, np.broadcast_to(x[:1], (5, 10)) @ x.T, dtype, scale=10)


def conv_terms(x_shape, w_shape, stride, padding, dilation, groups):
    """Output shape, and for each output pixel and kernel tap inside the image: the positions of
    the output, input and kernel elements that belong together, group by group."""
    (height, width), (kh, kw) = x_shape[1:3], w_shape[:2]
    out = [
        (n + 2 * padding[d] - dilation[d] * (k - 1) - 1) // stride[d] + 1
        for d, (n, k) in enumerate(((height, kh), (width, kw)))
    ]
    c_in, c_out = w_shape[2], w_shape[3] // groups
    terms = []
    for i, j, p, q, g in np.ndindex(*out, kh, kw, groups):
        row = i * stride[0] + p * dilation[0] - padding[0]
        column = j * stride[1] + q * dilation[1] - padding[1]
        if 0 <= row < height and 0 <= column < width:
            inputs = slice(g * c_in, (g + 1) * c_in)
            outputs = slice(g * c_out, (g + 1) * c_out)
            y_at, x_at = np.s_[:, i, j, outputs], np.s_[:, row, column, inputs]
            terms.append((y_at, x_at, np.s_[p, q, :, outputs]))
    return (x_shape[0], *out, w_shape[3]), terms


@functools.cache
def conv_by_definition(x_shape, w_shape, *rest):
    """Inputs, output, its cotangent, and the gradients of a convolution, in float64."""
    x, w = normal(*x_shape).astype(float), normal(*w_shape, seed=1).astype(float)
    y_shape, terms = conv_terms(x_shape, w_shape, *rest)
    dy = normal(*y_shape, seed=2).astype(float)
    y, dx, dw = np.zeros(y_shape), np.zeros(x_shape), np.zeros(w_shape)
    for y_at, x_at, w_at in terms:
        y[y_at] += x[x_at] @ w[w_at]
        dx[x_at] += dy[y_at] @ w[w_at].T
        dw[w_at] += x[x_at].T @ dy[y_at]
    return x, w, y, dy, dx, dw


CONVS = [
    # x, w, stride, padding, dilation, groups
    ((2, 5, 5, 3), (3, 3, 3, 4), (1, 1), (0, 0), (1, 1), 1),
    ((1, 6, 5, 2), (3, 2, 2, 3), (1, 1), (1, 2), (1, 1), 1),
    ((2, 7, 8, 2), (3, 3, 2, 3), (2, 2), (1, 1), (1, 1), 1),  # the stride does not divide
    ((1, 8, 7, 1), (2, 3, 1, 2), (3, 2), (0, 2), (1, 1), 1),
    ((1, 7, 7, 2), (2, 2, 2, 2), (1, 1), (1, 1), (2, 3), 1),
    ((2, 5, 4, 4), (3, 3, 2, 6), (1, 2), (1, 1), (1, 1), 2),
    ((1, 4, 4, 3), (3, 3, 1, 3), (1, 1), (1, 1), (1, 1), 3),  # depthwise
    ((1, 3, 3, 2), (1, 1, 2, 2), (1, 1), (2, 1), (1, 1), 1),  # padding beyond the kernel
    ((1, 5, 6, 2), (1, 1, 2, 3), (3, 4), (0, 0), (1, 1), 1),  # pixels that nothing reads
    ((1, 3, 3, 1), (3, 3, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((3, 1, 9, 17), (1, 5, 17, 19), (1, 1), (0, 2), (1, 1), 1),
]


@pytest.mark.parametrize("geometry", CONVS, ids=[f"{c[0]}*{c[1]}" for c in CONVS])
def test_nd_backend_conv2d_and_its_gradients(device: BackendDevice, dtype: str, geometry) -> None:
    x, w, y, dy, dx, dw = conv_by_definition(*geometry)
    how = dict(zip(("stride", "padding", "dilation", "groups"), geometry[2:], strict=True))
    a, b, g = (NDArray(v, device=device, dtype=dtype) for v in (x, w, dy))
    close(a.conv2d(b, **how), y, dtype, scale=20)
    close(g.conv2d_grad_input(b, x.shape, **how), dx, dtype, scale=20)
    close(a.conv2d_grad_weight(g, w.shape, **how), dw, dtype, scale=20)


def test_nd_backend_conv2d_of_views(device: BackendDevice) -> None:
    geometry = ((2, 6, 5, 3), (3, 3, 3, 4), (1, 1), (1, 1), (1, 1), 1)
    x, w, y, *_ = conv_by_definition(*geometry)
    a = NDArray(x.transpose(0, 3, 1, 2), device=device).permute((0, 2, 3, 1))
    b = NDArray(w[::-1, :, :, ::-1], device=device)[::-1, :, :, ::-1]
    close(a.conv2d(b, padding=1), y, "float32", scale=20)


def test_nd_backend_results_do_not_depend_on_the_thread_count() -> None:
    from needle import _core

    x, y = normal(300, 700), normal(700, 90, seed=1)
    image, weight = normal(4, 20, 20, 16), normal(3, 3, 16, 24, seed=1)
    threads = _core.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            _core.set_num_threads(count)
            a, b = NDArray(x), NDArray(y)
            v, w = NDArray(image), NDArray(weight)
            g = v.conv2d(w, padding=1)
            values = [a.exp(), a.sum(), a.sum(axis=0), a.sum(axis=1), a @ b, g]
            values += [g.conv2d_grad_input(w, v.shape, padding=1)]
            values += [v.conv2d_grad_weight(g, w.shape, padding=1)]
            results.append([r.numpy() for r in values])
    finally:
        _core.set_num_threads(threads)
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_cube_keeps_the_sign_of_zero(dtype: str) -> None:
    x = np.array([-0.0, 0.0, -1e-200 if dtype == "float64" else -1e-20, -np.inf, np.nan, -3.0])
    cube = (NDArray(x, device=cpu(), dtype=dtype) ** 3).numpy()
    assert np.signbit(cube).tolist()[:4] == [True, False, True, True]
    np.testing.assert_array_equal(cube, [0, 0, 0, -np.inf, np.nan, -27])


def test_accumulate_is_a_sum_in_place_where_nothing_is_shared(device: BackendDevice) -> None:
    a, b = (NDArray(np.arange(5.0) + n, device=device, dtype="float64") for n in (0, 10))
    np.testing.assert_array_equal(a.accumulate(b).numpy(), [10, 12, 14, 16, 18])
    np.testing.assert_array_equal(b.numpy(), np.arange(5.0) + 10)
    with pytest.raises(ValueError, match=r"\[accumulate\] both have one shape, got "):
        a.accumulate(b[:2])
    memory = np.arange(9.0)  # two arrays over one: each element of the sum is read once more
    if device.name != "cuda_sim":
        left, right = (from_dlpack(memory[k : k + 8]).to(device) for k in (1, 0))
        np.testing.assert_array_equal(
            left.accumulate(right).numpy(), np.arange(1.0, 9) + np.arange(8.0)
        )


def test_results_larger_than_a_shared_cache_are_whole_on_every_thread() -> None:
    from needle import _core

    a = np.arange(5 << 20, dtype=np.float64)  # 40 MiB: past the caches of most machines
    before = _core.get_num_threads()
    try:
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            x = NDArray(a, device=cpu(), dtype="float64")
            for _ in range(3):
                np.testing.assert_array_equal((x + x).numpy(), a + a)
                np.testing.assert_array_equal(
                    (x * 2.0).astype("float32").numpy(), (2 * a).astype("f")
                )
    finally:
        _core.set_num_threads(before)
