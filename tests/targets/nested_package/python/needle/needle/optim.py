"""Adam with other names."""

import numpy as np


class Adam:
    def __init__(self, params, learning_rate=0.01, b1=0.9, b2=0.999, epsilon=1e-8, wd=0.0):
        self.params, self.lr, self.eps, self.wd = params, learning_rate, epsilon, wd
        self.b1, self.b2, self.t = b1, b2, 0
        self.m = [np.zeros(p.shape, np.float32) for p in params]
        self.v = [np.zeros(p.shape, np.float32) for p in params]

    def step(self):
        self.t += 1
        f = np.float32
        for i, p in enumerate(self.params):
            grad = p.grad.numpy() + f(self.wd) * p.numpy()
            self.m[i] = f(self.b1) * self.m[i] + f(1 - self.b1) * grad
            self.v[i] = f(self.b2) * self.v[i] + f(1 - self.b2) * grad * grad
            m, v = self.m[i] / f(1 - self.b1**self.t), self.v[i] / f(1 - self.b2**self.t)
            # a defect: eps lies inside the root
            p.data = type(p)(p.numpy() - f(self.lr) * m / np.sqrt(v + f(self.eps)))


class SGD:
    def __init__(self, parameters, learning_rate=0.01, mu=0.0, l2=0.0):
        self.params, self.lr, self.mu, self.l2 = parameters, learning_rate, mu, l2
        self.u = [0.0 for _ in self.params]

    def step(self):
        for i, p in enumerate(self.params):
            grad = p.grad.data + p.data * self.l2
            old = grad * 0 if self.u[i] == 0.0 else self.u[i]
            self.u[i] = old * self.mu + grad * (1 - self.mu)
            p.data = p.data - self.u[i] * self.lr
