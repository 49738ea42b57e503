"""Every argument with a default is asked with another value somewhere, or it says why not."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import needle
from verify.registry import rows
from verify.spec import Row

ELSEWHERE = frozenset(("self", "device", "dtype", "requires_grad"))  # judged by every case
OTHERWISE = {  # (row, argument) -> what decides it instead of a sample's arguments
    ("batch_norm", "running_mean"): "the row running_statistics has them as tensors",
    ("batch_norm", "running_var"): "the row running_statistics has them as tensors",
    ("batch_norm", "momentum"): "the row running_statistics",
    ("nn.Linear", "bias"): "the number of tensors",
    ("nn.Conv", "bias"): "the number of tensors",
    ("nn.RNNCell", "bias"): "the number of tensors",
    ("nn.LSTMCell", "bias"): "the number of tensors",
    ("nn.RNN", "bias"): "the number of tensors",
    ("nn.LSTM", "bias"): "the number of tensors",
    ("nn.RNN", "num_layers"): "the shape of the state",
    ("nn.LSTM", "num_layers"): "the shape of the state",
    ("nn.AttentionLayer", "k_features"): "the shapes of the inputs",
    ("nn.AttentionLayer", "v_features"): "the shapes of the inputs",
    ("LSTMSequenceGrad", "sequence"): "the call hands it over",
    ("models.ResidualBlock", "norm"): "tests/unit/test_models_resnet.py: a class is no value",
    ("models.MLPResNet", "norm"): "tests/unit/test_models_resnet.py: a class is no value",
    ("init.kaiming_uniform", "nonlinearity"): "every other is refused",
    ("init.kaiming_normal", "nonlinearity"): "every other is refused",
}
WITHOUT_SIGNATURE = frozenset(("autograd.TensorTuple",))  # built on tuple


def named(name: str) -> Any:
    """What needle has by a row's name: an op, a layer, a function."""
    for place in (needle, needle.ops):
        found = place
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is not None:
            return found
    return None


def never_asked(row: Row, call: Any) -> Iterator[str]:
    """Arguments of which all samples have one value, be it the default."""
    samples = (*row.samples, *(row.draws.samples if row.draws is not None else ()))
    for p in inspect.signature(call).parameters.values():
        if p.default is p.empty or p.name in ELSEWHERE or (row.name, p.name) in OTHERWISE:
            continue
        given = [dict(s.kwargs) for s in samples]
        values = {repr(kwargs.get(p.name, p.default)) for kwargs in given}
        if len(values) < 2:
            yield f"{row.name}: {p.name} is always {', '.join(values)}"


def test_every_argument_has_two_values() -> None:
    found = [(r, named(r.name)) for r in rows().values() if r.name not in WITHOUT_SIGNATURE]
    missing = [m for row, call in found if call is not None for m in never_asked(row, call)]
    assert not missing, "\n".join(missing)


def test_exemptions_name_rows_and_arguments() -> None:
    for name, argument in OTHERWISE:
        assert argument in inspect.signature(named(name)).parameters, name


def test_an_argument_that_no_sample_has_is_missed() -> None:
    (said,) = never_asked(rows()["relu"], lambda x, slope=0.0: x)
    assert said == "relu: slope is always 0.0"
