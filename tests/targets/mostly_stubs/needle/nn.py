"""Modules that need what is not there."""

from . import ops


class ReLU:
    def __call__(self, x):
        return ops.relu(x)


class Flatten:
    def __call__(self, x):
        return x.reshape((x.shape[0], -1))
