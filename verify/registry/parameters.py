"""What layers and models start with, by name: the laws of their parameters, in order of drawing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from verify.laws import Law, Normal
from verify.registry.initializers import kaiming_uniform, ones, within, zeros
from verify.registry.planning import sample
from verify.spec import Draws, Sample

Laws = dict[str, Law]


def _made(found: Any, where: dict[str, Any], **arguments: Any) -> Any:
    """Its parameters, and running statistics where it has such."""
    made = found(**arguments, **where)
    running = (getattr(made, name, None) for name in ("running_mean", "running_var"))
    return [*made.parameters(), *(r for r in running if r is not None)]


def _draws(laws: Callable[..., Laws], *samples: Sample, constant: str = "") -> Draws:
    return Draws(samples, laws, _made, constant)


def _within(prefix: str, laws: Laws) -> Laws:
    return {f"{prefix}.{name}": law for name, law in laws.items()}


# --- layers


def _linear(in_features: int, out_features: int, bias: bool = True) -> Laws:
    laws = {"weight": kaiming_uniform(in_features, out_features)}
    return laws | {"bias": kaiming_uniform(out_features, 1, (1, out_features))} if bias else laws


def _conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    bias: bool = True,
    groups: int = 1,
) -> Laws:
    """fan_in = in_channels / groups k²."""
    shape = (kernel_size, kernel_size, in_channels // groups, out_channels)
    fan_in = math.prod(shape[:3])
    laws = {"weight": kaiming_uniform(fan_in, out_channels, shape)}
    return laws | {"bias": within((out_channels,), fan_in**-0.5)} if bias else laws


def _cell(gates: int, input_size: int, hidden_size: int, bias: bool = True) -> Laws:
    width, bound = gates * hidden_size, hidden_size**-0.5
    laws: Laws = {
        "W_ih": within((input_size, width), bound),
        "W_hh": within((hidden_size, width), bound),
    }
    biases: Laws = {name: within((width,), bound) for name in ("bias_ih", "bias_hh")}
    return laws | biases if bias else laws


def _cells(
    gates: int, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True
) -> Laws:
    laws: Laws = {}
    for i in range(num_layers):
        size = hidden_size if i else input_size
        laws |= _within(str(i), _cell(gates, size, hidden_size, bias))
    return laws


def _of(gates: int, laws: Callable[..., Laws]) -> Callable[..., Laws]:
    return lambda **arguments: laws(gates, **arguments)


def _embedding(num_embeddings: int, embedding_dim: int) -> Laws:
    return {"weight": Normal((num_embeddings, embedding_dim))}


def _affine(dim: int, groups: int = 1, eps: float = 1e-5) -> Laws:
    return {"weight": ones((dim,)), "bias": zeros((dim,))}


def _batch_norm(dim: int) -> Laws:
    running = {"running_mean": zeros((dim,)), "running_var": ones((dim,))}
    return _affine(dim) | running


def _attention(
    q_features: int,
    num_head: int,
    dim_head: int,
    k_features: int | None = None,
    v_features: int | None = None,
    out_features: int | None = None,
) -> Laws:
    given = {"q": q_features, "k": k_features, "v": v_features}
    widths = {name: n or q_features for name, n in given.items()}
    laws: Laws = {}
    inner = num_head * dim_head
    for name, width in widths.items():
        laws |= _within(f"prenorm_{name}", _affine(width))
    for name, width in widths.items():
        laws |= _within(f"{name}_projection", _linear(width, inner, False))
    return laws | _within("out_projection", _linear(inner, out_features or q_features, False))


def _transformer_layer(q_features: int, num_head: int, dim_head: int, hidden_size: int) -> Laws:
    return (
        _within("attention", _attention(q_features, num_head, dim_head))
        | _within("norm", _affine(q_features))
        | _within("linear1", _linear(q_features, hidden_size))
        | _within("linear2", _linear(hidden_size, q_features))
    )


def _transformer(
    embedding_size: int,
    hidden_size: int,
    num_layers: int,
    num_head: int = 8,
    dim_head: int = 32,
    sequence_len: int = 2048,
) -> Laws:
    laws = _within("positions", _embedding(sequence_len, embedding_size))
    for i in range(num_layers):
        layer = _transformer_layer(embedding_size, num_head, dim_head, hidden_size)
        laws |= _within(str(i), layer)
    return laws


# --- models


def _language_model(
    embedding_size: int,
    output_size: int,
    hidden_size: int,
    num_layers: int = 1,
    seq_model: str = "rnn",
    seq_len: int = 40,
) -> Laws:
    width = hidden_size
    if seq_model == "transformer":
        width = embedding_size
        inside = _transformer(width, hidden_size, num_layers, sequence_len=seq_len)
    else:
        gates = 4 if seq_model == "lstm" else 1
        inside = _cells(gates, embedding_size, hidden_size, num_layers)
    return (
        _within("embedding", _embedding(output_size, embedding_size))
        | _within("seq_model", inside)
        | _within("linear", _linear(width, output_size))
    )


def _residual(dim: int, hidden_dim: int) -> Laws:
    laws: Laws = {}
    for i, (a, b) in enumerate(((dim, hidden_dim), (hidden_dim, dim))):
        laws |= _within(f"linear{i}", _linear(a, b)) | _within(f"norm{i}", _affine(b))
    return laws


def _mlp_resnet(dim: int, hidden_dim: int, num_blocks: int = 3, num_classes: int = 10) -> Laws:
    laws = _within("first", _linear(dim, hidden_dim))
    for i in range(num_blocks):
        laws |= _within(f"block{i}", _residual(hidden_dim, hidden_dim // 2))
    return laws | _within("last", _linear(hidden_dim, num_classes))


def _resnet9() -> Laws:
    laws: Laws = {}
    for i, (a, b, k) in enumerate(
        ((3, 16, 7), (16, 32, 3), *[(32, 32, 3)] * 2, (32, 64, 3), (64, 128, 3))
        + ((128, 128, 3),) * 2
    ):
        laws |= _within(f"conv{i}", _conv(a, b, k)) | _within(f"norm{i}", _affine(b))
    return laws | _within("linear0", _linear(128, 128)) | _within("linear1", _linear(128, 10))


_CELL: dict[str, Any] = {"input_size": 40, "hidden_size": 120}
_NORM = "scale 1, shift 0: nothing is drawn"
DRAWS = {
    "nn.Linear": _draws(
        _linear,
        sample(in_features=20, out_features=3000),
        sample(in_features=3, out_features=2, bias=False),
        sample(in_features=1, out_features=1),
    ),
    "nn.Conv": _draws(
        _conv,
        sample(in_channels=12, out_channels=500, kernel_size=3),
        sample(in_channels=4, out_channels=6, kernel_size=2, groups=2),
        sample(in_channels=3, out_channels=2, kernel_size=1, bias=False),
    ),
    "nn.RNNCell": _draws(_of(1, _cell), sample(**_CELL), sample(**_CELL, bias=False)),
    "nn.LSTMCell": _draws(_of(4, _cell), sample(**_CELL), sample(**_CELL, bias=False)),
    "nn.RNN": _draws(_of(1, _cells), sample(**_CELL, num_layers=2)),
    "nn.LSTM": _draws(_of(4, _cells), sample(input_size=30, hidden_size=50, num_layers=2)),
    "nn.Embedding": _draws(_embedding, sample(num_embeddings=301, embedding_dim=200)),
    **{
        name: _draws(_batch_norm, sample(dim=7), constant=_NORM)
        for name in ("nn.BatchNorm1d", "nn.BatchNorm2d")
    },
    "nn.LayerNorm1d": _draws(_affine, sample(dim=7), sample(dim=7, eps=0.0), constant=_NORM),
    "nn.GroupNorm": _draws(_affine, sample(groups=2, dim=6), constant=_NORM),
    "nn.AttentionLayer": _draws(
        _attention,
        sample(q_features=60, num_head=4, dim_head=20),
        sample(q_features=5, num_head=2, dim_head=3, k_features=4, v_features=7, out_features=2),
    ),
    "nn.TransformerLayer": _draws(
        _transformer_layer, sample(q_features=30, num_head=2, dim_head=20, hidden_size=90)
    ),
    "nn.Transformer": _draws(
        _transformer,
        sample(
            embedding_size=40,
            hidden_size=50,
            num_layers=2,
            num_head=2,
            dim_head=20,
            sequence_len=500,
        ),
    ),
    "models.ResidualBlock": _draws(_residual, sample(dim=7, hidden_dim=4)),
    "models.MLPResNet": _draws(
        _mlp_resnet, sample(dim=50, hidden_dim=80, num_blocks=2, num_classes=3)
    ),
    "models.ResNet9": _draws(_resnet9, sample()),
    "models.LanguageModel": _draws(
        _language_model,
        *(
            sample(embedding_size=8, output_size=60, hidden_size=20, num_layers=2, seq_model=kind)
            for kind in ("rnn", "lstm", "transformer")
        ),
    ),
}
