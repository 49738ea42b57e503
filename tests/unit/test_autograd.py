"""The graph, the reverse pass, and every member of Tensor and TensorTuple."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import needle as ndl
import needle.backend_ndarray as nd
from needle import autograd
from needle.autograd import Op, Tensor, TensorOp, TensorTuple, TensorTupleOp, find_topo_sort


def tensor(values: Any, device: nd.BackendDevice, requires_grad: bool = True) -> Tensor:
    return Tensor(values, device=device, dtype="float64", requires_grad=requires_grad)


@pytest.fixture
def lazy() -> Iterator[None]:
    autograd.LAZY_MODE = True
    yield
    autograd.LAZY_MODE = False


# --- construction and members


@pytest.mark.parametrize(
    "source",
    [3, 2.5, [1, 2], [[1.0], [2.0]], np.arange(3), np.float64(2), np.ones((2, 0))],
    ids=repr,
)
def test_tensor_without_dtype_is_float32(source: Any, device: nd.BackendDevice) -> None:
    t = Tensor(source, device=device)
    assert (t.dtype, t.shape, t.device) == ("float32", np.shape(source), device)
    np.testing.assert_array_equal(t.numpy(), np.asarray(source, dtype="float32"))
    assert t.requires_grad
    assert t.is_leaf()
    assert t.op is None
    assert t.inputs == ()
    assert t.grad is None


def test_tensor_default_device_is_cpu() -> None:
    assert Tensor([1.0]).device == ndl.default_device() == ndl.cpu()


def test_tensor_from_ndarray_and_tensor_keeps_dtype_and_device(device: nd.BackendDevice) -> None:
    array = nd.array([1.0, 2.0], dtype="float64", device=device)
    t = Tensor(array)
    assert (t.dtype, t.device) == ("float64", device)
    array[0] = 7.0
    assert t.numpy()[0] == 1.0  # an NDArray is copied
    same = Tensor(t)
    assert same.cached_data._handle.ptr() == t.cached_data._handle.ptr()  # a Tensor is shared
    assert Tensor(t, dtype="float32").dtype == "float32"
    assert Tensor(t, device=ndl.cpu_numpy()).device == ndl.cpu_numpy()


def test_explicit_dtype_is_kept(device: nd.BackendDevice) -> None:
    for dtype in ("float64", "int32", "int64", "bool"):
        assert Tensor([1, 0], device=device, dtype=dtype).dtype == dtype


def test_data_detaches_and_is_assigned(device: nd.BackendDevice) -> None:
    p = tensor([[1.0, 2.0]], device)
    assert not p.data.requires_grad
    assert p.data.cached_data._handle.ptr() == p.cached_data._handle.ptr()
    p.data = tensor([5.0, 6.0], device)  # another shape is accepted
    np.testing.assert_array_equal(p.numpy(), [5.0, 6.0])
    assert p.requires_grad
    with pytest.raises(TypeError, match=r"\[data\] the dtype must not change, got dtype=float32"):
        p.data = Tensor([1.0], device=device)
    with pytest.raises(TypeError, match=r"\[data\] a Tensor is expected, got type=ndarray"):
        p.data = np.ones(2)  # type: ignore[assignment]


def test_equality_is_identity(device: nd.BackendDevice) -> None:
    a, b = tensor([1.0], device), tensor([1.0], device)
    assert a != b
    assert a.__eq__(a) is True
    assert len({a, b, a}) == 2
    assert a != "text"


def test_numbers_and_arrays_of_tensors(device: nd.BackendDevice) -> None:
    assert float(tensor(2.5, device)) == 2.5
    assert int(tensor([2.0], device)) == 2
    np.testing.assert_array_equal(np.asarray(tensor([1.0, 2.0], device)), [1.0, 2.0])
    assert "1., 2." in repr(tensor([1.0, 2.0], device))
    assert "1., 2." in str(tensor([1.0, 2.0], device))


def test_copies_and_pickles_are_leaves(device: nd.BackendDevice) -> None:
    before = autograd.TENSOR_COUNTER
    p = ndl.nn.Parameter([1.0, 2.0], device=device)
    for other in (copy.copy(p), copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert type(other) is ndl.nn.Parameter
        assert other.requires_grad
        np.testing.assert_array_equal(other.numpy(), p.numpy())
    y = copy.deepcopy(p * 2)
    assert y.is_leaf()
    assert copy.deepcopy(p).cached_data._handle.ptr() != p.cached_data._handle.ptr()
    del p, y, other
    assert before == autograd.TENSOR_COUNTER


# --- operators


def test_operators_with_numbers(device: nd.BackendDevice) -> None:
    v = np.array([1.0, 2.0, 4.0])
    t = tensor(v, device)
    for got, expected in (
        (t + 3, v + 3),
        (3 + t, 3 + v),
        (t - 3, v - 3),
        (1 - t, 1 - v),
        (t * 3, v * 3),
        (3 * t, 3 * v),
        (t / 4, v / 4),
        (1 / t, 1 / v),
        (t**2, v**2),
        (2**t, 2**v),
        (-t, -v),
        (np.float64(3) * t, 3 * v),
        (np.int64(3) + t, 3 + v),
        (t < 2, v < 2),
        (t <= 2, v <= 2),
        (t > 2, v > 2),
        (t <= 2, v <= 2),
    ):
        assert isinstance(got, Tensor)
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-15)


@pytest.mark.parametrize("other", ["text", None, [1.0], np.ones(2)], ids=repr)
def test_operators_refuse_other_types(other: Any, device: nd.BackendDevice) -> None:
    t = tensor([1.0, 2.0], device)
    for call in (
        lambda: t + other,
        lambda: other - t,
        lambda: t * other,
        lambda: other / t,
        lambda: t**other,
        lambda: t @ other,
    ):
        with pytest.raises(TypeError):
            call()


def test_difference_is_a_sum_with_the_negative(device: nd.BackendDevice) -> None:
    a, b = tensor([1.0], device), tensor([2.0], device)
    y = a - b
    assert isinstance(y.op, ndl.ops.EWiseAdd)
    assert isinstance(y.inputs[1].op, ndl.ops.Negate)
    assert len(find_topo_sort([y])) == 4
    z = 3 * a
    assert isinstance(z.op, ndl.ops.MulScalar)
    assert z.inputs == (a,)


def test_iteration_is_over_the_first_axis(device: nd.BackendDevice) -> None:
    t = tensor([[1.0, 2.0], [3.0, 4.0]], device)
    assert [row.numpy().tolist() for row in t] == [[1.0, 2.0], [3.0, 4.0]]
    with pytest.raises(TypeError, match=r"\[iter\] a Tensor without axes has no items"):
        list(tensor(1.0, device))


# --- order


def test_topo_sort_is_post_order_left_to_right(device: nd.BackendDevice) -> None:
    a, b, c = (tensor([float(i)], device) for i in range(3))
    left = a + b
    right = b * c
    y = right * left + a
    product = y.inputs[0]
    assert find_topo_sort([y]) == [b, c, right, a, left, product, y]
    assert find_topo_sort([left, right]) == [a, b, left, c, right]


def test_topo_sort_holds_each_value_once(device: nd.BackendDevice) -> None:
    y = tensor([1.0], device)
    for _ in range(60):
        y = y + y  # 2^60 paths
    assert len(find_topo_sort([y])) == 61


# --- backward


def test_cotangents_of_all_uses_are_summed(device: nd.BackendDevice) -> None:
    x = tensor([3.0], device)
    shared = x * x
    (shared * x + shared + x).backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [3 * 9.0 + 2 * 3.0 + 1])


def test_backward_is_linear_in_the_graph(device: nd.BackendDevice) -> None:
    x = tensor([1.0], device)
    y = x
    for _ in range(60):
        y = y + y
    y.backward()
    assert x.grad is not None
    assert x.grad.numpy()[0] == 2.0**60


def test_grad_is_overwritten(device: nd.BackendDevice) -> None:
    x = tensor([1.0, 2.0], device)
    (x * 2).backward()
    (x * 5).backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [5.0, 5.0])


def test_grad_goes_to_leaves_that_require_it(device: nd.BackendDevice) -> None:
    x, fixed = tensor([2.0], device), tensor([3.0], device, requires_grad=False)
    inner = x * fixed
    (inner * inner).backward()
    assert fixed.grad is None
    assert inner.grad is None
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [36.0])


def test_backward_of_a_leaf(device: nd.BackendDevice) -> None:
    x = tensor([2.0], device)
    x.backward()
    assert x.grad is not None
    assert x.grad.numpy() == [1.0]


def test_leaves_have_grads_of_their_own(device: nd.BackendDevice) -> None:
    a, b = tensor([1.0], device), tensor([2.0], device)
    cotangent = tensor([1.0], device, requires_grad=False)
    (a + b).backward(cotangent)
    assert a.grad is not None
    assert b.grad is not None
    a.grad.data = tensor([9.0], device)
    assert b.grad.numpy() == [1.0]
    assert cotangent.numpy() == [1.0]


def test_out_grad_is_the_cotangent(device: nd.BackendDevice) -> None:
    x = tensor([1.0, 2.0], device)
    (x * x).backward(tensor([10.0, 100.0], device))
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [20.0, 400.0])


def test_backward_errors(device: nd.BackendDevice) -> None:
    x = tensor([1.0, 2.0], device)
    with pytest.raises(RuntimeError, match=r"\[backward\] the tensor must require grad"):
        x.detach().backward()
    with pytest.raises(TypeError, match=r"\[backward\] out_grad is a Tensor, got type=ndarray"):
        (x * 2).backward(np.ones(2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"out_grad\.shape=\(3,\), expected=\(2,\)"):
        (x * 2).backward(tensor([1.0] * 3, device))
    with pytest.raises(TypeError, match=r"out_grad\.dtype=float32, expected=float64"):
        (x * 2).backward(Tensor([1.0, 1.0], device=device))
    elsewhere = ndl.cpu() if device != ndl.cpu() else ndl.cpu_numpy()
    with pytest.raises(ValueError, match=r"\[backward\] out_grad must have the device"):
        (x * 2).backward(tensor([1.0, 1.0], elsewhere))


def test_inputs_that_are_no_tensors_name_the_op(device: nd.BackendDevice) -> None:
    x = tensor([1.0], device)
    with pytest.raises(TypeError, match=r"\[EWiseAdd\] inputs are Tensors, got inputs\[1\]=int"):
        ndl.add(x, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"\[Exp\] inputs are Tensors, got inputs\[0\]=float"):
        ndl.exp(1.0)  # type: ignore[arg-type]


def test_second_and_third_order(device: nd.BackendDevice) -> None:
    x = tensor([2.0, -3.0], device)
    (x**4).backward()
    first = x.grad
    assert first is not None
    np.testing.assert_allclose(first.numpy(), 4 * x.numpy() ** 3)
    first.backward()
    second = x.grad
    assert second is not None
    np.testing.assert_allclose(second.numpy(), 12 * x.numpy() ** 2)
    second.backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 24 * x.numpy())


def test_100_000_chained_ops() -> None:
    x = Tensor([1.0], device=ndl.cpu_numpy())
    y = x
    for _ in range(100_000):
        y = y + x
    y.backward()
    assert x.grad is not None
    assert x.grad.numpy() == [100_001.0]
    del y  # freeing the chain must not recurse either


def test_cotangents_are_freed_as_backward_goes(device: nd.BackendDevice) -> None:
    seen: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    class Watch(TensorOp):
        def compute(self, a: nd.NDArray) -> nd.NDArray:
            return a + 0

        def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
            alive.append(sum(ref() is not None for ref in seen))
            result = out_grad * 2
            seen.append(weakref.ref(result))
            return result

    x = tensor([1.0], device)
    y = x
    for _ in range(50):
        y = Watch()(y)
    y.backward(tensor([1.0], device, requires_grad=False))
    assert max(alive) <= 1


# --- no_grad


def test_no_grad_records_no_graph(device: nd.BackendDevice) -> None:
    x = tensor([1.0], device)
    with ndl.no_grad():
        assert not ndl.is_grad_enabled()
        with ndl.no_grad():
            pass
        y = x * 2
    assert ndl.is_grad_enabled()
    assert not y.requires_grad
    assert y.is_leaf()

    @ndl.no_grad()
    def double(t: Tensor) -> Tensor:
        """Twice t."""
        return t * 2

    assert not double(x).requires_grad
    assert double.__doc__ == "Twice t."
    assert (x * 2).requires_grad


def test_no_grad_ends_with_an_exception_and_within_its_thread(device: nd.BackendDevice) -> None:
    with pytest.raises(KeyError), ndl.no_grad():
        raise KeyError
    assert ndl.is_grad_enabled()
    elsewhere = []
    with ndl.no_grad():
        thread = threading.Thread(target=lambda: elsewhere.append(ndl.is_grad_enabled()))
        thread.start()
        thread.join()
    assert elsewhere == [True]


def test_backward_under_no_grad_gives_plain_gradients(device: nd.BackendDevice) -> None:
    x = tensor([3.0], device)
    y = x * x * x
    with ndl.no_grad():
        y.backward()
    assert x.grad is not None
    assert x.grad.numpy() == [27.0]
    assert not x.grad.requires_grad
    y.backward()
    assert x.grad.requires_grad


# --- retain_graph


def test_backward_adds_many_cotangents_in_one_buffer(device: nd.BackendDevice) -> None:
    """The third and later ones go where the sum of the first two lies; nobody else's array does."""
    x, y = (ndl.Tensor(np.full(6, v), device=device) for v in (3.0, 5.0))
    middle = x * 2.0
    uses = [middle + y, middle * y, middle, middle * middle, middle + y]
    total = uses[0]
    for use in uses[1:]:
        total = total + use
    seed = ndl.Tensor(np.arange(6.0), device=device)
    live = device.memory_stats()["allocations"]
    total.backward(seed, retain_graph=False)
    made = device.memory_stats()["allocations"] - live
    np.testing.assert_array_equal(seed.numpy(), np.arange(6.0))
    np.testing.assert_array_equal(x.grad.numpy(), 2 * (1 + 5 + 1 + 12 + 1) * np.arange(6.0))
    np.testing.assert_array_equal(y.grad.numpy(), (1 + 6 + 1) * np.arange(6.0))
    # products: 2 of middle * y, 2 of the square, 1 of x * 2; sums: 5 of middle, 2 of y, where all
    # but the first are made in place on the host
    assert made == (7 if device in (nd.cpu(), nd.cpu_numpy()) else 12)


@pytest.mark.parametrize("uses", [1, 2, 3])
def test_a_graph_that_is_not_retained_is_freed_on_the_way(
    uses: int, device: nd.BackendDevice
) -> None:
    alive: list[int] = []
    seen: list[weakref.ref[Tensor]] = []

    class Watch(TensorOp):
        def compute(self, a: nd.NDArray) -> nd.NDArray:
            return a + 0

        def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
            alive.append(sum(ref() is not None for ref in seen))
            return out_grad * (2.5 - 0.5 * uses)

    def chain(x: Tensor) -> Tensor:
        seen.clear()
        for _ in range(20):
            y = Watch()(x)
            for _ in range(uses - 1):  # cotangents of the others, which are summed
                y = y + x * 0.5
            x = y
            seen.append(weakref.ref(x))
        return x

    x = tensor([1.0], device)
    y = chain(x)
    before = y.numpy()
    y.backward(retain_graph=False)
    # the last is held, here and by the caller; of a sum the node that is visited is behind it
    left = [20, *range(20, 1, -1)] if uses == 1 else [20, *range(19, 0, -1)]
    assert alive == left, "a value is free once its user is behind"
    assert x.grad is not None
    assert x.grad.numpy() == [2.0**20]
    assert not x.grad.requires_grad
    assert y.numpy() == before, "a value that is held stays"
    alive.clear()
    y = chain(x)
    y.backward()
    assert set(alive) == {20}


def test_a_graph_that_was_let_go_of_is_refused(device: nd.BackendDevice) -> None:
    x = tensor([3.0], device)
    middle = x * x
    y = middle * x
    y.backward(retain_graph=False)
    assert x.grad is not None
    assert x.grad.numpy() == [27.0]
    for z in (y, middle, middle * 2):
        with pytest.raises(RuntimeError, match=r"\[backward\] a graph is walked once"):
            z.backward()
    again = middle.detach() * x
    again.backward()
    assert x.grad.numpy() == [9.0]


def test_what_shares_a_graph_that_was_let_go_of_is_refused(device: nd.BackendDevice) -> None:
    x, w = tensor([3.0], device), tensor([2.0], device)
    shared = x * 1.0
    other = shared * w
    (shared * shared).backward(retain_graph=False)
    with pytest.raises(RuntimeError, match=r"\[backward\]"):
        other.backward()
    tuples = ndl.ops.make_tuple(x * 2, x * 3)
    (tuples[0] * tuples[1]).backward(retain_graph=False)
    assert x.grad is not None
    assert x.grad.numpy() == [36.0]


# --- ops of one's own


class Cube(TensorOp):
    def compute(self, a: nd.NDArray) -> nd.NDArray:
        return a * a * a

    def gradient(self, out_grad: Tensor, node: Tensor) -> Tensor:
        (a,) = node.inputs
        return out_grad * a * a * 3


class Wrong(Cube):
    def __init__(self, result: Any) -> None:
        self.result = result

    def gradient(self, out_grad: Tensor, node: Tensor) -> Any:
        return self.result


def test_user_defined_op(device: nd.BackendDevice) -> None:
    x = tensor([2.0, -1.0], device)
    y = Cube()(x)
    assert isinstance(y.op, Cube)
    y.backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [12.0, 3.0])
    x.grad.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [12.0, -6.0])


def test_user_defined_op_errors_name_the_op(device: nd.BackendDevice) -> None:
    x = tensor([2.0, -1.0], device)
    g = tensor([1.0, 1.0], device)
    for result, error, text in (
        ((g, g), ValueError, r"\[Wrong\] gradient gives one cotangent per input, got cotangents=2"),
        (tensor([1.0], device), ValueError, r"\[Wrong\] .* got shape=\(1,\), expected=\(2,\)"),
        (None, TypeError, r"\[Wrong\] .* got type=NoneType"),
        (np.ones(2), TypeError, r"\[Wrong\] .* got type=ndarray"),
    ):
        with pytest.raises(error, match=text):
            Wrong(result)(x).backward()
    with pytest.raises(NotImplementedError, match=r"\[TensorOp\] compute is not defined"):
        TensorOp()(x)
    with pytest.raises(NotImplementedError, match=r"\[Op\] derive from TensorOp"):
        Op()(x)


def test_an_error_in_compute_is_not_disguised(device: nd.BackendDevice) -> None:
    class Broken(TensorOp):
        def compute(self, a: nd.NDArray) -> nd.NDArray:
            return a.no_such_member  # type: ignore[attr-defined, no-any-return]

    with pytest.raises(AttributeError, match="no_such_member"):
        Broken()(tensor([1.0], device))


def test_gradient_as_tuple(device: nd.BackendDevice) -> None:
    x, g = tensor([2.0], device), tensor([1.0], device)
    for y in (x * x, Cube()(x), ndl.exp(x)):
        assert y.op is not None
        result = y.op.gradient_as_tuple(g, y)
        assert isinstance(result, tuple)
        assert len(result) == len(y.inputs)


# --- tuples


class MinAndMax(TensorTupleOp):
    def compute(self, a: nd.NDArray) -> tuple[nd.NDArray, nd.NDArray]:
        return -(-a).max(), a.max()

    def gradient(self, out_grad: TensorTuple, node: TensorTuple) -> Tensor:
        (a,) = node.inputs
        low, high = node
        return ndl.equal(a, low) * out_grad[0] + ndl.equal(a, high) * out_grad[1]


def test_tuple_op_with_one_item_used(device: nd.BackendDevice) -> None:
    x = tensor([3.0, 1.0, 2.0], device)
    pair = MinAndMax()(x)
    assert isinstance(pair, TensorTuple)
    assert len(pair) == 2
    (pair[-1] * 5).backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [5.0, 0.0, 0.0])
    (pair[0] + pair[1] * 2 + pair[1]).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3.0, 1.0, 0.0])


def test_tuple_members(device: nd.BackendDevice) -> None:
    a, b = tensor([1.0], device), tensor([2.0], device)
    pair = ndl.make_tuple(a, b)
    assert pair[0] is a
    assert pair[-1] is b
    assert pair.tuple() == (a, b)
    assert [t.numpy()[0] for t in pair + pair] == [2.0, 4.0]
    assert not pair.detach().requires_grad
    assert [t.numpy()[0] for t in pair.detach()] == [1.0, 2.0]
    with pytest.raises(
        IndexError, match=r"\[tuple_get_item\] index lies in \[-n, n\), got index=2"
    ):
        pair[2]
    with pytest.raises(ValueError, match=r"\[add\] lengths must agree"):
        pair + ndl.make_tuple(a)
    with pytest.raises(TypeError, match=r"\[tuple_get_item\] a TensorTuple, got type=Tensor"):
        ndl.tuple_get_item(a, 0)  # type: ignore[arg-type]
    assert "TensorTuple" in repr(pair)


def test_whole_and_parts_of_a_tuple_together(device: nd.BackendDevice) -> None:
    x = tensor([[1.0, 2.0], [3.0, 4.0]], device)
    rows = ndl.split(x, 0)
    y = ndl.stack(rows, 0) * 2 + ndl.stack(rows, 1) + rows[0]
    y.backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [[5.0, 5.0], [3.0, 3.0]])


def test_taking_a_tuple_apart_is_linear(device: nd.BackendDevice) -> None:
    n = 2000  # a dense cotangent per item would hold n * n values
    x = tensor(np.arange(float(n)), device)
    total = None
    for item in ndl.split(x, 0):
        total = item if total is None else total + item
    assert total is not None
    before = device.memory_stats()["allocations"]
    total.backward()
    assert device.memory_stats()["allocations"] - before < 10 * n
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), np.ones(n))


# --- lazy mode


@pytest.mark.usefixtures("lazy")
def test_lazy_values_are_computed_when_looked_at(device: nd.BackendDevice) -> None:
    x = tensor([2.0], device)
    y = x * x
    z = ndl.exp(y)
    assert y.cached_data is None
    assert z.cached_data is None
    assert y.shape == (1,)
    assert y.cached_data is not None
    assert z.cached_data is None
    z.backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), 4 * np.exp(4.0))
    a, b = ndl.split(tensor([1.0, 2.0], device), 0)
    assert a.cached_data is None
    assert (a + b).numpy() == 3.0


@pytest.mark.usefixtures("lazy")
def test_lazy_constants_are_lazy_too(device: nd.BackendDevice) -> None:
    x = tensor([2.0], device, requires_grad=False)
    y = x * 3
    assert y.cached_data is None
    assert not y.requires_grad
    autograd.LAZY_MODE = False
    assert (y + 1).numpy() == [7.0]  # an eager op looks at its lazy inputs


@pytest.mark.usefixtures("lazy")
def test_lazy_chain_is_computed_without_recursion() -> None:
    y = Tensor([0.0], device=ndl.cpu_numpy())
    for _ in range(20_000):
        y = y + 1
    assert y.numpy() == [20_000.0]


# --- what is alive


def test_tensor_counter_counts_live_values(device: nd.BackendDevice) -> None:
    gc.collect()
    before = autograd.TENSOR_COUNTER
    x = tensor([1.0], device)
    y = x * 2 + 1
    assert autograd.TENSOR_COUNTER - before == 3
    pair = ndl.fused_add_scalars(y, 1, 2)
    assert autograd.TENSOR_COUNTER - before == 4
    del y, pair
    assert autograd.TENSOR_COUNTER - before == 1
    del x
    assert before == autograd.TENSOR_COUNTER


def test_10_000_steps_leak_nothing(device: nd.BackendDevice) -> None:
    w = tensor([[0.5, -0.5]], device)
    x = tensor([[1.0], [2.0]], device, requires_grad=False)

    def step() -> None:
        ndl.tanh(x @ w).sum().backward()
        assert w.grad is not None
        w.data = w.data - w.grad.data * 1e-3

    def live() -> tuple[int, int]:
        gc.collect()
        return device.memory_stats()["live_bytes"], autograd.TENSOR_COUNTER

    steps = 10_000 if device == ndl.cpu() else 500  # the other devices run the same Python
    for _ in range(10):
        step()
    before = live()
    for _ in range(steps):
        step()
    assert live() == before


def test_the_gradient_of_a_power_of_zero_is_zero_whatever_the_cotangent() -> None:
    a = ndl.Tensor([1.0, 2.0])
    (0**a).backward(ndl.Tensor([float("inf"), 1.0]))
    assert a.grad.numpy().tolist() == [0.0, 0.0]
