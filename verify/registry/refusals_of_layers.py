"""What layers and models must refuse: without shapes, as constructed; otherwise, as called."""

from __future__ import annotations

from typing import Any

from verify.registry.planning import refuses
from verify.spec import Refusal, Shape

_TYPE: dict[str, Any] = {"raises": "TypeError"}
_IMAGE: Shape = (1, 3, 4, 4)
_ALONG = (
    refuses((3, 4), axis=2, raises="IndexError", says="axis=2, ndim=2"),
    refuses((3, 4), axis="a", **_TYPE, says="'a'"),
)


def _sizes(*names: str, **others: Any) -> tuple[Refusal, ...]:
    """Each of these sizes as 0 and as no int, the others as given."""
    good = dict.fromkeys(names, 3) | others
    return tuple(
        Refusal((), tuple({**good, name: value}.items()), raises, f"{name} .*got {got}")
        for name in names
        for value, raises, got in (
            (0, "ValueError", f"{name}=0"),
            (2.5, "TypeError", "type=float"),
        )
    )


def _pool(name: str) -> tuple[Refusal, ...]:
    return (
        refuses(_IMAGE, kernel=0, says=rf"\[{name}\] .*kernel=0"),
        refuses(_IMAGE, kernel="a", **_TYPE, says="kernel is an int, got type=str"),
        refuses(_IMAGE, kernel=2, stride=0, says="stride=0"),
        refuses(_IMAGE, kernel=2, padding=2, says="at most half the kernel"),
        refuses(_IMAGE, kernel=5, says="fits into the padded image"),
        refuses((3, 4), kernel=2, says="4 axes"),
    )


_AFFINE = ((3,), (3,))
_CELL = ("input_size", "hidden_size")
# a Transformer of 257 parameters over vectors of 5
_SMALL: dict[str, Any] = dict(hidden_size=7, num_layers=1, num_head=2, dim_head=3, sequence_len=3)

LAYERS: dict[str, tuple[Refusal, ...]] = {
    "nn.Linear": (
        *_sizes("in_features", "out_features"),
        refuses((2, 4), (3, 5), (1, 5), says=r"a.shape=\(2, 4\), b.shape=\(3, 5\)"),
        refuses((), (3, 5), (1, 5), says="at least one axis"),
    ),
    "nn.Conv": (
        *_sizes("in_channels", "out_channels", "kernel_size", "groups"),
        refuses(in_channels=4, out_channels=6, kernel_size=3, groups=4, says="groups divides"),
        refuses(_IMAGE, (3, 3, 3, 2), (2,), stride=0, says="stride=0"),
        refuses(_IMAGE, (3, 3, 3, 2), (2,), stride="a", **_TYPE, says="got type=str"),
        refuses(_IMAGE, (3, 3, 3, 2), (2,), padding=-1, says="padding=-1"),
        refuses(_IMAGE, (3, 3, 3, 2), (2,), dilation=(1, 1, 1), says=r"dilation=\(1, 1, 1\)"),
        refuses((3, 4, 4), (3, 3, 3, 2), (2,), says="4 axes"),
        refuses(_IMAGE, (9, 9, 3, 2), (2,), padding=0, says="larger than the padded input"),
    ),
    "nn.Flatten": (refuses((), says="at least one axis"),),
    "nn.Dropout": (
        refuses((3,), p=1.5, says=r"p=1\.5"),
        refuses((3,), p=-0.5, says=r"p=-0\.5"),
        refuses((3,), p="half", **_TYPE, says="p is a number"),
    ),
    "nn.Sequential": (
        refuses((3,), module=3, **_TYPE, says=r"modules\[2\] is a Module .*type=int"),
    ),
    "nn.Residual": (refuses((3,), fn=3, **_TYPE, says="fn is a Module .*type=int"),),
    "nn.LeakyReLU": (refuses((3,), slope="x", **_TYPE, says=r"\[nn.LeakyReLU\] .*type=str"),),
    "nn.GELU": (refuses((3,), approximate="x", says=r"\[nn.GELU\] .*approximate='x'"),),
    "nn.Softmax": _ALONG,
    "nn.LogSoftmax": _ALONG,
    "nn.MaxPool": _pool("nn.MaxPool"),
    "nn.AvgPool": _pool("nn.AvgPool"),
    "nn.MSELoss": (
        refuses((3,), (3, 1), says=r"x.shape=\(3,\), y.shape=\(3, 1\)"),
        refuses((0,), (0,), says="and elements"),
    ),
    "nn.SoftmaxLoss": (
        refuses((3, 4), labels=(0, 1), says="a label for each row"),
        refuses((3, 4), labels=(0, 1, 4), raises="IndexError", says="label=4, classes=4"),
        refuses((3, 4), labels=(0, 1, 0.5), says="whole numbers, got label=0.5"),
    ),
    **{
        name: (
            *_sizes("dim"),
            refuses((2, *rest), (3,), (3,), momentum=1.5, says=r"momentum=1\.5"),
            refuses((2, *rest), (3,), (3,), momentum="a", **_TYPE, says="type=str"),
            refuses((2, *rest), (3,), (3,), eps=-1.0, says=r"eps=-1\.0"),
            refuses((2, 4, *rest[1:]), (3,), (3,), says="channels=4"),
            refuses((0, *rest), (3,), (3,), says="training needs elements"),
            refuses((2, 3, 4, 5, 6), (3,), (3,), says="axes"),
            refuses(other, (3,), (3,), says=rf"\[{name}\] x has .*axes, got x.shape=\(2, 3, "),
        )
        for name, rest, other in (
            ("nn.BatchNorm1d", (3,), (2, 3, 4, 5)),
            ("nn.BatchNorm2d", (3, 4, 5), (2, 3, 4)),
        )
    },
    "nn.LayerNorm1d": (
        *_sizes("dim"),
        refuses((2, 3), (3,), (3,), eps=-1.0, says=r"eps=-1\.0"),
        refuses((2, 4), (3,), (3,), says="channels=4"),
    ),
    "nn.GroupNorm": (
        *_sizes("groups", "dim"),
        refuses(groups=4, dim=6, says="groups divides dim"),
        refuses((2, 6), (6,), (6,), groups=2, eps=-1.0, says=r"eps=-1\.0"),
        refuses((2, 6), (6,), (6,), groups=2, eps="a", raises="TypeError", says="eps is a number"),
        refuses((2, 4), (6,), (6,), groups=2, says=r"x.shape=\(2, 4\), dim=6"),
    ),
    "nn.Embedding": (
        *_sizes("num_embeddings", "embedding_dim"),
        refuses((7, 3), indices=(0, 7), raises="IndexError", says="x=7"),
        refuses((7, 3), indices=(0, -1), raises="IndexError", says="x=-1"),
        refuses((7, 3), indices=(0, 0.5), says="whole numbers"),
        refuses((7, 3), indices=(0, 1), bare=True, **_TYPE, says="x is a Tensor, got x=tuple"),
    ),
    "nn.RNNCell": (
        *_sizes(*_CELL),
        refuses(input_size=3, hidden_size=3, nonlinearity="x", says="nonlinearity='x'"),
        refuses((2, 3), (2, 5), (4, 5), (5, 5), says="matmul"),
        refuses((2, 3, 1), (2, 5), (3, 5), (5, 5), says=r"X.shape=\(2, 3, 1\)"),
        refuses((2, 3), (1, 5), (3, 5), (5, 5), says=r"h.shape=\(1, 5\)"),
    ),
    "nn.LSTMCell": (
        *_sizes(*_CELL),
        refuses((2, 3), (1, 5), (1, 5), (3, 20), (5, 20), says=r"h.shape=\(1, 5\)"),
        refuses((2, 3), (2, 5), (2, 4), (3, 20), (5, 20), says=r"c.shape=\(2, 4\)"),
    ),
    "nn.RNN": (
        *_sizes(*_CELL, "num_layers"),
        refuses((0, 2, 3), (1, 2, 5), (3, 5), (5, 5), says="steps >= 1"),
        refuses((4, 2, 3), (1, 1, 5), (3, 5), (5, 5), says=r"h.shape=\(1, 1, 5\)"),
    ),
    "nn.LSTM": (
        *_sizes(*_CELL, "num_layers"),
        refuses((0, 2, 3), (1, 2, 5), (1, 2, 5), (3, 20), (5, 20), says="steps >= 1"),
        refuses((4, 2, 3), (1, 2, 5), (1, 2, 4), (3, 20), (5, 20), says=r"c.shape=\(1, 2, 4\)"),
    ),
    "nn.MultiHeadAttention": (
        refuses((1, 1, 2, 3), (1, 1, 2, 3), (1, 1, 3, 3), says=r"v.shape=\(1, 1, 3, 3\)"),
        refuses((1, 1, 2, 3), (1, 1, 2, 4), (1, 1, 2, 3), says=r"k.shape=\(1, 1, 2, 4\)"),
        refuses((2, 3), (2, 3), (2, 3), says=r"q.shape=\(2, 3\)"),
        refuses(*[(1, 1, 2, 3)] * 3, dropout=2.0, says=r"p=2\.0"),
    ),
    "nn.AttentionLayer": (
        *_sizes("q_features", "num_head", "dim_head"),
        refuses(
            (2, 3, 5, 1), (150,), num_head=2, dim_head=3, says=r"q has shape \(batch, length, 5\)"
        ),
    ),
    "nn.TransformerLayer": _sizes("q_features", "num_head", "dim_head", "hidden_size"),
    "nn.Transformer": (
        *_sizes("embedding_size", "hidden_size", "num_layers", "num_head", "dim_head"),
        refuses(embedding_size=3, hidden_size=3, num_layers=1, sequence_len=0, says="=0"),
        *(
            refuses(x, (257,), **_SMALL, says=says)
            for x, says in (
                ((3, 2, 5, 1), r"x has shape \(L, batch, 5\), got x.shape=\(3, 2, 5, 1\)"),
                ((4, 2, 5), "at most 3 places, got L=4"),
            )
        ),
    ),
    "models.LanguageModel": (
        *_sizes("embedding_size", "output_size", "hidden_size", "num_layers"),
        refuses(embedding_size=3, output_size=3, hidden_size=3, seq_model="x", says="'x'"),
    ),
    "models.ResidualBlock": (
        *_sizes("dim", "hidden_dim"),
        refuses(dim=3, hidden_dim=4, drop_prob=2.0, says=r"p=2\.0"),
    ),
    "models.softmax_loss": (
        refuses((3, 4), (3, 5), says=r"Z.shape=\(3, 4\), y_one_hot.shape=\(3, 5\)"),
        refuses((4,), (4,), says=r"Z.shape=\(4,\)"),
        refuses((0, 4), (0, 4), says=r"Z.shape=\(0, 4\)"),
    ),
    "models.MLPResNet": (
        *_sizes("dim", "hidden_dim", "num_classes"),
        refuses(dim=3, hidden_dim=4, num_blocks=-1, says="num_blocks=-1"),
        refuses(dim=3, hidden_dim=4, num_blocks="a", **_TYPE, says="type=str"),
        refuses(dim=3, hidden_dim=4, drop_prob=2.0, says=r"p=2\.0"),
    ),
    "models.ResNet9": (refuses((2, 3, 32), (431_946,), says="4 axes"),),
}
