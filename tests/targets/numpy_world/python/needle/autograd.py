"""Tensors over numpy arrays, homework 2: numbers are float32, whatever is asked for."""

import numpy

TENSOR_COUNTER = 0


class CPUDevice:
    def __repr__(self):
        return "needle.cpu()"

    def __eq__(self, other):
        return isinstance(other, CPUDevice)

    def __hash__(self):
        return hash("cpu")

    def enabled(self):
        return True


def cpu():
    return CPUDevice()


class Op:
    def __call__(self, *args):
        return Tensor.make_from_op(self, args)

    def gradient_as_tuple(self, out_grad, node):
        found = self.gradient(out_grad, node)
        return tuple(found) if isinstance(found, (tuple, list)) else (found,)


class TensorOp(Op):
    pass


class Tensor:
    def __init__(self, array, *, device=None, dtype=None, requires_grad=True, **kwargs):
        if isinstance(array, Tensor):
            array = array.numpy()
        self._init(None, [], numpy.array(array, dtype="float32"), requires_grad)

    def _init(self, op, inputs, cached_data, requires_grad):
        self.op, self.inputs = op, inputs
        self.cached_data, self.requires_grad = cached_data, requires_grad
        self.grad = None

    @staticmethod
    def make_const(data, requires_grad=False):
        made = Tensor.__new__(Tensor)
        made._init(None, [], data, requires_grad)
        return made

    @staticmethod
    def make_from_op(op, inputs):
        made = Tensor.__new__(Tensor)
        data = op.compute(*[x.realize_cached_data() for x in inputs])
        needed = any(x.requires_grad for x in inputs)
        made._init(op if needed else None, list(inputs) if needed else [], data, needed)
        return made

    def realize_cached_data(self):
        return self.cached_data

    def is_leaf(self):
        return self.op is None

    @property
    def shape(self):
        return self.cached_data.shape

    @property
    def dtype(self):
        return self.cached_data.dtype

    @property
    def device(self):
        return cpu()

    @property
    def data(self):
        return self.detach()

    @data.setter
    def data(self, value):
        assert value.dtype == self.dtype, f"{value.dtype} {self.dtype}"
        self.cached_data = value.realize_cached_data()

    def detach(self):
        return Tensor.make_const(self.realize_cached_data())

    def numpy(self):
        return self.realize_cached_data()

    def backward(self, out_grad=None):
        if out_grad is None:
            out_grad = Tensor(numpy.ones(self.shape))
        grads = {self: [out_grad]}
        for node in reversed(find_topo_sort([self])):
            total = grads[node][0]
            for g in grads[node][1:]:
                total = total + g
            node.grad = total
            if node.op is None:
                continue
            for x, g in zip(node.inputs, node.op.gradient_as_tuple(node.grad, node), strict=True):
                grads.setdefault(x, []).append(g)

    def __add__(self, other):
        from . import ops

        return ops.add(self, other) if isinstance(other, Tensor) else ops.add_scalar(self, other)

    def __mul__(self, other):
        from . import ops

        if isinstance(other, Tensor):
            return ops.multiply(self, other)
        return ops.mul_scalar(self, other)

    def __truediv__(self, other):
        from . import ops

        if isinstance(other, Tensor):
            return ops.divide(self, other)
        return ops.divide_scalar(self, other)

    def __rtruediv__(self, other):
        return self**-1 * other

    def __sub__(self, other):
        from . import ops

        if isinstance(other, Tensor):
            return ops.add(self, ops.negate(other))
        return ops.add_scalar(self, -other)

    def __rsub__(self, other):
        return (-self) + other

    def __pow__(self, other):
        from . import ops

        return ops.power_scalar(self, other)

    def __neg__(self):
        from . import ops

        return ops.negate(self)

    def __matmul__(self, other):
        from . import ops

        return ops.matmul(self, other)

    def sum(self, axes=None):
        from . import ops

        return ops.summation(self, axes)

    def reshape(self, shape):
        from . import ops

        return ops.reshape(self, shape)

    def broadcast_to(self, shape):
        from . import ops

        return ops.broadcast_to(self, shape)

    def transpose(self, axes=None):
        from . import ops

        return ops.transpose(self, axes)

    def matmul(self, other):
        from . import ops

        return ops.matmul(self, other)

    __radd__ = __add__
    __rmul__ = __mul__


def find_topo_sort(node_list):
    order, seen = [], set()

    def visit(node):
        if node in seen:
            return
        seen.add(node)
        for x in node.inputs:
            visit(x)
        order.append(node)

    for node in node_list:
        visit(node)
    return order
