"""Tensors over NDArray."""

from .backend_ndarray import NDArray, cpu_numpy


class TensorOp:
    def __call__(self, *args):
        return Tensor.make_from_op(self, args)


class Tensor:
    def __init__(self, array, *, device=None, dtype="float32", requires_grad=True):
        if isinstance(array, Tensor):
            array = array.realize_cached_data()
        device = device or cpu_numpy()
        self._init(None, (), NDArray(array, device=device), requires_grad)

    def _init(self, op, inputs, cached_data, requires_grad):
        self.op, self.inputs, self.grad = op, inputs, None
        self.cached_data, self.requires_grad = cached_data, requires_grad

    @staticmethod
    def make_const(data, requires_grad=False):
        made = Tensor.__new__(Tensor)
        made._init(None, (), data, requires_grad)
        return made

    @staticmethod
    def make_from_op(op, inputs):
        made = Tensor.__new__(Tensor)
        needed = any(x.requires_grad for x in inputs)
        data = op.compute(*[x.cached_data for x in inputs])
        made._init(op if needed else None, inputs if needed else (), data, needed)
        return made

    shape = property(lambda self: self.cached_data.shape)
    dtype = property(lambda self: self.cached_data.dtype)
    device = property(lambda self: self.cached_data.device)

    def realize_cached_data(self):
        return self.cached_data

    def numpy(self):
        return self.cached_data.numpy()

    def backward(self, out_grad=None):
        order, seen = [], set()

        def visit(node):
            if id(node) not in seen:
                seen.add(id(node))
                for x in node.inputs:
                    visit(x)
                order.append(node)

        visit(self)
        grads = {id(self): [out_grad]}
        for node in reversed(order):
            node.grad = sum(grads[id(node)][1:], start=grads[id(node)][0])
            if node.op is None:
                continue
            found = node.op.gradient(node.grad, node)
            found = found if isinstance(found, tuple) else (found,)
            for x, g in zip(node.inputs, found, strict=True):
                grads.setdefault(id(x), []).append(g)

    def __add__(self, other):
        from . import ops

        return ops.add(self, other)

    def __mul__(self, other):
        from . import ops

        scaled = isinstance(other, Tensor)
        return ops.multiply(self, other) if scaled else ops.mul_scalar(self, other)
