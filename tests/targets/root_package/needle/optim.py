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
