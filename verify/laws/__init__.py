"""How drawn numbers must be distributed, restated, and the evidence against them."""

from verify.laws.evidence import ALPHA, Evidence, Law, T
from verify.laws.kinds import Bernoulli, Exactly, Normal, Uniform

__all__ = ["ALPHA", "Bernoulli", "Evidence", "Exactly", "Law", "Normal", "T", "Uniform"]
