"""What ops must refuse, by op: bad input, the exception's type, and what its text says.

Inputs of two dtypes or on two devices are refused by every op that takes several; the plan adds
these.
"""

from __future__ import annotations

import math

from verify.registry.planning import refuses
from verify.registry.refusals_of_members import MEMBERS
from verify.spec import Refusal

_DO_NOT_BROADCAST = (
    refuses((3,), (4,), says=r"broadcast.*\(3,\).*\(4,\)"),
    refuses((2, 3, 4), (2, 4), says="broadcast"),
)
_IMAGE, _KERNEL = (1, 4, 4, 2), (3, 3, 2, 5)


def _axis(name: str) -> tuple[Refusal, ...]:
    """An op of one axis or several over a (3, 4) array."""
    return tuple(
        Refusal(((3, 4),), ((name, axis),), "IndexError", f"axis={axis}, ndim=2")
        for axis in (2, -3)
    )


def _axes(name: str) -> tuple[Refusal, ...]:
    twice = Refusal(((3, 4),), ((name, (0, -2)),), "ValueError", r"distinct, got axes=\(0, -2\)")
    return (*_axis(name), twice)


REFUSALS: dict[str, tuple[Refusal, ...]] = {
    **dict.fromkeys(
        (
            *("add", "multiply", "divide", "power", "maximum", "minimum", "equal", "not_equal"),
            *("less", "less_equal", "greater", "greater_equal"),
        ),
        _DO_NOT_BROADCAST,
    ),
    "summation": _axes("axes"),
    **dict.fromkeys(
        ("max", "min"), (*_axes("axes"), refuses((0, 4), axes=0, says="at least one element"))
    ),
    **dict.fromkeys(("prod", "mean"), _axes("axes")),
    "var": (
        *_axes("axes"),
        refuses((3, 4), correction="a", raises="TypeError", says="correction is a number"),
    ),
    "cumsum": _axis("axis"),
    **dict.fromkeys(
        ("argmax", "argmin"),
        (
            *_axis("axis"),
            refuses((3, 4), axis=2**70, raises="IndexError", says="ndim=2"),  # no 64-bit integer
            refuses((0, 4), axis=0, says="at least one element"),
        ),
    ),
    "logsumexp": (
        *_axes("axes"),
        refuses((3, 4), axes="a", raises="TypeError", says="axes are ints, got axes='a'"),
    ),
    "softmax": _axis("axis"),
    "logsoftmax": _axis("axis"),
    "standardize": (
        *_axes("axes"),
        refuses((3, 4), eps=-1.0, says="eps=-1.0"),
        refuses((3, 4), eps="a", raises="TypeError", says="eps is a number"),
    ),
    "matmul": (
        refuses((3, 4), (5, 3), says=r"a.shape=\(3, 4\), b.shape=\(5, 3\)"),
        refuses((3, 4), (2, 3), says=r"a.shape=\(3, 4\), b.shape=\(2, 3\)"),
        refuses((), (3,), says="at least one axis"),
        refuses((2, 3, 4), (3, 4, 5), says="broadcast"),
    ),
    "einsum": (
        refuses((3, 4), (5, 3), spec="ij,jk->ik", says="sizes of a letter agree"),
        refuses((3, 4), spec="ij->ijj", says="each once"),
        refuses((3,), spec="ij", says="every axis has a letter"),
        refuses((3, 4), spec="ij,jk", says="names every tensor"),
        refuses((3, 4), spec=3, raises="TypeError", says="spec is a str"),
    ),
    "conv": (
        refuses(_IMAGE, (3, 3, 3, 5), says="channels"),
        refuses((1, 2, 2, 2), (5, 5, 2, 5), padding=0, says="larger than the padded input"),
        refuses(_IMAGE, _KERNEL, stride=0, says="stride must lie in"),
        refuses(_IMAGE, _KERNEL, stride=-1, says="stride must lie in"),
        refuses(_IMAGE, _KERNEL, padding=-1, says="padding must lie in"),
        refuses(_IMAGE, _KERNEL, dilation=0, says="dilation must lie in"),
        refuses(_IMAGE, _KERNEL, stride="a", raises="TypeError", says="stride is an int"),
        refuses(_IMAGE, _KERNEL, padding=(1, 0.5), raises="TypeError", says="padding is an int"),
        refuses(_IMAGE, _KERNEL, groups="a", raises="TypeError", says="groups is an int"),
        refuses((1, 4, 4, 4), _KERNEL, groups=2, says="groups must divide"),
        refuses((4, 4, 2), _KERNEL, says="4 axes"),
    ),
    "reshape": (
        refuses((3, 4), shape=(5, 2), says="number of elements"),
        refuses((3, 4), shape=(-1, -1), says="one of them may be -1"),
        refuses((3, 4), shape=(2.5, 1), raises="TypeError", says=r"\[Reshape\] .*type=float"),
    ),
    "permute": (
        refuses((3, 4), axes=(0, 0), says="distinct"),
        refuses((3, 4), axes=(0, 2), raises="IndexError", says="axis=2"),
        refuses((3, 4), axes=(0,), says="axes"),
    ),
    "transpose": (
        refuses((3,), raises="IndexError", says="ndim=1"),
        refuses((3, 4), axes=(0, 2), raises="IndexError", says="axis=2"),
    ),
    "broadcast_to": (
        refuses((3, 4), shape=(3, 5), says=r"from=\(3, 4\), to=\(3, 5\)"),
        refuses((3, 4), shape=(4,), says=r"from=\(3, 4\), to=\(4,\)"),
    ),
    "flip": _axes("axes"),
    "dilate": (
        refuses((3, 4), axes=(2,), dilation=1, raises="IndexError", says="axis=2"),
        refuses((3, 4), axes=(0,), dilation=-1, says="dilation=-1"),
        refuses((3, 4), axes=(0,), dilation="a", raises="TypeError", says="dilation is an int"),
    ),
    "undilate": (
        refuses((3, 4), axes=(-3,), dilation=1, raises="IndexError", says="axis=-3"),
        refuses((3, 4), axes=(0,), dilation=-1, says="dilation=-1"),
    ),
    "pad": (
        refuses((3, 4), padding=((1, 1),), says="for each axis"),
        refuses((3, 4), padding=((1, 1), (-1, 0)), says="negative"),
    ),
    "getitem": (
        refuses((3, 4), index="3", raises="IndexError", says="index=3, axis=0, size=3"),
        refuses((3, 4), index="0,-5", raises="IndexError", says="index=-5, axis=1, size=4"),
        refuses((3, 4), index="0,0,0", raises="IndexError", says="indices=3"),
        refuses((3, 4), index="::0", says="step must not be 0"),
    ),
    "setitem": (refuses((3, 4), (5,), index="0", says="shape"),),
    "fill": (
        *(
            refuses((3, 4), value=1, strides=strides, says="share memory")
            for strides in ((0, 1), (1, 0), (1, 1))
        ),
        refuses((3, 4), value=1, locked=True, says="read-only"),
    ),
    "to": (refuses((3,), onto=3, raises="TypeError", says="device"),),
    "from_dlpack": (refuses((3,), producer="none", raises="TypeError", says="__dlpack__"),),
    "accumulate": (refuses((3, 4), (4,), memory="own", says="both have one shape"),),
    "take_along_axis": (
        refuses((5,), places=(5,), axis=0, raises="IndexError", says="index=5, n=5"),
        refuses((5,), places=(0, -6), axis=0, raises="IndexError", says="index=-6, n=5"),
    ),
    "member": MEMBERS,
    "cast_beside": (
        refuses((3,), dtype="float8", beside="above", raises="TypeError", says="dtype=float8"),
    ),
    "memory.at_the_end": (refuses((3, 4), (5, 3), call="matmul", says="must match"),),
    "memory.on_threads": (refuses((3,), call="summation", axes=1, raises="IndexError"),),
    "memory.leaves_nothing": (
        refuses((3,), call="summation", threads=False, axes=1, raises="IndexError"),
    ),
    "memory.short": (refuses((3, 4), (5, 3), call="matmul", says="must match"),),
    "memory.in_order": (refuses((3,), (4,), call="add", orders=((0,), (0,)), says="broadcast"),),
    "memory.needs": (refuses((3,), call="summation", times=1.0, axes=1, raises="IndexError"),),
    "cast": (refuses((3,), dtype="float8", raises="TypeError", says="got dtype=float8"),),
    "squeeze": (
        refuses((3, 4), axes=0, says="axes have size 1"),
        refuses((3, 1), axes=2, raises="IndexError", says="axis=2, ndim=2"),
    ),
    "unsqueeze": (
        refuses((3, 4), axes=4, raises="IndexError", says="axis=4, ndim=3"),
        refuses((3, 4), axes=(0, 0), says="distinct"),
    ),
    "gather": (
        refuses((5, 3), index=((2, 3), 9), axis=0, raises="IndexError", says=r"\[gather\].*n=5"),
        refuses((5, 3), index=((2, 3), 5), axis=2, raises="IndexError", says="axis=2, ndim=2"),
        refuses((5, 3), index=((2,), 5), axis=0, says="axes"),
        refuses((5, 3), index=((2, 4), 5), axis=0, says="broadcast"),
    ),
    "take": (
        refuses((5, 3), indices=((2, 3), 9), axis=0, raises="IndexError", says=r"\[take\].*n=5"),
        refuses((5, 3), indices=((2,), 5), axis=-3, raises="IndexError", says="axis=-3"),
        refuses((5, 3), indices=((2,), 5), axis="a", raises="TypeError", says="axis='a'"),
    ),
    "scatter_add": (
        refuses(
            (5, 3),
            index=((5, 3), 9),
            axis=0,
            n=4,
            raises="IndexError",
            says=r"\[scatter_add\].*n=4",
        ),
        refuses((5, 3), index=((5, 3), 5), axis=2, n=5, raises="IndexError", says="axis=2"),
        refuses((5, 3), index=((5, 3), 5), axis=0, n=-1, says="not be negative"),
        refuses((5, 3), index=((4, 3), 4), axis=0, n=4, says="broadcast"),
    ),
    "one_hot": (
        refuses((3,), n=1, says="whole numbers"),
        refuses((0,), n=-1, says="classes=-1"),
        refuses((0,), n=1.5, raises="TypeError", says="n is an int"),
    ),
    **dict.fromkeys(
        (
            *("add_scalar", "mul_scalar", "divide_scalar", "power_scalar"),
            *("ScalarDiv", "ScalarPower"),
        ),
        (
            refuses((3,), scalar="a", raises="TypeError", says="scalar is a number, got type=str"),
            refuses((3,), scalar=None, raises="TypeError", says="type=NoneType"),
        ),
    ),
    "where": (
        refuses((3,), (4,), mask=(1,), says="broadcast"),
        refuses(mask=(3,), numbers=(1.0, 2.0), raises="TypeError", says="a or b is a Tensor"),
        refuses((3,), mask=(3,), numbers=("a",), raises="TypeError", says="Tensors or numbers"),
    ),
    "concatenate": (
        refuses((3, 4), (3, 5), axis=0, says="shapes agree but for the axis"),
        refuses((3, 4), (3, 4), axis=2, raises="IndexError", says="axis=2, ndim=2"),
        refuses(axis=0, instead=5, raises="TypeError", says="args are Tensors, got type=int"),
    ),
    "clip": (
        refuses((3,), low=2.0, high=1.0, says="low=2.0, high=1.0"),
        refuses((3,), low="x", raises="TypeError", says="low is a number"),
        refuses((3,), says="at least one bound"),
    ),
    "leaky_relu": (
        refuses((3,), slope="x", raises="TypeError", says="type=str"),
        refuses((3,), slope=math.inf, says="slope"),
    ),
    "gelu": (refuses((3,), approximate="x", says="approximate='x'"),),
    "stack": (
        refuses(axis=0, says="at least one array"),
        refuses((3,), (4,), axis=0, says="shapes must be equal"),
        refuses((3,), (3,), axis=2, raises="IndexError", says="axis=2"),
        refuses(axis=0, instead=5, raises="TypeError", says="args are Tensors, got type=int"),
    ),
    "split": _axis("axis"),
    "cross_entropy": (
        refuses((3, 4), labels=(0, 1), says="a label for each row"),
        refuses((3, 0), labels=(0, 0, 0), says="logits have elements"),
        refuses((0, 4), labels=(), says="logits have elements"),
        refuses((), labels=(), says="logits have elements"),
        refuses((3, 4), labels=(0, 1, 4), raises="IndexError", says="label=4, classes=4"),
        refuses((3, 4), labels=(0, -1, 2), raises="IndexError", says="label=-1, classes=4"),
        refuses((3, 4), labels=(0, 1, 0.5), says="whole numbers, got label=0.5"),
    ),
    "captured_cross_entropy": (refuses((3, 4), labels=(0, 1), says="a label for each row"),),
    "iter": (refuses((), raises="TypeError", says="without axes"),),
    "running_statistics": (
        refuses((3, 4), (4,), (4,), (3,), (4,), says=r"running_mean.shape=\(3,\), channels=4"),
        refuses((3, 4), *((4,),) * 4, momentum=1.5, says="momentum=1.5"),
    ),
    "attention_weights": (refuses((4, 3), (4, 2), says=r"q.shape=\(4, 3\), k.shape=\(4, 2\)"),),
    "scaled_dot_product_attention": (
        refuses((4, 3), (4, 2), (4, 3), says=r"k.shape=\(4, 2\)"),
        refuses((4, 3), (4, 3), (5, 3), says="a value for each key"),
    ),
    "lstm_step": (
        refuses((3, 8), (3, 3), says=r"gates.shape=\(3, 8\), c.shape=\(3, 3\)"),
        refuses((2, 8), (3, 2), says="gates are"),
        refuses((8,), (2,), says="gates are"),
    ),
    "lstm_sequence": (
        refuses((2, 3, 8), (2, 8), (3, 3), (3, 2), says=r"h has shape \(3, 2\)"),
        refuses((2, 3, 8), (3, 8), (3, 2), (3, 2), says=r"weight has shape \(2, 8\)"),
        refuses((2, 3, 6), (1, 6), (3, 1), (3, 1), says=r"projected.shape=\(2, 3, 6\)"),
        refuses((0, 3, 8), (2, 8), (3, 2), (3, 2), says="steps >= 1"),
    ),
    "layer_norm": (
        refuses((3, 4), (3,), (4,), says=r"weight.shape=\(3,\), channels=4"),
        refuses((), (1,), (1,), says="at least one axis"),
    ),
    "batch_norm": (
        refuses((3, 4), (3,), (3,), says=r"weight.shape=\(3,\), channels=4"),
        refuses((0, 3), (3,), (3,), says="training needs elements"),
        refuses((5, 3), (3,), (3,), training=False, says="given together, and outside training"),
        refuses((5, 3), (3,), (3,), (3,), says="given together"),
    ),
    **dict.fromkeys(
        ("max_pool", "avg_pool"),
        (
            refuses(_IMAGE, kernel=5, says="fits into the padded image"),
            refuses(_IMAGE, kernel=0, says="kernel=0"),
            refuses(_IMAGE, kernel=2, stride=0, says="stride=0"),
            refuses(_IMAGE, kernel=2, padding=2, says="at most half the kernel"),
            refuses((4, 4, 2), kernel=2, says="4 axes"),
        ),
    ),
}
