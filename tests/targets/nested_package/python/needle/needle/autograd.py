"""Tensors over numpy arrays; gradients are lists, functions are called by their classes alone."""

import numpy as np


class Device:
    def __init__(self, name):
        self.name = name

    def __eq__(self, other):
        return self.name == other.name


def cpu():
    raise ImportError("no module named ndarray_backend_cpu")


def cpu_numpy():
    return Device("cpu_numpy")


class Op:
    def __call__(self, *args):
        return Tensor.make_from_op(self, args)


class Tensor:
    def __init__(self, array, device=None, dtype="float32", requires_grad=True):
        array = array.numpy() if isinstance(array, Tensor) else array
        self._init(None, [], np.array(array, dtype=np.float32), requires_grad)

    def _init(self, op, inputs, data, requires_grad):
        self.op, self.inputs, self.cached_data = op, inputs, data
        self.requires_grad, self.grad = requires_grad, None

    @classmethod
    def make_const(cls, data, *, requires_grad=False):
        made = Tensor.__new__(Tensor)
        made._init(None, [], data, requires_grad)
        return made

    @staticmethod
    def make_from_op(op, inputs):
        made = Tensor.__new__(Tensor)
        made._init(op, inputs, op.compute(*[x.cached_data for x in inputs]), True)
        if not any(x.requires_grad for x in inputs):
            made._init(None, [], made.cached_data, False)
        return made

    shape = property(lambda self: self.cached_data.shape)
    dtype = property(lambda self: str(self.cached_data.dtype))

    def realize_cached_data(self):
        return self.cached_data

    def numpy(self):
        return self.cached_data

    def detach(self):
        return Tensor.make_const(self.cached_data)

    @property
    def data(self):
        return self.detach()

    @data.setter
    def data(self, value):
        self.cached_data = value.cached_data

    def backward(self, out_grad=None):
        if out_grad is None:
            out_grad = Tensor(np.ones(self.shape))
        order, seen = [], set()

        def visit(node):
            if node not in seen:
                seen.add(node)
                for x in node.inputs:
                    visit(x)
                order.append(node)

        visit(self)
        grads = {self: [out_grad]}
        for node in reversed(order):
            node.grad = grads[node][0]
            for g in grads[node][1:]:
                node.grad = node.grad + g
            if node.op is not None:
                for x, g in zip(node.inputs, node.op.gradient(node.grad, node), strict=True):
                    grads.setdefault(x, []).append(g)

    def __add__(self, other):
        from . import ops

        if isinstance(other, Tensor):
            return ops.EWiseAdd()(self, other)
        return ops.AddScalar(other)(self)

    def __mul__(self, other):
        from . import ops

        if isinstance(other, Tensor):
            return ops.EWiseMul()(self, other)
        return ops.MulScalar(other)(self)

    def __sub__(self, other):
        return self + other * -1

    def __pow__(self, other):
        from . import ops

        return ops.PowerScalar(other)(self)

    def __truediv__(self, other):
        return self * other**-1

    def __matmul__(self, other):
        from . import ops

        return ops.MatMul()(self, other)

    def sum(self, axis):
        from . import ops

        return ops.Summation(axis)(self)

    def mean(self, axis):
        return self.sum(axis) * (1 / self.shape[axis])

    def reshape(self, *shape):
        from . import ops

        return ops.Reshape(shape)(self)

    def broadcast_to(self, shape):
        from . import ops

        return ops.BroadcastTo(shape)(self)
