"""Calls by keyword: implementations order, name and leave out parameters as they like."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from verify.spec import Missing

# the course's name -> names that implementations give it
_SYNONYMS: dict[str, tuple[str, ...]] = {
    "axes": ("axes", "axis", "dims", "dim"),
    "axis": ("axis", "axes", "dim"),
    "scalar": ("scalar", "c", "value", "s"),
    "shape": ("shape", "new_shape", "target_shape", "output_shape"),
    "dilation": ("dilation", "dilations", "d"),
    "padding": ("padding", "pad"),
    "p": ("p", "drop_prob", "dropout"),
    "dim": ("dim", "features", "num_features", "normalized_shape"),
    "eps": ("eps", "epsilon"),
    "in_features": ("in_features", "in_dim", "fan_in"),
    "out_features": ("out_features", "out_dim", "fan_out"),
    "in_channels": ("in_channels", "cin", "in_ch"),
    "out_channels": ("out_channels", "cout", "out_ch"),
    "kernel_size": ("kernel_size", "k", "kernel"),
    "lr": ("lr", "learning_rate"),
    "momentum": ("momentum", "mu"),
    "weight_decay": ("weight_decay", "wd", "l2"),
    "beta1": ("beta1", "b1"),
    "beta2": ("beta2", "b2"),
    "num_layers": ("num_layers", "layers"),
}
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_PLACED = ("device", "dtype")  # where it is made: some constructors are not asked

# attributes of a layer: the course's name -> others
_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "weight": ("weight", "weights", "w", "W", "gamma"),
    "bias": ("bias", "biases", "b", "beta"),
    "running_mean": ("running_mean", "mean"),
    "running_var": ("running_var", "running_variance", "var"),
    "rnn_cells": ("rnn_cells", "cells", "layers"),
    "lstm_cells": ("lstm_cells", "cells", "layers"),
}


def attribute(thing: Any, name: str) -> str:
    """What a thing calls an attribute of the course's name. Raises: Missing."""
    for known in _ATTRIBUTES.get(name, (name,)):
        if hasattr(thing, known):
            return known
    raise Missing(f"{type(thing).__name__} has no {name}")


def call(
    function: Callable[..., Any],
    operands: Sequence[Any],
    names: Sequence[str],
    values: Sequence[Any],
    keywords: Mapping[str, Any],
) -> Any:
    """function(*operands, names=values, **keywords) under the names that the function has.

    Raises: Missing for a keyword that it does not take; device and dtype are left out then.
    """
    given = dict(zip(names, values, strict=False)) | dict(keywords)
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # built in: by position
        return function(*operands, *given.values())
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    places = [name for name, p in parameters.items() if p.kind in _POSITIONAL]
    free = places[len(operands) :]
    named: dict[str, Any] = {}
    for i, (name, value) in enumerate(given.items()):
        known = [s for s in _SYNONYMS.get(name, (name,)) if s in parameters and s not in named]
        if known:
            named[known[0]] = value
        elif name in _PLACED:
            if anything:
                named[name] = value
        elif i < min(len(values), len(free)) and free[i] not in named:
            named[free[i]] = value
        elif anything:
            named[name] = value
        else:
            raise Missing(f"{getattr(function, '__name__', function)} takes no {name}")
    return function(*operands, **named)
