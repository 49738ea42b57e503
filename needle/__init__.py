"""needle: a small deep-learning library with a native core.

>>> import needle as ndl
>>> x = ndl.Tensor([[1.0, 2.0], [3.0, 4.0]])
>>> (x * x).sum().backward()
>>> x.grad
needle.Tensor(NDArray([[2., 4.],
               [6., 8.]], device=cpu()))
"""

# ruff: noqa: F403
from importlib.metadata import version

from needle import autograd as autograd
from needle import backend_ndarray as backend_ndarray
from needle import backend_selection as backend_selection
from needle import data as data
from needle import init as init
from needle import models as models
from needle import nn as nn
from needle import ops as ops
from needle import optim as optim
from needle._core import get_num_threads as get_num_threads
from needle._core import set_num_threads as set_num_threads
from needle.autograd import Op as Op
from needle.autograd import Tensor as Tensor
from needle.autograd import TensorTuple as TensorTuple
from needle.autograd import is_grad_enabled as is_grad_enabled
from needle.autograd import no_grad as no_grad
from needle.backend_selection import all_devices as all_devices
from needle.backend_selection import cpu as cpu
from needle.backend_selection import cpu_numpy as cpu_numpy
from needle.backend_selection import cuda as cuda
from needle.backend_selection import cuda_sim as cuda_sim
from needle.backend_selection import default_device as default_device
from needle.ops import *
from needle.serialization import load as load
from needle.serialization import load_metadata as load_metadata
from needle.serialization import save as save

__version__ = version("needle")
