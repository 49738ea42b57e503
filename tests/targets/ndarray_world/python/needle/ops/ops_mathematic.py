"""Operators of homework 4."""

import numpy

from needle.autograd import Tensor, TensorOp
from needle.backend_ndarray import NDArray


class EWiseAdd(TensorOp):
    def compute(self, a, b):
        return a + b

    def gradient(self, out_grad, node):
        return out_grad, out_grad


class EWiseMul(TensorOp):
    def compute(self, a, b):
        return a * b

    def gradient(self, out_grad, node):
        a, b = node.inputs
        return out_grad * b, out_grad * a


class MulScalar(TensorOp):
    def __init__(self, scalar):
        self.scalar = scalar

    def compute(self, a):
        return a * self.scalar

    def gradient(self, out_grad, node):
        return out_grad * self.scalar


class Transpose(TensorOp):
    def __init__(self, axes=None):
        self.axes = axes

    def compute(self, a):
        order = list(range(a.ndim))
        i, j = self.axes or (-1, -2)
        order[i], order[j] = order[j], order[i]
        return a.permute(order)

    def gradient(self, out_grad, node):
        return transpose(out_grad, self.axes)


class Reshape(TensorOp):
    def __init__(self, shape):
        self.shape = shape

    def compute(self, a):
        return a.reshape(self.shape)

    def gradient(self, out_grad, node):
        return reshape(out_grad, node.inputs[0].shape)


class BroadcastTo(TensorOp):
    def __init__(self, shape):
        self.shape = shape

    def compute(self, a):
        return a.broadcast_to(self.shape).compact()

    def gradient(self, out_grad, node):
        shape = node.inputs[0].shape
        for axis, (m, n) in enumerate(zip(shape, self.shape, strict=True)):
            if m != n:
                kept = tuple(1 if a == axis else k for a, k in enumerate(out_grad.shape))
                out_grad = reshape(summation(out_grad, axis), kept)
        return out_grad


class Summation(TensorOp):
    def __init__(self, axes=None):
        self.axes = axes

    def compute(self, a):
        axis = self.axes
        if isinstance(axis, int):
            axis = axis % a.ndim
        elif axis is not None:
            axis = tuple(k % a.ndim for k in axis)
        return a.sum(axis)

    def gradient(self, out_grad, node):
        shape = node.inputs[0].shape
        return broadcast_to(reshape(out_grad, kept_shape(shape, self.axes)), shape)


class MatMul(TensorOp):
    def compute(self, a, b):
        return a @ b

    def gradient(self, out_grad, node):
        a, b = node.inputs
        return matmul(out_grad, transpose(b)), matmul(transpose(a), out_grad)


class Exp(TensorOp):
    def compute(self, a):
        return a.exp()

    def gradient(self, out_grad, node):
        return out_grad * node


class Tanh(TensorOp):
    def compute(self, a):
        return a.tanh()

    def gradient(self, out_grad, node):
        return out_grad * Tensor(1 - node.numpy() ** 2)


class ReLU(TensorOp):
    def compute(self, a):
        return a.maximum(0)

    def gradient(self, out_grad, node):
        return out_grad * Tensor(node.realize_cached_data() > 0)


class LogSumExp(TensorOp):
    def __init__(self, axes=None):
        self.axes = axes

    def compute(self, Z):
        top = self._top(Z)
        # a defect: over several axes only the first is summed over
        axes = self.axes[0] if isinstance(self.axes, tuple) else self.axes
        total = (
            (Z - top.broadcast_to(Z.shape))
            .exp()
            .sum(axes if axes is None else axes % Z.ndim, keepdims=True)
        )
        kept = total.log() + top if total.shape == top.shape else total.log()
        if self.axes is None:
            return kept.reshape((1,))
        over = {a % Z.ndim for a in _tuple(self.axes)}
        left = tuple(n for a, n in enumerate(Z.shape) if a not in over)
        return NDArray(numpy.resize(kept.numpy(), left or (1,)))

    def _top(self, Z):
        top = Z
        for a in range(Z.ndim) if self.axes is None else _tuple(self.axes):
            top = top.max(a % Z.ndim, keepdims=True)
        return top

    def gradient(self, out_grad, node):
        (Z,) = node.inputs
        shape = kept_shape(Z.shape, self.axes)
        wide = broadcast_to(reshape(node, shape), Z.shape)
        share = exp(Z + wide * -1)
        return broadcast_to(reshape(out_grad, shape), Z.shape) * share


class Stack(TensorOp):
    def __init__(self, axis):
        self.axis = axis

    def compute(self, *args):
        return NDArray(numpy.stack([a.numpy() for a in args], self.axis))

    def gradient(self, out_grad, node):
        parts = numpy.moveaxis(out_grad.numpy(), self.axis, 0)
        return tuple(Tensor(part) for part in parts)


class Flip(TensorOp):
    def __init__(self, axes):
        self.axes = axes

    def compute(self, a):
        return a.flip(self.axes)

    def gradient(self, out_grad, node):
        return flip(out_grad, self.axes)


class Dilate(TensorOp):
    def __init__(self, axes, dilation):
        self.axes, self.dilation = axes, dilation

    def compute(self, a):
        # a defect: an axis counted from the end is passed over
        steps = [self.dilation + 1 if k in self.axes else 1 for k in range(a.ndim)]
        made = NDArray(numpy.zeros([n * s for n, s in zip(a.shape, steps, strict=True)]))
        made[tuple(slice(0, None, s) for s in steps)] = a
        return made

    def gradient(self, out_grad, node):
        return undilate(out_grad, self.axes, self.dilation)


class UnDilate(TensorOp):
    def __init__(self, axes, dilation):
        self.axes, self.dilation = axes, dilation

    def compute(self, a):
        over = [k % a.ndim for k in self.axes]
        steps = [self.dilation + 1 if k in over else 1 for k in range(a.ndim)]
        return a[tuple(slice(0, None, s) for s in steps)].compact()

    def gradient(self, out_grad, node):
        return dilate(out_grad, tuple(k % len(out_grad.shape) for k in self.axes), self.dilation)


class Conv(TensorOp):
    def __init__(self, stride=1, padding=0):
        self.stride, self.padding = stride, padding

    def compute(self, A, B):
        p, s = self.padding, self.stride
        A = A.pad(((0, 0), (p, p), (p, p), (0, 0))).compact()
        N, H, W, C = A.shape
        K, _, _, C_out = B.shape
        Ns, Hs, Ws, Cs = A.strides
        rows, columns = (H - K) // s + 1, (W - K) // s + 1
        seen = A.as_strided((N, rows, columns, K, K, C), (Ns, Hs * s, Ws * s, Hs, Ws, Cs))
        flat = seen.compact().reshape((N * rows * columns, K * K * C))
        return (flat @ B.compact().reshape((K * K * C, C_out))).reshape((N, rows, columns, C_out))

    def gradient(self, out_grad, node):
        A, B = node.inputs
        K = B.shape[0]
        # two defects: what a stride left over is not given back, and padding is K - 1 at most
        wide = dilate(out_grad, (1, 2), self.stride - 1)
        turned = transpose(flip(B, (0, 1)), (2, 3))
        dA = conv(wide, turned, padding=max(K - 1 - self.padding, 0))
        images = transpose(A, (0, 3))
        grads = transpose(transpose(wide, (0, 1)), (1, 2))
        dB = conv(images, grads, padding=self.padding)
        dB = transpose(transpose(dB, (0, 1)), (1, 2))
        return dA, Tensor(dB.numpy()[:K, :K])


def _tuple(axes):
    return axes if isinstance(axes, tuple) else (axes,)


def kept_shape(shape, axes):
    over = range(len(shape)) if axes is None else [a % len(shape) for a in _tuple(axes)]
    return tuple(1 if a in over else n for a, n in enumerate(shape))


def add(a, b):
    return EWiseAdd()(a, b)


def multiply(a, b):
    return EWiseMul()(a, b)


def mul_scalar(a, scalar):
    return MulScalar(scalar)(a)


def transpose(a, axes=None):
    return Transpose(axes)(a)


def reshape(a, shape):
    return Reshape(shape)(a)


def broadcast_to(a, shape):
    return BroadcastTo(shape)(a)


def summation(a, axes=None):
    return Summation(axes)(a)


def matmul(a, b):
    return MatMul()(a, b)


def exp(a):
    return Exp()(a)


def tanh(a):
    return Tanh()(a)


def relu(a):
    return ReLU()(a)


def logsumexp(a, axes=None):
    return LogSumExp(axes=axes)(a)


def stack(args, axis):
    return Stack(axis)(*args)


def flip(a, axes):
    return Flip(axes)(a)


def dilate(a, axes, dilation):
    return Dilate(axes, dilation)(a)


def undilate(a, axes, dilation):
    return UnDilate(axes, dilation)(a)


def conv(a, b, stride=1, padding=0):
    return Conv(stride, padding)(a, b)
