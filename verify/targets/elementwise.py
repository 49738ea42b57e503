"""A unary op as a function of numpy arrays, for measurements: nothing is checked on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from verify.sampling import Array
from verify.spec import Row
from verify.targets.devices import face, resolve


def unary(row: Row, arguments: dict[str, Any], device: str, dtype: str) -> Callable[[Array], Array]:
    """The row's op on a device, from a contiguous array to one of the same dtype."""
    from needle import Tensor
    from needle.backend_ndarray import NDArray

    function, on = resolve(row.name), face(device)

    def call(x: Array) -> Array:
        a = Tensor.make_const(NDArray(x, device=on, dtype=dtype), requires_grad=False)
        result: Array = function(a, **arguments).numpy()
        return result

    return call
