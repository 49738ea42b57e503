"""Every pair that is timed, by family."""

from __future__ import annotations

from collections.abc import Iterator

import definitions
import layers
import operations
import training
from definitions import Pair

FAMILIES = {
    f.__name__: f
    for f in (
        operations.operations,
        definitions.matmul,
        definitions.convolution,
        definitions.dispatch,
        layers.softmax,
        layers.normalization,
        layers.recurrent,
        layers.optimizers,
        training.models,
    )
}


def pairs(
    families: list[str] | None = None, dtypes: tuple[str, ...] = ("float32", "float64")
) -> Iterator[Pair]:
    """The pairs of some families, or of all."""
    for name in families or FAMILIES:
        for dtype in dtypes:
            yield from FAMILIES[name](dtype)
