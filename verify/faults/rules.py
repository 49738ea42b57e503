"""What is done to a place: each rule turns it into the faults of one kind.

A rule gives (node, text): the node's text is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from verify.faults import rules_of_arrays as arrays
from verify.faults import rules_of_values as values
from verify.faults.walk import Change, Place

# The first rule that makes a change names its kind: special ones come before general ones.
RULES: dict[str, Callable[[Place], Iterator[Change]]] = {
    "eps": arrays.eps,
    "correction": arrays.correction,
    "variance": arrays.variance,
    "broadcast": arrays.broadcast,
    "transposed": arrays.transposed,
    "axis": arrays.axis,
    "off-by-one": arrays.off_by_one,
    "detached": arrays.detached,
    "comparison": values.comparison,
    "swapped": values.swapped,
    "sign": values.sign,
    "dropped": values.dropped,
    "constant": values.constant,
}
