from . import ops
from .autograd import Tensor
from .backend_ndarray import cpu, cuda

__all__ = ["Tensor", "cpu", "cuda", "ops"]
