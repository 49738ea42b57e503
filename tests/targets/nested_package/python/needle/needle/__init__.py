from . import nn, ops, optim
from .autograd import Tensor, cpu, cpu_numpy

__all__ = ["Tensor", "cpu", "cpu_numpy", "nn", "ops", "optim"]
