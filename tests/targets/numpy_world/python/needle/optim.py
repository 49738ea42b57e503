"""Optimizers of homework 2."""

from . import init


class Optimizer:
    def __init__(self, params):
        self.params = params

    def reset_grad(self):
        for p in self.params:
            p.grad = None


class SGD(Optimizer):
    def __init__(self, params, lr=0.01, momentum=0.0, weight_decay=0.0):
        super().__init__(params)
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.u = {}

    def step(self):
        for p in self.params:
            # a defect: the gradient itself is changed
            grad = p.grad.realize_cached_data()
            if self.weight_decay:
                grad += grad.dtype.type(self.weight_decay) * p.numpy()
            grad = p.grad.detach()
            old = self.u.get(p, init.zeros(*p.shape))
            self.u[p] = old * self.momentum + grad * (1 - self.momentum)
            p.data = p.data - self.u[p] * self.lr


class Adam(Optimizer):
    def __init__(self, params, lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
        super().__init__(params)
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.weight_decay = weight_decay
        self.t = 0
        self.m, self.v = {}, {}

    def step(self):
        # a defect: the bias corrections are those of the step before
        first, second = 1 - self.beta1 ** max(self.t, 1), 1 - self.beta2 ** max(self.t, 1)
        self.t += 1
        for p in self.params:
            grad = p.grad.detach() + p.data * self.weight_decay
            zero = init.zeros(*p.shape)
            self.m[p] = self.m.get(p, zero) * self.beta1 + grad * (1 - self.beta1)
            self.v[p] = self.v.get(p, zero) * self.beta2 + grad * grad * (1 - self.beta2)
            m, v = self.m[p] / first, self.v[p] / second
            p.data = p.data - m * self.lr / (v**0.5 + self.eps)
