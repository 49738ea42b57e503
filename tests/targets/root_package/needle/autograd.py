"""Tensors over numpy arrays; a gradient is a TensorTuple. float64 is kept."""

import numpy


class Device:
    def enabled(self):
        return True

    def __eq__(self, other):
        return isinstance(other, Device)


def cpu():
    return Device()


class Value:
    def _init(self, op, inputs, data, requires_grad):
        self.op, self.inputs, self.cached_data = op, inputs, data
        self.requires_grad, self.grad = requires_grad, None
        return self

    def realize_cached_data(self):
        return self.cached_data


class Op:
    result = None  # what is made of its data

    def __call__(self, *inputs):
        print("computing", type(self).__name__)
        data = self.compute(*[x.cached_data for x in inputs])
        made = Value.__new__(TensorTuple if isinstance(data, tuple) else Tensor)
        needed = any(x.requires_grad for x in inputs)
        return made._init(self if needed else None, inputs if needed else (), data, needed)


class TensorTuple(Value):
    def __len__(self):
        return len(self.cached_data)

    def __getitem__(self, index):
        if self.op is None:
            return Tensor.make_const(self.cached_data[index])
        return TupleGetItem(index)(self)

    def tuple(self):
        return tuple(self[i] for i in range(len(self)))

    def __add__(self, other):
        return make_tuple(*[a + b for a, b in zip(self.tuple(), other.tuple(), strict=True)])


class MakeTuple(Op):
    def compute(self, *arrays):
        return tuple(arrays)

    def gradient(self, out_grad, node):
        return out_grad


def make_tuple(*tensors):
    return MakeTuple()(*tensors)


class TupleGetItem(Op):
    def __init__(self, index):
        self.index = index

    def compute(self, arrays):
        return arrays[self.index]

    def gradient(self, out_grad, node):
        parts = [Tensor(numpy.zeros_like(a)) for a in node.inputs[0].cached_data]
        parts[self.index] = out_grad
        return (make_tuple(*parts),)


class Tensor(Value):
    def __init__(self, array, *, device=None, dtype=None, requires_grad=True):
        data = array.cached_data if isinstance(array, Tensor) else array
        self._init(None, (), numpy.array(data, dtype=dtype), requires_grad)

    @staticmethod
    def make_const(data, requires_grad=False):
        return Value.__new__(Tensor)._init(None, (), data, requires_grad)

    shape = property(lambda self: self.cached_data.shape)
    dtype = property(lambda self: self.cached_data.dtype)

    @property
    def data(self):
        return Tensor.make_const(self.cached_data)

    @data.setter
    def data(self, value):
        self.cached_data = value.cached_data

    detach = data.fget

    def numpy(self):
        return self.cached_data

    def backward(self, out_grad=None):
        if out_grad is None:
            out_grad = Tensor(numpy.ones(self.shape), dtype=self.dtype)
        grads = {self: [out_grad]}
        for node in reversed(topological(self)):
            node.grad = sum(grads[node][1:], start=grads[node][0])
            if node.op is not None:
                found = node.op.gradient(node.grad, node)
                found = found if isinstance(found, (tuple, TensorTuple)) else (found,)
                for x, g in zip(node.inputs, [found[i] for i in range(len(found))], strict=True):
                    grads.setdefault(x, []).append(g)

    def __add__(self, other):
        from . import ops

        return ops.add(self, other) if isinstance(other, Tensor) else ops.add_scalar(self, other)

    def __mul__(self, other):
        from . import ops

        scaled = not isinstance(other, Tensor)
        return ops.mul_scalar(self, other) if scaled else ops.multiply(self, other)

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return self - other  # a defect: the operands are the wrong way round

    __radd__, __rmul__ = __add__, __mul__


def topological(last):
    order, seen = [], set()

    def visit(node):
        if node not in seen:
            seen.add(node)
            for x in node.inputs:
                visit(x)
            order.append(node)

    visit(last)
    return order
