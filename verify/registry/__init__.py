"""The registry: one row per public op and layer of needle, by family, and the plan of its cases.

To add an op, add one row to its family's file (CONTRIBUTING.md shows one). Cheap to import: neither
torch nor needle.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from verify.registry import (
    activation,
    arrays,
    autograd,
    circumstances,
    conv,
    data,
    elementwise,
    functions,
    gradients,
    indexing,
    initializers,
    joining,
    language_models,
    layers,
    layers_of_ops,
    layout,
    matmul,
    memory,
    models,
    modules,
    normalization,
    optimizers,
    parts,
    plugins,
    pooling,
    recurrent,
    reduction,
    schedules,
    softmax,
    transformer,
    tuples,
)
from verify.registry.activation import WHOLE
from verify.registry.batches import batch_of
from verify.registry.costs import BYTES, FLOPS
from verify.registry.growing import GROWTHS
from verify.registry.identities import IDENTITIES, MULTILINEAR
from verify.registry.parameters import DRAWS
from verify.registry.planning import plan_cases
from verify.registry.refusals import REFUSALS
from verify.registry.refusals_of_layers import LAYERS
from verify.registry.refusals_of_training import TRAINING as UPDATES
from verify.registry.training import TRAINING
from verify.spec import Row, UsageError

__all__ = ["NOT_JUDGED", "given_plugins", "plan_cases", "rows", "use_plugins"]

FAMILIES = (
    elementwise,
    functions,
    activation,
    reduction,
    matmul,
    conv,
    softmax,
    normalization,
    pooling,
    layout,
    arrays,
    memory,
    indexing,
    joining,
    autograd,
    tuples,
    modules,
    layers,
    layers_of_ops,
    recurrent,
    transformer,
    parts,
    circumstances,
    gradients,
    optimizers,
    models,
    language_models,
    initializers,
    schedules,
    data,
)

# Public functions, layers, optimizers and models without a row, and why.
NOT_JUDGED = {
    **dict.fromkeys(("make_tuple", "tuple_get_item"), "autograd.TensorTuple is asked for both"),
    "fused_add_scalars": "gives a TensorTuple for graph rewrites; add_scalar is judged",
    **dict.fromkeys(
        ("optim.Optimizer", "optim.Schedule", "data.Dataset"),
        "a base class: what derives from it is judged",
    ),
    **dict.fromkeys(
        ("nn.Parameter", "nn.Buffer"), "a Tensor that a Module finds; nothing computed"
    ),
    **dict.fromkeys(
        ("data.MNISTDataset", "data.CIFAR10Dataset", "data.Corpus", "data.Dictionary"),
        "reads files: tests/unit/test_data.py holds it against files written there",
    ),
    **dict.fromkeys(("data.parse_mnist", "models.parse_mnist"), "reads files, as MNISTDataset"),
    "data.DataError": "an exception",
    "models.loss_err": "models.softmax_loss, which is judged, and a count",
    **dict.fromkeys(
        (
            *("models.nn_epoch", "models.epoch", "models.train_mnist"),
            *("models.epoch_general_cifar10", "models.train_cifar10", "models.evaluate_cifar10"),
            *("models.epoch_general_ptb", "models.train_ptb", "models.evaluate_ptb"),
        ),
        "a loop over a data set: tests/unit/test_models_training.py",
    ),
}


_plugins: tuple[str, ...] = ()  # files
_elsewhere = False  # whether they are read where somebody else's needle is imported


def use_plugins(paths: Sequence[str], elsewhere: bool = False) -> None:
    """From now on, in this process, these files' rows are there too, and no other file's.

    elsewhere: they are somebody else's needle's, and not among the rows of ours.

    Raises: UsageError for a file that cannot be used.
    """
    global _plugins, _elsewhere
    wanted = tuple(dict.fromkeys(str(Path(path).resolve()) for path in paths))
    if wanted or _plugins:  # read again: it may have changed
        _plugins, _elsewhere = wanted, elsewhere
        rows.cache_clear()
        rows()


def given_plugins() -> tuple[str, ...]:
    """The plugin files in use."""
    return _plugins


@functools.cache
def rows() -> dict[str, Row]:
    """Every row by its public name, families together, in the order of their files; plugins' last.

    Raises: UsageError for a plugin that cannot be used.
    """
    table = _own_rows()
    for row in plugins.rows_of(() if _elsewhere else _plugins):
        if row.name in table:
            where = table[row.name].place or "needle's own rows"
            raise UsageError(
                f"[plugin] a name has one row, got name={row.name!r} at {row.place} and in {where}"
            )
        table[row.name] = row
    return table


def _own_rows() -> dict[str, Row]:
    """Those of this package."""
    table: dict[str, Row] = {}
    refused = REFUSALS | LAYERS | UPDATES
    for family in FAMILIES:
        for row in family.ROWS:
            if row.name in table:
                raise ValueError(f"[registry] a name has one row, got name={row.name!r} twice")
            table[row.name] = replace(
                row,
                errors=refused.get(row.name, row.errors),
                draws=DRAWS.get(row.name, row.draws),
                training=TRAINING.get(row.name),
                multilinear=row.name in MULTILINEAR,
                identities=IDENTITIES.get(row.name, row.identities),
                batch=batch_of(row),
                growth=GROWTHS.get(row.name),
                whole=row.name.rpartition(".")[2].lower() in WHOLE,
                flops=FLOPS.get(row.name, row.flops),
                bytes=BYTES.get(row.name, row.bytes),
            )
    return table
