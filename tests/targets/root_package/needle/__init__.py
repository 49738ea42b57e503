import os
import sys

print("needle: hello")
print("needle: warning", file=sys.stderr)
os.write(1, b"written past python\n")

from . import autograd, nn, ops, optim  # noqa: E402
from .autograd import Tensor, cpu  # noqa: E402
from .ops import *  # noqa: F403, E402

__all__ = ["Tensor", "autograd", "cpu", "nn", "ops", "optim"]
