"""RNN, LSTM and their cells, and Embedding: against torch, draws, errors, long sequences."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import needle as ndl
import needle.backend_ndarray as nd
from needle import autograd, nn


def tensor(a: Any, device: nd.BackendDevice, grad: bool = True) -> ndl.Tensor:
    return ndl.Tensor(a, device=device, dtype="float64", requires_grad=grad)


def close(got: Any, expected: torch.Tensor) -> None:
    assert got.shape == tuple(expected.shape)
    np.testing.assert_allclose(got.numpy(), expected.detach().numpy(), rtol=1e-10, atol=1e-12)


# our name, torch's; torch keeps the transpose of W
NAMES = (("W_ih", "weight_ih"), ("W_hh", "weight_hh"))
BIASES = (("bias_ih", "bias_ih"), ("bias_hh", "bias_hh"))


def pairs(cell: Any, theirs: Any, suffix: str = "") -> list[tuple[ndl.Tensor, torch.Tensor, bool]]:
    """(our parameter, torch's, whether it is transposed)."""
    found = [(getattr(cell, a), getattr(theirs, b + suffix), True) for a, b in NAMES]
    if cell.bias_ih is not None:
        found += [(getattr(cell, a), getattr(theirs, b + suffix), False) for a, b in BIASES]
    return found


def copy(parameters: list[tuple[ndl.Tensor, torch.Tensor, bool]]) -> None:
    with torch.no_grad():
        for ours, theirs, transposed in parameters:
            theirs.copy_(torch.tensor(ours.numpy().T if transposed else ours.numpy()))


def check_gradients(parameters: list[tuple[ndl.Tensor, torch.Tensor, bool]]) -> None:
    for ours, theirs, transposed in parameters:
        assert ours.grad is not None
        assert theirs.grad is not None
        close(ours.grad, theirs.grad.T if transposed else theirs.grad)


def flat(result: Any) -> list[Any]:
    if isinstance(result, tuple):
        return [y for part in result for y in flat(part)]
    return [result]


def compare(ours: Any, theirs: Any, rng: np.random.Generator, device: nd.BackendDevice) -> None:
    """Results equal, and gradients those of a random sum of all results."""
    got, want = flat(ours), flat(theirs)
    assert len(got) == len(want)
    total: Any = 0.0
    their_total: Any = 0.0
    for y, z in zip(got, want, strict=True):
        close(y, z)
        weights = rng.standard_normal(y.shape)
        total = (y * tensor(weights, device, grad=False)).sum() + total
        their_total = (z * torch.tensor(weights)).sum() + their_total
    total.backward()
    their_total.backward()


CELLS = [
    pytest.param("RNNCell", {"nonlinearity": "tanh"}, id="RNN tanh"),
    pytest.param("RNNCell", {"nonlinearity": "relu"}, id="RNN relu"),
    pytest.param("LSTMCell", {}, id="LSTM"),
]


@pytest.mark.parametrize(("kind", "arguments"), CELLS)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("start", [True, False], ids=["state", "no state"])
def test_cell(
    kind: str,
    arguments: dict[str, Any],
    bias: bool,
    start: bool,
    device: nd.BackendDevice,
    rng: np.random.Generator,
) -> None:
    cell = getattr(nn, kind)(3, 5, bias=bias, device=device, dtype="float64", **arguments)
    twin = getattr(torch.nn, kind)(3, 5, bias=bias, dtype=torch.float64, **arguments)
    parameters = pairs(cell, twin)
    assert cell.parameters() == [p for p, _, _ in parameters]
    copy(parameters)
    x = rng.standard_normal((4, 3))
    states = [rng.standard_normal((4, 5)) for _ in range(2 if kind == "LSTMCell" else 1)]
    h: Any = None
    their_h: Any = None
    if start:
        h, their_h = [tensor(s, device) for s in states], [torch.tensor(s) for s in states]
        if len(states) == 1:
            h, their_h = h[0], their_h[0]
    compare(cell(tensor(x, device), h), twin(torch.tensor(x), their_h), rng, device)
    check_gradients(parameters)


LAYERS = [
    pytest.param("RNN", {"nonlinearity": "tanh"}, id="RNN tanh"),
    pytest.param("RNN", {"nonlinearity": "relu"}, id="RNN relu"),
    pytest.param("LSTM", {}, id="LSTM"),
]


@pytest.mark.parametrize(("kind", "arguments"), LAYERS)
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (6, 4)])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("start", [True, False], ids=["state", "no state"])
def test_layers(
    kind: str,
    arguments: dict[str, Any],
    layers: int,
    steps: int,
    batch: int,
    bias: bool,
    start: bool,
    device: nd.BackendDevice,
    rng: np.random.Generator,
) -> None:
    ours = getattr(nn, kind)(3, 5, layers, bias=bias, device=device, dtype="float64", **arguments)
    twin = getattr(torch.nn, kind)(3, 5, layers, bias=bias, dtype=torch.float64, **arguments)
    cells = getattr(ours, f"{kind.lower()}_cells")
    assert len(cells) == layers
    parameters = [p for i, cell in enumerate(cells) for p in pairs(cell, twin, f"_l{i}")]
    assert ours.parameters() == [p for p, _, _ in parameters]
    copy(parameters)
    x, their_x = rng.standard_normal((steps, batch, 3)), None
    h: Any = None
    their_h: Any = None
    if start:
        shape = (layers, batch, 5)
        states = [rng.standard_normal(shape) for _ in range(2 if kind == "LSTM" else 1)]
        h = tuple(tensor(s, device) for s in states)
        their_h = tuple(torch.tensor(s, requires_grad=True) for s in states)
    inputs, their_x = tensor(x, device), torch.tensor(x, requires_grad=True)
    single = kind == "RNN" and start
    compare(
        ours(inputs, h[0] if single else h),
        twin(their_x, their_h[0] if single else their_h),
        rng,
        device,
    )
    check_gradients(parameters)
    check_gradients([(inputs, their_x, False)])
    if start:
        check_gradients([(a, b, False) for a, b in zip(h, their_h, strict=True)])


def test_cells_read_their_weights_at_every_forward(device: nd.BackendDevice) -> None:
    x = tensor(np.ones((2, 3, 2)), device)
    for made, cells in ((nn.RNN(2, 4), "rnn_cells"), (nn.LSTM(2, 4), "lstm_cells")):
        width = getattr(made, cells)[0].W_ih.shape[1]
        for cell in getattr(made, cells):
            for name in ("W_ih", "W_hh"):
                setattr(cell, name, tensor(np.zeros(getattr(cell, name).shape), device))
            cell.bias_ih = tensor(np.full(width, 0.25), device)
            cell.bias_hh = tensor(np.full((1, width), 0.25), device)
        outputs = made(x)[0].numpy()
        sigmoid, t = 1 / (1 + math.exp(-0.5)), math.tanh(0.5)
        expected = t if cells == "rnn_cells" else sigmoid * math.tanh(sigmoid * t)
        np.testing.assert_allclose(outputs[0], np.full((3, 4), expected), rtol=1e-14)
        for cell in getattr(made, cells):  # one bias instead of two
            cell.bias_ih, cell.bias_hh = None, tensor(np.full(width, 0.5), device)
        np.testing.assert_allclose(made(x)[0].numpy(), outputs, rtol=1e-14)


@pytest.mark.parametrize(("make", "gates"), [(nn.RNN, 1), (nn.LSTM, 4)])
def test_draws(make: Any, gates: int, device: nd.BackendDevice) -> None:
    np.random.seed(3)
    made = make(2, 5, 2, device=device, dtype="float64")
    after = np.random.rand()
    np.random.seed(3)
    bound = 1 / math.sqrt(5)
    shapes = [(n, 5 * gates) for n in (2, 5)] + [(5 * gates,)] * 2
    for p, shape in zip(made.parameters(), [*shapes, (5, 5 * gates), *shapes[1:]], strict=True):
        expected = np.random.rand(*shape) * 2 * bound - bound
        np.testing.assert_allclose(p.numpy(), expected, rtol=1e-12, atol=1e-15)
    assert np.random.rand() == after


def test_gates_saturate_without_nan(device: nd.BackendDevice) -> None:
    cell = nn.LSTMCell(1, 2, device=device)
    x = ndl.Tensor([[1e30], [-1e30]], device=device)
    h, c = cell(x)
    (h.sum() + c.sum()).backward()
    for a in (h, c, x.grad, cell.W_ih.grad, cell.bias_ih.grad):
        assert a is not None
        assert np.isfinite(a.numpy()).all()


# --- long sequences


def counted(function: Callable[[], Any]) -> int:
    """How many values the function makes."""
    made = 0
    init = autograd.Value._set
    from_op = autograd.Value.make_from_op.__func__  # type: ignore[attr-defined]

    def counting_set(self: Any, *arguments: Any) -> None:
        nonlocal made
        made += 1
        init(self, *arguments)

    def counting_from_op(cls: Any, *arguments: Any) -> Any:
        nonlocal made
        made += 1
        return from_op(cls, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(autograd.Value, "_set", counting_set)
        patch.setattr(autograd.Value, "make_from_op", classmethod(counting_from_op))
        function()
    return made


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM])
def test_work_is_linear_in_the_length(make: Any, device: nd.BackendDevice) -> None:
    model = make(2, 3, device=device)

    def cost(steps: int) -> tuple[int, int, int]:
        x = ndl.Tensor(np.ones((steps, 1, 2)), device=device)
        gc.collect()  # other tests' graphs
        before = device.memory_stats()
        graph = model(x)[0].sum()
        kept = device.memory_stats()["live_bytes"] - before["live_bytes"]
        with ndl.no_grad():
            nodes = counted(graph.backward)
        return device.memory_stats()["allocations"] - before["allocations"], kept, nodes

    cost(1)  # gives the parameters their gradients
    short, middle, long = (np.array(cost(steps)) for steps in (64, 128, 256))
    # every step costs the same; blocks of memory grow in classes of size
    np.testing.assert_allclose(long - middle, 2 * (middle - short), rtol=0.02)


def test_10_000_steps_of_an_rnn(device: nd.BackendDevice) -> None:
    steps = 10_000
    model = nn.RNN(1, 2, device=device)
    x = ndl.Tensor(np.ones((steps, 1, 1)), device=device)
    before = autograd.TENSOR_COUNTER
    total = model(x)[0].sum()
    with ndl.no_grad():
        total.backward()
    assert x.grad is not None
    # far from its end the sequence is in equilibrium: every step weighs the same
    middle = x.grad.numpy().ravel()[steps // 4 : steps // 2]
    np.testing.assert_allclose(middle, middle[0], rtol=1e-5)
    del total
    assert autograd.TENSOR_COUNTER - before == 5  # the gradients of x and of four parameters


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM])
def test_steps_leak_nothing(make: Any, device: nd.BackendDevice) -> None:
    model = make(2, 3, device=device)
    optimizer = ndl.optim.SGD(model.parameters(), 0.01)
    x = ndl.Tensor(np.ones((2, 1, 2)), device=device, requires_grad=False)
    state: Any = None

    def step() -> None:
        nonlocal state
        outputs, state = model(x, state)
        state = tuple(s.detach() for s in state) if make is nn.LSTM else state.detach()
        optimizer.reset_grad()
        outputs.sum().backward()
        optimizer.step()

    def live() -> tuple[int, int]:
        gc.collect()
        return device.memory_stats()["live_bytes"], autograd.TENSOR_COUNTER

    for _ in range(5):
        step()
    before = live()
    for _ in range(2_000 if device == ndl.cpu() else 50):
        step()
    assert live() == before


# --- embedding


def test_embedding(device: nd.BackendDevice, rng: np.random.Generator) -> None:
    np.random.seed(0)
    layer = nn.Embedding(7, 3, device=device, dtype="float64")
    np.random.seed(0)
    weight = np.random.randn(7, 3)
    np.testing.assert_allclose(layer.weight.numpy(), weight, rtol=1e-15)
    for indices in (np.array([[1, 6], [0, 1], [1, 1]]), np.array(4), np.zeros((2, 0), int)):
        twin = torch.nn.Embedding(7, 3, dtype=torch.float64)
        with torch.no_grad():
            twin.weight.copy_(torch.tensor(weight))
        compare(layer(ndl.Tensor(indices, device=device)), twin(torch.tensor(indices)), rng, device)
        check_gradients([(layer.weight, twin.weight, False)])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
def test_embedding_takes_indices_of_any_dtype(dtype: str, device: nd.BackendDevice) -> None:
    layer = nn.Embedding(3, 2, device=device)
    rows = layer(ndl.Tensor([2, 0], device=device, dtype=dtype, requires_grad=False))
    np.testing.assert_array_equal(rows.numpy(), layer.weight.numpy()[[2, 0]])


@pytest.mark.parametrize(
    ("index", "error"), [(3, IndexError), (-1, IndexError), (0.5, ValueError), (np.nan, ValueError)]
)
def test_embedding_errors(index: float, error: type[Exception], device: nd.BackendDevice) -> None:
    with pytest.raises(error, match=r"\[nn.Embedding\] .* got "):
        nn.Embedding(3, 2, device=device)(ndl.Tensor([0, index], device=device))


# --- errors

X = np.zeros((2, 4, 3))  # steps, batch, input
BAD: dict[str, tuple[Callable[..., Any], type[Exception], str]] = {
    "input size": (
        lambda t: nn.RNNCell(2, 5)(t(X[0])),
        ValueError,
        r"\[nn.RNNCell\] X has shape \(batch, input_size\), got X.shape=\(4, 3\), input_size=2",
    ),
    "width": (lambda t: nn.LSTMCell(2, 5)(t(X[0])), ValueError, r"\[nn.LSTMCell\] X has shape"),
    "axes": (lambda t: nn.LSTMCell(3, 5)(t(X)), ValueError, r"\[nn.LSTMCell\] X has shape"),
    "batch of h": (
        lambda t: nn.RNNCell(3, 5)(t(X[0]), t(np.zeros((3, 5)))),
        ValueError,
        r"\[nn.RNNCell\] h has shape \(4, 5\) for this X, got h.shape=\(3, 5\)",
    ),
    "size of c": (
        lambda t: nn.LSTMCell(3, 5)(t(X[0]), (t(np.zeros((4, 5))), t(np.zeros((4, 1))))),
        ValueError,
        r"\[nn.LSTMCell\] c has shape \(4, 5\) for this X, got c.shape=\(4, 1\)",
    ),
    "h alone": (
        lambda t: nn.LSTM(3, 5)(t(X), t(np.zeros((1, 4, 5)))),
        TypeError,
        r"\[nn.LSTM\] the state is a pair \(h, c\), got h=Tensor",
    ),
    "a pair": (
        lambda t: nn.RNN(3, 5)(t(X), (t(np.zeros((1, 4, 5))), t(np.zeros((1, 4, 5))))),
        TypeError,
        r"\[nn.RNN\] the state is one Tensor, got h=tuple",
    ),
    "layers of h": (
        lambda t: nn.RNN(3, 5, 2)(t(X), t(np.zeros((1, 4, 5)))),
        ValueError,
        r"\[nn.RNN\] h has shape \(2, 4, 5\) for this X, got h.shape=\(1, 4, 5\)",
    ),
    "no step": (lambda t: nn.LSTM(3, 5)(t(X[:0])), ValueError, r"\[nn.LSTM\] X has shape \(steps"),
    "two axes": (lambda t: nn.RNN(3, 5)(t(X[0])), ValueError, r"\[nn.RNN\] X has shape \(steps"),
    "nonlinearity": (
        lambda t: nn.RNN(3, 5, nonlinearity="sin"),
        ValueError,
        r"\[nn.RNNCell\] nonlinearity is 'tanh' or 'relu', got nonlinearity='sin'",
    ),
    "hidden size": (
        lambda t: nn.LSTM(3, 0),
        ValueError,
        r"\[nn.LSTMCell\] hidden_size must be at least 1, got hidden_size=0",
    ),
    "layers": (
        lambda t: nn.RNN(3, 5, 0),
        ValueError,
        r"\[nn.RNN\] num_layers must be at least 1, got num_layers=0",
    ),
    "no Tensor": (lambda t: nn.LSTM(3, 5)(X), TypeError, r"\[nn.LSTM\] X is a Tensor, got X=nd"),
    "indices": (lambda t: nn.Embedding(3, 5)([1]), TypeError, r"\[nn.Embedding\] x is a Tensor"),
    "dtype": (
        lambda t: nn.RNN(3, 5, dtype="float64")(t(X)),
        TypeError,
        r"\[\w+\]",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(name: str) -> None:
    call, error, text = BAD[name]
    with pytest.raises(error, match=text):
        call(ndl.Tensor)


def test_a_sequence_that_is_called_twice_has_the_gradients_of_both() -> None:
    rng = np.random.default_rng(0)

    def inputs(batch: int) -> list[ndl.Tensor]:
        shapes = ((3, batch, 8), (2, 8), (batch, 2), (batch, 2))
        return [ndl.Tensor(rng.standard_normal(s), dtype="float64") for s in shapes]

    op, ours = ndl.ops.LSTMSequence(), inputs(2)
    outputs, _, _ = op(*ours)
    op(*inputs(5))
    outputs.sum().backward()
    alone = [ndl.Tensor(t.numpy(), dtype="float64") for t in ours]
    ndl.ops.lstm_sequence(*alone)[0].sum().backward()
    for ours_, alone_ in zip(ours, alone, strict=True):
        np.testing.assert_array_equal(ours_.grad.numpy(), alone_.grad.numpy())
