"""The ops, a module per family: an Op class with compute, gradient and docstring, and its function.

What a family lists in its `__all__` is exported here and from `needle`.
"""

# ruff: noqa: F403
from needle.ops import operators as operators
from needle.ops.activation import *
from needle.ops.attention import *
from needle.ops.broadcast import *
from needle.ops.comparison import *
from needle.ops.contraction import *
from needle.ops.convolution import *
from needle.ops.elementwise import *
from needle.ops.functions import *
from needle.ops.indexing import *
from needle.ops.joining import *
from needle.ops.layout import *
from needle.ops.loss import *
from needle.ops.matrix import *
from needle.ops.normalization import *
from needle.ops.pooling import *
from needle.ops.recurrent import *
from needle.ops.reduction import *
from needle.ops.scalar import *
from needle.ops.softmax import *
