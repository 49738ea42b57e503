"""Op classes without functions; axes are one int, and dilation comes before them."""

import numpy as np

from .autograd import Op, Tensor


class EWiseAdd(Op):
    def compute(self, a, b):
        return a + b

    def gradient(self, out_grad, node):
        return [out_grad, out_grad]


class AddScalar(Op):
    def __init__(self, c):
        self.c = np.float32(c)

    def compute(self, a):
        return a + self.c

    def gradient(self, out_grad, node):
        return [out_grad]


class EWiseMul(Op):
    def compute(self, a, b):
        return a * b

    def gradient(self, out_grad, node):
        a, b = node.inputs
        return [out_grad * b, out_grad * a]


class MulScalar(Op):
    def __init__(self, c):
        self.c = np.float32(c)

    def compute(self, a):
        return a * self.c

    def gradient(self, out_grad, node):
        return [out_grad * self.c]


class PowerScalar(Op):
    def __init__(self, c):
        self.c = c

    def compute(self, a):
        return np.power(a, np.float32(self.c))

    def gradient(self, out_grad, node):
        return [out_grad * (node.inputs[0] ** (self.c - 1)) * self.c]


class Reshape(Op):
    def __init__(self, new_shape):
        self.new_shape = new_shape

    def compute(self, a):
        return a.reshape(self.new_shape)

    def gradient(self, out_grad, node):
        return [out_grad.reshape(*node.inputs[0].shape)]


class BroadcastTo(Op):
    def __init__(self, shape):
        self.shape = shape

    def compute(self, a):
        return np.broadcast_to(a, self.shape)

    def gradient(self, out_grad, node):
        shape = node.inputs[0].shape
        for axis, (m, n) in enumerate(zip(shape, self.shape, strict=True)):
            if m != n:
                kept = (*out_grad.shape[:axis], 1, *out_grad.shape[axis + 1 :])
                out_grad = out_grad.sum(axis).reshape(*kept)
        return [out_grad]


class Summation(Op):
    def __init__(self, axis=None):
        self.axis = axis

    def compute(self, a):
        if self.axis is not None and not isinstance(self.axis, int):
            raise TypeError(f"one axis, got {self.axis}")
        return np.asarray(np.sum(a, axis=self.axis))

    def gradient(self, out_grad, node):
        shape = node.inputs[0].shape
        over = range(len(shape)) if self.axis is None else [self.axis % len(shape)]
        kept = tuple(1 if i in over else n for i, n in enumerate(shape))
        return [out_grad.reshape(*kept).broadcast_to(shape)]


class MatMul(Op):
    def compute(self, a, b):
        return a @ b

    def gradient(self, out_grad, node):
        a, b = node.inputs
        turned = [Tensor(x.numpy().T) for x in (b, a)]
        return [out_grad @ turned[0], turned[1] @ out_grad]


class ReLU(Op):
    def compute(self, a):
        return np.maximum(a, 0)

    def gradient(self, out_grad, node):
        return [out_grad * Tensor(node.inputs[0].numpy() >= 0)]


class Tanh(Op):
    def compute(self, a):
        return np.tanh(a)

    def gradient(self, out_grad, node):
        return [out_grad * (node * node * -1 + 1)]


class Stack(Op):
    def __init__(self, axis):
        self.axis = axis

    def compute(self, *arrays):
        return np.stack(arrays, self.axis)

    def gradient(self, out_grad, node):
        return [Tensor(a) for a in np.moveaxis(out_grad.numpy(), self.axis, 0)]


class Dilate(Op):
    def __init__(self, dilation, axes):
        self.dilation, self.axes = dilation, axes

    def _places(self, ndim):
        places = [slice(None)] * ndim
        for axis in self.axes:
            places[axis] = slice(None, None, self.dilation + 1)
        return tuple(places)

    def compute(self, a):
        shape = list(a.shape)
        for axis in self.axes:
            shape[axis] *= self.dilation + 1
        made = np.zeros(shape, a.dtype)
        made[self._places(a.ndim)] = a
        return made

    def gradient(self, out_grad, node):
        return [Tensor(out_grad.numpy()[self._places(len(node.shape))])]
