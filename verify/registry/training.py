"""How optimizers and models are trained, by the name of their rows: judges step and trajectory.

Weights are such that rounding errors grow little: a batch norm divides what comes in by its spread,
errors too, and more than doubles them, so a residual branch ends with a scale of 1/16. Then the
bound of ResNet9 in float32 claims every gradient. ReLUs are open and closed as they come.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from verify.registry.language_models import parameter_shapes, scores
from verify.registry.models import mlp_resnet, resnet9, rule
from verify.registry.optimizers import UPDATES
from verify.registry.planning import sample
from verify.sampling import Array
from verify.spec import Sample, Shape
from verify.training import Setup, Training

_HYPER = frozenset(
    ("lr", "momentum", "weight_decay", "nesterov", "dampening", "beta1", "beta2", "eps", "alpha")
)
_BRANCH = 2.0**-4


# --- parameters to start with


def _of_network(rng: np.random.Generator, kind: str, shape: Shape) -> Array:
    base, scale = rule(kind, shape)
    if kind in ("lift", "branch lift", "shift"):
        base = base / 8.0
    if kind == "last kernel":  # centres alone lead to a corner of the image, which is empty
        base = np.roll(base, 1, (0, 1))
    shrunk = _BRANCH if kind.startswith("branch") else 1.0
    return np.asarray(shrunk * (base + scale * rng.standard_normal(shape)))


def _of_language_model(rng: np.random.Generator, kind: str, shape: Shape) -> Array:
    """Matrices keep the size of what they multiply; vectors are biases, and scales of norms."""
    spread = shape[0] ** -0.5 if len(shape) > 1 and shape[0] > 1 else 0.25
    shrunk = _BRANCH if kind == "branch" else 1.0
    return np.asarray((kind == "scale") + shrunk * spread * rng.standard_normal(shape))


# --- networks


def _language_model(t: Any, take: Any, words: Any, **arguments: Any) -> tuple[Any, list[Any]]:
    layers, hidden = arguments["num_layers"], arguments["hidden_size"]
    kind, vocabulary = arguments["seq_model"], arguments["output_size"]
    embedding, places = arguments["embedding_size"], arguments["seq_len"]
    shapes = parameter_shapes(vocabulary, embedding, hidden, layers, kind, places)
    parameters = [
        take(_transformer_kind(i, len(shapes)) if kind == "transformer" else "", *shape)
        for i, shape in enumerate(shapes)
    ]
    states = {"rnn": 1, "lstm": 2, "transformer": 0}[kind]
    zeros = t.zeros((layers, words.shape[1], hidden), dtype=parameters[0].dtype)
    return scores(t, words, [zeros] * states, parameters, layers, kind)[0], []


# of a TransformerLayer: norms of q, k and v, four matrices, a norm, two linear layers
_KINDS: tuple[str, ...] = ("scale", "", "scale", "k bias", "scale", "", "branch", "branch", "")
_KINDS += ("branch", "scale", "", "", "", "branch", "branch")


def _transformer_kind(i: int, count: int) -> str:
    """Two parameters of the model come before its layers, two after them."""
    return _KINDS[(i - 2) % len(_KINDS)] if 2 <= i < count - 2 else ""


# --- setups


def adam_reach(step: int, lr: float, beta1: float, beta2: float, eps: float) -> float:
    """The most that Adam's step moves a parameter.

    m = (1 - b1) sum b1^k g_k and v = (1 - b2) sum b2^k g_k^2 over k < step, so by Cauchy-Schwarz
    m <= (1 - b1) sqrt(sum (b1^2 / b2)^k) sqrt(v / (1 - b2)).
    """
    ratios = sum((beta1 * beta1 / beta2) ** k for k in range(step))
    largest = (1 - beta1) * math.sqrt(ratios / (1 - beta2))
    return lr * largest * math.sqrt(1 - beta2**step) / (1 - beta1**step)


def _setup(model: str, optimizer: str = "", **fixed: Any) -> Any:
    def setup(arguments: dict[str, Any]) -> Setup:
        given = dict(arguments)
        found = optimizer or f"optim.{given.pop('optimizer')}"
        hyper = {name: given.pop(name) for name in list(given) if name in _HYPER}
        reach = functools.partial(adam_reach, **hyper) if found == "optim.Adam" else None
        return Setup(model, fixed | given, found, hyper, UPDATES[found], reach)

    return setup


_MOMENTS: dict[str, Any] = {"beta1": 0.75, "beta2": 0.9375, "eps": 2.0**-10}
_SGD: dict[str, Any] = {"optimizer": "SGD", "lr": 2.0**-5, "momentum": 0.875}
_ADAM: dict[str, Any] = {"optimizer": "Adam", "lr": 2.0**-6, **_MOMENTS}
_PLAIN: dict[str, Any] = {"dim": 3, "hidden_dim": 4, "num_blocks": 0, "num_classes": 3}
_SHIFTED = "batch norm takes away the mean, and what was added to it"
_BEFORE_NORM = {"bias": _SHIFTED, "shift": _SHIFTED}


def _optimizer(name: str, *settings: dict[str, Any]) -> Training:
    """Trains two linear layers with a ReLU between them."""
    return Training(
        samples=tuple(sample((9, 3), **setting) for setting in settings),
        setup=_setup("models.MLPResNet", name, **_PLAIN),
        network=mlp_resnet,
        draw=_of_network,
        classes=lambda arguments: 3,
        steps=3,
    )


def _language(steps: int, batch: int, *sizes: int, seq_model: str, **rest: Any) -> Sample:
    names = ("embedding_size", "output_size", "hidden_size", "num_layers")
    arguments: dict[str, Any] = dict(zip(names, sizes, strict=True))
    return sample((steps, batch), **arguments, seq_model=seq_model, seq_len=steps, **rest)


_TOO_DEEP = "roundings of so few bits, through all layers and back, leave nothing to claim"
_BLOCKS: dict[str, Any] = {"hidden_dim": 8, "num_blocks": 2, "drop_prob": 0.25}

TRAINING = {
    "optim.SGD": _optimizer(
        "optim.SGD",
        {"lr": 0.0625, "weight_decay": 0.375},
        {"lr": 0.0625, "momentum": 0.875, "weight_decay": 0.375},
        {"lr": 0.0625, "momentum": 0.875, "dampening": 0.375, "nesterov": True},
    ),
    "optim.Adam": _optimizer(
        "optim.Adam",
        {"lr": 0.03125, **_MOMENTS},
        {"lr": 0.03125, **_MOMENTS, "weight_decay": 0.375},
    ),
    "optim.AdamW": _optimizer("optim.AdamW", {"lr": 0.03125, **_MOMENTS, "weight_decay": 0.375}),
    "optim.RMSprop": _optimizer(
        "optim.RMSprop",
        {"lr": 0.03125, "alpha": 0.9375, "eps": 2.0**-10, "weight_decay": 0.375},
        {"lr": 0.03125, "alpha": 0.9375, "eps": 2.0**-10, "momentum": 0.875},
    ),
    "models.MLPResNet": Training(
        samples=(
            sample((8, 5), dim=5, **_BLOCKS, num_classes=3, **_SGD),
            sample((8, 5), dim=5, **_BLOCKS, num_classes=3, **_ADAM),
            # in bfloat16 little can be claimed behind two blocks
            sample((8, 5), dim=5, **_BLOCKS | {"num_blocks": 0}, num_classes=3, **_SGD),
            sample((8, 784), region="mnist", dim=784, **_BLOCKS, num_classes=10, **_SGD),
        ),
        setup=_setup("models.MLPResNet"),
        network=mlp_resnet,
        draw=_of_network,
        classes=lambda arguments: int(arguments["num_classes"]),
        zero=_BEFORE_NORM,
    ),
    "models.ResNet9": Training(
        samples=(
            sample((4, 3, 32, 32), **_SGD),
            sample((4, 3, 32, 32), region="mnist", **_SGD),
        ),
        setup=_setup("models.ResNet9"),
        network=resnet9,
        draw=_of_network,
        classes=lambda arguments: 10,
        zero=_BEFORE_NORM,
        steps=1,
        slow=True,
        unclaimed=dict.fromkeys(("float16", "bfloat16"), _TOO_DEEP),
    ),
    "models.LanguageModel": Training(
        samples=(
            _language(4, 2, 3, 5, 4, 1, seq_model="rnn", **_SGD),
            _language(3, 2, 3, 5, 4, 2, seq_model="lstm", **_ADAM),
            _language(3, 2, 4, 5, 4, 1, seq_model="transformer", **_ADAM),
        ),
        setup=_setup("models.LanguageModel"),
        network=_language_model,
        draw=_of_language_model,
        classes=lambda arguments: int(arguments["output_size"]),
        words=True,
        zero={"k bias": "a softmax stays as it is when all its scores move alike"},
        unclaimed={"bfloat16": _TOO_DEEP},
    ),
}
