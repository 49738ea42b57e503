"""Embedding: a trained vector for each of a number of things, words mostly."""

from __future__ import annotations

from typing import Any

from needle import init, ops
from needle.autograd import Tensor
from needle.backend_ndarray import BackendDevice
from needle.nn.module import Module, Parameter


class Embedding(Module):
    """The rows of weight that integers name.

    Shape: x of any shape gives x.shape + (embedding_dim,); weight (num_embeddings, embedding_dim).
    dtype: x of any dtype, holding whole numbers.
    Draws: weight normal with mean 0 and variance 1.
    Raises: IndexError when one of x is not in [0, num_embeddings), ValueError when one is not
    whole.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        device: BackendDevice | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = Parameter(init.randn(num_embeddings, embedding_dim, **where))

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):
            raise TypeError(f"[nn.Embedding] x is a Tensor, got x={type(x).__name__}")
        return _lookup(self.weight, x)


def _lookup(weight: Tensor, x: Tensor) -> Tensor:
    """weight[x]."""
    n, dim = weight.shape
    rows = init.one_hot(n, x, device=weight.device, dtype=weight.dtype)
    return ops.reshape(ops.reshape(rows, (-1, n)) @ weight, (*x.shape, dim))
