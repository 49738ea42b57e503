"""How ops are asked at growing lengths of their sums, and what their kernels guarantee there.

A depth is the most roundings that one term takes part in, read off the kernels:

- sums on the cpu (csrc/cpu/cascade.h, reduce.cc): at most 31 within a block, log2 k - 9 + 2 where
  blocks meet, 7 across the lanes of a row, 1 for a short row, and 8 where parts of a long sum are
  joined, of which there are at most 65: 40 + log2 k.
- sums in numpy, of contiguous elements: pairwise from blocks of 128 on, eight sums side by side:
  16, 7 and 3 within a block, and log2 k - 6.
- sums on cuda (csrc/cuda/reduce_plan.cuh): slices of fewer than 8,192 terms up to 1,024 of these,
  256 threads: 32 a thread, or fewer and 3 within a pack, 5 in a warp, 7 from 8 warps; of the slices
  4, 2, 5 and 7; and what longer slices add.
- products on the cpu (gemm_block.h): a chain of fma over 512 terms, whose result is added to those
  before. On cuda any order: libraries choose it (csrc/cuda/libraries).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from verify.registry.planning import sample
from verify.spec import Growth, Sample

_BLOCK = 512  # kDepth


def _summed(device: str, k: int) -> int | None:
    log = math.ceil(math.log2(k))
    depths = {"cpu": 40 + log, "numpy": 20 + log}
    return depths.get(device, 62 + k // 262144)


def _multiplied(device: str, k: int) -> int | None:
    return min(k, _BLOCK) + math.ceil(k / _BLOCK) if device == "cpu" else None


def _product(a: Any, b: Any) -> Any:
    """matmul, and a convolution of 1 x 1."""
    return a @ b.reshape(b.shape[-2:])


def _vector(k: int) -> Sample:
    return sample((k,))


GROWTHS: dict[str, Growth] = {
    "summation": Growth(_vector, _summed, np.sum),
    "mean": Growth(_vector, _summed, np.mean, 2),
    "cumsum": Growth(lambda k: sample((k,), axis=0)),
    "scatter_add": Growth(lambda k: sample((k,), index=((k,), 1), axis=0, n=1)),
    "matmul": Growth(lambda k: sample((3, k), (k, 2)), _multiplied, _product),
    "nn.Linear": Growth(lambda k: sample((3, k), (k, 2)), _multiplied, _product),
    "conv": Growth(lambda k: sample((1, 1, 2, k), (1, 1, k, 2), padding=0), _multiplied, _product),
    **dict.fromkeys(("var", "logsumexp", "softmax", "logsoftmax", "standardize"), Growth(_vector)),
    "layer_norm": Growth(lambda k: sample((k,), (k,), (k,))),
    # images too small for a row of vectors, of which each is a rest
    "batch_norm": Growth(lambda k: sample((k, 2, 20), (2,), (2,)), longest=3_001),
    "nn.MSELoss": Growth(lambda k: sample((k,), (k,))),
    "nn.SoftmaxLoss": Growth(lambda k: sample((1, k), labels=(1,))),
}
