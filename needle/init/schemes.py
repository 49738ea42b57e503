"""Xavier and Kaiming initialisations.

Source: Glorot and Bengio, 2010; He et al., 2015.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from needle.autograd import Tensor
from needle.backend_ndarray.checks import finite, integers, sizes
from needle.init.basic import rand, randn


def _require_fan(op: str, **fans: int) -> None:
    integers(op, **fans)
    for name, value in fans.items():
        if value < 1:
            raise ValueError(f"[{op}] {name} must be at least 1, got {name}={value}")


def _require_relu(op: str, nonlinearity: str) -> None:
    if nonlinearity != "relu":
        raise ValueError(f"[{op}] nonlinearity must be 'relu', got nonlinearity={nonlinearity!r}")


def _shape(op: str, fan_in: int, fan_out: int, shape: Any) -> tuple[int, ...]:
    """The shape given, or the fans. Raises: as sizes, TypeError when it is no sequence."""
    if shape is None:
        return sizes(op, (fan_in, fan_out))
    if not isinstance(shape, Iterable):
        raise TypeError(f"[{op}] shape is a sequence of ints, got type={type(shape).__name__}")
    return sizes(op, tuple(shape))


def xavier_uniform(fan_in: int, fan_out: int, gain: float = 1.0, **kwargs: Any) -> Tensor:
    """Uniform within ± gain sqrt(6 / (fan_in + fan_out)); shape (fan_in, fan_out)."""
    _require_fan("xavier_uniform", fan_in=fan_in, fan_out=fan_out)
    finite("xavier_uniform", gain=gain)
    bound = gain * math.sqrt(6 / (fan_in + fan_out))
    return rand(fan_in, fan_out, low=-bound, high=bound, **kwargs)


def xavier_normal(fan_in: int, fan_out: int, gain: float = 1.0, **kwargs: Any) -> Tensor:
    """Normal with standard deviation gain sqrt(2 / (fan_in + fan_out)); shape (fan_in, fan_out)."""
    _require_fan("xavier_normal", fan_in=fan_in, fan_out=fan_out)
    finite("xavier_normal", gain=gain)
    if gain < 0:
        raise ValueError(f"[xavier_normal] gain must not be negative, got gain={gain}")
    return randn(fan_in, fan_out, std=gain * math.sqrt(2 / (fan_in + fan_out)), **kwargs)


def kaiming_uniform(
    fan_in: int,
    fan_out: int,
    shape: tuple[int, ...] | None = None,
    nonlinearity: str = "relu",
    **kwargs: Any,
) -> Tensor:
    """Uniform within ± sqrt(2) sqrt(3 / fan_in); shape (fan_in, fan_out) unless given."""
    _require_fan("kaiming_uniform", fan_in=fan_in)
    _require_relu("kaiming_uniform", nonlinearity)
    bound = math.sqrt(2) * math.sqrt(3 / fan_in)
    wanted = _shape("kaiming_uniform", fan_in, fan_out, shape)
    return rand(*wanted, low=-bound, high=bound, **kwargs)


def kaiming_normal(
    fan_in: int,
    fan_out: int,
    shape: tuple[int, ...] | None = None,
    nonlinearity: str = "relu",
    **kwargs: Any,
) -> Tensor:
    """Normal with standard deviation sqrt(2 / fan_in); shape (fan_in, fan_out) unless given."""
    _require_fan("kaiming_normal", fan_in=fan_in)
    _require_relu("kaiming_normal", nonlinearity)
    wanted = _shape("kaiming_normal", fan_in, fan_out, shape)
    return randn(*wanted, std=math.sqrt(2 / fan_in), **kwargs)
