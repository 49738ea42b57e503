"""Models: the parameters are slices of one vector, so the gradients of all weights are judged.

With plain random numbers a deep network is ill-conditioned: bounds grow at every layer with the sum
of a weight's absolute values. So kernels are near the identity, scales near 1, and the biases
before a ReLU far from 0, some of them below: then no step of finite differences meets a kink, and
what is open still depends on every weight before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from verify.registry.layers import dropped
from verify.registry.packing import LAYOUTS_OF_WEIGHTS
from verify.registry.planning import sample
from verify.sampling import OF_TENSORS, Array
from verify.spec import Row, Sample, Shape

_SEED = 1


def rule(kind: str, shape: Shape) -> tuple[Array, float]:
    """A parameter of this kind is base + scale * slice; every scale is a power of two."""
    if kind in ("scale", "branch"):
        return np.ones(shape), 0.25
    if kind == "bias":
        return np.zeros(shape), 0.25
    if kind in ("lift", "branch lift", "shift"):
        return np.where(np.arange(math.prod(shape)) % 3 == 2, -8.0, 8.0).reshape(shape), 0.25
    *window, fan_in, fan_out = shape
    base = np.zeros(shape)
    source = np.arange(fan_out) % fan_in
    source -= source % 3 == 2  # from what is open: a batch norm of nearly nothing blows up errors
    centre: Any = tuple(k // 2 for k in window)
    base[centre][source, np.arange(fan_out)] = 1.0
    return base, 0.25 * 2.0 ** -round(math.log2(math.prod(shape[:-1])))


# --- the target's side


def _kind(p: Any) -> str:
    """What a parameter is, by its shape and by the value that the model starts it with."""
    if len(p.shape) > 1:
        return "lift" if p.shape[0] == 1 else "kernel"
    start = p.numpy()
    return "scale" if np.all(start == 1) else "bias" if np.any(start) else "lift"


def _call(
    found: Any,
    tensors: Sequence[Any],
    where: dict[str, Any],
    training: bool = True,
    **arguments: Any,
) -> Any:
    x, theta = tensors
    made = found(**arguments, **where)
    if not training:
        made.eval()
    begin = 0
    for p in made.parameters():
        base, scale = rule(_kind(p), p.shape)
        part = theta[begin : begin + base.size].reshape(base.shape)
        value = part * scale + type(x)(base, **where, requires_grad=False)
        # the parameter becomes a node of theta's graph in the place of a leaf
        p.op, p.inputs, p.cached_data = value.op, value.inputs, value.cached_data
        begin += base.size
    if begin != theta.shape[0]:
        raise ValueError(f"[models] the sample has {theta.shape[0]} parameters, the model {begin}")
    np.random.seed(_SEED)
    return made(x)


# --- the reference's side


Take = Callable[..., Any]  # (kind, *shape) -> the next parameter, in the order of the model


def _packed(t: Any, theta: Any) -> Take:
    """Parameters that are slices of one vector."""
    begin = 0

    def take(kind: str, *shape: int) -> Any:
        nonlocal begin
        base, scale = rule(kind, shape)
        part = theta[begin : begin + base.size].reshape(shape)
        begin += base.size
        return part * scale + t.tensor(base, dtype=theta.dtype)

    return take


class _Network:
    """Layers, and the statistics that batch norms found: mean, variance, mean, ..."""

    def __init__(self, t: Any, take: Take, training: bool) -> None:
        self.t, self.take, self.training = t, take, training
        self.statistics: list[Any] = []

    def linear(self, x: Any, fan_out: int, bias: str = "lift") -> Any:
        weight = self.take("kernel", x.shape[1], fan_out)
        return self.t.matmul(x, weight) + self.take(bias, 1, fan_out)

    def norm(self, x: Any, scale: str = "scale") -> Any:
        """Batch norm; in evaluation with the running statistics that it starts with, 0 and 1."""
        channels, eps = x.shape[1], 1e-5
        shape = (1, channels, *[1] * (x.dim() - 2))
        lift = "lift" if scale == "scale" else "branch lift"
        weight, bias = (self.take(kind, channels).reshape(shape) for kind in (scale, lift))
        if self.training:
            self.statistics += _statistics(x.detach())
            x = self.t.nn.functional.batch_norm(x, None, None, training=True, eps=eps)
        else:
            x = x * (1 + eps) ** -0.5
        return x * weight + bias

    def conv(self, x: Any, cout: int, kernel: int, stride: int, scale: str = "scale") -> Any:
        """Convolution, batch norm, ReLU."""
        kind = "last kernel" if 1 < x.shape[2] <= stride else "kernel"  # what is left is a pixel
        weight = self.take(kind, kernel, kernel, x.shape[1], cout).permute(3, 2, 0, 1)
        bias, padding = self.take("bias", cout), kernel // 2
        y = self.t.nn.functional.conv2d(x, weight, bias, stride=stride, padding=padding)
        return self.t.relu(self.norm(y, scale))

    def residual(self, x: Any, hidden_dim: int, drop_prob: float) -> Any:
        """relu(x + norm(linear(dropped relu(norm(linear(x))))))."""
        inside = self.t.relu(self.norm(self.linear(x, hidden_dim, "shift")))
        if self.training:
            inside = dropped(self.t, inside, drop_prob)
        return self.t.relu(self.norm(self.linear(inside, x.shape[1], "shift"), "branch") + x)


def _residual_block(
    t: Any,
    take: Take,
    x: Any,
    training: bool = True,
    dim: int = 0,
    hidden_dim: int = 0,
    drop_prob: float = 0.1,
) -> tuple[Any, list[Any]]:
    net = _Network(t, take, training)
    return net.residual(x, hidden_dim, drop_prob), net.statistics


def _statistics(x: Any) -> list[Any]:
    """Mean and variance of every channel."""
    axes = tuple(d for d in range(x.dim()) if d != 1)
    n = x.numel() // x.shape[1]
    mean = x.sum(axes, keepdim=True) / n
    variance = ((x - mean) * (x - mean)).sum(axes) / n
    return [mean.reshape(x.shape[1]), variance]


def mlp_resnet(
    t: Any,
    take: Take,
    x: Any,
    training: bool = True,
    dim: int = 0,
    hidden_dim: int = 100,
    num_blocks: int = 3,
    num_classes: int = 10,
    drop_prob: float = 0.1,
) -> tuple[Any, list[Any]]:
    """models.MLPResNet: scores, and what its batch norms found."""
    net = _Network(t, take, training)
    y = t.relu(net.linear(x, hidden_dim))
    for _ in range(num_blocks):
        y = net.residual(y, hidden_dim // 2, drop_prob)
    return net.linear(y, num_classes), net.statistics


def resnet9(t: Any, take: Take, x: Any, training: bool = True) -> tuple[Any, list[Any]]:
    """models.ResNet9: scores, and what its batch norms found."""
    net = _Network(t, take, training)
    y = net.conv(net.conv(x, 16, 7, 4), 32, 3, 2)
    y = net.conv(net.conv(y, 32, 3, 1, "branch"), 32, 3, 1, "branch") + y
    y = net.conv(net.conv(y, 64, 3, 2), 128, 3, 2)
    y = net.conv(net.conv(y, 128, 3, 1, "branch"), 128, 3, 1, "branch") + y
    scores = net.linear(t.relu(net.linear(y.reshape(y.shape[0], 128), 128)), 10)
    return scores, net.statistics


def _of_vector(network: Callable[..., tuple[Any, list[Any]]]) -> Callable[..., Any]:
    """A network's scores, from one vector of parameters."""

    def reference(t: Any, x: Any, theta: Any, **arguments: Any) -> Any:
        np.random.seed(_SEED)
        return network(t, _packed(t, theta), x, **arguments)[0]

    return reference


_SMALL: dict[str, Any] = {
    "dim": 5,
    "hidden_dim": 8,
    "num_blocks": 2,
    "num_classes": 3,
    "drop_prob": 0.25,
}
_RESNET9 = (431_946,)


def _model(name: str, reference: Callable[..., Any], *samples: Sample, **more: Any) -> Row:
    return Row(
        name=name,
        mixtures=OF_TENSORS,  # the row makes Tensors like its input
        family="model",
        reference=_of_vector(reference),
        samples=samples,
        regions=(),
        call=_call,
        signed_zero=False,
        **{"layouts": LAYOUTS_OF_WEIGHTS, **more},
    )


ROWS = (
    _model(
        "models.ResidualBlock",
        _residual_block,
        sample((6, 6), (78,), dim=6, hidden_dim=4, drop_prob=0.25),
        sample((6, 6), (78,), dim=6, hidden_dim=4, training=False),
        sample((9, 3), (54,), dim=3, hidden_dim=5, drop_prob=0.0),
    ),
    _model(
        "models.MLPResNet",
        mlp_resnet,
        sample((6, 5), (275,), **_SMALL),
        sample((6, 5), (275,), **_SMALL, training=False),
        sample((9, 3), (26,), dim=3, hidden_dim=4, num_blocks=0, num_classes=2),
    ),
    _model(
        "models.ResNet9",
        resnet9,
        sample((8, 3, 32, 32), _RESNET9),
        sample((2, 3, 32, 32), _RESNET9, training=False),
        layouts=("compact",),
    ),
)
