"""state_dict and load_state_dict of modules and optimizers: all of a state or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import needle as ndl
import needle.backend_ndarray as nd
from needle import nn, optim


def model(**where: Any) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(4, 3, **where), nn.BatchNorm1d(3, **where), nn.Residual(nn.Linear(3, 3, **where))
    )


NAMES = [
    "modules.0.weight",
    "modules.0.bias",
    "modules.1.weight",
    "modules.1.bias",
    "modules.1.running_mean",
    "modules.1.running_var",
    "modules.2.fn.weight",
    "modules.2.fn.bias",
]


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(
        x.dtype == b[name].dtype and np.array_equal(x, b[name]) for name, x in a.items()
    )


def test_round_trip(device: nd.BackendDevice, dtype: str) -> None:
    ours = model(device=device, dtype=dtype)
    x = ndl.Tensor(np.random.default_rng(0).standard_normal((5, 4)), device=device, dtype=dtype)
    ours(x)  # moves the running statistics
    state = ours.state_dict()
    assert list(state) == NAMES
    assert all(type(a) is np.ndarray and a.dtype == dtype for a in state.values())
    other = model(device=device, dtype=dtype)
    parameters = other.parameters()
    assert other.load_state_dict(state) == ([], [])
    assert other.parameters() == parameters  # an optimizer that holds them sees the new values
    assert same(other.state_dict(), state)
    want = ours.eval()(x).numpy()
    np.testing.assert_array_equal(other.eval()(x).numpy(), want)
    assert {p.device for p in parameters} == {device}
    # copies on the way out and on the way in
    for a in state.values():
        a[...] = 7
    np.testing.assert_array_equal(other(x).numpy(), want)
    np.testing.assert_array_equal(ours(x).numpy(), want)


def test_arrays_of_any_kind_are_taken() -> None:
    state = model().state_dict()
    mixed = {
        name: (nd.array(a), ndl.Tensor(a), a[...])[i % 3]
        for i, (name, a) in enumerate(state.items())
    }
    other = model()
    other.load_state_dict(mixed)
    assert same(other.state_dict(), state)


BAD: list[tuple[Callable[[dict[str, Any]], Any], type[Exception], str]] = [
    (lambda s: s.pop(NAMES[2]), ValueError, r"missing=\['modules\.1\.weight'\], unexpected=\[\]"),
    (lambda s: s.update(extra=np.ones(1)), ValueError, r"missing=\[\], unexpected=\['extra'\]"),
    (
        lambda s: s.update({NAMES[7]: np.ones(3, "float32")}),
        ValueError,
        r"'modules\.2\.fn\.bias' keeps its shape, got shape=\(3,\), expected=\(1, 3\)",
    ),
    (
        lambda s: s.update({NAMES[7]: np.ones((1, 3))}),
        TypeError,
        r"'modules\.2\.fn\.bias' keeps its dtype, got dtype=float64, expected=float32",
    ),
    (lambda s: s.update({NAMES[7]: None}), ValueError, r"keeps its shape, got shape=\(\)"),
    (lambda s: s.update({NAMES[7]: [["a"] * 3]}), TypeError, r"keeps its dtype, got dtype=str"),
]


@pytest.mark.parametrize(("change", "error", "text"), BAD)
def test_nothing_is_loaded_where_something_does_not_fit(
    change: Callable[[dict[str, Any]], Any], error: type[Exception], text: str
) -> None:
    ours = model()
    before = ours.state_dict()
    state = {name: np.full_like(a, 5) for name, a in before.items()}
    change(state)
    with pytest.raises(error, match=r"\[load_state_dict\] .*" + text):
        ours.load_state_dict(state)
    assert same(ours.state_dict(), before)


def test_not_strict() -> None:
    ours = model()
    state = {NAMES[0]: np.ones((4, 3), "float32"), "extra": np.ones(1)}
    assert ours.load_state_dict(state, strict=False) == (NAMES[1:], ["extra"])
    np.testing.assert_array_equal(ours.state_dict()[NAMES[0]], state[NAMES[0]])
    with pytest.raises(ValueError, match="keeps its shape"):
        ours.load_state_dict({NAMES[0]: np.ones((3, 4), "float32")}, strict=False)


def test_names_in_containers_shared_tensors_and_buffers() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts: Any = {"a": [nn.Parameter([1.0])], "b": (nn.Buffer([2.0]),)}
            self.tied = self.parts["a"][0]
            self.plain = ndl.Tensor([3.0])

    ours = Model()
    assert {n: a.tolist() for n, a in ours.state_dict().items()} == {
        "parts.a.0": [1.0],
        "parts.b.0": [2.0],
        "tied": [1.0],
    }
    assert ours.parameters() == [ours.tied]
    assert not ours.parts["b"][0].requires_grad
    ours.parts = {1: nn.Parameter([1.0]), "1": nn.Parameter([2.0])}
    with pytest.raises(ValueError, match=r"a name is one tensor's, got name='parts\.1' twice"):
        ours.state_dict()


def test_bfloat16_parameters() -> None:
    class Model(nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.w = nn.Parameter(np.full(3, value), dtype="bfloat16")

    state = Model(1.5).state_dict()
    assert state["w"].dtype == ml_dtypes.bfloat16
    other = Model(0.0)
    other.load_state_dict(state)
    assert other.w.numpy().tolist() == [1.5] * 3


# --- optimizers

OPTIMIZERS = {
    "SGD": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.01),
    "Adam": lambda params: optim.Adam(params, lr=0.1),
    "AdamW": lambda params: optim.AdamW(params, lr=0.1, weight_decay=0.1),
    "RMSprop": lambda params: optim.RMSprop(params, lr=0.1, momentum=0.9),
}


def steps(parameters: list[Any], optimizer: Any, seeds: range) -> None:
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for p in parameters:
            p.grad = ndl.Tensor(rng.standard_normal(p.shape), device=p.device)
        optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_from_a_file(name: str, device: nd.BackendDevice, tmp_path: Path) -> None:
    make = OPTIMIZERS[name]
    ours, other = nn.Linear(3, 2, device=device), nn.Linear(3, 2, device=device)
    optimizer = make(ours.parameters())
    steps(ours.parameters(), optimizer, range(3))
    optimizer.lr = 0.05  # as a schedule does
    ndl.save(tmp_path / "model", ours.state_dict())
    ndl.save(tmp_path / "optimizer", optimizer.state_dict())
    steps(ours.parameters(), optimizer, range(3, 6))

    other.load_state_dict(ndl.load(tmp_path / "model"))
    again = make(other.parameters())
    again.load_state_dict(ndl.load(tmp_path / "optimizer"))
    steps(other.parameters(), again, range(3, 6))
    assert same(other.state_dict(), ours.state_dict())


@pytest.mark.parametrize(
    ("state", "error", "text"),
    [
        ({"m.2": np.ones((1, 2), "float32")}, ValueError, r"names are lr and .*got name='m\.2'"),
        ({"w.0": np.ones((3, 2), "float32")}, ValueError, r"got name='w\.0'"),
        ({"m.01": np.ones((1, 2), "float32")}, ValueError, r"got name='m\.01'"),
        ({"m.0": np.ones((2, 3), "float32")}, ValueError, r"'m\.0' keeps its shape"),
        ({"m.0": np.ones((3, 2))}, TypeError, r"'m\.0' keeps its dtype"),
        ({"lr": np.array(-1.0)}, ValueError, r"lr must be finite and at least 0"),
        ({"lr": np.ones(2)}, ValueError, r"'lr' is one number, got shape=\(2,\)"),
        ({"lr": "fast"}, TypeError, r"'lr' is a number, got dtype=<U4"),
        ({"m.0": np.array(3)}, ValueError, r"'m\.0' keeps its shape"),
        ({"t.0": np.ones(3, "float32")}, ValueError, r"'t\.0' is one number"),
        ({"t.0": np.array(1.0)}, TypeError, r"'t\.0' is an int, got dtype=float64"),
        ({"t.0": np.array(0)}, ValueError, r"'t\.0' is at least 1, got t\.0=0"),
        ({"m.0": np.ones((3, 2), "float32")}, ValueError, r"got missing=\['t\.0', 'v\.0'\]"),
        ({"m.0": [[1.0], [2.0, 3.0]]}, ValueError, r"'m\.0' is an array, got"),
        ({"t.0": [[1.0], [2.0, 3.0]]}, ValueError, r"'t\.0' is an array, got"),
        ({3: np.ones(1)}, ValueError, r"got name=3"),
        ([1.0], TypeError, r"state is a mapping of names, got type=list"),
    ],
)
def test_states_that_do_not_fit_an_optimizer(state: Any, error: type[Exception], text: str) -> None:
    layer = nn.Linear(3, 2)
    optimizer = optim.Adam(layer.parameters())
    steps(layer.parameters(), optimizer, range(1))
    before = optimizer.state_dict()
    with pytest.raises(error, match=r"\[load_state_dict\] .*" + text):
        optimizer.load_state_dict(state)
    assert same(optimizer.state_dict(), before)
