"""Functions of one variable to 50 digits: who is right where device and oracle disagree.

mpmath computes them, where it is installed; a layer stands for the function of its name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from verify.budget import Array

DIGITS = 50


def _sigmoid(m: Any, x: Any) -> Any:
    return 1 / (1 + m.exp(-x))


def _gelu(m: Any, x: Any, approximate: str = "none") -> Any:
    if approximate == "none":
        return x * m.erfc(-x / m.sqrt(2)) / 2
    return x * _sigmoid(m, 2 * m.sqrt(2 / m.pi) * (x + m.mpf(0.044715) * x**3))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{
        name: lambda m, x, name=name: getattr(m, name)(x)
        for name in ("exp", "log", "tanh", "sqrt", "sin", "cos", "log1p", "expm1", "erf", "erfc")
    },
    "rsqrt": lambda m, x: 1 / m.sqrt(x),
    "sigmoid": _sigmoid,
    "softplus": lambda m, x: m.log1p(m.exp(x)),
    "silu": lambda m, x: x * _sigmoid(m, x),
    "gelu": _gelu,
    "power_scalar": lambda m, x, scalar: m.power(x, m.mpf(scalar)),
}


def known(name: str) -> bool:
    """Whether there is such a function here."""
    return _key(name) in _FUNCTIONS


def value(name: str, x: float, arguments: dict[str, Any], cotangent: float | None = None) -> Any:
    """f(x), or its slope at x times a cotangent; None without mpmath or where it has none."""
    try:
        import mpmath  # type: ignore[import-untyped]
    except ImportError:
        return None
    function = _FUNCTIONS[_key(name)]
    with mpmath.workdps(DIGITS):
        try:
            if cotangent is None:
                found = function(mpmath, mpmath.mpf(x), **arguments)
            else:
                slope = mpmath.diff(lambda t: function(mpmath, t, **arguments), mpmath.mpf(x))
                found = slope * mpmath.mpf(cotangent)
        except (ArithmeticError, ValueError):
            return None
        return None if isinstance(found, mpmath.mpc) else found


def sides_with_device(
    name: str,
    arrays: tuple[Array, Array | None],
    arguments: dict[str, Any],
    index: tuple[int, ...],
    claims: tuple[float, float, float],
) -> bool:
    """Whether 50 digits are within the bound of the device, and nearer to it than to the oracle.

    arrays: input and cotangent; claims: the device's number, the oracle's, the bound.
    """
    x, g = arrays
    got, want, bound = claims
    if not known(name) or x.shape != (x if g is None else g).shape:
        return False
    true = value(name, float(x[index]), arguments, None if g is None else float(g[index]))
    if true is None:
        return False
    return bool(abs(true - got) < abs(true - want) and abs(true - got) <= bound)


def _key(name: str) -> str:
    return name.rpartition(".")[2].lower()
