"""Random input to every public member of NDArray: a value or a documented exception, no crash.

Where numpy has the same function of the same arguments, the value must be numpy's.
"""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import needle.backend_ndarray as nd
from needle import _core
from needle.backend_ndarray import BackendDevice, NDArray

sys.path.insert(0, str(Path(__file__).parent))  # fuzz_inputs.py lies beside this file
import fuzz_inputs as fuzz
from fuzz_inputs import World

Arguments = Callable[[World], tuple[st.SearchStrategy[Any], ...]]


def dims() -> st.SearchStrategy[Any]:
    wild = st.lists(st.one_of(st.integers(-3, 5), fuzz.some_ints()), max_size=4).map(tuple)
    return st.one_of(wild, wild, fuzz.some_ints(), st.sampled_from([None, "x", 1.5, ()]))


def operand(w: World) -> tuple[st.SearchStrategy[Any], ...]:
    return (st.one_of(fuzz.arrays(w), fuzz.arrays(w), fuzz.numbers()),)


def nothing(w: World) -> tuple[()]:
    return ()


def conv(w: World, *extra: st.SearchStrategy[Any]) -> tuple[st.SearchStrategy[Any], ...]:
    how = (fuzz.small(1), fuzz.small(0), fuzz.small(1), st.integers(-1, 3))
    return (fuzz.arrays(w), *extra, *how)


def pooling() -> tuple[st.SearchStrategy[Any], ...]:
    return fuzz.small(1), fuzz.small(1), fuzz.small(0)


def image_shape(w: World) -> st.SearchStrategy[Any]:
    return st.one_of(st.tuples(*[st.integers(0, 4)] * 4), dims())


def indices(w: World) -> st.SearchStrategy[Any]:
    """Positions, mostly in range, of the world's shape or near it; sometimes no integers."""

    def made(shape: tuple[int, ...], high: int, seed: int) -> NDArray:
        drawn = np.random.default_rng(seed).integers(-1, high, shape)
        return NDArray(drawn, device=w.device, dtype="int64")

    whole = st.builds(made, fuzz.shapes_near(w.shape), st.integers(0, 4), st.integers(0, 99))
    return st.one_of(whole, whole, whole, *operand(w))


def named(numbers: str, flags: str, pairs: str = "") -> st.SearchStrategy[dict[str, Any]]:
    """Arguments that have names only: numbers or what is none, flags, pairs of numbers."""
    number = st.floats(0, 1) | fuzz.numbers()
    return st.fixed_dictionaries(
        dict.fromkeys(numbers.split(), number)
        | dict.fromkeys(flags.split(), KEEPDIMS)
        | dict.fromkeys(pairs.split(), st.tuples(number, number))
    )


DEVICE = st.sampled_from([nd.cpu(), nd.cpu_numpy(), nd.cuda_sim(), None, "cpu"])
KEEPDIMS = st.booleans()
# Every public member: what to call it with; properties are called with nothing.
MEMBERS: dict[str, Arguments] = {
    **dict.fromkeys(("shape", "strides", "ndim", "size", "nbytes", "dtype", "device"), nothing),
    **dict.fromkeys(
        ("T", "flat", "compact", "is_compact", "copy", "numpy", "item", "tolist"), nothing
    ),
    **dict.fromkeys(_core.op_names()["unary"], nothing),
    **dict.fromkeys((*_core.op_names()["binary"], "matmul"), operand),
    **dict.fromkeys(
        (*_core.op_names()["reduce"], "argmax", "argmin"), lambda w: (fuzz.axes(w), KEEPDIMS)
    ),
    **dict.fromkeys(("is_like", "accumulate"), operand),
    "clip": lambda w: (st.none() | fuzz.numbers(), st.none() | fuzz.numbers()),
    "where": lambda w: (*operand(w), *operand(w)),
    "cumsum": lambda w: (fuzz.axis(w), st.booleans()),
    "take_along_axis": lambda w: (indices(w), fuzz.axis(w)),
    "scatter_add": lambda w: (indices(w), fuzz.axis(w), fuzz.some_ints()),
    **dict.fromkeys(("flip", "permute", "transpose", "squeeze"), lambda w: (fuzz.axes(w),)),
    **dict.fromkeys(("reshape", "broadcast_to"), lambda w: (fuzz.shapes(w),)),
    "as_strided": lambda w: (dims(), dims(), st.one_of(st.none(), st.integers(-2, 9), dims())),
    "make": lambda w: (
        dims(),
        st.none() | dims(),
        DEVICE,
        st.one_of(st.none(), handles(w)),
        fuzz.some_ints(),
    ),
    "astype": lambda w: (st.sampled_from([*fuzz.DTYPES, "int8", None, 3, np.float32]),),
    "to": lambda w: (DEVICE,),
    "fill": lambda w: (fuzz.numbers(),),
    "pad": lambda w: (
        st.lists(
            st.tuples(st.integers(-1, 2), st.integers(0, 2)),
            min_size=len(w.shape),
            max_size=len(w.shape),
        ),
        fuzz.numbers(),
    ),
    "process_slice": lambda w: (fuzz.index(w), fuzz.axis(w)),
    "conv2d": conv,
    "conv2d_grad_input": lambda w: conv(w, image_shape(w)),
    "conv2d_grad_weight": lambda w: conv(w, image_shape(w)),
    "max_pool2d": lambda w: pooling(),
    "avg_pool2d": lambda w: (*pooling(), KEEPDIMS),
    "max_pool2d_grad": lambda w: (fuzz.arrays(w), *pooling()),
    "avg_pool2d_grad": lambda w: (image_shape(w), *pooling(), KEEPDIMS),
    "from_dlpack": lambda w: (
        st.one_of(fuzz.arrays(w), st.sampled_from([3, np.ones(2), None])),
        DEVICE,
    ),
    **dict.fromkeys(("softmax", "logsoftmax"), lambda w: (fuzz.axes(w),)),
    "logsumexp": lambda w: (fuzz.axes(w), KEEPDIMS),
    **dict.fromkeys(("softmax_grad", "logsoftmax_grad"), lambda w: (fuzz.arrays(w), fuzz.axes(w))),
    "standardize": lambda w: (
        fuzz.axes(w),
        fuzz.numbers(),
        st.none() | fuzz.arrays(w),
        st.none() | fuzz.arrays(w),
    ),
    "standardize_grad": lambda w: (
        fuzz.arrays(w),
        fuzz.arrays(w),
        fuzz.arrays(w),
        fuzz.axes(w),
        st.none() | fuzz.arrays(w),
    ),
    "normalize_grad": lambda w: (*(fuzz.arrays(w) for _ in range(3)), fuzz.axes(w), fuzz.arrays(w)),
    "lstm_cell": lambda w: (fuzz.arrays(w),),
    "lstm_cell_grad": lambda w: (fuzz.arrays(w), fuzz.arrays(w), fuzz.arrays(w)),
    "sgd_step": lambda w: (
        fuzz.arrays(w),
        st.none() | fuzz.arrays(w),
        named("lr momentum undamped weight_decay", "nesterov first first_undamped"),
    ),
    "adam_step": lambda w: (
        fuzz.arrays(w),
        fuzz.arrays(w),
        fuzz.arrays(w),
        named("lr eps weight_decay", "decoupled is_first", "betas corrections"),
    ),
    "__getitem__": lambda w: (fuzz.index(w),),
    "__setitem__": lambda w: (fuzz.index(w), *operand(w)),
}


def handles(w: World) -> st.SearchStrategy[Any]:
    return st.one_of(fuzz.arrays(w).map(lambda a: a._handle), st.sampled_from([3, None, "x"]))


# numpy's function of the same arguments. Arrays in them arrive as numpy arrays.
TWINS: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("add", "subtract", "multiply", "divide", "maximum")},
    **{name: getattr(np, name) for name in ("minimum", "sqrt", "abs", "sin", "expm1")},
    "negate": np.negative,
    "exp": np.exp,
    "tanh": np.tanh,
    "matmul": np.matmul,
    "T": lambda a: a.T,
    "tolist": lambda a: a.tolist(),
    "copy": lambda a: a,
    "compact": lambda a: a,
    "flat": np.ravel,
    "broadcast_to": np.broadcast_to,
}


@pytest.mark.parametrize("name", MEMBERS)
@fuzz.profile(10)
@given(data=st.data())
def test_nd_backend_fuzzed_member(device: BackendDevice, name: str, data: st.DataObject) -> None:
    world = data.draw(fuzz.worlds(device))
    a = data.draw(fuzz.arrays(world))
    arguments = [data.draw(strategy) for strategy in MEMBERS[name](world)]
    by_name = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
    plain = a.numpy()
    try:
        member = getattr(a, name)
        result = member(*arguments, **by_name) if callable(member) else member
    except fuzz.DOCUMENTED as error:
        result = error
    except BufferError as error:  # what the standard has an exporter raise
        if name != "from_dlpack":
            raise
        result = error
    if name not in ("fill", "accumulate", "__setitem__"):
        assert a.numpy().tobytes() == plain.tobytes(), "the array was changed"
    if isinstance(result, NDArray) and result.size < 10**6:
        read_everywhere(result)
    numbers = [x for x in arguments if not isinstance(x, NDArray)]
    if name in TWINS and world.clean and not any(x is None or isinstance(x, str) for x in numbers):
        compare(TWINS[name], [plain, *map(as_numpy, arguments)], result, a.dtype)


def read_everywhere(a: NDArray) -> None:
    """What hands an array on reads every element: copies, casts, pickles and printing."""
    expected = a.numpy().tobytes()
    for other in (a.compact(), copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
        assert other.numpy().tobytes() == expected
    assert repr(a).startswith("NDArray(")
    assert len(a.flat) == a.size


def as_numpy(value: Any) -> Any:
    return value.numpy() if isinstance(value, NDArray) else value


def compare(twin: Callable[..., Any], arguments: list[Any], result: Any, dtype: str) -> None:
    if isinstance(twin, np.ufunc):  # a number is rounded to the array's dtype
        rounded = np.dtype(dtype).type
        arguments = [rounded(x) if isinstance(x, int | float) else x for x in arguments]
    with np.errstate(all="ignore"):
        try:
            want = np.asarray(twin(*arguments))
        except (ValueError, IndexError, TypeError, OverflowError, MemoryError):
            assert isinstance(result, Exception), f"numpy refuses, needle gives {result!r}"
            return
    if want.ndim <= 8:
        assert not isinstance(result, Exception), f"numpy gives {want!r}, needle {result!r}"
        got = np.asarray(result)
        assert got.shape == want.shape
        rtol = 1e-4 if dtype == "float32" else 1e-9
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)


def test_nd_backend_every_public_member_is_fuzzed() -> None:
    public = {name for name in vars(NDArray) if not name.startswith("_")}
    assert public <= set(MEMBERS), f"give them arguments: {sorted(public - set(MEMBERS))}"
