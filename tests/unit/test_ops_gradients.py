"""Every op against torch: values, VJPs with random cotangents, VJPs of VJPs; both dtypes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import needle as ndl
import needle.backend_ndarray as nd


@dataclass(frozen=True)
class Row:
    """An op, torch's counterpart, and the shapes of its inputs; positive: values in [0.5, 2]."""

    name: str
    ours: Callable[..., ndl.Tensor]
    theirs: Callable[..., torch.Tensor]
    shapes: Sequence[tuple[int, ...]]
    positive: bool = False


def conv_torch(**how: Any) -> Callable[..., torch.Tensor]:
    def conv(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        y = F.conv2d(x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1), **how)
        return y.permute(0, 2, 3, 1)

    return conv


def dilate_torch(a: torch.Tensor) -> torch.Tensor:
    out = torch.zeros(a.shape[0], a.shape[1] * 3, a.shape[2] * 3, dtype=a.dtype)
    out[:, ::3, ::3] = a
    return out


X = (2, 3)
ROWS = [
    Row("add", ndl.add, torch.add, [X, X]),
    Row("add broadcast", ndl.add, torch.add, [(2, 1, 3), (4, 1)]),
    Row("add 0-d", ndl.add, torch.add, [(), X]),
    Row("subtract", lambda a, b: a - b, torch.sub, [X, (3,)]),
    Row("multiply", ndl.multiply, torch.mul, [X, X]),
    Row("multiply broadcast", ndl.multiply, torch.mul, [(2, 1), (1, 3)]),
    Row("multiply by itself", lambda a: a * a, lambda a: a * a, [X]),
    Row("divide", ndl.divide, torch.div, [X, X], positive=True),
    Row("divide broadcast", ndl.divide, torch.div, [(3,), (2, 1)], positive=True),
    Row("power", ndl.power, torch.pow, [X, X], positive=True),
    Row("power broadcast", ndl.power, torch.pow, [(2, 1), (3,)], positive=True),
    Row("maximum", ndl.maximum, torch.maximum, [X, X]),
    Row("maximum broadcast", ndl.maximum, torch.maximum, [(2, 1), (3,)]),
    Row("negate", ndl.negate, torch.neg, [X]),
    Row("exp", ndl.exp, torch.exp, [X]),
    Row("log", ndl.log, torch.log, [X], positive=True),
    Row("tanh", ndl.tanh, torch.tanh, [X]),
    Row("relu", ndl.relu, torch.relu, [X]),
    Row("minimum", ndl.minimum, torch.minimum, [X, X]),
    Row("minimum broadcast", ndl.minimum, torch.minimum, [(2, 1), (3,)]),
    Row("abs", ndl.abs, lambda a: torch.where(a > 0, a, -a), [X]),
    Row("sign", ndl.sign, torch.sign, [X]),
    Row("sqrt", ndl.sqrt, torch.sqrt, [X], positive=True),
    Row("rsqrt", ndl.rsqrt, torch.rsqrt, [X], positive=True),
    Row("sin", ndl.sin, torch.sin, [X]),
    Row("cos", ndl.cos, torch.cos, [X]),
    Row("log1p", ndl.log1p, torch.log1p, [X], positive=True),
    Row("expm1", ndl.expm1, torch.expm1, [X]),
    Row("erf", ndl.erf, torch.erf, [X]),
    Row("erfc", ndl.erfc, torch.erfc, [X]),
    Row("sigmoid", ndl.sigmoid, torch.sigmoid, [X]),
    Row("softplus", ndl.softplus, F.softplus, [X]),
    Row("silu", ndl.silu, F.silu, [X]),
    Row("gelu", ndl.gelu, F.gelu, [X]),
    Row(
        "gelu tanh",
        lambda a: ndl.gelu(a, approximate="tanh"),
        lambda a: F.gelu(a, approximate="tanh"),
        [X],
    ),
    Row("leaky_relu", ndl.leaky_relu, F.leaky_relu, [X]),
    Row("leaky_relu slope", lambda a: ndl.leaky_relu(a, -2), lambda a: F.leaky_relu(a, -2), [X]),
    Row("clip", lambda a: ndl.clip(a, -0.5, 0.5), lambda a: a.clamp(-0.5, 0.5), [X]),
    Row("clip low", lambda a: ndl.clip(a, low=0.1), lambda a: a.clamp(min=0.1), [X]),
    Row("add_scalar", lambda a: ndl.add_scalar(a, 2), lambda a: a + 2, [X]),
    Row("mul_scalar", lambda a: ndl.mul_scalar(a, -3), lambda a: a * -3, [X]),
    Row("divide_scalar", lambda a: ndl.divide_scalar(a, 3), lambda a: a / 3, [X]),
    Row("power_scalar 3", lambda a: ndl.power_scalar(a, 3), lambda a: a**3, [X]),
    Row("power_scalar 1", lambda a: ndl.power_scalar(a, 1), lambda a: a**1, [X]),
    Row("power_scalar 0.5", lambda a: ndl.power_scalar(a, 0.5), lambda a: a**0.5, [X], True),
    Row("power_scalar -2", lambda a: ndl.power_scalar(a, -2), lambda a: a**-2, [X], True),
    Row("number / a", lambda a: 3 / a, lambda a: 3 / a, [X], positive=True),
    Row("number ** a", lambda a: 3**a, lambda a: 3**a, [X]),
    Row("number - a", lambda a: 3 - a, lambda a: 3 - a, [X]),
    Row("sum", ndl.summation, torch.sum, [X]),
    Row("sum axis", lambda a: ndl.summation(a, 1), lambda a: a.sum(1), [(2, 3, 4)]),
    Row("sum axes", lambda a: ndl.summation(a, (0, -1)), lambda a: a.sum((0, 2)), [(2, 3, 4)]),
    Row(
        "sum keepdims",
        lambda a: ndl.summation(a, (-2,), keepdims=True),
        lambda a: a.sum(1, keepdim=True),
        [(2, 3, 4)],
    ),
    Row("max", ndl.max, torch.amax, [X]),
    Row("max axes", lambda a: ndl.max(a, (0, -1)), lambda a: a.amax((0, 2)), [(2, 3, 4)]),
    Row(
        "max keepdims",
        lambda a: ndl.max(a, 1, keepdims=True),
        lambda a: a.amax(1, keepdim=True),
        [(2, 3, 4)],
    ),
    Row("matmul", ndl.matmul, torch.matmul, [(2, 3), (3, 4)]),
    Row("matmul batched", ndl.matmul, torch.matmul, [(5, 2, 3), (5, 3, 4)]),
    Row("matmul broadcast", ndl.matmul, torch.matmul, [(5, 1, 2, 3), (6, 3, 4)]),
    Row("matmul batch by matrix", ndl.matmul, torch.matmul, [(5, 2, 3), (3, 4)]),
    Row("matmul matrix by batch", ndl.matmul, torch.matmul, [(2, 3), (5, 3, 4)]),
    Row("matmul vector vector", ndl.matmul, torch.matmul, [(3,), (3,)]),
    Row("matmul vector matrix", ndl.matmul, torch.matmul, [(3,), (3, 4)]),
    Row("matmul matrix vector", ndl.matmul, torch.matmul, [(2, 3), (3,)]),
    Row("matmul vector batch", ndl.matmul, torch.matmul, [(3,), (5, 3, 4)]),
    Row("matmul batch vector", ndl.matmul, torch.matmul, [(5, 2, 3), (3,)]),
    Row(
        "conv",
        ndl.conv,  # padding 1, as in the course
        conv_torch(padding=1),
        [(2, 5, 4, 3), (3, 3, 3, 2)],
    ),
    Row(
        "conv stride that does not divide",
        lambda x, w: ndl.conv(x, w, stride=3, padding=0),
        conv_torch(stride=3),
        [(1, 9, 8, 2), (3, 2, 2, 3)],
    ),
    Row(
        "conv pairs",
        lambda x, w: ndl.conv(x, w, stride=(2, 1), padding=(0, 3), dilation=(1, 2)),
        conv_torch(stride=(2, 1), padding=(0, 3), dilation=(1, 2)),
        [(2, 7, 6, 2), (2, 3, 2, 3)],
    ),
    Row(
        "conv groups",
        lambda x, w: ndl.conv(x, w, stride=2, padding=1, groups=2),
        conv_torch(stride=2, padding=1, groups=2),
        [(2, 6, 5, 4), (3, 3, 2, 6)],
    ),
    Row("reshape", lambda a: ndl.reshape(a, (3, -1)), lambda a: a.reshape(3, -1), [X]),
    Row(
        "broadcast_to",
        lambda a: ndl.broadcast_to(a, (2, 4, 3)),
        lambda a: a.expand(2, 4, 3),
        [(4, 1)],
    ),
    Row("transpose", ndl.transpose, lambda a: a.transpose(-1, -2), [(2, 3, 4)]),
    Row(
        "transpose axes",
        lambda a: ndl.transpose(a, (0, -1)),
        lambda a: a.transpose(0, -1),
        [(2, 3, 4)],
    ),
    Row("permute", lambda a: ndl.permute(a, (2, 0, -2)), lambda a: a.permute(2, 0, 1), [(2, 3, 4)]),
    Row("flip", lambda a: ndl.flip(a, (0, -1)), lambda a: a.flip(0, 2), [(2, 3, 4)]),
    Row("dilate", lambda a: ndl.dilate(a, (1, -1), 2), dilate_torch, [(2, 3, 2)]),
    Row("undilate", lambda a: ndl.undilate(a, (0, -1), 2), lambda a: a[::3, ::3], [(7, 6)]),
    Row("pad", lambda a: ndl.pad(a, ((1, 0), (2, 3))), lambda a: F.pad(a, (2, 3, 1, 0)), [X]),
    Row("getitem", lambda a: a[1, ::2], lambda a: a[1, ::2], [(2, 5)]),
    Row("getitem reversed", lambda a: a[:, ::-2], lambda a: a.flip(1)[:, ::2], [(2, 5)]),
    Row("getitem newaxis", lambda a: a[..., None, -1], lambda a: a[..., None, -1], [(2, 5)]),
    Row("stack", lambda a, b: ndl.stack([a, b], 1), lambda a, b: torch.stack([a, b], 1), [X, X]),
    Row(
        "stack last",
        lambda a, b: ndl.stack([a, b], -1),
        lambda a, b: torch.stack([a, b], -1),
        [X, X],
    ),
    Row("split", lambda a: ndl.split(a, 1)[1] * 2, lambda a: a.unbind(1)[1] * 2, [X]),
    Row(
        "fused_add_scalars",
        lambda a: (lambda p: p[0] * p[1])(ndl.fused_add_scalars(a, 1, 2)),
        lambda a: (a + 1) * (a + 2),
        [X],
    ),
]
every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def draw(row: Row, dtype: str) -> list[np.ndarray]:
    """Signed values without ties, or values in [0.5, 2]."""
    rng = np.random.default_rng(sum(map(ord, row.name)))
    if row.positive:
        return [rng.uniform(0.5, 2.0, s).astype(dtype) for s in row.shapes]
    return [rng.standard_normal(s).astype(dtype) for s in row.shapes]


def derivatives(
    call: Callable[..., Any],
    inputs: list[Any],
    cotangents: list[np.ndarray],
    make: Callable[..., Any],
) -> list[np.ndarray]:
    """The value, the VJP, and the gradients of <VJP, second cotangents> for all inputs."""
    y = call(*inputs)
    y.backward(make(cotangents[0]), **({"create_graph": True} if torch.is_tensor(y) else {}))
    first = [x.grad for x in inputs]
    total = None
    for g, c in zip(first, cotangents[1:], strict=True):
        term = (g * make(c)).sum()
        total = term if total is None else total + term
    for x in inputs:
        x.grad = None
    if total.requires_grad:
        total.backward()
    second = [x.grad for x in inputs]
    values = [y, *first, *(s for s in second if s is not None)]
    return [v.detach().numpy() for v in values]


@every_row
@pytest.mark.filterwarnings("ignore:Using backward")  # torch on graphs of gradients
def test_value_vjp_and_second_order(row: Row, device: nd.BackendDevice) -> None:
    arrays = draw(row, "float64")
    rng = np.random.default_rng(7)
    shape = row.theirs(*map(torch.tensor, arrays)).shape
    cotangents = [rng.standard_normal(shape), *(rng.standard_normal(a.shape) for a in arrays)]

    def ours(a: np.ndarray, requires_grad: bool = False) -> ndl.Tensor:
        return ndl.Tensor(a, device=device, dtype="float64", requires_grad=requires_grad)

    got = derivatives(row.ours, [ours(a, True) for a in arrays], cotangents, ours)
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    expected = derivatives(row.theirs, leaves, cotangents, torch.tensor)
    # torch keeps a graph of zeros where a second derivative vanishes; needle may have none.
    for g, e in zip(got, expected, strict=False):
        assert g.shape == e.shape
        np.testing.assert_allclose(g, e, rtol=1e-12, atol=1e-13)
    assert all(not np.any(e) for e in expected[len(got) :])


@every_row
def test_float32_stays_float32(row: Row, device: nd.BackendDevice) -> None:
    arrays = draw(row, "float32")
    ours = [ndl.Tensor(a, device=device) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, t = row.ours(*ours), row.theirs(*theirs)
    y.backward()
    t.backward(torch.ones_like(t))
    assert (y.dtype, y.device) == ("float32", device)
    np.testing.assert_allclose(y.numpy(), t.detach().numpy(), rtol=1e-5, atol=1e-5)
    for a, b in zip(ours, theirs, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert (a.grad.dtype, a.grad.device, a.grad.shape) == ("float32", device, a.shape)
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-5, atol=1e-5)


@every_row
def test_only_the_input_that_requires_grad_gets_it(row: Row, device: nd.BackendDevice) -> None:
    arrays = draw(row, "float64")
    for wanted in range(len(arrays)):
        ours = [
            ndl.Tensor(a, device=device, dtype="float64", requires_grad=i == wanted)
            for i, a in enumerate(arrays)
        ]
        theirs = [torch.tensor(a, requires_grad=i == wanted) for i, a in enumerate(arrays)]
        row.ours(*ours).sum().backward()
        row.theirs(*theirs).sum().backward()
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert (a.grad is not None) == (i == wanted)
            if a.grad is not None and b.grad is not None:
                np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-12, atol=1e-13)


def third_order(call: Callable[..., Any], inputs: list[Any], directions: list[Any]) -> list[Any]:
    """The gradients of the second derivative of sum(call^3) along random directions."""
    total = (call(*inputs) ** 3).sum()
    for _ in range(2):
        total.backward(**({"create_graph": True} if torch.is_tensor(total) else {}))
        terms = [(x.grad * d).sum() for x, d in zip(inputs, directions, strict=True)]
        total = terms[0] if len(terms) == 1 else terms[0] + terms[1]
        for x in inputs:
            x.grad = None
    total.backward()
    return [x.grad.detach().numpy() for x in inputs]


@pytest.mark.parametrize(
    "name", ["conv", "conv pairs", "conv groups", "matmul broadcast", "divide", "power", "tanh"]
)
@pytest.mark.filterwarnings("ignore:Using backward")
def test_third_order(name: str, device: nd.BackendDevice) -> None:
    row = next(row for row in ROWS if row.name == name)
    arrays = draw(row, "float64")
    directions = [np.random.default_rng(9).standard_normal(a.shape) for a in arrays]
    how: Any = {"device": device, "dtype": "float64"}
    got = third_order(
        row.ours,
        [ndl.Tensor(a, **how) for a in arrays],
        [ndl.Tensor(d, requires_grad=False, **how) for d in directions],
    )
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    expected = third_order(row.theirs, leaves, [torch.tensor(d) for d in directions])
    for g, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-11, atol=1e-11 * np.abs(e).max())


# --- values at which formulas break down


def gradients(call: Callable[..., Any], *arrays: Any, device: nd.BackendDevice) -> list[np.ndarray]:
    leaves = [ndl.Tensor(a, device=device, dtype="float64") for a in arrays]
    call(*leaves).sum().backward()
    return [leaf.grad.numpy() for leaf in leaves if leaf.grad is not None]


def torch_gradients(call: Callable[..., Any], *arrays: Any) -> list[np.ndarray]:
    leaves = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in arrays]
    call(*leaves).sum().backward()
    return [leaf.grad.numpy() for leaf in leaves if leaf.grad is not None]


@pytest.mark.parametrize(
    ("ours", "theirs", "arrays"),
    [
        (ndl.relu, torch.relu, [[-1.0, -0.0, 0.0, 2.0, np.nan, np.inf]]),
        (ndl.maximum, torch.maximum, [[1.0, 2.0, -0.0, np.nan, 1.0], [1.0, 1.0, 0.0, 1.0, np.nan]]),
        (ndl.max, torch.amax, [[3.0, 1.0, 3.0, 3.0]]),
        (lambda a: ndl.max(a, 1), lambda a: a.amax(1), [[[1.0, 1.0], [0.0, 2.0]]]),
        (ndl.power, torch.pow, [[0.0, 0.0, 0.0, 2.0, -2.0], [0.0, 1.0, 2.0, 0.0, 3.0]]),
        (lambda a: a**0, lambda a: a**0, [[0.0, 1.0, -1.0]]),
        (lambda a: a**1, lambda a: a**1, [[0.0, -1.0]]),
        (lambda a: a**2, lambda a: a**2, [[0.0, -1.0]]),
        (lambda a: a**0.5, lambda a: a**0.5, [[0.0, 4.0]]),
        (ndl.tanh, torch.tanh, [[-1e3, -30.0, 0.0, 30.0, 1e3]]),
        (ndl.log, torch.log, [[0.0, 1e-300]]),
        (ndl.divide, torch.div, [[1.0, 1e200], [1e-200, 1e200]]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_gradients_at_special_values(
    ours: Any, theirs: Any, arrays: list[Any], device: nd.BackendDevice
) -> None:
    got = gradients(ours, *arrays, device=device)
    for g, e in zip(got, torch_gradients(theirs, *arrays), strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-14)


@pytest.mark.parametrize(
    "call",
    [
        ndl.exp,
        ndl.relu,
        ndl.summation,
        lambda a: a * a,
        lambda a: ndl.flip(a, 0),
        lambda a: ndl.dilate(a, 1, 1),
        lambda a: ndl.transpose(a) @ a,
        lambda a: ndl.stack([a, a], 0),
    ],
)
def test_empty_tensors(call: Callable[..., ndl.Tensor], device: nd.BackendDevice) -> None:
    a = ndl.Tensor(np.ones((0, 3)), device=device)
    call(a).backward()
    assert a.grad is not None
    assert a.grad.shape == (0, 3)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda a: a + ndl.Tensor(np.ones(5), device=a.device), ValueError, r"\[add\]"),
        (lambda a: a + ndl.Tensor(1, device=a.device, dtype="float64"), TypeError, r"\[add\]"),
        (lambda a: a @ a, ValueError, r"\[matmul\]"),
        (lambda a: ndl.summation(a, 2), IndexError, r"\[sum\]"),
        (lambda a: ndl.max(a, (0, 0)), ValueError, r"\[max\]"),
        (lambda a: ndl.reshape(a, (5,)), ValueError, r"\[reshape\]"),
        (lambda a: ndl.broadcast_to(a, (2, 2)), ValueError, r"\[broadcast_to\]"),
        (lambda a: ndl.permute(a, (0,)), ValueError, r"\[permute\]"),
        (lambda a: ndl.transpose(a, (0, 2)), IndexError, r"\[transpose\]"),
        (lambda a: ndl.flip(a, 3), IndexError, r"\[flip\]"),
        (lambda a: ndl.dilate(a, 3, 1), IndexError, r"\[dilate\] axis lies in .* axis=3, ndim=2"),
        (lambda a: ndl.dilate(a, (0, -2), 1), ValueError, r"\[dilate\] axes must be distinct"),
        (lambda a: ndl.dilate(a, 0, -1), ValueError, r"\[dilate\] .* got dilation=-1"),
        (lambda a: ndl.undilate(a, 3, 1), IndexError, r"\[undilate\] axis lies in"),
        (lambda a: ndl.pad(a, ((1, 1),)), ValueError, r"\[pad\]"),
        (lambda a: ndl.pad(a, ((1, 1), (-1, 0))), ValueError, r"\[pad\]"),
        (lambda a: ndl.stack([], 0), ValueError, r"\[stack\] at least one"),
        (lambda a: ndl.stack([a, a[0]], 0), ValueError, r"\[stack\] shapes must be equal"),
        (lambda a: ndl.stack([a, a], 4), IndexError, r"\[stack\] axis must lie in"),
        (lambda a: ndl.split(a, 2), IndexError, r"\[split\] axis lies in"),
        (lambda a: a[5], IndexError, r"\[getitem\]"),
        (lambda a: a["x"], TypeError, r"\[getitem\]"),
        (lambda a: ndl.conv(a, a), ValueError, r"\[conv\] x must have 4 axes"),
        (lambda a: ndl.max(a[:0]), ValueError, r"\[max\]"),
    ],
)
def test_errors_name_the_op(call: Any, error: type, text: str, device: nd.BackendDevice) -> None:
    with pytest.raises(error, match=text):
        call(ndl.Tensor(np.ones((2, 3)), device=device))


def test_integers_are_not_computed_with(device: nd.BackendDevice) -> None:
    a = ndl.Tensor([1, 2], device=device, dtype="int32")
    with pytest.raises(TypeError, match=r"\[add\]"):
        a + a


@pytest.mark.parametrize(
    "name", ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
)
def test_comparisons(name: str, device: nd.BackendDevice, dtype: str) -> None:
    a = ndl.Tensor([1.0, 2.0, np.nan], device=device, dtype=dtype)
    b = ndl.Tensor([[2.0], [np.nan]], device=device, dtype=dtype)
    for other, plain in ((b, b.numpy()), (2.0, 2.0)):
        result = getattr(ndl, name)(a, other)
        assert (result.dtype, result.requires_grad) == (dtype, False)
        expected = getattr(np, name)(a.numpy(), plain)
        np.testing.assert_array_equal(result.numpy(), expected.astype(dtype))
