"""Every pair that is timed, by family and op."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator

from verify.bench import definitions, layers, operations, training
from verify.bench.definitions import Pair
from verify.plan import require_known

Make = Callable[[str], Iterator[Pair]]  # of a dtype; inputs are made on the way

# family -> op, as verify's rows name it -> its pairs
FAMILIES: dict[str, dict[str, Make]] = {
    "operations": {
        op.op: functools.partial(operations.operation, op.op) for op in operations.OPERATIONS
    },
    "matmul": {"matmul": definitions.matmul},
    "convolution": {"conv": definitions.convolution},
    "dispatch": {"add": definitions.dispatch},
    "softmax": {"softmax": layers.softmax},
    "normalization": {"layer_norm": layers.layer_norm, "batch_norm": layers.batch_norm},
    "recurrent": {"nn.LSTMCell": layers.recurrent},
    "optimizers": {"optim.Adam": layers.optimizers},
    "models": {
        "models.ResNet9": training.resnet,
        "models.LanguageModel": training.language_model,
        "nn.Transformer": training.transformers,
        "nn.Linear": training.perceptron,
    },
}


def select(ops: Iterable[str] = (), families: Iterable[str] = ()) -> list[tuple[str, str]]:
    """(family, op) of what names and globs stand for; nothing given: all. Raises: UsageError."""
    import fnmatch

    ops, families = tuple(ops), tuple(families)
    for family in families:
        require_known("family", family, FAMILIES)
    every = [(f, op) for f, found in FAMILIES.items() for op in found]
    for pattern in ops:
        names = list(dict.fromkeys(op for _, op in every))
        if not fnmatch.filter(names, pattern):
            require_known("op", pattern, names)
    return [
        (family, op)
        for family, op in every
        if (not families or family in families)
        and (not ops or any(fnmatch.fnmatchcase(op, pattern) for pattern in ops))
    ]


def pairs(
    families: Iterable[str] = (), dtypes: Iterable[str] = ("float32", "float64")
) -> Iterator[Pair]:
    """The pairs of some families, or of all."""
    for family, op in select(families=families):
        for dtype in dtypes:
            yield from FAMILIES[family][op](dtype)
