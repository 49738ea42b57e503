"""What an LSTM cell does after its products: a kernel forward and one for its gradient."""

from __future__ import annotations

from needle.autograd import Tensor, TensorTuple, TensorTupleOp, composed_vjp, make_tuple
from needle.backend_ndarray import NDArray
from needle.ops.activation import sigmoid
from needle.ops.broadcast import check_tensors, reshape
from needle.ops.elementwise import add, multiply, negate, tanh
from needle.ops.joining import concatenate, split
from needle.ops.scalar import add_scalar

__all__ = ["LSTMStep", "LSTMStepGrad", "lstm_step"]


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
