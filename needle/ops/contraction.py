"""Sums of products over named axes, by diagonals, permutations and matrix products."""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Iterable, Sequence

from needle.autograd import Tensor
from needle.ops.broadcast import check_tensors, reshape, summation
from needle.ops.elementwise import multiply
from needle.ops.indexing import getitem
from needle.ops.layout import permute
from needle.ops.matrix import matmul

__all__ = ["einsum"]

Labels = tuple[str, ...]  # a name for every axis: letters, and "1", "2", ... from the right for ...


def einsum(spec: str, *tensors: Tensor) -> Tensor:
    """The sum of products over the axes that `spec` names and its output lacks.

    spec: "ij,jk->ik". A letter twice in one operand is its diagonal; "..." stands for any axes,
    which broadcast. Without "->" the output has "..." first, then the letters that occur once, in
    alphabetical order.
    Shape: the sizes of a letter agree, or are 1 and broadcast. Where the letters of one operand
    only move the result is a view; a diagonal is one where a reshape is.
    Gradient: that of the products it is made of, left to right.
    Raises: ValueError when spec is malformed or does not fit the tensors, TypeError when it is no
    str.
    """
    if not isinstance(spec, str):
        raise TypeError(f"[einsum] spec is a str, got type={type(spec).__name__}")
    check_tensors("einsum", **{f"tensors[{i}]": t for i, t in enumerate(tensors)})
    inputs, output = _parse(spec, [t.ndim for t in tensors])
    sizes = _sizes(spec, inputs, tensors)
    operands = []
    for labels, tensor in zip(inputs, tensors, strict=True):
        operands.append(_diagonal(*_narrow(tensor, labels, sizes)))
    result, labels = operands[0]
    for i, (tensor, others) in enumerate(operands[1:], 2):
        needed = {*output, *(name for _, later in operands[i:] for name in later)}
        result, labels = _product(result, labels, tensor, others, needed)
    result, labels = _summed(result, labels, output)
    return permute(result, [labels.index(name) for name in output])


def _parse(spec: str, ranks: Sequence[int]) -> tuple[list[Labels], Labels]:
    """The labels of every operand and of the output."""
    left, arrow, right = spec.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(ranks) or not ranks:
        raise ValueError(
            f"[einsum] spec names every tensor, got spec={spec!r}, tensors={len(ranks)}"
        )
    inputs = [_labels(spec, part, ndim) for part, ndim in zip(parts, ranks, strict=True)]
    counts = Counter(name for labels in inputs for name in labels)
    dots = tuple(sorted((name for name in counts if name.isdigit()), key=int, reverse=True))
    if not arrow:
        once = (name for name, n in counts.items() if n == 1 and not name.isdigit())
        return inputs, (*dots, *sorted(once))
    letters = right.replace("...", "", 1)
    output = _labels(spec, right, len(letters) + (len(dots) if "..." in right else 0))
    if len(set(output)) < len(output) or not set(output) <= set(counts):
        raise ValueError(
            f"[einsum] the output names letters of the inputs, each once, got spec={spec!r}"
        )
    return inputs, output


def _labels(spec: str, part: str, ndim: int) -> Labels:
    """A name for each of ndim axes."""
    before, dots, after = part.partition("...")
    hidden = ndim - len(before) - len(after)
    if not set(before + after) <= set(string.ascii_letters):
        raise ValueError(f"[einsum] axes are letters or ..., got spec={spec!r}")
    if hidden < 0 or (hidden and not dots):
        raise ValueError(
            f"[einsum] every axis has a letter, got spec={spec!r}, part={part!r}, ndim={ndim}"
        )
    return (*before, *(str(i) for i in range(hidden, 0, -1)), *after)


def _sizes(spec: str, inputs: Sequence[Labels], tensors: Sequence[Tensor]) -> dict[str, int]:
    """The size of every name."""
    sizes: dict[str, int] = {}
    for labels, tensor in zip(inputs, tensors, strict=True):
        for name, n in zip(labels, tensor.shape, strict=True):
            known = sizes.get(name, 1)
            if known != n and 1 not in (known, n):
                shapes = [t.shape for t in tensors]
                raise ValueError(
                    f"[einsum] sizes of a letter agree, got spec={spec!r}, shapes={shapes}"
                )
            sizes[name] = n if known == 1 else known
    return sizes


def _narrow(a: Tensor, labels: Labels, sizes: dict[str, int]) -> tuple[Tensor, Labels]:
    """a without the axes of size 1 whose name is longer elsewhere: nothing broadcasts in a product,
    so that a gradient is one product too. On a diagonal such an axis has the index 0 either way.
    """
    kept = [d for d, name in enumerate(labels) if a.shape[d] == sizes[name]]
    names = tuple(labels[d] for d in kept)
    return (reshape(a, [a.shape[d] for d in kept]) if len(kept) < a.ndim else a), names


def _diagonal(a: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """a where the indices of equal names are equal, each name once."""
    for name in dict.fromkeys(labels):
        while labels.count(name) > 1:
            first = labels.index(name)
            second = labels.index(name, first + 1)
            rest = [d for d in range(a.ndim) if d not in (first, second)]
            n = a.shape[first]
            # Of n * n elements in a row, every (n + 1)-th lies on the diagonal.
            flat = reshape(permute(a, [*rest, first, second]), (*(a.shape[d] for d in rest), n * n))
            a = getitem(flat, (..., slice(None, None, n + 1)))
            labels = (*(labels[d] for d in rest), name)
    return a, labels


def _summed(a: Tensor, labels: Labels, needed: Iterable[str]) -> tuple[Tensor, Labels]:
    """a summed over the names that nobody needs."""
    kept = tuple(name for name in labels if name in needed)
    if kept == labels:
        return a, labels
    return summation(a, [d for d, name in enumerate(labels) if name not in needed]), kept


def _product(
    a: Tensor, left: Labels, b: Tensor, right: Labels, needed: set[str]
) -> tuple[Tensor, Labels]:
    """a times b, summed over the names of both that nobody needs later."""
    a, left = _summed(a, left, needed | set(right))
    b, right = _summed(b, right, needed | set(left))
    shared = [name for name in left if name in right]
    batch = [name for name in shared if name in needed]
    inner = [name for name in shared if name not in needed]
    rows = [name for name in left if name not in right]
    columns = [name for name in right if name not in left]
    sizes = dict(zip(left, a.shape, strict=True)) | dict(zip(right, b.shape, strict=True))

    def arranged(t: Tensor, labels: Labels, *groups: list[str]) -> Tensor:
        order = [labels.index(name) for group in groups for name in group]
        return reshape(
            permute(t, order), [math.prod(sizes[name] for name in group) for group in groups]
        )

    labels = (*batch, *rows, *columns)
    x, y = arranged(a, left, batch, rows, inner), arranged(b, right, batch, inner, columns)
    # Without a sum (x has columns, y rows of size 1) plain products, which broadcast.
    product = matmul(x, y) if inner else multiply(x, y)
    return reshape(product, [sizes[name] for name in labels]), labels
