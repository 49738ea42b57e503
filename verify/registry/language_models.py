"""Language models: words are literals of a sample, all parameters slices of one vector."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from verify.registry.packing import LAYOUTS_OF_WEIGHTS, place, size, slices
from verify.registry.planning import sample
from verify.registry.recurrent import lstm, rnn
from verify.registry.transformer import transformer, transformer_shapes
from verify.sampling import OF_TENSORS
from verify.spec import Domain, Row, Sample, Shape

Words = tuple[tuple[int, ...], ...]
# the width of a Transformer in a LanguageModel
_HEADS, _INNER = 8, 8 * 32


def parameter_shapes(
    vocabulary: int, embedding: int, hidden: int, layers: int, seq_model: str, seq_len: int
) -> list[Shape]:
    """Those of the parameters, in their order."""
    shapes: list[Shape] = [(vocabulary, embedding)]
    if seq_model == "transformer":
        shapes += transformer_shapes(seq_len, embedding, _INNER, hidden, layers)
        return [*shapes, (embedding, vocabulary), (1, vocabulary)]
    width = hidden * (4 if seq_model == "lstm" else 1)
    for inputs in (embedding, *[hidden] * (layers - 1)):
        shapes += [(inputs, width), (hidden, width), (width,), (width,)]
    return [*shapes, (hidden, vocabulary), (1, vocabulary)]


def scores(
    t: Any, words: Any, state: Sequence[Any], parameters: Sequence[Any], layers: int, kind: str
) -> tuple[Any, Any]:
    """models.LanguageModel: scores of the next words, and the state after the last step."""
    embedding, *parts, kernel, bias = parameters
    x = t.stack([t.stack([embedding[int(i)] for i in row], 0) for row in words], 0)
    ends: Any = ()
    if kind == "transformer":
        y = transformer(t, x, iter(parts), layers, _HEADS)
    else:
        y, ends = (lstm if kind == "lstm" else rnn)(t, x, *state, *parts)
    return t.matmul(t.cat(y.unbind(0), 0), kernel) + bias, ends


def _reference(
    t: Any,
    vector: Any,
    *state: Any,
    words: Words,
    embedding_size: int,
    output_size: int,
    hidden_size: int,
    num_layers: int = 1,
    seq_model: str = "rnn",
    seq_len: int = 4,
) -> Any:
    shapes = parameter_shapes(
        output_size, embedding_size, hidden_size, num_layers, seq_model, seq_len
    )
    relu = hidden_size if seq_model == "transformer" else 0
    parameters = slices(vector, shapes, partial(t.tensor, dtype=vector.dtype), relu)
    return scores(t, words, state, parameters, num_layers, seq_model)


def _call(
    found: Any, tensors: Sequence[Any], where: dict[str, Any], words: Words, **arguments: Any
) -> Any:
    vector, *state = tensors
    made = found(**arguments, **where)
    transformed = arguments.get("seq_model") == "transformer"
    place(made, vector, where, arguments["hidden_size"] if transformed else 0)
    x = type(vector)(words, device=where["device"], requires_grad=False)
    scores, ends = made(x, tuple(state) if len(state) == 2 else state[0] if state else None)
    return (scores,) if transformed else (scores, ends)  # a Transformer's state is zeros


def _text(steps: int, batch: int, vocabulary: int) -> Words:
    return tuple(
        tuple((3 * i + 5 * j * j) % vocabulary for j in range(batch)) for i in range(steps)
    )


def _model(
    steps: int,
    batch: int,
    embedding_size: int,
    output_size: int,
    hidden_size: int,
    num_layers: int,
    seq_model: str,
    start: bool = True,
) -> Sample:
    sizes = (output_size, embedding_size, hidden_size, num_layers, seq_model, steps)
    states = {"rnn": 1, "lstm": 2, "transformer": 0}[seq_model] if start else 0
    return sample(
        (size(parameter_shapes(*sizes)),),
        *[(num_layers, batch, hidden_size)] * states,
        words=_text(steps, batch, output_size),
        embedding_size=embedding_size,
        output_size=output_size,
        hidden_size=hidden_size,
        num_layers=num_layers,
        seq_model=seq_model,
        seq_len=steps,
    )


ROWS = (
    Row(
        name="models.LanguageModel",
        mixtures=OF_TENSORS,  # the row makes Tensors like its input
        family="model",
        reference=_reference,
        layouts=LAYOUTS_OF_WEIGHTS,
        samples=(
            _model(1, 1, 2, 3, 2, 1, "rnn"),
            _model(4, 2, 3, 5, 4, 1, "rnn"),
            _model(3, 3, 4, 7, 3, 2, "rnn"),
            _model(1, 1, 2, 3, 2, 1, "lstm"),
            _model(4, 2, 3, 5, 4, 1, "lstm"),
            _model(3, 3, 4, 7, 3, 2, "lstm"),
            _model(3, 2, 4, 5, 3, 1, "transformer"),
        ),
        regions=(),
        domains=(Domain(special=False),),
        call=_call,
        signed_zero=False,
    ),
)
