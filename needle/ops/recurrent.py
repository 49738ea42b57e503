"""What an LSTM cell does after its products, and its steps through a sequence.

Each is one node, and so is its gradient.
"""

from __future__ import annotations

from needle.autograd import Tensor, TensorTuple, TensorTupleOp, composed_vjp, make_tuple
from needle.backend_ndarray import NDArray, empty
from needle.backend_ndarray import concatenate as joined
from needle.ops.activation import sigmoid
from needle.ops.broadcast import check_tensors, reshape, summation
from needle.ops.elementwise import add, multiply, negate, tanh
from needle.ops.joining import concatenate, split, stack
from needle.ops.layout import transpose
from needle.ops.matrix import matmul
from needle.ops.scalar import add_scalar

__all__ = [
    "LSTMSequence",
    "LSTMSequenceGrad",
    "LSTMStep",
    "LSTMStepGrad",
    "lstm_sequence",
    "lstm_step",
]


class LSTMStep(TensorTupleOp):
    """(h', c') of gates (i, f, g, o) side by side and c.

    c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c').
    Shape: gates (batch, 4 n), c (batch, n) give two of (batch, n).
    Gradient: LSTMStepGrad.
    Raises: ValueError when the shapes do not fit.
    """

    __slots__ = ()

    def compute(self, gates: NDArray, c: NDArray) -> tuple[NDArray, NDArray]:
        return gates.lstm_cell(c)

    def gradient(self, out_grad: TensorTuple, node: TensorTuple) -> tuple[Tensor, Tensor]:
        dgates, dc = LSTMStepGrad()(*node.inputs, *out_grad)
        return dgates, dc

    def composed(self, gates: Tensor, c: Tensor) -> TensorTuple:
        """The same of other ops."""
        i, f, g, o = _parts(gates)
        after = add(multiply(sigmoid(f), c), multiply(sigmoid(i), tanh(g)))
        return make_tuple(multiply(sigmoid(o), tanh(after)), after)


class LSTMStepGrad(TensorTupleOp):
    """The cotangents of gates and c from (gates, c, dh', dc').

    Gradient: that of the same of other ops.
    """

    __slots__ = ()

    def compute(
        self, gates: NDArray, c: NDArray, dh: NDArray, dc: NDArray
    ) -> tuple[NDArray, NDArray]:
        return gates.lstm_cell_grad(c, dh, dc)

    def gradient(self, out_grad: TensorTuple, node: TensorTuple) -> tuple[Tensor | None, ...]:
        return composed_vjp(self.composed, node.inputs, out_grad)

    def composed(self, gates: Tensor, c: Tensor, dh: Tensor, dc: Tensor) -> TensorTuple:
        """The same of other ops."""
        i, f, g, o = _parts(gates)
        si, sf, so, fresh = sigmoid(i), sigmoid(f), sigmoid(o), tanh(g)
        seen = tanh(add(multiply(sf, c), multiply(si, fresh)))
        of_c = add(dc, multiply(multiply(dh, so), _slope(seen)))
        # 1 - sigmoid(x) cancels where it is small
        parts = (
            multiply(multiply(of_c, fresh), multiply(si, sigmoid(negate(i)))),
            multiply(multiply(of_c, c), multiply(sf, sigmoid(negate(f)))),
            multiply(multiply(of_c, si), _slope(fresh)),
            multiply(multiply(dh, seen), multiply(so, sigmoid(negate(o)))),
        )
        return make_tuple(concatenate(parts, 1), multiply(of_c, sf))


class LSTMSequence(TensorTupleOp):
    """(outputs, h', c'): an LSTMStep for each item of projected, of gates projected[t] + h weight.

    Shape: projected (steps, batch, 4 n), weight (n, 4 n), h and c (batch, n) give outputs
    (steps, batch, n) and two of (batch, n).
    Gradient: LSTMSequenceGrad.
    Raises: ValueError when the shapes do not fit or there is no step.
    """

    __slots__ = ("cells", "gates", "outputs", "taken")

    gates: list[NDArray]  # of every step, found by compute for the gradient
    cells: list[NDArray]  # before every step
    outputs: NDArray
    taken: tuple[NDArray, ...]  # what they were found from

    def compute(
        self, projected: NDArray, weight: NDArray, h: NDArray, c: NDArray
    ) -> tuple[NDArray, NDArray, NDArray]:
        steps, batch, n = len(projected), *h.shape
        self.outputs = empty((steps, batch, n), dtype=h.dtype, device=h.device)
        self.gates, self.cells = [], []
        self.taken = (projected, weight, h, c)
        for t in range(steps):
            self.gates.append(projected[t] + h @ weight)
            self.cells.append(c)
            h, c = self.gates[t].lstm_cell(c)
            self.outputs[t] = h
        return self.outputs, h, c

    def pull_back(
        self,
        projected: NDArray,
        weight: NDArray,
        h: NDArray,
        c: NDArray,
        doutputs: NDArray,
        dh: NDArray,
        dc: NDArray,
    ) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """The cotangents of compute's arguments from those of its results."""
        given = (projected, weight, h, c)
        if not all(a is b for a, b in zip(getattr(self, "taken", (None,) * 4), given, strict=True)):
            self.compute(*given)  # of another call, or of none
        steps, batch, n = self.outputs.shape
        dprojected = empty(projected.shape, dtype=h.dtype, device=h.device)
        back = weight.transpose()
        for t in reversed(range(steps)):
            dgates, dc = self.gates[t].lstm_cell_grad(self.cells[t], dh + doutputs[t], dc)
            dprojected[t] = dgates
            dh = dgates @ back
        # One product for all steps: its operands are what every step had beside the weight.
        before = joined((h.reshape(1, batch, n), self.outputs[:-1]), 0).reshape(steps * batch, n)
        dweight = before.transpose() @ dprojected.reshape(steps * batch, 4 * n)
        return dprojected, dweight, dh, dc

    def gradient(self, out_grad: TensorTuple, node: TensorTuple) -> tuple[Tensor, ...]:
        return LSTMSequenceGrad(self)(*node.inputs, *out_grad).tuple()

    def composed(self, projected: Tensor, weight: Tensor, h: Tensor, c: Tensor) -> TensorTuple:
        """The same of other ops."""
        outputs = []
        for part in split(projected, 0):
            h, c = lstm_step(add(part, matmul(h, weight)), c)
            outputs.append(h)
        return make_tuple(stack(outputs, 0), h, c)


class LSTMSequenceGrad(TensorTupleOp):
    """The cotangents of projected, weight, h and c from those four and (doutputs, dh', dc').

    Gradient: that of the same of other ops.
    """

    __slots__ = ("sequence",)

    def __init__(self, sequence: LSTMSequence | None = None) -> None:
        self.sequence = sequence or LSTMSequence()

    def compute(self, *arrays: NDArray) -> tuple[NDArray, ...]:
        return self.sequence.pull_back(*arrays)

    def gradient(self, out_grad: TensorTuple, node: TensorTuple) -> tuple[Tensor | None, ...]:
        return composed_vjp(self.composed, node.inputs, out_grad)

    def composed(
        self,
        projected: Tensor,
        weight: Tensor,
        h: Tensor,
        c: Tensor,
        doutputs: Tensor,
        dh: Tensor,
        dc: Tensor,
    ) -> TensorTuple:
        """The same of other ops."""
        gates: list[Tensor] = []
        states: list[tuple[Tensor, ...]] = [(h, c)]
        for part in split(projected, 0):
            h, c = states[-1]
            gates.append(add(part, matmul(h, weight)))
            states.append(lstm_step(gates[-1], c).tuple())
        dgates, dweights = [], []
        for of_gates, (h, c), doutput in zip(
            reversed(gates),
            reversed(states[:-1]),
            reversed(split(doutputs, 0).tuple()),
            strict=True,
        ):
            of_step, dc = LSTMStepGrad()(of_gates, c, add(dh, doutput), dc)
            dgates.append(of_step)
            dweights.append(matmul(transpose(h), of_step))
            dh = matmul(of_step, transpose(weight))
        dweight = summation(stack(dweights, 0), 0)
        return make_tuple(stack(dgates[::-1], 0), dweight, dh, dc)


def _slope(t: Tensor) -> Tensor:
    return add_scalar(negate(multiply(t, t)), 1)


def _parts(gates: Tensor) -> TensorTuple:
    """i, f, g and o."""
    rows, width = gates.shape
    return split(reshape(gates, (rows, 4, width // 4)), 1)


def lstm_step(gates: Tensor, c: Tensor) -> TensorTuple:
    """The next (h, c) of an LSTM from its gates before their functions, and c. See LSTMStep."""
    check_tensors("lstm_step", gates=gates, c=c)
    return LSTMStep()(gates, c)


def lstm_sequence(projected: Tensor, weight: Tensor, h: Tensor, c: Tensor) -> TensorTuple:
    """The outputs of an LSTM for all steps, and the last (h, c). See LSTMSequence."""
    check_tensors("lstm_sequence", projected=projected, weight=weight, h=h, c=c)
    if projected.ndim != 3 or len(projected) == 0:
        raise ValueError(
            "[lstm_sequence] projected has shape (steps >= 1, batch, 4 n), "
            f"got projected.shape={projected.shape}"
        )
    width = projected.shape[2]
    expected = {"weight": (width // 4, width), "h": (projected.shape[1], width // 4)}
    expected["c"] = expected["h"]
    for (name, shape), t in zip(expected.items(), (weight, h, c), strict=True):
        if width % 4 or t.shape != shape:
            raise ValueError(
                f"[lstm_sequence] {name} has shape {shape} for this projected, "
                f"got {name}.shape={t.shape}, projected.shape={projected.shape}"
            )
    return LSTMSequence()(projected, weight, h, c)
