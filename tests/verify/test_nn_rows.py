"""Planted faults in layers and models: their rows find each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from needle import init, nn, ops
from needle.autograd import Tensor
from needle.nn.conv import channels_first, channels_last
from verify import checks, registry
from verify.spec import Status

ROWS = registry.rows()


def found(name: str, judge: str) -> bool:
    """Whether a case of the row fails."""
    cases = registry.plan_cases(ROWS[name], "numpy", "float64", judge, 0)
    return any(checks.run_case(c).status is Status.FAIL for c in cases)


def batch_norm(running: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Tensor], Tensor]:
    """A forward that combines (old, new, momentum) to the running statistics as told."""

    def forward(self: Any, x: Tensor) -> Tensor:
        held = [t.detach() * 1 for t in (self.running_mean, self.running_var)]
        y = ops.batch_norm(
            x, self.weight, self.bias, *held, training=self.training, momentum=1, eps=self.eps
        )
        if self.training:
            for t, new in zip((self.running_mean, self.running_var), held, strict=True):
                t.data = running(t.data, new, self.momentum)
        return y

    return forward


def kept(old: Any, new: Any, m: float) -> Any:
    return old * m + new * (1 - m)


def unbiased(old: Any, new: Any, m: float) -> Any:
    return old * (1 - m) + new * (m * 5 / 4)


def undivided(self: Any, x: Tensor) -> Tensor:
    return x * init.randb(*x.shape, p=1 - self.p, device=x.device, dtype=x.dtype)


def always_dropped(self: Any, x: Tensor) -> Tensor:
    p = self.p
    if p == 1:
        return x * 0
    return x * init.randb(*x.shape, p=1 - p, device=x.device, dtype=x.dtype) / (1 - p)


def one_group(self: Any, x: Tensor) -> Tensor:
    shape = (self.dim, *[1] * (x.ndim - 2))
    y = ops.standardize(x, tuple(range(1, x.ndim)), self.eps)
    return y * self.weight.reshape(shape) + self.bias.reshape(shape)


def without_bias(self: Any, x: Tensor) -> Tensor:
    geometry = self.stride, self.padding, self.dilation, self.groups
    return channels_first(ops.conv(channels_last("conv", x), self.weight, *geometry))


def biased_logits(self: Any, x: Tensor) -> Tensor:
    y = x @ self.weight
    return y if self.bias is None else y + self.bias.detach()


FAULTS: list[tuple[str, str, type[nn.Module], Callable[..., Any]]] = [
    ("nn.BatchNorm1d", "forward", nn.BatchNorm1d, batch_norm(kept)),
    ("nn.BatchNorm1d", "forward", nn.BatchNorm1d, batch_norm(unbiased)),
    ("nn.BatchNorm2d", "forward", nn.BatchNorm1d, batch_norm(lambda old, new, m: old)),
    ("nn.Dropout", "forward", nn.Dropout, undivided),
    ("nn.Dropout", "forward", nn.Dropout, always_dropped),
    ("nn.GroupNorm", "forward", nn.GroupNorm, one_group),
    ("nn.Conv", "forward", nn.Conv, without_bias),
    ("nn.Linear", "vjp", nn.Linear, biased_logits),
    ("nn.Linear", "fd", nn.Linear, biased_logits),
    ("nn.Residual", "forward", nn.Residual, lambda self, x: self.fn(x)),
    ("nn.Sequential", "forward", nn.Sequential, lambda self, x: self.modules[0](x)),
    ("nn.Identity", "forward", nn.Identity, lambda self, x: -x),
    ("nn.MSELoss", "forward", nn.MSELoss, lambda self, x, y: ((x - y) * (x - y)).sum()),
    ("models.MLPResNet", "forward", nn.Residual, lambda self, x: self.fn(x)),
    ("models.MLPResNet", "forward", nn.Dropout, always_dropped),
    ("models.MLPResNet", "vjp", nn.Residual, lambda self, x: self.fn(x) + x.detach()),
    ("models.MLPResNet", "fd", nn.Residual, lambda self, x: self.fn(x) + x.detach()),
    ("models.ResNet9", "forward", nn.Residual, lambda self, x: self.fn(x)),
    ("models.ResNet9", "vjp", nn.Residual, lambda self, x: self.fn(x) + x.detach()),
]


@pytest.mark.parametrize(
    ("name", "judge", "owner", "wrong"),
    FAULTS,
    ids=[f"{i}-{name}-{judge}" for i, (name, judge, *_) in enumerate(FAULTS)],
)
def test_planted_faults_are_found(
    name: str,
    judge: str,
    owner: type[nn.Module],
    wrong: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "explain", lambda *_: None)  # the finding is enough
    monkeypatch.setattr(owner, "forward", wrong)
    assert found(name, judge)


@pytest.mark.parametrize("judge", ["forward", "vjp", "fd"])
def test_statistics_without_a_gradient_are_no_alarm(judge: str) -> None:
    assert not found("nn.BatchNorm1d", judge)
