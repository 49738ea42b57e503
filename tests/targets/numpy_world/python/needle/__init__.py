from . import init, nn, ops, optim
from .autograd import Tensor, cpu
from .ops import *  # noqa: F403

__all__ = ["Tensor", "cpu", "init", "nn", "ops", "optim"]
