"""Softmax and what is made of it: its logarithms, cross-entropy and attention.

Where a reference subtracts the largest element, it does so as a constant: neither the result nor
its gradient depends on it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from verify.registry.planning import MANY, sample
from verify.registry.promises import Where, in_a_graph
from verify.registry.reduction import reduced_axes
from verify.sampling import OF_TENSORS
from verify.spec import Domain, Row, Shape


def _softmax(t: Any, a: Any, axis: Any = -1) -> Any:
    over = reduced_axes(axis, a.dim())
    if not (over and a.numel()):
        return a * 0 + 1
    rest = [d for d in range(a.dim()) if d not in over]
    order = [*rest, *over]
    rows = a.permute(order).reshape([*(a.shape[d] for d in rest), -1])
    y = t.softmax(rows, -1).reshape([a.shape[d] for d in order])
    return y.permute(sorted(range(a.dim()), key=order.__getitem__))


def _logsoftmax(t: Any, a: Any, axis: int = -1) -> Any:
    return t.nn.functional.log_softmax(a, axis) if a.numel() else a.clone()


def _logsumexp(t: Any, a: Any, axes: Any = None, keepdims: bool = False) -> Any:
    over = reduced_axes(axes, a.dim())
    if not over:
        return a.clone()
    if not a.numel():
        return t.log(a.sum(over, keepdim=keepdims))
    top = t.amax(a, over, keepdim=True).detach()
    top = t.where(t.isinf(top), 0.0, top)
    total = t.log(t.exp(a - top).sum(over, keepdim=True)) + top
    return total if keepdims else total.reshape([n for d, n in enumerate(a.shape) if d not in over])


def _cross_entropy(t: Any, logits: Any, labels: Any) -> Any:
    below = t.nn.functional.log_softmax(logits, -1)
    is_label = t.nn.functional.one_hot(t.tensor(labels).long(), logits.shape[-1]) == 1
    chosen = t.amax(t.where(is_label, below, -math.inf), (-1,))
    return -chosen.sum() / chosen.numel()


def _weights(
    t: Any,
    q: Any,
    k: Any,
    causal: bool = False,
    scale: float | None = None,
    captured: bool = False,
) -> Any:
    scores = t.matmul(
        q * (1 / math.sqrt(q.shape[-1]) if scale is None else scale), k.transpose(-1, -2)
    )
    if not scores.numel():
        return scores
    seen = t.ones(scores.shape[-2:], dtype=t.bool)
    if causal:
        seen = seen.tril()
    top = t.amax(t.where(seen, scores, -math.inf), (-1,), keepdim=True).detach()
    # what is not seen is left out of the sum, not sent through exp: its rounding does not count
    powers = t.where(seen, t.exp(t.where(seen, scores - top, 0.0)), 0.0)
    return powers / powers.sum((-1,), keepdim=True)


def _attention(t: Any, q: Any, k: Any, v: Any, **arguments: Any) -> Any:
    return t.matmul(_weights(t, q, k, **arguments), v)


def _products(shapes: tuple[Shape, ...], **_: Any) -> float:
    q, *others = shapes
    return sum(2.0 * math.prod(q) * k[-2] for k in others)


def _elements(shapes: tuple[Shape, ...], **_: Any) -> float:
    return 5.0 * math.prod(shapes[0])


_AXIS = (
    sample((1,)),
    sample((7,)),
    sample((16,), axis=0),
    sample((65,)),
    sample((5, 13)),
    sample((5, 13), axis=0),
    sample((2, 4, 5), axis=-1),
    sample((2, 3, 4), axis=-3),
    sample((4, 9, 8), axis=-2),
    sample((3, 1, 17, 2), axis=2),
    sample((4, 1), axis=1),
    sample((0, 5)),
    sample((3, 0)),
    sample((2, 257)),
    sample((1023,)),
)
_REGIONS = ("tiny", "huge", "zeros", "special", "integer", "ties", "denormal")
# Scores of some hundreds at most: no softmax gets by without the largest, and bounds are finite.
MODEST = Domain(special=False, huge=lambda _: 20.0)
# Infinities and NaN in the values only: among the scores the order of a matmul's sum decides.
_SCORES = (MODEST, MODEST, replace(MODEST, special=True))


def _call_weights(
    found: Any, tensors: Any, where: Where, captured: bool = False, **arguments: Any
) -> Any:
    return in_a_graph(found, tensors, where, captured, **arguments)


ROWS = (
    Row(
        name="softmax",
        family="softmax",
        reference=_softmax,
        samples=(
            *_AXIS,
            sample(MANY),
            sample((), axis=None),
            sample((3, 5), axis=None),
            sample((2, 3, 4), axis=(0, -1)),
            # in 16 bits most results are subnormal
            sample((2, 2, 2, 2, 64), region="positive", axis=(0, 2, 4)),
        ),
        regions=_REGIONS,
        flops=_elements,
    ),
    Row(
        name="logsoftmax",
        family="softmax",
        reference=_logsoftmax,
        samples=_AXIS,
        regions=(*_REGIONS, "shifted"),
        signed_zero=False,
        flops=_elements,
    ),
    Row(
        name="logsumexp",
        family="softmax",
        reference=_logsumexp,
        samples=(
            sample(()),
            sample((1,)),
            sample((7,)),
            sample((65,)),
            sample((1023,), axes=0),
            sample((2, 4, 5), axes=-1),
            sample((5, 3, 4), axes=-3),
            sample((5, 13), axes=-1, keepdims=True),
            sample((31, 33), axes=(0, 1)),
            sample((2, 3, 4), axes=1),
            sample((2, 3, 4), axes=(0, -1)),
            sample((2, 3, 4), axes=(-1, 0), keepdims=True),
            sample((3, 1, 17, 2), axes=(1, 2)),
            sample((2, 0, 3), axes=2),
            sample((2, 0, 3), axes=1),
            sample((2, 257), axes=1),
            sample((4, 9, 8), axes=-2),
            sample((150, 150), axes=0),
            sample((150, 150), axes=1),
        ),
        regions=_REGIONS,
        signed_zero=False,
        flops=_elements,
    ),
    Row(
        name="cross_entropy",
        family="softmax",
        reference=_cross_entropy,
        samples=(
            sample((1, 1), labels=(0,)),
            sample((1, 7), labels=(3,)),
            sample((5, 4), labels=(0, 3, 1, 1, 2)),
            sample((5, 4), labels=(0.0, 3.0, 1.0, 1.0, 2.0)),
            sample((9,), labels=8),
            sample((2, 3, 4), labels=((0, 1, 3), (2, 2, 0))),
            sample((3, 129), labels=(128, 0, 64)),
            sample((40, 10), labels=tuple(7 * i % 10 for i in range(40))),
        ),
        regions=_REGIONS,
        signed_zero=False,
        flops=_elements,
    ),
    Row(
        name="captured_cross_entropy",
        family="softmax",
        reference=_cross_entropy,
        samples=(
            sample((1, 1), labels=(0,)),
            sample((5, 4), labels=(0, 3, 1, 1, 2)),
            sample((9,), labels=8),
            sample((2, 3, 4), labels=((0, 1, 3), (2, 2, 0))),
            sample((3, 129), labels=(128, 0, 64)),
        ),
        mixtures=OF_TENSORS,  # what puts the labels on its device asks for it
        regions=("tiny", "huge", "zeros", "integer"),
        signed_zero=False,
        flops=_elements,
    ),
    Row(
        name="attention_weights",
        family="softmax",
        reference=_weights,
        samples=(
            sample((1, 1), (1, 1)),
            sample((4, 3), (4, 3)),
            sample((5, 8), (7, 8), scale=-0.5),
            sample((5, 8), (7, 8), causal=True),
            sample((2, 3, 9, 4), (2, 3, 6, 4), causal=True),
            sample((2, 1, 4, 5), (3, 7, 5)),
            sample((65, 3), (65, 3), causal=True),
            sample((0, 3), (4, 3)),
        ),
        captured=(sample((5, 8), (7, 8), causal=True, captured=True),),
        call=_call_weights,
        regions=("tiny", "huge", "zeros", "integer", "ties"),
        domains=_SCORES,
        flops=_products,
    ),
    Row(
        name="scaled_dot_product_attention",
        family="softmax",
        reference=_attention,
        samples=(
            sample((1, 1), (1, 1), (1, 1)),
            sample((4, 3), (4, 3), (4, 3)),
            sample((4, 3), (4, 3), (4, 3), causal=True),
            sample((5, 8), (7, 8), (7, 2), causal=True, scale=-0.25),
            sample((2, 5, 8), (2, 7, 8), (2, 7, 8)),
            sample((2, 3, 9, 4), (2, 3, 6, 4), (2, 3, 6, 4), causal=True),
            sample((2, 3, 9, 4), (3, 6, 4), (1, 6, 5)),
            sample((2, 33, 16), (2, 33, 16), (2, 33, 16), causal=True),
            sample((65, 3), (65, 3), (65, 2)),
        ),
        regions=("tiny", "huge", "zeros", "special", "integer", "ties"),
        domains=_SCORES,
        signed_zero=False,
        flops=_products,
    ),
)
