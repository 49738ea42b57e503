"""How accurate elementary functions are: errors in ULP of the result, at most, by device and dtype.

The one home of these constants; nothing is read at run time. cpu, numpy, torch: `needle-verify
calibrate` measures them, reports/accuracy-*.json keep what it found on instruction sets v2 to v4,
and a test holds the two together: a constant is at least the largest error found and at most 1.25
times that, rounded up to a tenth (`allowed`). Beyond what was found there is room for what the
float64 search, or a sample of float32, did not meet.

DOCUMENTED constants stand for functions that differ with the machine, and only have to be large
enough here: numpy's exp and log state 2.52 and 3.83 in numpy's sources for other processors; the C
library's other double functions have those of glibc's manual; SLEEF's, which torch calls, are
within 1.0. rsqrt is 1 / sqrt(a), two roundings: half a ULP, and u |y|, which is at most one. pow
has two operands and no table: cpu's float32 was 0.504 over 4 million pairs. cuda: the tables of the
CUDA C++ Programming Guide's appendix on mathematical functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

_CPU = {
    "float32": {
        "exp": 1.1,
        "log": 1.0,
        "tanh": 2.5,
        "pow": 0.6,
        "rsqrt": 1.5,
        # computed in float64 and rounded
        **dict.fromkeys(("sin", "cos"), 0.501),
        "log1p": 1.7,
        "expm1": 1.8,
        "erf": 1.5,
        "erfc": 5.0,
    },
    "float64": {
        "exp": 1.1,
        "log": 0.9,
        "tanh": 2.7,
        "pow": 1.0,
        "rsqrt": 1.5,
        "sin": 0.9,
        "cos": 0.9,
        "log1p": 1.3,
        "expm1": 2.0,
        "erf": 1.4,
        "erfc": 4.4,
    },
}
_NUMPY = {
    "float32": {
        "exp": 2.6,
        "log": 3.9,
        "tanh": 1.7,
        "pow": 2.0,
        # computed in float64 and rounded
        **dict.fromkeys(("rsqrt", "sin", "cos", "log1p", "expm1", "erf", "erfc"), 0.501),
    },
    "float64": {
        "exp": 1.0,
        "log": 1.0,
        "tanh": 1.4,
        "pow": 1.0,
        "rsqrt": 1.5,
        "sin": 1.0,
        "cos": 1.0,
        "log1p": 1.0,
        "expm1": 1.0,
        "erf": 1.2,
        "erfc": 3.5,
    },
}
_CUDA = {
    "float32": {
        "exp": 2.0,
        "log": 1.0,
        "tanh": 2.0,
        "pow": 4.0,
        "rsqrt": 1.5,  # 1 / sqrt(a), two roundings
        "sin": 2.0,
        "cos": 2.0,
        "log1p": 1.0,
        "expm1": 1.0,
        "erf": 2.0,
        "erfc": 4.0,
    },
    "float64": {
        "exp": 1.0,
        "log": 1.0,
        "tanh": 2.0,
        "pow": 2.0,
        "rsqrt": 1.5,
        "sin": 2.0,
        "cos": 2.0,
        "log1p": 1.0,
        "expm1": 1.0,
        "erf": 2.0,
        "erfc": 5.0,
    },
}
# A function of torch tensors given to verify.check, in either dtype.
_TORCH = {
    "exp": 1.0,
    "log": 1.0,
    "tanh": 1.0,
    "pow": 1.0,
    "sqrt": 0.8,  # elsewhere IEEE's, correctly rounded
    "rsqrt": 1.5,
    "sin": 1.0,
    "cos": 1.0,
    "log1p": 1.5,
    "expm1": 1.0,
    "erf": 1.0,
    "erfc": 1.0,
}
# Phi(a) inside torch's own gelu in float32, in u = 2^-24: where 1 + erf(a / sqrt(2)) cancels, the
# error of a Phi(a) is one relative to a. Its kernels differ with the machine; oneDNN's for AVX-512,
# which the table is of, had the largest error of the five tried.
_TORCH_GELU = 6.6
# Kernels of a whole formula, in float32 and on any device of ours: the largest error found.
WHOLE_ULP = {"gelu": 7.7}
# Of somebody else's library, which computes with numpy or the C library (glibc's manual: 2 ULP for
# tanh, 1 for the others here).
_COURSE = {
    dtype: {name: max(k, 2.0 if name == "tanh" else 1.0) for name, k in table.items()}
    for dtype, table in _NUMPY.items()
}
# device -> dtype -> function -> ULP
K_ULP = {
    "numpy": _NUMPY,
    "cpu": _CPU,
    "cuda": _CUDA,
    "cuda_sim": _CUDA,
    "torch": {"float32": _TORCH | {"gelu": _TORCH_GELU}, "float64": _TORCH},
    "course": _COURSE,
}
# torch's own in float64, for the oracle's share.
ORACLE_ULP = {
    "exp": 0.7,
    "log": 0.9,
    "tanh": 1.0,
    "pow": 1.0,
    "sqrt": 0.6,
    "rsqrt": 1.5,
    "sin": 0.7,
    "cos": 0.7,
    "log1p": 1.3,
    "expm1": 1.1,
    "erf": 1.0,
    "erfc": 1.0,
}
DOCUMENTED = {
    *(("numpy", "float32", name) for name in ("exp", "log")),
    *(("numpy", "float64", name) for name in ("exp", "log", "sin", "cos", "log1p", "expm1")),
    *(("torch", dtype, name) for dtype in ("float32", "float64") for name in _TORCH),
}

# Of a float32 factor of a product that is made with TF32's 11 bits: 2^-11 where it is rounded, and
# twice that where a tensor core reads a float32 and leaves out what it has no bits for, as NVIDIA's
# libraries let it.
TF32 = 2.0**-10


def allowed(most: float) -> tuple[float, float]:
    """The least and the largest constant for a largest error found."""
    return most, math.ceil(round(12.5 * most, 6)) / 10


def in_turn(terms: int) -> int:
    """Roundings that a term of a sum meets at most, in any order: one for each other term."""
    return max(terms - 1, 0)


def _cascade(terms: int) -> int:
    """The same for the cpu's sums over any axes (csrc/cpu/cascade.h), of any shape and layout.

    31 roundings in a block of 32 rows. B blocks meet as the carries of a binary counter do: a block
    that rose l levels meets l others, then those above it, bit_length(B) together. n <= 128 values
    side by side are folded by halves, ceil(log2 n) more. At least half of the rows hold n terms,
    the others are the rests of runs: with R <= 2 terms / n rows that is at most
    31 + log2(R / 32) + 1 + log2(n) + 1 = 29 + log2(terms), and 31 + ceil(log2 n) below 32 rows.

    From 512 terms on (65,536 elements in rows of 128 results) a sum may be cut into parts, whose
    p + 1 results are summed in turn: at most p and at most 34 roundings, never above 6.4 for each
    factor 2 of p; the last parts have at least 128 terms.
    """
    cuts = 7 * (terms // 128).bit_length() if terms >= 512 else 0
    return min(in_turn(terms), 31 + terms.bit_length() + cuts)


# Devices whose 3 x 3 convolutions of stride 1 may be computed by Winograd's transforms; the
# smallest images, the fewest channels of those that are (csrc/cpu/conv_winograd.h).
WINOGRAD = frozenset({"cpu"})
WINOGRAD_IMAGE, WINOGRAD_CHANNELS = 8, 32

# device -> roundings of a sum of so many terms, where its kernels promise fewer than any order has
ROUNDINGS_OF_SUM: dict[str, Callable[[int], int]] = {"cpu": _cascade}
