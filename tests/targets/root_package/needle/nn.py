"""Two modules."""

import numpy

from . import ops
from .autograd import Op


class Module:
    def __call__(self, *args):
        return self.forward(*args)


class Tanh(Module):
    def forward(self, x):
        return ops.tanh(x)


class _Logistic(Op):
    def compute(self, a):
        return 1 / (1 + numpy.exp(-a))

    def gradient(self, out_grad, node):
        # a defect: infinity over infinity where exp(-x) leaves the range
        e = numpy.exp(-node.inputs[0].cached_data)
        return out_grad * type(out_grad)(e / (1 + e) ** 2)


class Sigmoid(Module):
    def forward(self, x):
        return _Logistic()(x)
