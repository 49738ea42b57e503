from .autograd import Tensor
from .ops import *  # noqa: F403

__all__ = ["Tensor"]
