"""How accurate elementary functions are: errors in ULP of the result, at most, by device and dtype.

numpy: measured over every 997th float32 pattern and, in float64, against 36 digits; for float32 exp
and log the larger 2.52 and 3.83 that numpy's sources state for other processors; from rsqrt on, in
float64, at 9,000 arguments of every size against 48 digits: 1.41, 0.51, 0.51, 0.56, 0.50, 0.83,
2.16. cpu: csrc's own formulas, measured by tests/native/maths_test.cc. cuda: the tables of the CUDA
C++ Programming Guide's appendix on mathematical functions.
"""

from __future__ import annotations

from collections.abc import Callable

_NUMPY = {
    "float32": {
        "exp": 2.6,
        "log": 3.9,
        "tanh": 2.0,
        "pow": 2.0,
        # computed in float64 and rounded
        **dict.fromkeys(("rsqrt", "sin", "cos", "log1p", "expm1", "erf", "erfc"), 0.501),
    },
    "float64": {
        "exp": 1.0,
        "log": 1.0,
        "tanh": 2.0,
        "pow": 1.0,
        "rsqrt": 1.5,
        "sin": 1.0,
        "cos": 1.0,
        "log1p": 1.0,
        "expm1": 1.0,
        "erf": 1.0,
        "erfc": 3.0,
    },
}
_CPU_EITHER = {
    "exp": 1.5,
    "log": 1.5,
    "tanh": 2.5,
    "pow": 1.0,
    "rsqrt": 1.5,
    "sin": 1.0,
    "cos": 1.0,
    "log1p": 2.0,
    "expm1": 2.0,
    "erf": 1.5,
    "erfc": 5.0,
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
# device -> dtype -> function -> ULP
K_ULP = {
    "numpy": _NUMPY,
    "cpu": {"float32": _CPU_EITHER, "float64": _CPU_EITHER},
    "cuda": _CUDA,
    "cuda_sim": _CUDA,
}
# torch's own in float64, for the oracle's share: measured, in this order, 0.52, 0.73, 0.75, 0.60,
# 1.41, 0.51, 0.50, 1.00 (a denormal), 0.78, 0.72, 0.75.
ORACLE_ULP = {
    "exp": 1.0,
    "log": 1.0,
    "tanh": 1.0,
    "pow": 1.0,
    "rsqrt": 1.5,
    "sin": 1.0,
    "cos": 1.0,
    "log1p": 1.5,
    "expm1": 1.0,
    "erf": 1.0,
    "erfc": 1.0,
}
# A function of torch tensors given to verify.check: in float32 too, SLEEF's of at most 1.0 ULP.
K_ULP["torch"] = {"float32": ORACLE_ULP, "float64": ORACLE_ULP}


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


# device -> roundings of a sum of so many terms, where its kernels promise fewer than any order has
ROUNDINGS_OF_SUM: dict[str, Callable[[int], int]] = {"cpu": _cascade}
