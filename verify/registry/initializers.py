"""Initialisers: what they draw, restated from their definitions; and the constants among them.

Two axes of unlike size and about 60,000 elements: enough that a deviation wrong by 2 % is seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from verify.laws import Bernoulli, Exactly, Law, Normal, Uniform
from verify.registry.planning import sample
from verify.registry.promises import elsewhere, kept, package
from verify.spec import Draws, Row, Sample, Shape

_MANY: Shape = (201, 307)
_FEW: tuple[Shape, ...] = ((), (1,), (0, 3), (7,), (2, 3, 4))


def _none(*_: Any, **__: Any) -> tuple[Any, ...]:
    """torch is not asked: the judge is `distribution`."""
    return ()


def _shaped(
    found: Any, where: dict[str, Any], shape: Shape, placed: bool = True, **arguments: Any
) -> Any:
    if placed:
        return found(*shape, **arguments, **where)
    made = found(*shape, **arguments, dtype=where["dtype"])
    needle = package(found)
    kept(made.device == needle.default_device(), "without a device it is on the default one")
    return type(made)(made, device=where["device"])


def _plain(found: Any, where: dict[str, Any], **arguments: Any) -> Any:
    return found(**arguments, **where)


def _one_hot_call(
    found: Any, where: dict[str, Any], n: int, i: Any, tensor: str = "", **arguments: Any
) -> Any:
    """tensor: i is a Tensor of this dtype, on another device."""
    if not tensor:
        return found(n, i, **arguments, **where)
    labels = package(found).Tensor(i, device=elsewhere(found, where), dtype=tensor)
    made = found(n, labels, dtype=where["dtype"], **arguments)
    kept(made.device == labels.device, "rows are where their labels are")
    return type(made)(made, device=where["device"])


def _row(
    name: str,
    law: Callable[..., Law],
    *samples: Sample,
    call: Callable[..., Any] = _shaped,
    constant: str = "",
) -> Row:
    return Row(
        name=f"init.{name}",
        family="init",
        reference=_none,
        samples=(),
        regions=(),
        layouts=("compact",),
        differentiable=False,
        draws=Draws(samples, lambda **arguments: {"x": _law(law, **arguments)}, call, constant),
    )


def _law(law: Callable[..., Law], placed: bool = True, tensor: str = "", **arguments: Any) -> Law:
    """Where the numbers are, and what names them, changes none."""
    return law(**arguments)


def _shapes(**arguments: Any) -> tuple[Sample, ...]:
    return tuple(sample(shape=shape, **arguments) for shape in _FEW)


# --- constants


def _full(shape: Shape, c: float = 1.0) -> Law:
    return Exactly(np.full(shape, float(c)))


def _one_hot(n: int, i: Any) -> Law:
    index = np.asarray(i, np.int64)
    return Exactly((index[..., None] == np.arange(n)).astype(np.float64))


def _like(name: str, reference: Callable[[Any], Callable[[Any], Any]]) -> Row:
    return Row(
        name=f"init.{name}",
        family="init",
        reference=lambda t, a: reference(t)(a),
        samples=tuple(sample(shape) for shape in _FEW),
        regions=("special",),
        differentiable=False,
        constant_result="one number everywhere, whatever the input holds",
    )


# --- fans


def _fans(shape: Shape | None, fan_in: int, fan_out: int) -> Shape:
    return (fan_in, fan_out) if shape is None else shape


def within(shape: Shape, bound: float) -> Uniform:
    """Uniform in +- bound."""
    return Uniform(shape, -bound, bound)


def _xavier_uniform(fan_in: int, fan_out: int, gain: float = 1.0) -> Law:
    return within((fan_in, fan_out), gain * math.sqrt(6 / (fan_in + fan_out)))


def _xavier_normal(fan_in: int, fan_out: int, gain: float = 1.0) -> Law:
    if gain == 0:
        return _full((fan_in, fan_out), 0.0)
    return Normal((fan_in, fan_out), 0.0, gain * math.sqrt(2 / (fan_in + fan_out)))


def kaiming_uniform(fan_in: int, fan_out: int, shape: Shape | None = None) -> Law:
    """For ReLU: variance 2 / fan_in."""
    return within(_fans(shape, fan_in, fan_out), math.sqrt(6 / fan_in))


def _kaiming_normal(fan_in: int, fan_out: int, shape: Shape | None = None) -> Law:
    return Normal(_fans(shape, fan_in, fan_out), 0.0, math.sqrt(2 / fan_in))


def ones(shape: Shape) -> Law:
    """1 everywhere."""
    return _full(shape)


def zeros(shape: Shape) -> Law:
    """0 everywhere."""
    return _full(shape, 0.0)


def _rand(shape: Shape, low: float = 0.0, high: float = 1.0) -> Law:
    return Uniform(shape, low, high)


def _randn(shape: Shape, mean: float = 0.0, std: float = 1.0) -> Law:
    if std == 0:
        return _full(shape, mean)
    return Normal(shape, mean, std)


def _randb(shape: Shape, p: float = 0.5) -> Law:
    return Bernoulli(shape, p)


_ROWS, _COLUMNS = _MANY
_KERNEL: Shape = (5, 5, 35, 69)
_CONSTANT = "every element is the same number: that is what it is for"

ROWS = (
    _row(
        "rand",
        _rand,
        sample(shape=_MANY),
        sample(shape=_MANY, low=-2.0, high=3.0),
        *_shapes(),
        sample(shape=(7,), placed=False),
    ),
    _row(
        "randn",
        _randn,
        sample(shape=_MANY),
        sample(shape=_MANY, mean=-0.75, std=3.0),
        *_shapes(),
        sample(shape=(7,), mean=0.75, std=0.0),
    ),
    _row(
        "randb",
        _randb,
        sample(shape=_MANY),
        sample(shape=_MANY, p=0.125),
        sample(shape=(7,), p=0.0),
        sample(shape=(7,), p=1.0),
        *_shapes(p=0.75),
    ),
    _row(
        "constant",
        _full,
        sample(shape=(5, 13)),
        *_shapes(c=0.1),
        sample(shape=(7,), c=-3),
        constant=_CONSTANT,
    ),
    _row(
        "ones",
        ones,
        sample(shape=(5, 13)),
        *_shapes(),
        sample(shape=(7,), placed=False),
        constant=_CONSTANT,
    ),
    _row("zeros", zeros, sample(shape=(5, 13)), *_shapes(), constant=_CONSTANT),
    _like("ones_like", lambda t: t.ones_like),
    _like("zeros_like", lambda t: t.zeros_like),
    _row(
        "one_hot",
        _one_hot,
        sample(n=5, i=(4, 0, 2, 2)),
        sample(n=3, i=1),
        sample(n=4, i=((0, 3), (2, 1))),
        sample(n=4, i=()),
        sample(n=5, i=(4, 0, 2, 2), tensor="float32"),
        sample(n=3, i=((0, 2), (1, 1)), tensor="int64"),
        call=_one_hot_call,
    ),
    *(
        _row(
            name,
            law,
            sample(fan_in=_ROWS, fan_out=_COLUMNS),
            sample(fan_in=30, fan_out=2000, gain=3.0),
            sample(fan_in=1, fan_out=1),
            sample(fan_in=3, fan_out=2, gain=0.0),
            call=_plain,
        )
        for name, law in (("xavier_uniform", _xavier_uniform), ("xavier_normal", _xavier_normal))
    ),
    *(
        _row(
            name,
            law,
            sample(fan_in=_ROWS, fan_out=_COLUMNS),
            sample(fan_in=875, fan_out=1725, shape=_KERNEL),
            sample(fan_in=1, fan_out=1, shape=()),
            call=_plain,
        )
        for name, law in (("kaiming_uniform", kaiming_uniform), ("kaiming_normal", _kaiming_normal))
    ),
)
