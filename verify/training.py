"""How a row's subject is trained, and what a training step starts from and leaves.

The judges `step` and `trajectory` ask it; a row of verify/registry/training.py describes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy.typing as npt

from verify.spec import Sample

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Setup:
    """What the arguments of a sample stand for, by public names."""

    model: str
    model_arguments: dict[str, Any]
    optimizer: str
    optimizer_arguments: dict[str, Any]
    # (parameter, gradient, memory, number of the step, **arguments) -> parameter, memory after it
    update: Callable[..., tuple[Any, dict[str, Any]]]
    # (number of the step) -> the most that the step moves a parameter, whatever its gradients were;
    # None where the step is in proportion to them
    reach: Callable[[int], float] | None = None


@dataclass(frozen=True, slots=True)
class State:
    """Everything that a step changes."""

    parameters: list[Array]
    statistics: list[Array]  # running ones, in the order of the model: mean, variance, mean, ...
    # of the optimizer, of each parameter: by the names of its state_dict, without the count of
    # steps
    memory: list[dict[str, Array]]


@dataclass(frozen=True, slots=True)
class Step:
    """What a step finds, and the state after it."""

    loss: Array
    gradients: list[Array]
    state: State


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step sees. Before it, numpy's global generator is seeded: dropout draws there."""

    inputs: Array
    labels: Array
    seed: int


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a row's subject is trained. Its model gives scores, its loss is their cross-entropy."""

    samples: Sequence[Sample]  # the shape of a batch, and what `setup` takes
    setup: Callable[[dict[str, Any]], Setup]
    # (t, take, inputs, **model's arguments) -> scores, batch statistics in the order of State;
    # take: (kind, *shape) -> the next parameter, in the order of the model
    network: Callable[..., tuple[Any, list[Any]]]
    draw: Callable[..., Array]  # (rng, kind, shape) -> a parameter to start with
    classes: Callable[[dict[str, Any]], int]  # how many scores, from the sample's arguments
    words: bool = False  # inputs are ids of words, and not real numbers
    # kind of parameter -> why its true gradient is zero: an optimizer that divides by the size of
    # gradients moves it along rounding errors
    zero: Mapping[str, str] = field(default_factory=dict)
    steps: int = 2  # of the judge `step`
    slow: bool = False  # whether only a deep run can wait for a trajectory
    # dtype -> why the bound of a step in it would let wrong arrays pass
    unclaimed: Mapping[str, str] = field(default_factory=dict)
