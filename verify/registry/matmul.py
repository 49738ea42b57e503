"""Matrix products: vectors, matrices, batches and broadcast batches."""

from __future__ import annotations

import math
from typing import Any

from verify.registry.planning import sample
from verify.spec import Domain, Row, Shape


def _matmul(t: Any, a: Any, b: Any) -> Any:
    """numpy's rule, vectors made matrices first."""
    left, right = a.dim() == 1, b.dim() == 1
    y = t.matmul(a[None, :] if left else a, b[:, None] if right else b)
    if left:
        y = y.squeeze(-1 if right else -2) if right else y.squeeze(-2)
    return y.squeeze(-1) if right else y


def _einsum(t: Any, *tensors: Any, spec: str) -> Any:
    """torch broadcasts what stands for a letter, but not on a diagonal."""
    parts = spec.split("->")[0].split(",")
    return t.einsum(spec, *(_broadcast(x, part) for x, part in zip(tensors, parts, strict=True)))


def _broadcast(x: Any, letters: str) -> Any:
    """Axes of size 1 as long as the others of their letter."""
    if len(letters) != x.dim() or len(set(letters)) == x.dim():
        return x
    sizes: dict[str, int] = {}
    for name, n in zip(letters, x.shape, strict=True):
        sizes[name] = max(n, sizes.get(name, n))
    return x.expand([sizes[name] for name in letters])


def _flops(shapes: tuple[Shape, ...], **_: Any) -> float:
    a, b = shapes
    columns = b[-1] if len(b) > 1 else 1
    batch = max(math.prod(a[:-1]), math.prod(a[-2:-1]) * math.prod(b[:-2]))
    return 2.0 * batch * a[-1] * columns


ROWS = (
    Row(
        name="matmul",
        family="matmul",
        reference=_matmul,
        samples=(
            sample((1, 1), (1, 1)),
            sample((1, 7), (7, 1)),
            sample((3, 5), (5, 2)),
            sample((8, 8), (8, 8)),
            sample((5, 13), (13, 17)),
            sample((16, 33), (33, 15)),
            sample((31, 65), (65, 33)),
            sample((67, 3), (3, 129)),
            sample((9, 300), (300, 7)),
            sample((3, 1100), (1100, 5)),  # several blocks of the inner dimension
            sample((130, 96), (96, 96)),  # several blocks of the result
            sample((129, 64), (64, 65)),
            # whole tiles in every axis, of any usual size and several: what a tiled kernel is for
            sample((16, 24), (24, 32)),
            sample((64, 96), (96, 32)),
            sample((600, 3), (3, 2)),  # long sums in the gradients only
            sample((2, 3), (3, 600)),
            sample((4, 0), (0, 3)),
            sample((0, 4), (4, 3)),
            sample((7,), (7,)),
            sample((5,), (5, 3)),
            sample((4, 6), (6,)),
            sample((9, 33), (33,)),
            sample((2, 3, 4), (2, 4, 5)),
            sample((3, 2, 5), (5, 4)),
            sample((2, 1, 3, 4), (5, 4, 2)),
            sample((2, 3, 4, 5), (5, 6)),  # one matrix for two axes of batches
            sample((5, 4), (2, 3, 4, 3)),
            sample((3, 4), (2, 4, 3)),
            sample((6,), (2, 6, 3)),
        ),
        regions=("tiny", "huge", "zeros", "special", "integer", "ties"),
        # an infinity times 0 is NaN: only one operand has them, so that the other decides nothing
        domains=(Domain(), Domain(special=False)),
        signed_zero=False,
        flops=_flops,
    ),
    Row(
        name="einsum",
        family="matmul",
        reference=_einsum,
        call=lambda op, tensors, where, spec: op(spec, *tensors),
        view=True,
        # letters that only move, and the diagonal of a compact matrix
        shares=lambda shapes, spec: spec in ("ij->ji", "ii->i"),
        samples=(
            sample((3, 5), (5, 2), spec="ij,jk->ik"),
            sample((31, 65), (65, 33), spec="ij,jk"),
            sample((5, 13), spec="ij->ji"),
            sample((5, 13), spec="ij->"),
            sample((7, 7), spec="ii"),
            sample((7, 7), spec="ii->i"),
            sample((2, 7, 3, 7), spec="aibi->ab"),
            sample((4, 4, 4), spec="iii->i"),
            # an axis of size 1 broadcasts on a diagonal too
            sample((1, 5), spec="ii->i"),
            sample((3, 1, 1), (5,), spec="jii,i->ij"),
            sample((7,), (7,), spec="i,i->i"),
            sample((5,), (13,), spec="i,j"),
            sample((2, 3, 4), (2, 4, 5), spec="bij,bjk->bik"),
            sample((2, 3, 4), (5, 4), spec="...i,ji->j..."),
            sample((3, 4, 6), (2, 1, 6, 5), spec="...ij,...jk"),
            sample((4, 3), (3, 5), (5, 2), spec="ab,bc,cd->ad"),
            sample((2, 3, 9, 4), (2, 3, 6, 4), spec="bhqd,bhkd->bhqk"),
            sample((3, 0), (0, 4), spec="ij,jk->ik"),
            sample((3, 1), (3, 5), spec="ij,ij->i"),
        ),
        regions=("tiny", "huge", "zeros", "integer", "ties"),
        domains=(Domain(huge=lambda largest: largest**0.3, tiny=lambda largest: largest**-0.3),),
        signed_zero=False,
    ),
)
