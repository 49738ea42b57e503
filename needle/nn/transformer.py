"""Attention and the transformer of it: pre-norm, residual, causal unless told otherwise.

Source: Vaswani et al., 2017; normalised before each part, Xiong et al., 2020.
"""

from __future__ import annotations

from typing import Any

from needle import init, ops
from needle.autograd import Tensor
from needle.backend_ndarray import BackendDevice
from needle.nn.basic import Linear
from needle.nn.dropout import Dropout
from needle.nn.embedding import Embedding
from needle.nn.module import Module, require_positive
from needle.nn.norm import LayerNorm1d
from needle.ops.broadcast import check_tensors


class MultiHeadAttention(Module):
    """For every query a mean of the values, weighted by softmax(q kᵀ / sqrt(d)), head by head.

    Shape: q (batch, heads, L, d), k (batch, heads, S, d) and v (batch, heads, S, e) give the
    result (batch, heads, L, e) and the weights (batch, heads, L, S), after dropout.
    With causal, query i sees keys 0 to i only.
    Draws: in training, dropout's of the weights.
    Raises: ValueError when the shapes do not fit.
    """

    def __init__(
        self,
        *,
        dropout: float = 0.0,
        causal: bool = False,
        device: BackendDevice | None = None,  # accepted as in the course; there are no weights
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.causal = causal
        self.dropout = Dropout(dropout)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        check_tensors("nn.MultiHeadAttention", q=q, k=k, v=v)
        shapes = {"q": q.shape, "k": k.shape, "v": v.shape}
        fits = all(len(s) == 4 and s[:2] == q.shape[:2] for s in shapes.values())
        if not fits or k.shape[2] != v.shape[2] or q.shape[3] != k.shape[3]:
            raise ValueError(
                "[nn.MultiHeadAttention] q is (batch, heads, L, d), k (batch, heads, S, d) and v "
                "(batch, heads, S, e), got "
                + ", ".join(f"{name}.shape={shape}" for name, shape in shapes.items())
            )
        probs = self.dropout(ops.attention_weights(q, k, causal=self.causal))
        return probs @ v, probs


class AttentionLayer(Module):
    """Attention of inputs that are normalised and projected first, its result projected too.

    Shape: q (batch, L, q_features), k (batch, S, k_features) and v (batch, S, v_features) give
    (batch, L, out_features); without k and v they are q. Feature sizes not given are q_features.
    Draws: projections of q, k, v and of the result, each a Linear without bias.
    Raises: ValueError when the shapes do not fit.
    """

    def __init__(
        self,
        q_features: int,
        num_head: int,
        dim_head: int,
        *,
        k_features: int | None = None,
        v_features: int | None = None,
        out_features: int | None = None,
        dropout: float = 0.0,
        causal: bool = True,
        device: BackendDevice | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        require_positive(
            "nn.AttentionLayer", q_features=q_features, num_head=num_head, dim_head=dim_head
        )
        self.num_head = num_head
        self.dim_head = dim_head
        self.q_features = q_features
        self.k_features = q_features if k_features is None else k_features
        self.v_features = q_features if v_features is None else v_features
        self.out_features = q_features if out_features is None else out_features
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        inner = num_head * dim_head
        self.prenorm_q = LayerNorm1d(self.q_features, **where)
        self.prenorm_k = LayerNorm1d(self.k_features, **where)
        self.prenorm_v = LayerNorm1d(self.v_features, **where)
        self.q_projection = Linear(self.q_features, inner, bias=False, **where)
        self.k_projection = Linear(self.k_features, inner, bias=False, **where)
        self.v_projection = Linear(self.v_features, inner, bias=False, **where)
        self.attn = MultiHeadAttention(dropout=dropout, causal=causal, **where)
        self.out_projection = Linear(inner, self.out_features, bias=False, **where)

    def forward(self, q: Tensor, k: Tensor | None = None, v: Tensor | None = None) -> Tensor:
        k, v = (q if t is None else t for t in (k, v))
        check_tensors("nn.AttentionLayer", q=q, k=k, v=v)
        given = {"q": (q, self.q_features), "k": (k, self.k_features), "v": (v, self.v_features)}
        for name, (t, features) in given.items():
            if t.ndim != 3 or t.shape[2] != features:
                raise ValueError(
                    f"[nn.AttentionLayer] {name} has shape (batch, length, {features}), "
                    f"got {name}.shape={t.shape}"
                )
        heads, _ = self.attn(
            self._heads(self.q_projection(self.prenorm_q(q))),
            self._heads(self.k_projection(self.prenorm_k(k))),
            self._heads(self.v_projection(self.prenorm_v(v))),
        )
        joined = ops.transpose(heads, (1, 2))
        inner = self.num_head * self.dim_head
        result: Tensor = self.out_projection(ops.reshape(joined, (*q.shape[:2], inner)))
        return result

    def _heads(self, t: Tensor) -> Tensor:
        """(batch, length, heads * d) as (batch, heads, length, d)."""
        return ops.transpose(ops.reshape(t, (*t.shape[:2], self.num_head, self.dim_head)), (1, 2))


class TransformerLayer(Module):
    """x + drop(attention(x)), and of that x + drop(linear2(drop(relu(linear1(norm(x)))))).

    Shape: (batch, L, q_features) gives the same.
    Draws: attention's, then linear1 (q_features, hidden_size) and linear2 (hidden_size,
    q_features).
    Raises: ValueError when the shape does not fit.
    """

    def __init__(
        self,
        q_features: int,
        num_head: int,
        dim_head: int,
        hidden_size: int,
        *,
        dropout: float = 0.0,
        causal: bool = True,
        device: BackendDevice | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        require_positive("nn.TransformerLayer", q_features=q_features, hidden_size=hidden_size)
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        self.attention = AttentionLayer(
            q_features, num_head, dim_head, dropout=dropout, causal=causal, **where
        )
        self.norm = LayerNorm1d(q_features, **where)
        self.linear1 = Linear(q_features, hidden_size, **where)
        self.linear2 = Linear(hidden_size, q_features, **where)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(x))
        hidden = self.dropout(ops.relu(self.linear1(self.norm(x))))
        y: Tensor = x + self.dropout(self.linear2(hidden))
        return y


class Transformer(Module):
    """Vectors, to each of which that of its position is added, sent through TransformerLayers.

    Shape: x (L, batch, embedding_size), or (batch, L, embedding_size) with batch_first, gives the
    same, L at most sequence_len; with it come zeros of that shape, so that it can stand where an
    RNN stands.
    Draws: the positions' Embedding(sequence_len, embedding_size), then the layers'.
    Raises: ValueError when the shape does not fit or the sequence is too long.
    """

    def __init__(
        self,
        embedding_size: int,
        hidden_size: int,
        num_layers: int,
        *,
        num_head: int = 8,
        dim_head: int = 32,
        dropout: float = 0.0,
        causal: bool = True,
        device: BackendDevice | None = None,
        dtype: str = "float32",
        batch_first: bool = False,
        sequence_len: int = 2048,
    ) -> None:
        super().__init__()
        require_positive(
            "nn.Transformer",
            embedding_size=embedding_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
            sequence_len=sequence_len,
        )
        self.batch_first = batch_first
        self.positions = Embedding(sequence_len, embedding_size, device=device, dtype=dtype)
        self.layers = [
            TransformerLayer(
                embedding_size,
                num_head,
                dim_head,
                hidden_size,
                dropout=dropout,
                causal=causal,
                device=device,
                dtype=dtype,
            )
            for _ in range(num_layers)
        ]

    def forward(self, x: Tensor, h: Any = None) -> tuple[Tensor, Tensor]:
        """h, the state that an RNN would take, is not used."""
        check_tensors("nn.Transformer", x=x)
        longest, size = self.positions.weight.shape
        if x.ndim != 3 or x.shape[2] != size:
            axes = "batch, L" if self.batch_first else "L, batch"
            raise ValueError(
                f"[nn.Transformer] x has shape ({axes}, {size}), got x.shape={x.shape}"
            )
        if not self.batch_first:
            x = ops.transpose(x, (0, 1))
        if x.shape[1] > longest:
            raise ValueError(
                f"[nn.Transformer] sequences have at most {longest} places, got L={x.shape[1]}"
            )
        x = x + self.positions.weight[: x.shape[1]]
        for layer in self.layers:
            x = layer(x)
        if not self.batch_first:
            x = ops.transpose(x, (0, 1))
        return x, init.zeros_like(x)
