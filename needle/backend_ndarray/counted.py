"""Objects that are counted while they live: a base class, and their number."""

from needle._core import Counted, counted

__all__ = ["Counted", "counted"]
