"""Stochastic gradient descent."""


class SGD:
    def __init__(self, params, lr=0.01, momentum=0.0, weight_decay=0.0):
        self.params, self.lr = params, lr
        self.momentum, self.weight_decay = momentum, weight_decay
        self.u = {}

    def step(self):
        for p in self.params:
            # a defect: the gradient is not detached, and every step hangs on the one before
            grad = p.grad + p.data * self.weight_decay
            old = self.u[p] * self.momentum if p in self.u else p.data * 0.0
            self.u[p] = old + grad * (1 - self.momentum)
            p.data = p.data - self.u[p] * self.lr


class Adam:
    def __init__(self, params, lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
        self.params, self.lr, self.betas, self.eps = params, lr, (beta1, beta2), eps
        self.weight_decay, self.t, self.m, self.v = weight_decay, 0, {}, {}

    def step(self):
        self.t += 1
        b1, b2 = self.betas
        for p in self.params:
            x = p.numpy()
            grad = p.grad.numpy() + self.weight_decay * x
            self.m[p] = b1 * self.m.get(p, 0) + (1 - b1) * grad
            self.v[p] = b2 * self.v.get(p, 0) + (1 - b2) * grad**2
            m, v = self.m[p] / (1 - b1**self.t), self.v[p] / (1 - b2**self.t)
            p.data = type(p)(x - self.lr * m / (v**0.5 + self.eps))
