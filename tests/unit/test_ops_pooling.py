"""max_pool and avg_pool against torch, at ties, and their errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import needle as ndl
import needle.backend_ndarray as nd
from needle.ops import AvgPool, AvgPoolGrad, MaxPool, MaxPoolGrad
from needle.ops.pooling import Geometry

pytestmark = pytest.mark.filterwarnings("ignore:Using backward")

GEOMETRIES = [
    (2, None, 0),
    (3, 2, 1),
    (3, 1, 1),
    ((3, 2), (1, 3), (1, 0)),
    (2, 3, 1),
    ((1, 4), 1, (0, 2)),
    (1, 1, 0),
]


def images(pool: Any) -> Any:
    """torch's NCHW pooling as one of NHWC."""
    return lambda x: pool(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


@pytest.mark.parametrize(("kernel", "stride", "padding"), GEOMETRIES)
def test_max_pool(kernel: Any, stride: Any, padding: Any, agree: Any, rng: Any) -> None:
    x = rng.standard_normal((2, 7, 6, 3)) - 3  # all negative: a padding of 0 would win
    agree(
        lambda x: ndl.max_pool(x, kernel, stride, padding),
        images(lambda x: F.max_pool2d(x, kernel, stride, padding)),
        x,
    )
    op = MaxPool(Geometry.checked("max_pool", kernel, stride, 0))
    agree(op, op.composed, x, composed=True)


@pytest.mark.parametrize(("kernel", "stride", "padding"), GEOMETRIES)
@pytest.mark.parametrize("counted", [True, False])
def test_avg_pool(
    kernel: Any, stride: Any, padding: Any, counted: bool, agree: Any, rng: Any
) -> None:
    x = rng.standard_normal((2, 7, 6, 3))
    agree(
        lambda x: ndl.avg_pool(x, kernel, stride, padding, counted),
        images(lambda x: F.avg_pool2d(x, kernel, stride, padding, count_include_pad=counted)),
        x,
    )
    op = AvgPool(Geometry.checked("avg_pool", kernel, stride, padding), counted)
    agree(op, op.composed, x, composed=True)


@pytest.mark.parametrize("pool", [ndl.max_pool, ndl.avg_pool])
def test_gradients_of_gradients(pool: Any, device: nd.BackendDevice, rng: Any) -> None:
    """The VJP is linear in its cotangent: its own VJP takes windows again."""
    x, g, c = (rng.standard_normal(s) for s in ((1, 5, 5, 2), (1, 3, 3, 2), (1, 5, 5, 2)))
    ours = [ndl.Tensor(a, device=device, dtype="float64") for a in (x, g, c)]
    pool(ours[0], 3, 2, 1).backward(ours[1])
    (ours[0].grad * ours[2]).sum().backward()
    theirs = [torch.tensor(a, requires_grad=True) for a in (x, g, c)]
    torch_pool = F.max_pool2d if pool is ndl.max_pool else F.avg_pool2d
    y = images(lambda x: torch_pool(x, 3, 2, 1))(theirs[0])
    (dx,) = torch.autograd.grad(y, theirs[0], theirs[1], create_graph=True)
    (want,) = torch.autograd.grad((dx * theirs[2]).sum(), theirs[1])
    np.testing.assert_allclose(ours[1].grad.numpy(), want.numpy(), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("kernel", "stride", "padding"), GEOMETRIES)
@pytest.mark.parametrize("channels", [1, 5, 36])
def test_gradients_are_those_composed_of_ops(
    kernel: Any, stride: Any, padding: Any, channels: int, agree: Any, rng: Any
) -> None:
    """Of values with ties, in every number of channels that vectors leave over."""
    shape = (2, 7, 6, channels)
    x = rng.integers(-2, 2, shape) * 1.0
    geometry = Geometry.checked("pool", kernel, stride, padding)
    g = rng.standard_normal((2, *geometry.result(shape), channels))
    of_max = MaxPoolGrad(geometry)
    agree(
        lambda g: of_max(g, images_at(x, g)),
        lambda g: of_max.composed(g, images_at(x, g)),
        g,
        composed=True,
    )
    for whole in (True, False):
        of_mean = AvgPoolGrad(geometry, shape, whole)
        agree(of_mean, of_mean.composed, g, composed=True)


def images_at(x: Any, like: ndl.Tensor) -> ndl.Tensor:
    return ndl.Tensor(x, device=like.device, dtype=like.dtype, requires_grad=False)


def test_of_a_window_of_minus_infinity_padding_is_as_large(device: nd.BackendDevice) -> None:
    x = ndl.Tensor(np.full((1, 1, 3, 1), -np.inf), device=device)
    ndl.max_pool(x, (1, 2), 1, (0, 1)).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy().ravel(), [1, 1, 1])
    assert ndl.max_pool(x, (1, 2), 1, (0, 1)).shape == (1, 1, 4, 1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bits_are_summed_in_more(dtype: str) -> None:
    """60,000 four times is no float16; 256 and many ones are one rounding away from their mean."""
    device = nd.cuda_sim()
    x = ndl.Tensor(np.full((1, 4, 4, 1), 60000.0), device=device, dtype=dtype)
    y = ndl.avg_pool(x, 4)
    assert y.numpy().item() == x.numpy().flat[0]
    values = np.ones((1, 16, 16, 1))
    values[0, 0, 0, 0] = 256
    y = ndl.avg_pool(ndl.Tensor(values, device=device, dtype=dtype), 16)
    assert abs(float(y.numpy().item()) - values.mean()) <= 2**-8 * values.mean()


def test_ties_share_the_gradient(device: nd.BackendDevice, dtype: str) -> None:
    x = ndl.Tensor([1.0, 1.0, 0.0, 2.0], device=device, dtype=dtype)
    ndl.max_pool(x.reshape((1, 1, 4, 1)), (1, 2), 1).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0.5, 1.5, 0, 1])


def test_nan_wins_and_padding_never_does(device: nd.BackendDevice, dtype: str) -> None:
    x = ndl.Tensor([[np.nan, -np.inf, -np.inf, -5.0]], device=device, dtype=dtype)
    y = ndl.max_pool(x.reshape((1, 2, 2, 1)), 2, 1, 1).numpy().reshape(3, 3)
    inf = -np.inf
    np.testing.assert_array_equal(y, [[np.nan, np.nan, inf], [np.nan, np.nan, -5], [inf, -5, -5]])


def test_views_are_pooled_where_they_lie(device: nd.BackendDevice, rng: Any) -> None:
    base = rng.standard_normal((9, 8, 3, 4)).astype("float32")
    views = [lambda a: a[2:4], lambda a: a[:, ::-1, :, ::2], lambda a: a.transpose((0, 3))]
    for view, numpy_view in zip(views, [*views[:2], lambda a: a.swapaxes(0, 3)], strict=True):
        got = ndl.max_pool(view(ndl.Tensor(base, device=device)), 2, 1).numpy()
        x = torch.tensor(np.ascontiguousarray(numpy_view(base)))
        np.testing.assert_array_equal(got, images(lambda x: F.max_pool2d(x, 2, 1))(x).numpy())


def test_no_images_and_no_channels(device: nd.BackendDevice) -> None:
    for shape in ((0, 4, 4, 2), (2, 4, 4, 0)):
        x = ndl.Tensor(np.ones(shape), device=device)
        for pool in (ndl.max_pool, ndl.avg_pool):
            y = pool(x, 2)
            y.backward()
            assert y.shape == (shape[0], 2, 2, shape[3])
            assert x.grad.shape == shape


@pytest.mark.parametrize("pool", [ndl.max_pool, ndl.avg_pool])
@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({"kernel": 0}, r"kernel is an int >= 1 or a pair of them, got kernel=0"),
        ({"kernel": (2, -1)}, r"got kernel=\(2, -1\)"),
        ({"kernel": (2, 2, 2)}, r"got kernel=\(2, 2, 2\)"),
        ({"kernel": 2, "stride": 0}, r"stride is an int >= 1 .* got stride=0"),
        ({"kernel": 2, "padding": -1}, r"padding is an int >= 0 .* got padding=-1"),
        ({"kernel": 3, "padding": 2}, r"at most half the kernel, .* got padding=\(2, 2\)"),
        ({"kernel": (2, 6)}, r"fits into the padded image, got kernel=\(2, 6\), image=\(4, 5\)"),
    ],
)
def test_errors(pool: Any, how: dict[str, Any], text: str, device: nd.BackendDevice) -> None:
    x = ndl.Tensor(np.ones((1, 4, 5, 2)), device=device)
    with pytest.raises(ValueError, match=rf"\[{pool.__name__}\] .*{text}"):
        pool(x, **how)


def test_sizes_are_ints(device: nd.BackendDevice) -> None:
    x = ndl.Tensor(np.ones((1, 4, 5, 2)), device=device)
    with pytest.raises(TypeError, match=r"\[max_pool\] kernel is an int, got type=float"):
        ndl.max_pool(x, 2.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"\[avg_pool\] stride is an int, got type=str"):
        ndl.avg_pool(x, 2, "a")  # type: ignore[arg-type]


def test_images_have_four_axes(device: nd.BackendDevice) -> None:
    with pytest.raises(ValueError, match=r"\[max_pool\] images have 4 axes .* x.shape=\(4, 4\)"):
        ndl.max_pool(ndl.Tensor(np.ones((4, 4)), device=device), 2)


@pytest.mark.parametrize("huge", [2**31 - 1, 2**62, 2**63 - 1])
def test_what_does_not_fit_into_64_bits_is_refused(huge: int, device: nd.BackendDevice) -> None:
    x = nd.NDArray(np.ones((1, 4, 4, 1)), device=device)
    windows = ((2, 2), (2, 2))
    for padding in ((huge, 0), (0, huge)):
        for call, op in (
            (lambda padding=padding: x.max_pool2d(*windows, padding), "max_pool"),
            (lambda padding=padding: x.avg_pool2d(*windows, padding, True), "avg_pool"),
            (lambda padding=padding: x.max_pool2d_grad(x, *windows, padding), "max_pool_grad"),
        ):
            with pytest.raises(ValueError, match=rf"\[{op}\] .*padding in .*{huge}"):
                call()
    with pytest.raises(ValueError, match=r"\[avg_pool_grad\] .*, got image=.*padding="):
        x.avg_pool2d_grad((1, huge, 4, 1), *windows, (1, 1), True)
