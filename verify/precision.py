"""Number formats by dtype: bits, exponents, and what computing in one of them rests on.

A dtype of 16 bits is a storage format: kernels compute in float32, sums included, and round each
result once. Everything that bounds and inputs need follows from two numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import ml_dtypes  # noqa: F401  (numpy knows bfloat16 by its name from here on)
import numpy as np


@dataclass(frozen=True, slots=True)
class Precision:
    """A binary format of IEEE 754's kind."""

    p: int  # bits of the significand, the hidden one included
    emin: int  # exponent of the smallest normal number
    inner: str = ""  # the dtype that kernels compute in before they round once; empty: itself

    @property
    def u(self) -> float:
        """Unit roundoff."""
        return math.ldexp(1.0, -self.p)

    @property
    def eps(self) -> float:
        """Distance of 1 from the next number."""
        return 2.0 * self.u

    @property
    def normal(self) -> float:
        """Smallest normal number."""
        return math.ldexp(1.0, self.emin)

    @property
    def eta(self) -> float:
        """Smallest subnormal number."""
        return math.ldexp(1.0, self.emin - self.p + 1)

    @property
    def largest(self) -> float:
        """Largest finite number."""
        return math.ldexp(2.0 - self.eps, 1 - self.emin)


PRECISIONS = {
    "float32": Precision(24, -126),
    "float64": Precision(53, -1022),
    "float16": Precision(11, -14, "float32"),
    "bfloat16": Precision(8, -126, "float32"),
}


def rounded(x: float, dtype: str) -> float:
    """The number of a dtype that is nearest to x."""
    with np.errstate(over="ignore"):
        return float(np.dtype(dtype).type(x))
