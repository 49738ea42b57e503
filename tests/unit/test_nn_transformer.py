"""Attention and transformer layers: against torch's, draws, dropout, causality, errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import needle as ndl
import needle.backend_ndarray as nd
from needle import nn


def tensor(a: Any, device: nd.BackendDevice) -> ndl.Tensor:
    return ndl.Tensor(a, device=device, dtype="float64")


def close(got: Any, expected: torch.Tensor) -> None:
    assert got.shape == tuple(expected.shape)
    np.testing.assert_allclose(got.numpy(), expected.detach().numpy(), rtol=1e-10, atol=1e-12)


def randomize(module: nn.Module, rng: np.random.Generator) -> None:
    for p in module.parameters():
        p.data = tensor(rng.standard_normal(p.shape) / math.sqrt(p.shape[0]), p.device)


def put(theirs: torch.Tensor, *ours: ndl.Tensor | None) -> None:
    """Our matrices, transposed and stacked, or vectors, into torch's parameter; zeros for None."""
    with torch.no_grad():
        arrays = [p.numpy() for p in ours if p is not None]
        if not arrays:
            theirs.zero_()
            return
        theirs.copy_(torch.tensor(np.concatenate([a.T for a in arrays]).reshape(theirs.shape)))


def attention_twin(ours: nn.AttentionLayer, theirs: torch.nn.MultiheadAttention) -> None:
    projections = ours.q_projection.weight, ours.k_projection.weight, ours.v_projection.weight
    if theirs.in_proj_weight is not None:
        put(theirs.in_proj_weight, *projections)
    else:
        names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
        for name, weight in zip(names, projections, strict=True):
            put(getattr(theirs, name), weight)
    put(theirs.out_proj.weight, ours.out_projection.weight)


@pytest.mark.parametrize("causal", [True, False])
def test_multi_head_attention(
    causal: bool, device: nd.BackendDevice, rng: np.random.Generator
) -> None:
    q, k, v = (rng.standard_normal((2, 3, 5, 4)) for _ in range(3))
    ours = [tensor(a, device) for a in (q, k, v)]
    theirs = [torch.tensor(a, requires_grad=True) for a in (q, k, v)]
    result, probs = nn.MultiHeadAttention(causal=causal)(*ours)
    expected = torch.nn.functional.scaled_dot_product_attention(*theirs, is_causal=causal)
    close(result, expected)
    np.testing.assert_allclose(probs.numpy() @ v, result.numpy(), rtol=1e-10)
    weights = rng.standard_normal(result.shape)
    (result * tensor(weights, device)).sum().backward()
    (expected * torch.tensor(weights)).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        close(a.grad, b.grad)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("cross", [False, True], ids=["self", "cross"])
def test_attention_layer(
    causal: bool, cross: bool, device: nd.BackendDevice, rng: np.random.Generator
) -> None:
    widths = (6, 4, 5) if cross else (6, 6, 6)
    where: dict[str, Any] = {"device": device, "dtype": "float64"}
    ours = nn.AttentionLayer(
        6, 3, 2, k_features=widths[1], v_features=widths[2], causal=causal, **where
    )
    randomize(ours, rng)
    theirs = torch.nn.MultiheadAttention(
        6, 3, bias=False, kdim=widths[1], vdim=widths[2], batch_first=True, dtype=torch.float64
    )
    attention_twin(ours, theirs)
    norms = [torch.nn.LayerNorm(w, dtype=torch.float64) for w in widths]
    for norm, own in zip(norms, (ours.prenorm_q, ours.prenorm_k, ours.prenorm_v), strict=True):
        put(norm.weight, own.weight)
        put(norm.bias, own.bias)
    arrays = [rng.standard_normal((2, 5, w)) for w in (widths if cross else widths[:1])]
    inputs = [tensor(a, device) for a in arrays]
    their_inputs = [torch.tensor(a, requires_grad=True) for a in arrays]
    given = their_inputs if cross else their_inputs * 3
    mask = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None
    normed = [norm(x) for norm, x in zip(norms, given, strict=True)]
    y, (expected, _) = ours(*inputs), theirs(*normed, attn_mask=mask)
    close(y, expected)
    y.sum().backward()
    expected.sum().backward()
    for a, b in zip(inputs, their_inputs, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        close(a.grad, b.grad)


def layer_twin(ours: nn.TransformerLayer) -> torch.nn.TransformerEncoderLayer:
    """torch's layer with the same weights. It has one norm where ours has three: they are equal."""
    attention = ours.attention
    for norm in (attention.prenorm_k, attention.prenorm_v):
        norm.weight.data, norm.bias.data = attention.prenorm_q.weight, attention.prenorm_q.bias
    width, hidden = ours.linear1.weight.shape
    theirs = torch.nn.TransformerEncoderLayer(
        width, attention.num_head, hidden, 0.0, batch_first=True, norm_first=True,
        dtype=torch.float64,
    )  # fmt: skip
    attention_twin(attention, theirs.self_attn)
    put(theirs.self_attn.in_proj_bias)
    put(theirs.self_attn.out_proj.bias)
    for name, own in (("norm1", attention.prenorm_q), ("norm2", ours.norm)):
        put(getattr(theirs, name).weight, own.weight)
        put(getattr(theirs, name).bias, own.bias)
    for name in ("linear1", "linear2"):
        put(getattr(theirs, name).weight, getattr(ours, name).weight)
        put(getattr(theirs, name).bias, getattr(ours, name).bias)
    return theirs


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_transformer(
    causal: bool, batch_first: bool, device: nd.BackendDevice, rng: np.random.Generator
) -> None:
    ours = nn.Transformer(
        6, 7, 2, num_head=2, dim_head=3, causal=causal, device=device, dtype="float64",
        batch_first=batch_first, sequence_len=9,
    )  # fmt: skip
    randomize(ours, rng)
    twins = [layer_twin(layer) for layer in ours.layers]
    x = rng.standard_normal((2, 5, 6) if batch_first else (5, 2, 6))
    ours_x, their_x = tensor(x, device), torch.tensor(x, requires_grad=True)
    y, h = ours(ours_x)
    np.testing.assert_array_equal(h.numpy(), np.zeros(x.shape))
    positions = torch.tensor(ours.positions.weight.numpy()[:5], requires_grad=True)
    z = (their_x if batch_first else their_x.transpose(0, 1)) + positions
    mask = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None
    for twin in twins:
        z = twin(z, src_mask=mask)
    z = z if batch_first else z.transpose(0, 1)
    close(y, z)
    weights = rng.standard_normal(x.shape)
    (y * tensor(weights, device)).sum().backward()
    (z * torch.tensor(weights)).sum().backward()
    assert ours_x.grad is not None
    assert their_x.grad is not None
    close(ours_x.grad, their_x.grad)
    assert ours.positions.weight.grad is not None
    assert positions.grad is not None
    close(ours.positions.weight.grad[:5], positions.grad)
    np.testing.assert_array_equal(ours.positions.weight.grad.numpy()[5:], 0)
    for layer, twin in zip(ours.layers, twins, strict=True):
        for own, their in (
            (layer.linear1.weight, twin.linear1.weight),
            (layer.linear2.weight, twin.linear2.weight),
            (layer.attention.out_projection.weight, twin.self_attn.out_proj.weight),
        ):
            assert own.grad is not None
            assert their.grad is not None
            close(own.grad, their.grad.T)


def test_causal_places_see_no_later_ones(device: nd.BackendDevice) -> None:
    model = nn.Transformer(4, 5, 2, num_head=2, dim_head=2, device=device, dtype="float64")
    x = np.random.default_rng(0).standard_normal((6, 1, 4))
    later = x.copy()
    later[3:] = 7.0
    before, after = (model(tensor(a, device))[0].numpy() for a in (x, later))
    np.testing.assert_allclose(before[:3], after[:3], rtol=1e-12)
    assert np.abs(before[3:] - after[3:]).min() > 1e-6


def test_draws(device: nd.BackendDevice) -> None:
    np.random.seed(7)
    model = nn.Transformer(
        4, 5, 2, num_head=2, dim_head=3, device=device, dtype="float64", sequence_len=6
    )
    after = np.random.rand()
    np.random.seed(7)

    def uniform(fan_in: int, fan_out: int) -> Any:
        return (2 * np.random.rand(fan_in, fan_out) - 1) * math.sqrt(6 / fan_in)

    expected = [("positions.weight", np.random.randn(6, 4))]
    for i in range(2):
        at = f"layers.{i}."
        for name in ("q", "k", "v"):
            expected.append((f"{at}attention.{name}_projection.weight", uniform(4, 6)))
        expected.append((f"{at}attention.out_projection.weight", uniform(6, 4)))
        for name, a, b in (("linear1", 4, 5), ("linear2", 5, 4)):
            expected.append((f"{at}{name}.weight", uniform(a, b)))
            expected.append((f"{at}{name}.bias", uniform(b, 1).T))
    for path, value in expected:
        found: Any = model
        for part in path.split("."):
            found = found[int(part)] if part.isdigit() else getattr(found, part)
        np.testing.assert_allclose(found.numpy(), value, rtol=1e-12, atol=1e-15, err_msg=path)
    assert np.random.rand() == after
    assert all(layer.attention.k_projection.bias is None for layer in model.layers)


def test_dropout_of_the_weights(device: nd.BackendDevice) -> None:
    q = tensor(np.random.default_rng(0).standard_normal((1, 2, 4, 3)), device)
    layer = nn.MultiHeadAttention(dropout=0.5)
    np.random.seed(2)
    result, probs = layer(q, q, q)
    np.random.seed(2)
    mask = np.random.rand(1, 2, 4, 4) <= 0.5
    _, whole = layer.eval()(q, q, q)
    np.testing.assert_allclose(probs.numpy(), whole.numpy() * mask * 2, rtol=1e-12)
    np.testing.assert_allclose(result.numpy(), probs.numpy() @ q.numpy(), rtol=1e-12, atol=1e-14)


Z = np.zeros
BAD: dict[str, tuple[Callable[..., Any], str]] = {
    "heads": (
        lambda t: nn.MultiHeadAttention()(
            t(Z((1, 2, 3, 4))), t(Z((1, 3, 3, 4))), t(Z((1, 2, 3, 4)))
        ),
        r"\[nn.MultiHeadAttention\] q is .* got q.shape=\(1, 2, 3, 4\), k.shape=\(1, 3, 3, 4\)",
    ),
    "values": (
        lambda t: nn.MultiHeadAttention()(
            t(Z((1, 2, 3, 4))), t(Z((1, 2, 5, 4))), t(Z((1, 2, 3, 4)))
        ),
        r"\[nn.MultiHeadAttention\] q is ",
    ),
    "q features": (
        lambda t: nn.AttentionLayer(4, 2, 3)(t(Z((1, 2, 5)))),
        r"\[nn.AttentionLayer\] q has shape \(batch, length, 4\), got q.shape=\(1, 2, 5\)",
    ),
    "k features": (
        lambda t: nn.AttentionLayer(4, 2, 3, k_features=3)(t(Z((1, 2, 4)))),
        r"\[nn.AttentionLayer\] k has shape \(batch, length, 3\), got k.shape=\(1, 2, 4\)",
    ),
    "features": (
        lambda t: nn.Transformer(4, 5, 1)(t(Z((2, 1, 5)))),
        r"\[nn.Transformer\] x has shape \(L, batch, 4\), got x.shape=\(2, 1, 5\)",
    ),
    "axes": (
        lambda t: nn.Transformer(4, 5, 1, batch_first=True)(t(Z((2, 4)))),
        r"\[nn.Transformer\] x has shape \(batch, L, 4\), got x.shape=\(2, 4\)",
    ),
    "length": (
        lambda t: nn.Transformer(4, 5, 1, sequence_len=2)(t(Z((3, 1, 4)))),
        r"\[nn.Transformer\] sequences have at most 2 places, got L=3",
    ),
    "sizes": (
        lambda t: nn.AttentionLayer(4, 0, 3),
        r"\[nn.AttentionLayer\] num_head must be at least 1, got num_head=0",
    ),
    "layers": (
        lambda t: nn.Transformer(4, 5, -1),
        r"\[nn.Transformer\] num_layers must be at least 1, got num_layers=-1",
    ),
    "dropout": (lambda t: nn.TransformerLayer(4, 1, 3, 5, dropout=2.0), r"\[nn.Dropout\] p lies"),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(name: str) -> None:
    call, text = BAD[name]
    with pytest.raises(ValueError, match=text):
        call(ndl.Tensor)
