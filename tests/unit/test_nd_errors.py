"""Bad input to NDArray raises the right exception with the rule and the value, on every device."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

import needle as ndl
import needle.backend_ndarray as nd
from needle import init, nn, ops, optim
from needle.backend_ndarray import BackendDevice, NDArray

ERRORS = {
    "shapes that do not broadcast": (lambda a: a + a[:, :3], ValueError),
    "matmul shapes": (lambda a: a @ a, ValueError),
    "matmul with a number": (lambda a: a @ 2, TypeError),
    "matmul of 0-d": (lambda a: a @ a[0, 0], ValueError),
    "integer out of range": (lambda a: a[3], IndexError),
    "negative integer out of range": (lambda a: a[:, -5], IndexError),
    "too many indices": (lambda a: a[0, 0, 0], IndexError),
    "two ellipses": (lambda a: a[..., ...], IndexError),
    "zero step": (lambda a: a[::0], ValueError),
    "float index": (lambda a: a[1.0], TypeError),
    "string index": (lambda a: a["x"], TypeError),
    "bool index": (lambda a: a[True], TypeError),
    "huge index": (lambda a: a[1 << 80], IndexError),
    "setitem shape": (lambda a: a.__setitem__(0, a), ValueError),
    "setitem dtype": (lambda a: a.__setitem__(0, a[0].astype("float64")), TypeError),
    "setitem text": (lambda a: a.__setitem__(0, "x"), TypeError),
    "delete": (lambda a: a.__delitem__(0), TypeError),
    "write to a broadcast view": (lambda a: a[0].broadcast_to((2, 4)).fill(1), ValueError),
    "assign to a part of a broadcast view": (
        lambda a: a[0].broadcast_to((3, 4)).__setitem__(0, 1.0),
        ValueError,
    ),
    "assign to a broadcast view": (
        lambda a: a[0].broadcast_to((3, 4)).__setitem__(..., a),
        ValueError,
    ),
    "reshape size": (lambda a: a.reshape(5, 2), ValueError),
    "reshape two unknowns": (lambda a: a.reshape(-1, -1), ValueError),
    "reshape negative": (lambda a: a.reshape(-3, -4), ValueError),
    "reshape float": (lambda a: a.reshape(2.0, 6), TypeError),
    "reshape text": (lambda a: a.reshape("12"), TypeError),
    "nine dimensions": (lambda a: a.reshape([1] * 7 + [3, 4]), ValueError),
    "permute repeats": (lambda a: a.permute((0, 0)), ValueError),
    "permute misses an axis": (lambda a: a.permute((0,)), ValueError),
    "permute out of range": (lambda a: a.permute((0, 2)), IndexError),
    "transpose of three axes": (lambda a: a.transpose((0, 1, 0)), ValueError),
    "broadcast_to": (lambda a: a.broadcast_to((3, 5)), ValueError),
    "broadcast_to fewer axes": (lambda a: a.broadcast_to((4,)), ValueError),
    "flip out of range": (lambda a: a.flip(2), IndexError),
    "flip repeats": (lambda a: a.flip((0, -2)), ValueError),
    "squeeze of a longer axis": (lambda a: a.squeeze(0), ValueError),
    "as_strided beyond": (lambda a: a.as_strided((100,), (1,)), ValueError),
    "as_strided lengths": (lambda a: a.as_strided((3, 4), (1,)), ValueError),
    "as_strided overflow": (lambda a: a.as_strided((1 << 62, 4), (1 << 62, 1)), ValueError),
    "sum axis": (lambda a: a.sum(axis=2), IndexError),
    "sum repeats": (lambda a: a.sum(axis=(0, 0)), ValueError),
    "max float axis": (lambda a: a.max(axis=0.5), TypeError),
    "dtype mix": (lambda a: a + a.astype("float64"), TypeError),
    "integer arithmetic": (lambda a: a.astype("int64") + 1, TypeError),
    "integer exp": (lambda a: a.astype("int32").exp(), TypeError),
    "bool sum": (lambda a: a.astype("bool").sum(), TypeError),
    "unknown dtype": (lambda a: a.astype("int8"), TypeError),
    "not a dtype": (lambda a: a.astype("fishes"), TypeError),
    "operand": (lambda a: a.add("x"), TypeError),
    "None operand": (lambda a: a + None, TypeError),
    "complex operand": (lambda a: a * 1j, TypeError),
    "fill text": (lambda a: a.fill("x"), TypeError),
    "fill beyond float64": (lambda a: a.fill(1 << 2000), ValueError),
    "add beyond float64": (lambda a: a + (1 << 2000), ValueError),
    "reshape beyond 64 bits": (lambda a: a.reshape(1 << 70), ValueError),
    "axis beyond 64 bits": (lambda a: a.sum(axis=1 << 70), ValueError),
    "matmul batch": (lambda a: a.reshape(3, 2, 2) @ a.reshape(2, 2, 3), ValueError),
    "ragged lists": (lambda a: nd.NDArray([[1.0], [1.0, 2.0]]), ValueError),
    "truth of many": (bool, ValueError),
    "float of many": (float, ValueError),
    "item of many": (lambda a: a.item(), ValueError),
    "len of 0-d": (lambda a: len(a[0, 0]), TypeError),
    "iteration over 0-d": (lambda a: list(a[0, 0]), TypeError),
    "hash": (hash, TypeError),
    "pad pairs": (lambda a: a.pad(((0, 0),)), ValueError),
    "pad negative": (lambda a: a.pad(((0, 0), (-1, 0))), ValueError),
    "device": (lambda a: a.to("cpu"), TypeError),
    "conv rank": (lambda a: a.conv2d(a), ValueError),
    "conv channels": (lambda a: image(a, 2).conv2d(kernel(a, 3)), ValueError),
    "conv kernel larger than input": (lambda a: image(a).conv2d(kernel(a)[:, :, :1]), ValueError),
    "conv zero stride": (lambda a: image(a).conv2d(kernel(a), stride=0), ValueError),
    "conv negative stride": (lambda a: image(a).conv2d(kernel(a), stride=(1, -1)), ValueError),
    "conv negative padding": (lambda a: image(a).conv2d(kernel(a), padding=-1), ValueError),
    "conv zero dilation": (lambda a: image(a).conv2d(kernel(a), dilation=0), ValueError),
    "conv groups": (lambda a: image(a).conv2d(kernel(a), groups=2), ValueError),
    "conv triple": (lambda a: image(a).conv2d(kernel(a), stride=(1, 1, 1)), ValueError),
    "conv gradient shape": (
        lambda a: image(a).conv2d_grad_input(kernel(a), (1, 9, 9, 1), padding=1),
        ValueError,
    ),
    "conv weight shape": (
        lambda a: image(a).conv2d_grad_weight(image(a), (9, 9, 1, 1), padding=1),
        ValueError,
    ),
}


def image(a: NDArray, channels: int = 1) -> NDArray:
    return a.device.full((1, 2, 2, channels), 1)


def kernel(a: NDArray, channels: int = 1) -> NDArray:
    return a.device.full((3, 3, channels, 1), 1)


@pytest.mark.parametrize(("call", "error"), ERRORS.values(), ids=ERRORS.keys())
def test_nd_backend_errors(device: BackendDevice, call, error) -> None:
    x = np.arange(12, dtype="float32").reshape(3, 4)
    a = NDArray(x, device=device)
    with pytest.raises(error):
        call(a)
    assert a.numpy().tolist() == x.tolist()  # and nothing was written


RULES = {
    "[add] ": lambda a: a + a[:, :3],
    "[getitem] ": lambda a: a[7],
    "[reshape] ": lambda a: a.reshape(7),
    "[sum] ": lambda a: a.sum(axis=5),
    "[matmul] ": lambda a: a @ a,
    "[broadcast_to] ": lambda a: a.broadcast_to((2, 2)),
}


@pytest.mark.parametrize("op", RULES)
def test_nd_backend_errors_name_op_rule_and_value(device: BackendDevice, op: str) -> None:
    with pytest.raises((ValueError, IndexError), match=r"^\[\w+\] .+, got .+=.+") as caught:
        RULES[op](NDArray(np.zeros((3, 4)), device=device))
    assert str(caught.value).startswith(op)


def test_nd_backend_devices_do_not_mix() -> None:
    a, b = NDArray([1.0], device=nd.cpu()), NDArray([1.0], device=nd.cpu_numpy())
    for call in (lambda: a + b, lambda: a @ b, lambda: a.__setitem__(..., b)):
        with pytest.raises(ValueError, match=r"cpu_numpy\(\)"):
            call()


def test_nd_backend_object_without_init_is_refused() -> None:
    bare = NDArray.__new__(NDArray)
    for call in (
        lambda: bare.shape,
        lambda: bare + 1,
        lambda: bare.sum(),
        lambda: memoryview(bare),
    ):
        with pytest.raises(RuntimeError, match="__init__"):
            call()


def test_nd_backend_data_must_be_real_numbers(device: BackendDevice) -> None:
    for data in ("text", [1j], [None], {}, object(), [[1], [2, 3]], 1j):
        with pytest.raises((TypeError, ValueError)):
            NDArray(data, device=device)


def test_nd_backend_unavailable_devices_say_what_is_missing() -> None:
    for device in nd.all_devices():
        if device.enabled():
            assert device.reason is None
            continue
        assert device.reason
        with pytest.raises(RuntimeError, match=f"{device.name}.*not available: .+"):
            NDArray([1], device=device)
        with pytest.raises(RuntimeError, match="not available"):
            device.empty((1,))


def test_nd_backend_device_identity() -> None:
    assert nd.cpu() is nd.cpu()
    assert nd.cpu() != nd.cpu_numpy()
    assert nd.cpu() != "cpu"
    assert len({nd.cpu(), nd.cpu(), nd.cpu_numpy()}) == 2
    assert [repr(d) for d in nd.all_devices()] == ["cpu()", "cuda()", "cpu_numpy()", "cuda_sim()"]
    assert nd.cuda(3).index == 3
    assert repr(nd.cuda(3)) == "cuda(3)"


def test_nd_backend_import_prints_nothing_and_stays_light() -> None:
    code = (
        "import sys, needle.backend_ndarray as nd; nd.cuda(); "
        "sys.exit(bool({'torch', 'ml_dtypes', 'verify', 'needle._cuda'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


ARGUMENTS = {
    "make of no handle": (lambda: NDArray.make((2,), handle=3), TypeError),
    "make outside": (lambda: NDArray.make((3,), handle=nd.full((2,), 1)._handle), ValueError),
    "make of a huge offset": (lambda: NDArray.make((1,), offset=1 << 70), ValueError),
    "make of a negative size": (lambda: NDArray.make((-1,)), ValueError),
    "make on another device": (
        lambda: NDArray.make((1,), handle=nd.full((2,), 1)._handle, device=nd.cpu_numpy()),
        ValueError,
    ),
    "process_slice of an int": (lambda: nd.empty((3,)).process_slice(1, 0), TypeError),
    "process_slice of floats": (lambda: nd.empty((3,)).process_slice(slice(1.5), 0), TypeError),
    "process_slice axis": (lambda: nd.empty((3,)).process_slice(slice(1), 1), IndexError),
    "process_slice step": (lambda: nd.empty((3,)).process_slice(slice(0, 1, 0), 0), ValueError),
    "pad of a number": (lambda: nd.empty((3,)).pad(3), TypeError),
    "pad of floats": (lambda: nd.empty((3,)).pad(((0.5, 1),)), TypeError),
    "flat index": (lambda: nd.empty((3,)).flat["x"], TypeError),
    "flat past the end": (lambda: nd.empty((3,)).flat[3], IndexError),
    "flat values": (lambda: nd.empty((3,)).flat.__setitem__(slice(3), [1, 2]), ValueError),
    "rand size": (lambda: nd.cpu().rand(-1), ValueError),
    "randn of a float": (lambda: nd.cpu().randn(1.5), TypeError),
    "one_hot label": (lambda: nd.cpu().one_hot(3, [3]), IndexError),
    "one_hot NaN": (lambda: nd.cpu().one_hot(3, [np.nan]), ValueError),
    "one_hot fraction": (lambda: nd.cpu().one_hot(3, [0.5]), ValueError),
    "one_hot text": (lambda: nd.cpu().one_hot(3, ["a"]), TypeError),
    "one_hot classes": (lambda: nd.cpu().one_hot(-1, []), ValueError),
    "init size": (lambda: init.rand(-1), ValueError),
    "init low": (lambda: init.rand(2, low=math.nan), ValueError),
    "init std": (lambda: init.randn(2, std=-1), ValueError),
    "init mean": (lambda: init.randn(2, mean="x"), TypeError),
    "init p": (lambda: init.randb(2, p=1.5), ValueError),
    "init gain": (lambda: init.xavier_normal(2, 2, gain=math.inf), ValueError),
    "init fan": (lambda: init.kaiming_normal(2.5, 2), TypeError),
    "init constant": (lambda: init.constant(2, c="x"), TypeError),
    "init device": (lambda: init.rand(2, device="cpu"), TypeError),
    "init like": (lambda: init.zeros_like(3), TypeError),
    "lr": (lambda: optim.SGD([T], lr=math.nan), ValueError),
    "lr text": (lambda: optim.Adam([T], lr="x"), TypeError),
    "momentum": (lambda: optim.SGD([T], momentum=math.inf), ValueError),
    "a Tensor for params": (lambda: optim.SGD(T), TypeError),
    "no params": (lambda: optim.SGD(None), TypeError),
    "scalar": (lambda: ops.power_scalar(T, "x"), TypeError),
    "Tensor as scalar": (lambda: ops.mul_scalar(T, T), TypeError),
    "stack of dtypes": (lambda: ops.stack([T, ndl.Tensor(T, dtype="float64")], 0), TypeError),
    "stack of devices": (
        lambda: ops.stack([T, ndl.Tensor(T, device=nd.cpu_numpy())], 0),
        ValueError,
    ),
    "stack axis": (lambda: ops.stack([T], (0, 1)), TypeError),
    "split axis": (lambda: ops.split(T, None), TypeError),
    "axes": (lambda: ops.logsumexp(T, "ab"), TypeError),
    "dilation": (lambda: ops.dilate(T, (0,), 0.5), TypeError),
    "tuple index": (lambda: ops.tuple_get_item(ops.split(T, 0), "a"), TypeError),
    "attention": (lambda: ops.attention_weights("x", T), TypeError),
    "layer_norm": (lambda: ops.layer_norm("x", T, T), TypeError),
    "batch_norm": (lambda: ops.batch_norm(ops.reshape(T, (1, 2)), None, T), TypeError),
    "cross_entropy": (lambda: ops.cross_entropy([1.0], 0), TypeError),
    "Flatten of 0-d": (lambda: nn.Flatten()(ndl.Tensor(1.0)), ValueError),
    "Conv kernel": (lambda: nn.Conv(1, 1, 0), ValueError),
    "Conv kernel text": (lambda: nn.Conv(1, 1, "x"), TypeError),
}
T = ndl.Tensor([1.0, 2.0])


@pytest.mark.parametrize(("call", "error"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_nd_backend_bad_arguments_are_named(call, error) -> None:
    with pytest.raises(error, match=r"(?s)^\[[\w.]+\] .+, got .+=.+"):
        call()


def test_numpy_integers_are_axes() -> None:
    x = ndl.Tensor(np.arange(6.0).reshape(2, 3))
    for axes in (np.int64(-1), (np.int32(1),), np.array([1]), [np.int64(1)]):
        np.testing.assert_allclose(ops.logsumexp(x, axes).numpy(), [2.4076059, 5.4076059])
    np.testing.assert_array_equal(ops.summation(x, np.int64(0)).numpy(), [3, 5, 7])
    held = x.realize_cached_data()
    for axes in (np.int64(1), np.array(1), np.array([1])):
        np.testing.assert_array_equal(held.sum(axis=axes).numpy(), [3, 12])
    np.testing.assert_array_equal(held.sum(axis=np.array([0, 1])).numpy(), 15)


def test_nd_backend_process_slice_selects_the_same_elements() -> None:
    a, x = nd.array(np.arange(5.0)), np.arange(5.0)
    bounds = (None, -9, -2, 0, 2, 9)
    for item in [slice(i, j, k) for i in bounds for j in bounds for k in (None, 1, 2, -1, -2)]:
        explicit = a.process_slice(item, -1)
        assert explicit.step is not None
        np.testing.assert_array_equal(x[explicit], x[item])
