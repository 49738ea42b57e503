"""Ops that move elements: views, slices, padding, dilation."""

from __future__ import annotations

import ast
from typing import Any

from numpy.lib.array_utils import normalize_axis_tuple

from verify.registry.planning import sample
from verify.spec import Row, Shape


def row(name: str, reference: Any, samples: Any, **more: Any) -> Row:
    return Row(
        **{
            "name": name,
            "family": "layout",
            "reference": reference,
            "samples": samples,
            "regions": ("special", "zeros", "denormal", "integer"),
            "linear": True,
            **more,
        }
    )


def always(shapes: tuple[Shape, ...], **_: Any) -> bool:
    """Of any compact input the result is a view."""
    return True


def _swap(t: Any, a: Any, axes: Any = None) -> Any:
    return a.transpose(*(axes or (-1, -2)))


def _tuple(axes: Any) -> tuple[int, ...]:
    return axes if isinstance(axes, tuple) else (axes,)


def _dilate(t: Any, a: Any, axes: Any, dilation: int) -> Any:
    """Every element is followed by `dilation` zeros along each of the axes."""
    for axis in normalize_axis_tuple(axes, a.dim()):
        a = t.stack([a] + [t.zeros_like(a)] * dilation, axis + 1)
        a = (
            a.reshape(*a.shape[:axis], -1, *a.shape[axis + 2 :])
            if a.numel()
            else a.flatten(axis, axis + 1)
        )
    return a


def _undilate(t: Any, a: Any, axes: Any, dilation: int) -> Any:
    index = [slice(None)] * a.dim()
    for axis in _tuple(axes):
        index[axis] = slice(None, None, dilation + 1)
    return a[tuple(index)]


def _unsqueeze(t: Any, a: Any, axes: Any) -> Any:
    for axis in sorted(normalize_axis_tuple(axes, a.dim() + len(_tuple(axes)))):
        a = a.unsqueeze(axis)
    return a


def _pad(t: Any, a: Any, padding: Any) -> Any:
    return t.nn.functional.pad(a, [n for pair in reversed(padding) for n in pair])


def parse_index(text: str) -> Any:
    """A numpy index from its source: "1, ::-2, ..." (a case id cannot hold slice objects)."""
    node = ast.parse(f"a[{text}]", mode="eval").body
    if not isinstance(node, ast.Subscript):
        raise ValueError(f"an index is written as between brackets, got {text!r}")
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    index = tuple(_index_part(part) for part in parts)
    return index if isinstance(node.slice, ast.Tuple) else index[0]


def _index_part(node: ast.expr) -> Any:
    if isinstance(node, ast.Slice):
        ends = (node.lower, node.upper, node.step)
        return slice(*(None if end is None else ast.literal_eval(end) for end in ends))
    return ast.literal_eval(node)


def indexed(arguments: dict[str, Any]) -> dict[str, Any]:
    indices: dict[str, Any] = {
        name: parse_index(arguments[name]) for name in ("index", "source") if name in arguments
    }
    return {**arguments, **indices}


def select(t: Any, a: Any, index: Any) -> Any:
    """numpy's indexing by integers and slices; torch has no negative steps but flips."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (a.dim() - len(parts) + 1)
    axis = 0
    for part in parts:
        if isinstance(part, int):
            a = a.select(axis, part)
            continue
        start, stop, step = part.indices(a.shape[axis])
        wanted = range(start, stop, step)
        if step < 0:
            wanted = wanted[::-1]
        a = a[
            (slice(None),) * axis
            + (slice(wanted.start, max(wanted.stop, wanted.start), wanted.step),)
        ]
        a = a.flip(axis) if step < 0 else a
        axis += 1
    return a


_SHAPES: tuple[Shape, ...] = ((7,), (5, 13), (2, 3, 4), (3, 0, 2), (1, 9, 1, 2))

ROWS = (
    row(
        "reshape",
        lambda t, a, shape: a.reshape(shape),
        (
            sample((), shape=(1, 1)),
            sample((1,), shape=()),
            sample((12,), shape=(3, 4)),
            sample((3, 4), shape=(12,)),
            sample((2, 3, 4), shape=(4, 6)),
            sample((2, 3, 4), shape=(-1, 8)),
            sample((5, 13), shape=(13, 5)),
            sample((3, 0, 2), shape=(0, 5)),
            sample((33, 2), shape=(2, 3, 11)),
        ),
        view=True,
        shares=always,
    ),
    row(
        "transpose",
        _swap,
        (
            sample((1, 1)),
            sample((5, 13)),
            sample((65, 33)),
            sample((2, 3, 4)),
            sample((2, 4, 5), axes=(0, -1)),
            sample((2, 3, 4), axes=(-3, 1)),
            sample((3, 0, 2)),
            sample((2, 1, 3, 5), axes=(-3, -1)),
            sample((17, 16)),
        ),
        view=True,
        shares=always,
    ),
    row(
        "permute",
        lambda t, a, axes: a.permute(axes),
        (
            sample((7,), axes=(0,)),
            sample((5, 13), axes=(1, 0)),
            sample((2, 3, 4), axes=(2, 0, 1)),
            sample((2, 4, 5), axes=(-1, -2, 0)),
            sample((3, 0, 2), axes=(1, 2, 0)),
            sample((2, 5, 3, 4), axes=(-4, 3, 1, 2)),
            sample((2, 1, 3, 2, 2), axes=(4, 2, 0, 1, 3)),
            sample((33, 3, 40), axes=(2, 1, 0)),  # planes as large as a tile, one behind the other
        ),
        view=True,
        shares=always,
    ),
    row(
        "broadcast_to",
        lambda t, a, shape: a.expand(shape),
        (
            sample((), shape=(3,)),
            sample((1,), shape=(7,)),
            sample((3,), shape=(3,)),
            sample((5,), shape=(4, 5)),
            sample((4, 1), shape=(4, 17)),
            sample((2, 1, 3), shape=(2, 9, 3)),
            sample((3, 1), shape=(2, 3, 5)),
            sample((1, 1, 1), shape=(2, 3, 65)),
            sample((1, 3), shape=(0, 3)),
        ),
        view=True,
        shares=always,
    ),
    row(
        "flip",
        lambda t, a, axes: a.flip(axes),
        (
            sample((1,), axes=(0,)),
            sample((7,), axes=(0,)),
            sample((33,), axes=(-1,)),
            sample((2, 4, 5), axes=(-1,)),
            sample((5, 3, 4), axes=(-3,)),
            sample((2, 3, 4), axes=(0, -1)),
            sample((2, 3, 4), axes=(-1, -2)),
            sample((3, 0, 2), axes=(0,)),
            sample((3, 3, 1, 2), axes=(0, 1)),
        ),
        view=True,
        shares=always,
    ),
    row(
        "dilate",
        _dilate,
        (
            sample((1,), axes=(0,), dilation=1),
            sample((7,), axes=(0,), dilation=2),
            sample((5, 3, 4), axes=(-3,), dilation=1),
            sample((5, 13), axes=(0, 1), dilation=0),
            sample((2, 3, 4), axes=(0, -1), dilation=2),
            sample((2, 4, 5), axes=(-1,), dilation=3),
            sample((2, 3, 3, 2), axes=(1, -2), dilation=1),
            sample((3, 0, 2), axes=(1,), dilation=1),
        ),
    ),
    row(
        "undilate",
        _undilate,
        (
            sample((2,), axes=(0,), dilation=1),
            sample((9,), axes=(0,), dilation=2),
            sample((6, 3, 4), axes=(-3,), dilation=1),
            sample((5, 13), axes=(0, 1), dilation=0),
            sample((6, 3, 12), axes=(0, -1), dilation=2),
            sample((2, 3, 8), axes=(-1,), dilation=3),
            sample((2, 6, 6, 2), axes=(1, -2), dilation=1),
            sample((3, 0, 2), axes=(1,), dilation=1),
        ),
        view=True,
        shares=always,
    ),
    row(
        "pad",
        _pad,
        (
            sample((1,), padding=((0, 0),)),
            sample((7,), padding=((2, 1),)),
            sample((5, 13), padding=((0, 3), (1, 0))),
            sample((2, 3, 4), padding=((1, 1), (0, 0), (2, 5))),
            sample((2, 3, 3, 2), padding=((0, 0), (1, 1), (1, 1), (0, 0))),
            sample((0, 2), padding=((1, 2), (0, 1))),
        ),
    ),
    row(
        "squeeze",
        lambda t, a, axes=None: a.squeeze() if axes is None else a.squeeze(axes),
        (
            sample((1, 1)),
            sample((1, 5, 1, 13)),
            sample((1, 5, 1, 13), axes=-2),
            sample((4, 10, 1), axes=-1),
            sample((1, 4, 10), axes=-3),
            sample((1, 5, 13, 1), axes=(0, -1)),
            sample((1, 0), axes=0),
            sample((65,), axes=()),
        ),
        view=True,
        shares=always,
    ),
    row(
        "unsqueeze",
        _unsqueeze,
        (
            sample((), axes=0),
            sample((7,), axes=-1),
            sample((5, 8), axes=-1),
            sample((3, 7), axes=-3),
            sample((5, 13), axes=(-2, 0, 2)),
            sample((3, 0, 2), axes=(1,)),
        ),
        view=True,
        shares=always,
    ),
    row(
        "getitem",
        select,
        (
            sample((7,), index="3"),
            sample((7,), index="-1"),
            sample((7,), index="-2:"),
            sample((7,), index="::-1"),
            sample((33,), index="30:2:-3"),
            sample((5, 13), index="1"),
            sample((5, 13), index=":,-3"),
            sample((5, 13), index="1:4,::2"),
            sample((5, 13), index="...,2:100"),
            sample((7,), index="3:3:2"),  # nothing, in long steps
            sample((2, 3, 4), index="0,...,::-2"),
            sample((2, 3, 4), index=":,1,1:1"),
            sample((2, 3, 4), index="1,2,3"),
            sample((3, 4, 5, 2), index="-1,::3,...,0"),
            sample((12, 8), index=":,4:5"),  # a column, which begins where a vector may
        ),
        arguments=indexed,
        view=True,
        shares=always,
    ),
)
