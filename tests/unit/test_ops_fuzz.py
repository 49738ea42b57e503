"""Random input to every function of needle.ops: numpy's result or a documented exception.

The functions are those that needle.ops exports; a parameter is filled by its name, so that a new op
is thrown at from its first day, and a test fails when a name has no strategy.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import needle as ndl
from needle import ops
from needle.backend_ndarray import BackendDevice, NDArray

sys.path.insert(0, str(Path(__file__).parent))  # fuzz_inputs.py lies beside this file
import fuzz_inputs as fuzz
from fuzz_inputs import World

FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: thing
    for name, thing in vars(ops).items()
    if inspect.isfunction(thing) and not name.startswith("_")
}
COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
Strategy = Callable[[World], st.SearchStrategy[Any]]


def tensors(world: World, shape: tuple[int, ...] | None = None) -> st.SearchStrategy[Any]:
    def tensor(array: NDArray, grad: bool) -> ndl.Tensor:
        return ndl.Tensor(array, requires_grad=grad and array.dtype in fuzz.COMPUTED)

    return st.builds(tensor, fuzz.arrays(world, shape), st.booleans())


def operands(world: World) -> st.SearchStrategy[Any]:
    if world.clean:
        return tensors(world)
    return st.one_of(*[tensors(world)] * 7, st.sampled_from([None, 3, "x", np.ones(2)]))


def maybe(inner: Strategy) -> Strategy:
    return lambda world: st.none() | inner(world)


def choice(*values: Any) -> Strategy:
    return lambda world: st.sampled_from(values)


def labels(world: World) -> st.SearchStrategy[Any]:
    """Whole numbers, mostly small, in the world's shape, one of its axes dropped or another."""
    shapes = st.sampled_from([world.shape, world.shape[:-1], (2,), ()])
    made = st.builds(
        lambda shape, high, seed: np.random.default_rng(seed).integers(-1, high, shape),
        shapes,
        st.integers(0, 4),
        st.integers(0, 99),
    )
    return st.one_of(
        made,
        made.map(lambda a: abs(a)),
        made.map(ndl.Tensor),
        choice("x", [[1], [2, 3]], 1.5)(world),
    )


def pads(world: World) -> st.SearchStrategy[Any]:
    pair = st.tuples(st.integers(0, 2), st.integers(0, 2))
    fitting = st.lists(pair, min_size=len(world.shape), max_size=len(world.shape))
    wild = st.lists(st.tuples(fuzz.some_ints(), st.integers(-1, 1)), max_size=3)
    return st.one_of(fitting, fitting, wild, choice(3, "x", None, (1, 2))(world))


def sequences(world: World) -> st.SearchStrategy[Any]:
    many = st.lists(tensors(world, world.shape), min_size=0, max_size=3)
    return st.one_of(many, many.map(tuple), st.lists(operands(world), max_size=2))


# By the parameter's name; "op.name" is for that op alone.
PARAMETERS: dict[str, Strategy] = {
    **dict.fromkeys(
        ("a", "b", "c", "h", "x", "gates", "logits", "weight", "bias", "q", "k", "v"), operands
    ),
    "projected": operands,
    **dict.fromkeys(("running_mean", "running_var"), maybe(operands)),
    **dict.fromkeys(("scalar", "c0", "c1", "slope", "eps", "correction"), lambda w: fuzz.numbers()),
    **dict.fromkeys(("low", "high", "scale", "momentum"), lambda w: st.none() | fuzz.numbers()),
    **dict.fromkeys(
        ("keepdims", "training", "causal", "count_include_pad", "reverse"), choice(False, True)
    ),
    **dict.fromkeys(("kernel", "stride"), lambda w: fuzz.small(1)),
    **dict.fromkeys(("padding", "dilation"), lambda w: fuzz.small(0)),
    **dict.fromkeys(("labels", "index", "indices", "mask"), labels),
    **dict.fromkeys(("groups", "n"), lambda w: st.one_of(st.integers(0, 4), fuzz.some_ints())),
    **dict.fromkeys(("args", "tensors", "operands"), sequences),
    "axis": fuzz.axis,
    "axes": fuzz.axes,
    "shape": fuzz.shapes,
    "value": lambda w: st.one_of(
        operands(w), tensors(w, (2, *w.shape[:7])).map(lambda t: ops.split(t, 0))
    ),
    "dtype": choice("float32", "float64", "int8", None),
    "device": choice(None, ndl.cpu_numpy(), "cpu"),
    "approximate": choice("none", "tanh", "x"),
    "spec": choice("ij,jk->ik", "ij->ji", "ii", "i,i->", "...i->...", "ij,jk", "x", ""),
    "getitem.index": fuzz.index,
    "tuple_get_item.index": lambda w: st.one_of(st.integers(-3, 3), fuzz.some_ints()),
    "pad.padding": pads,
    "dilate.dilation": lambda w: st.one_of(
        st.integers(0, 3), st.sampled_from([-1, 1 << 62, 1 << 70, "x", 0.5])
    ),
    "where.a": lambda w: st.one_of(operands(w), fuzz.numbers()),
    "where.b": lambda w: st.one_of(operands(w), fuzz.numbers()),
}
PARAMETERS["undilate.dilation"] = PARAMETERS["dilate.dilation"]
for _name in COMPARISONS:
    PARAMETERS[f"{_name}.b"] = PARAMETERS["where.b"]

size = st.integers(1, 4)


@st.composite
def fitting(draw: st.DrawFn, name: str, world: World) -> dict[str, Any]:
    """Shapes that fit each other, where unrelated ones almost never would."""

    def t(*shape: int) -> Any:
        return draw(tensors(world, shape))

    n, m, k, c = (draw(size) for _ in range(4))
    match name:
        case "matmul":
            lead = draw(st.lists(size, max_size=2))
            return {"a": t(*lead, m, k), "b": t(k, n) if draw(st.booleans()) else t(*lead, k, n)}
        case "conv":
            return {"a": t(n, m + 2, k + 2, c), "b": t(draw(size), draw(size), c, m), "groups": 1}
        case "max_pool" | "avg_pool":
            return {"x": t(n, m + 2, k + 2, c)}
        case "layer_norm":
            return {"x": t(n, m, c), "weight": t(c), "bias": t(c)}
        case "batch_norm":
            own = {"running_mean": t(c), "running_var": t(c)} if draw(st.booleans()) else {}
            return {"x": t(n, c, m), "weight": t(c), "bias": t(c), "axis": 1, **own}
        case "attention_weights" | "scaled_dot_product_attention":
            v = {"v": t(n, k, m)} if name.startswith("scaled") else {}
            return {"q": t(n, m, c), "k": t(n, k, c), **v}
        case "lstm_step":
            return {"gates": t(n, 4 * m), "c": t(n, m)}
        case "lstm_sequence":
            state = {"h": t(n, m), "c": t(n, m)}
            return {"projected": t(k, n, 4 * m), "weight": t(m, 4 * m), **state}
        case "cross_entropy":
            return {"logits": t(n, c), "labels": np.arange(n) % c}
    return {}


def close(got: Any, want: Any, dtype: str) -> None:
    assert got.shape == want.shape
    rtol = 1e-4 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)


# The same function of numpy arrays, its parameters in the order of ours.
TWINS: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "multiply": np.multiply,
    "divide": np.divide,
    "power": np.power,
    "maximum": np.maximum,
    "negate": np.negative,
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "matmul": np.matmul,
    "relu": lambda a: np.where(a < 0, 0, a),
    "summation": lambda a, axes, keepdims: np.sum(a, fuzz_axes(axes), keepdims=keepdims),
    "max": lambda a, axes, keepdims: np.max(a, fuzz_axes(axes), keepdims=keepdims),
    "reshape": lambda a, shape: a.reshape(shape),
    "broadcast_to": lambda a, shape: np.broadcast_to(a, shape),
    "permute": lambda a, axes: a.transpose(fuzz_axes(np.atleast_1d(axes).tolist())),
    "flip": lambda a, axes: np.flip(a, fuzz_axes(axes)),
    "getitem": lambda a, index: np.asarray(a[index]),
    "stack": lambda args, axis: np.stack(args, axis),
    "pad": lambda a, padding: np.pad(a, padding) if a.ndim else a,
    **{name: getattr(np, name) for name in COMPARISONS},
}
# What numpy takes and needle's documents refuse: then needle must raise.
REFUSED: dict[str, Callable[..., bool]] = {
    **{
        name: lambda a, axes, keepdims: a.ndim == 0 and axes not in (None, (), [])
        for name in ("summation", "max")
    },
    "flip": lambda a, axes: axes is None,
    "permute": lambda a, axes: not all(-8 <= axis < 8 for axis in np.atleast_1d(axes)),
    "reshape": lambda a, shape: min(np.atleast_1d(np.array(shape, object)), default=0) < -1,
    "getitem": lambda a, index: any(isinstance(i, bool) for i in fuzz_parts(index)),
    "pad": lambda a, padding: np.shape(padding) != (a.ndim, 2) and (a.ndim, padding) != (0, []),
    **{name: lambda a, b: b is None for name in COMPARISONS},
}


def fuzz_parts(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def fuzz_axes(axes: Any) -> Any:
    return tuple(axes) if isinstance(axes, list) else axes


def plain(value: Any) -> Any:
    """A Tensor as a numpy array."""
    if isinstance(value, list | tuple):
        return type(value)(plain(v) for v in value)
    return value.numpy() if isinstance(value, ndl.Tensor) else value


def leaves(value: Any) -> list[ndl.Tensor]:
    if isinstance(value, list | tuple):
        return [leaf for v in value for leaf in leaves(v)]
    return [value] if isinstance(value, ndl.Tensor) and value.op is None else []


def call(name: str, arguments: dict[str, Any]) -> Any:
    """Calls with arguments by name; *args are spread."""
    positional: list[Any] = []
    for parameter in inspect.signature(FUNCTIONS[name]).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional += arguments.pop(parameter.name)
    return FUNCTIONS[name](*positional, **arguments)


def check(name: str, world: World, arguments: dict[str, Any]) -> None:
    inputs = [
        leaf
        for parameter, value in arguments.items()
        if not parameter.startswith("running_")  # these are meant to be written to
        for leaf in leaves(value)
    ]
    before = [leaf.numpy().tobytes() for leaf in inputs]
    try:
        result = call(name, dict(arguments))
    except fuzz.DOCUMENTED as error:
        result = error
    assert [leaf.numpy().tobytes() for leaf in inputs] == before, "an input was changed"
    if name in TWINS and world.clean and not isinstance(result, MemoryError):
        compare(name, world, {k: plain(v) for k, v in arguments.items()}, result)
    if isinstance(result, Exception):
        return
    for part in result if isinstance(result, ndl.TensorTuple) else (result,):
        assert isinstance(part, ndl.Tensor)
        if part.requires_grad:
            part.backward()
            for leaf in inputs:
                if leaf.grad is not None:
                    assert (leaf.grad.shape, leaf.grad.dtype) == (leaf.shape, leaf.dtype)


def compare(name: str, world: World, arguments: dict[str, Any], result: Any) -> None:
    with np.errstate(all="ignore"):
        try:
            bound = inspect.signature(FUNCTIONS[name]).bind(**arguments)
            bound.apply_defaults()
            if name in REFUSED and REFUSED[name](*bound.args):
                raise ValueError("refused")
            want = np.asarray(TWINS[name](*bound.args))
        except (ValueError, IndexError, TypeError, OverflowError, MemoryError):
            assert isinstance(result, Exception), f"numpy refuses, needle gives {result!r}"
            return
    if want.ndim > 8 or want.dtype == object:
        return
    assert not isinstance(result, Exception), f"numpy gives {want!r}, needle {result!r}"
    close(result.numpy(), want, world.dtype)


@pytest.mark.parametrize("name", FUNCTIONS)
@fuzz.profile(10)
@given(data=st.data())
def test_fuzzed_op(device: BackendDevice, name: str, data: st.DataObject) -> None:
    world = data.draw(fuzz.worlds(device))
    arguments = data.draw(fitting(name, world)) if data.draw(st.integers(0, 3)) else {}
    for parameter in inspect.signature(FUNCTIONS[name]).parameters.values():
        given_already = parameter.name in arguments
        optional = parameter.default is not parameter.empty
        if given_already or (optional and data.draw(st.booleans())):
            continue
        strategy = PARAMETERS.get(f"{name}.{parameter.name}") or PARAMETERS[parameter.name]
        arguments[parameter.name] = data.draw(strategy(world), label=parameter.name)
    check(name, world, arguments)


def test_every_parameter_of_every_op_has_a_strategy() -> None:
    missing = {
        f"{name}.{parameter}"
        for name, function in FUNCTIONS.items()
        for parameter in inspect.signature(function).parameters
        if parameter not in PARAMETERS and f"{name}.{parameter}" not in PARAMETERS
    }
    assert not missing, f"give them a strategy in PARAMETERS: {sorted(missing)}"
    assert len(FUNCTIONS) > 30
