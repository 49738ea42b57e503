"""Ops under circumstances that no layout makes: operands that agree on an order of memory, an
infinity that most of a result does not see, a part of what there is, a second device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from verify.spec import Broken

Resolve = Callable[[str], Callable[..., Any]]


def in_order(
    resolve: Resolve,
    inputs: Sequence[Any],
    *,
    call: str,
    orders: Sequence[Sequence[int]],
    **arguments: Any,
) -> Any:
    """What an op gives of permuted arrays, in orders of theirs: it lies as the first of them does.

    Raises: Broken where it does not.
    """
    turned = [a.permute(tuple(order)) for a, order in zip(inputs, orders, strict=True)]
    result = resolve(call)(*turned, **arguments)
    lies, wanted = (a.realize_cached_data().strides for a in (result, turned[0]))
    if lies != wanted:
        raise Broken(f"{call} gives strides={lies}, its operands have strides={wanted}")
    return result


def beside_infinity(
    resolve: Resolve,
    inputs: Sequence[Any],
    *,
    call: str,
    place: tuple[int, ...],
    **arguments: Any,
) -> Any:
    """What an op gives of inputs the first of which is infinite at one place.

    Each lies behind a copy without infinity: who reads before it finds ordinary numbers.
    """
    from needle.backend_ndarray import concatenate

    first = inputs[0]
    held = [a.realize_cached_data() for a in inputs]
    behind = [concatenate((h, h))[h.shape[0] :] for h in held]
    behind[0][place] = float("inf")
    return resolve(call)(*map(type(first).make_const, behind), **arguments)


def of_a_part(
    resolve: Resolve, inputs: Sequence[Any], *, call: str, lines: int, **arguments: Any
) -> Any:
    """What a convolution gives; a NaN of its weights goes where it does for the first lines alone.

    Raises: Broken where it does not.
    """
    image, weights = inputs
    spoilt = weights.numpy().copy()
    spoilt[0, 0, 0, 0] = float("nan")
    odd = type(image)(spoilt, device=image.device, dtype=weights.dtype)
    whole, part = (resolve(call)(x, odd, **arguments).numpy() for x in (image, image[:, :lines]))
    seen = lines - weights.shape[0]  # of whole windows in both
    if (np.isnan(whole[:, :seen]) != np.isnan(part[:, :seen])).any():
        raise Broken(f"{call}: where NaN goes depends on how large the image is")
    return resolve(call)(image, weights, **arguments)


def on_another_device(
    resolve: Resolve,
    faces: Sequence[Any],
    inputs: Sequence[Any],
    *,
    call: str,
    joined: bool = False,
    **arguments: Any,
) -> Any:
    """What an op gives on the first of these devices that is another one, and usable here.

    joined: the op takes its inputs as one list.
    """
    first = inputs[0]
    other = next(face for face in faces if face != first.device and face.enabled())
    moved = [type(first)(a, device=other) for a in inputs]
    result = resolve(call)(*((moved,) if joined else moved), **arguments)
    return type(first)(result, device=first.device)
