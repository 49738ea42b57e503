"""Recurrent cells, and their layers over sequences: torch's conventions, gates i, f, g, o."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from needle import init, ops
from needle.autograd import Tensor, TensorTuple
from needle.backend_ndarray import BackendDevice
from needle.nn.module import Module, Parameter, require_positive

State: TypeAlias = tuple[Tensor, ...]  # what a cell hands on: (h,), an LSTM's (h, c)
_NONLINEARITIES = {"tanh": ops.tanh, "relu": ops.relu}


class _Cell(Module):
    """Weights of one recurrent layer, and one step in time in two parts.

    What the inputs add to the gates needs no state: `project` finds it for any number of steps
    at once. `step` is the rest. Both read the weights anew.
    """

    gates = 1  # columns of the weights for each hidden unit
    states = 1  # Tensors that a step hands on

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        device: BackendDevice | None,
        dtype: str,
    ) -> None:
        super().__init__()
        require_positive(_label(self), input_size=input_size, hidden_size=hidden_size)
        self.input_size = input_size
        self.hidden_size = hidden_size
        width, bound = self.gates * hidden_size, 1 / math.sqrt(hidden_size)

        def uniform(*shape: int) -> Parameter:
            drawn = init.rand(*shape, low=-bound, high=bound, device=device, dtype=dtype)
            return Parameter(drawn)

        self.W_ih = uniform(input_size, width)
        self.W_hh = uniform(hidden_size, width)
        self.bias_ih = uniform(width) if bias else None
        self.bias_hh = uniform(width) if bias else None

    def project(self, x: Tensor) -> Tensor:
        """The inputs' part of the gates, with the biases."""
        y = x @ self.W_ih
        biases = [b for b in (self.bias_ih, self.bias_hh) if b is not None]
        return y + sum(biases[1:], start=biases[0]) if biases else y

    def step(self, projected: Tensor, state: State) -> State:
        """The state after one step; its first part is the output."""
        raise NotImplementedError(f"[{_label(self)}] step is not defined")

    def run(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        """The outputs of a step for each item of projected, and the last state."""
        outputs = []
        for part in ops.split(projected, 0):
            state = self.step(part, state)
            outputs.append(state[0])
        return ops.stack(outputs, 0), state

    def _start(self, x: Tensor, given: Tensor | State | None) -> State:
        """The state before the first step: the one given, or zeros."""
        _require_tensor(_label(self), x)
        if x.ndim != 2 or x.shape[1] != self.input_size:
            raise ValueError(
                f"[{_label(self)}] X has shape (batch, input_size), "
                f"got X.shape={x.shape}, input_size={self.input_size}"
            )
        shape = (x.shape[0], self.hidden_size)
        return _given_or_zeros(_label(self), given, self.states, shape, x)


class RNNCell(_Cell):
    """One step of an RNN: h' = tanh(X W_ih + bias_ih + h W_hh + bias_hh), or relu of that.

    Shape: X (batch, input_size), h (batch, hidden_size) or None for zeros, give h' as h; W_ih
    (input_size, hidden_size), W_hh (hidden_size, hidden_size), biases (hidden_size,).
    Draws: W_ih, W_hh, bias_ih, bias_hh, each uniform within ± 1 / sqrt(hidden_size).
    Raises: ValueError when sizes do not fit or the nonlinearity is neither tanh nor relu.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: BackendDevice | None = None,
        dtype: str = "float32",
    ) -> None:
        if nonlinearity not in _NONLINEARITIES:
            raise ValueError(
                f"[nn.RNNCell] nonlinearity is 'tanh' or 'relu', got nonlinearity={nonlinearity!r}"
            )
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def step(self, projected: Tensor, state: State) -> State:
        (h,) = state
        return (_NONLINEARITIES[self.nonlinearity](projected + h @ self.W_hh),)

    def forward(self, X: Tensor, h: Tensor | None = None) -> Tensor:
        state = self._start(X, h)
        return self.step(self.project(X), state)[0]


class LSTMCell(_Cell):
    """One step of an LSTM: with (i, f, g, o) = X W_ih + bias_ih + h W_hh + bias_hh,

    c' = sigmoid(f) c + sigmoid(i) tanh(g) and h' = sigmoid(o) tanh(c').

    Shape: X (batch, input_size), h = (h, c), each (batch, hidden_size), or None for zeros, give
    (h', c'); W_ih (input_size, 4 hidden_size), W_hh (hidden_size, 4 hidden_size), biases
    (4 hidden_size,).
    Draws: W_ih, W_hh, bias_ih, bias_hh, each uniform within ± 1 / sqrt(hidden_size).
    Raises: ValueError when sizes do not fit.
    Source: Hochreiter and Schmidhuber, 1997; with forget gates, Gers et al., 2000.
    """

    gates = 4
    states = 2

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: BackendDevice | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)

    def step(self, projected: Tensor, state: State) -> State:
        h, c = state
        return ops.lstm_step(projected + h @ self.W_hh, c).tuple()

    def run(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        outputs, *last = ops.lstm_sequence(projected, self.W_hh, *state)
        return outputs, tuple(last)

    def forward(self, X: Tensor, h: State | None = None) -> State:
        state = self._start(X, h)
        return self.step(self.project(X), state)


class _Recurrent(Module):
    """Layers of cells; each takes the whole sequence that the one before gave."""

    def _run(
        self, cells: list[Any], X: Tensor, given: Tensor | State | None
    ) -> tuple[Tensor, State]:
        """The outputs of the last layer, and the last state of all layers."""
        name, first = _label(self), cells[0]
        _require_tensor(name, X)
        if X.ndim != 3 or X.shape[2] != first.input_size or X.shape[0] == 0:
            raise ValueError(
                f"[{name}] X has shape (steps >= 1, batch, input_size), "
                f"got X.shape={X.shape}, input_size={first.input_size}"
            )
        shape = (len(cells), X.shape[1], first.hidden_size)
        starts = _given_or_zeros(name, given, first.states, shape, X)
        of_layers = zip(*(ops.split(s, 0) for s in starts), strict=True)
        ends = []
        for cell, state in zip(cells, of_layers, strict=True):
            X, end = cell.run(cell.project(X), state)
            ends.append(end)
        return X, tuple(ops.stack(parts, 0) for parts in zip(*ends, strict=True))


class RNN(_Recurrent):
    """Layers of RNNCells over a sequence.

    Shape: X (steps, batch, input_size) and h0 (num_layers, batch, hidden_size), or None for
    zeros, give all outputs of the last layer (steps, batch, hidden_size), and the last state of
    every layer as h0.
    Draws: those of each cell in turn.
    Raises: ValueError when sizes do not fit or there is no step.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: BackendDevice | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        require_positive("nn.RNN", num_layers=num_layers)
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        self.rnn_cells = [
            RNNCell(size, hidden_size, bias, nonlinearity, device, dtype) for size in sizes
        ]

    def forward(self, X: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        outputs, (h,) = self._run(self.rnn_cells, X, h0)
        return outputs, h


class LSTM(_Recurrent):
    """Layers of LSTMCells over a sequence.

    Shape: X (steps, batch, input_size) and h = (h0, c0), each (num_layers, batch, hidden_size),
    or None for zeros, give all outputs of the last layer (steps, batch, hidden_size), and (h, c),
    the last state of every layer.
    Draws: those of each cell in turn.
    Raises: ValueError when sizes do not fit or there is no step.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        device: BackendDevice | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        require_positive("nn.LSTM", num_layers=num_layers)
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        self.lstm_cells = [LSTMCell(size, hidden_size, bias, device, dtype) for size in sizes]

    def forward(self, X: Tensor, h: State | None = None) -> tuple[Tensor, State]:
        return self._run(self.lstm_cells, X, h)


def _label(module: Module) -> str:
    """A module's name in messages."""
    return f"nn.{type(module).__name__}"


def _require_tensor(name: str, X: Any) -> None:
    if not isinstance(X, Tensor):
        raise TypeError(f"[{name}] X is a Tensor, got X={type(X).__name__}")


def _given_or_zeros(name: str, given: Any, n: int, shape: tuple[int, ...], like: Tensor) -> State:
    """The n Tensors of a state, which must have this shape."""
    if given is None:
        return (init.zeros(*shape, device=like.device, dtype=like.dtype),) * n
    several = n > 1 and isinstance(given, tuple | list | TensorTuple)
    state = tuple(given) if several else (given,)
    if len(state) != n or not all(isinstance(t, Tensor) for t in state):
        wanted = "one Tensor" if n == 1 else "a pair (h, c)"
        raise TypeError(f"[{name}] the state is {wanted}, got h={type(given).__name__}")
    for part, t in zip("hc", state, strict=False):
        if t.shape != shape:
            raise ValueError(
                f"[{name}] {part} has shape {shape} for this X, got {part}.shape={t.shape}"
            )
    return state
