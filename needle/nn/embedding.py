"""Embedding: a trained vector for each of a number of things, words mostly."""

from __future__ import annotations

from typing import Any

from needle import init, ops
from needle.autograd import Tensor
from needle.backend_ndarray import BackendDevice
from needle.backend_ndarray.whole_numbers import whole_numbers
from needle.nn.module import Module, Parameter, require_positive


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
        require_positive("nn.Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight = Parameter(init.randn(num_embeddings, embedding_dim, **where))

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):
            raise TypeError(f"[nn.Embedding] x is a Tensor, got x={type(x).__name__}")
        words = whole_numbers("nn.Embedding", x.realize_cached_data())
        odd = (words < 0) | (words >= self.num_embeddings)  # a negative one counts from no end
        if odd.any():
            raise IndexError(
                "[nn.Embedding] x lies in [0, num_embeddings), "
                f"got x={words[odd].flat[0]}, num_embeddings={self.num_embeddings}"
            )
        return ops.take(self.weight, words, 0)
