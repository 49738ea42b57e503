"""Tensors over NDArray."""

from .backend_ndarray import NDArray


class TensorOp:
    def __call__(self, *args):
        return Tensor.make_from_op(self, args)


class Tensor:
    def __init__(self, array, *, device=None, dtype=None, requires_grad=True):
        self._init(None, (), NDArray(array), requires_grad)

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
        grads = {id(self): out_grad}
        for node in reversed(order):
            node.grad = grads[id(node)]
            found = () if node.op is None else node.op.gradient(node.grad, node)
            for x, g in zip(node.inputs, found, strict=True):
                grads[id(x)] = grads[id(x)] + g if id(x) in grads else g

    def __add__(self, other):
        from . import ops

        return ops.add(self, other)
