"""A language model: words to vectors, a sequence model, and scores of the words that may follow."""

from __future__ import annotations

from typing import Any

from needle import nn, ops
from needle.autograd import Tensor
from needle.backend_ndarray import BackendDevice
from needle.nn.module import require_positive
from needle.ops.broadcast import check_tensors


class LanguageModel(nn.Module):
    """Scores of the next word at every place of texts.

    seq_model: "rnn", "lstm", or "transformer" (whose size is embedding_size, and its texts are no
    longer than seq_len).
    Shape: x (steps, batch), ids of words, and a state h as the sequence model has it, or None, give
    the scores (steps * batch, output_size) and the state after the last step.
    dtype: x of any dtype, holding whole numbers.
    Draws: embedding, sequence model, linear.
    Raises: IndexError when a word is not in [0, output_size), ValueError when shapes do not fit or
    there is no such seq_model.
    """

    def __init__(
        self,
        embedding_size: int,
        output_size: int,
        hidden_size: int,
        num_layers: int = 1,
        seq_model: str = "rnn",
        seq_len: int = 40,
        device: BackendDevice | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        require_positive(
            "models.LanguageModel",
            embedding_size=embedding_size,
            output_size=output_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
        )
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        self.embedding = nn.Embedding(output_size, embedding_size, **where)
        features = hidden_size
        if seq_model == "rnn":
            self.seq_model: Any = nn.RNN(embedding_size, hidden_size, num_layers, **where)
        elif seq_model == "lstm":
            self.seq_model = nn.LSTM(embedding_size, hidden_size, num_layers, **where)
        elif seq_model == "transformer":
            features = embedding_size
            self.seq_model = nn.Transformer(
                embedding_size, hidden_size, num_layers, sequence_len=seq_len, **where
            )
        else:
            raise ValueError(
                "[models.LanguageModel] seq_model is 'rnn', 'lstm' or 'transformer', "
                f"got seq_model={seq_model!r}"
            )
        self.linear = nn.Linear(features, output_size, **where)

    def forward(self, x: Tensor, h: Any = None) -> tuple[Tensor, Any]:
        check_tensors("models.LanguageModel", x=x)
        if x.ndim != 2:
            raise ValueError(
                f"[models.LanguageModel] x has shape (steps, batch), got x.shape={x.shape}"
            )
        y, h = self.seq_model(self.embedding(x), h)
        steps, batch, features = y.shape
        return self.linear(ops.reshape(y, (steps * batch, features))), h
