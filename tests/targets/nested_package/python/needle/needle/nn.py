"""Layers with parameters and constructors of other names and shapes."""

import numpy as np

from . import ops
from .autograd import Tensor


class Module:
    def __init__(self):
        self.training = True

    def eval(self):
        self.training = False

    def __call__(self, *args):
        return self.forward(*args)


def uniform(*shape):
    return Tensor(np.random.rand(*shape))


class Linear(Module):
    def __init__(self, in_dim, out_dim, bias=True):
        super().__init__()
        # a defect: there is always a bias
        self.w, self.b = uniform(in_dim, out_dim), uniform(1, out_dim)

    def forward(self, X):
        y = X @ self.w
        return y + self.b.broadcast_to(y.shape)


class Tanh(Module):
    def forward(self, x):
        return ops.Tanh()(x)


class LayerNorm1d(Module):
    def __init__(self, features, epsilon=1e-5):
        super().__init__()
        self.features, self.epsilon = features, epsilon
        self.w, self.b = Tensor(np.ones((1, features))), Tensor(np.zeros((1, features)))

    def forward(self, x):
        def rows(v):
            return v.reshape(x.shape[0], 1).broadcast_to(x.shape)

        centred = x - rows(x.mean(1))
        # a defect: eps lies outside of the root
        spread = (centred * centred).mean(1) ** 0.5 + self.epsilon
        y = centred / rows(spread)
        return y * self.w.broadcast_to(x.shape) + self.b.broadcast_to(x.shape)


class BatchNorm1d(Module):
    def __init__(self, dim, momentum=0.1, eps=1e-5):
        super().__init__()
        self.dim, self.eps, self.momentum = dim, eps, momentum
        self.gamma, self.beta = Tensor(np.ones((1, dim))), Tensor(np.zeros((1, dim)))
        self.running_mean = Tensor(np.zeros((1, dim)), requires_grad=False)
        self.running_var = Tensor(np.ones((1, dim)), requires_grad=False)

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean = x.mean(0).reshape(1, self.dim)
            centred = x - mean.broadcast_to(x.shape)
            var = (centred * centred).mean(0).reshape(1, self.dim)
            for old, new in ((self.running_mean, mean), (self.running_var, var)):
                old.data = old.data * (1 - self.momentum) + new.data * self.momentum
        y = (x - mean.broadcast_to(x.shape)) / ((var + self.eps) ** 0.5).broadcast_to(x.shape)
        return y * self.gamma.broadcast_to(x.shape) + self.beta.broadcast_to(x.shape)


class Embedding(Module):
    def __init__(self, num_embeddings, embedding_dim, device=None, dtype="float32"):
        super().__init__()
        self.weights = uniform(num_embeddings, embedding_dim)

    def forward(self, x):
        n, dim = self.weights.shape
        hot = Tensor(np.eye(n)[x.numpy().astype(int).reshape(-1)])
        return (hot @ self.weights).reshape(*x.shape, dim)


class RNNCell(Module):
    def __init__(self, input_size, hidden_size, bias=True, nonlinearity="tanh", device=None):
        super().__init__()
        self.W_ih, self.W_hh = uniform(input_size, hidden_size), uniform(hidden_size, hidden_size)
        self.bias_ih = uniform(hidden_size) if bias else None
        self.bias_hh = uniform(hidden_size) if bias else None
        self.act = {"tanh": ops.Tanh, "relu": ops.ReLU}[nonlinearity]

    def forward(self, X, h=None):
        if h is None:
            # a defect: the state begins at zeros
            h = Tensor(np.ones((X.shape[0], self.W_hh.shape[0])))
        y = X @ self.W_ih + h @ self.W_hh
        if self.bias_ih is not None:
            for bias in (self.bias_ih, self.bias_hh):
                y = y + bias.reshape(1, bias.shape[0]).broadcast_to(y.shape)
        return self.act()(y)


class Residual(Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return x + self.module(x)
