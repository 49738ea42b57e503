"""Gradients that are ops of their own: kernels that no function calls, asked by their classes.

Judged as any op, so that the second order of the ops that use them and their own gradients, the
third order, rest on more than the values that one call happens to send through them.
"""

from __future__ import annotations

import math
from typing import Any

from verify.registry import gradient_references as g
from verify.registry.layout import indexed
from verify.registry.normalization import inverse_deviation, reach
from verify.registry.planning import refuses, sample
from verify.registry.pooling import gap
from verify.registry.recurrent import MILD
from verify.registry.recurrent import REGIONS as RECURRENT
from verify.spec import Domain, Identity, Row, Shape

_REGIONS = ("tiny", "huge", "zeros", "integer", "ties")
# Products of three inputs and their sums stay in range; below, of two.
_CUBIC = Domain(huge=lambda largest: largest**0.3, tiny=lambda largest: largest**-0.3)
_WIDE = Domain(huge=lambda largest: largest**0.2)
# Of four, the tiny ones too: subnormal products would be rounded elsewhere by each formula.
_QUARTIC = Domain(huge=lambda largest: largest**0.2, tiny=lambda largest: largest**-0.2)
_LOGARITHMS = Domain(huge=lambda _: 8.0)  # whose exponentials 16 bits hold in full


def _row(name: str, reference: Any, samples: Any, **more: Any) -> Row:
    return Row(
        **{
            "name": name,
            "family": "gradient",
            "reference": reference,
            "samples": samples,
            "regions": _REGIONS,
            "signed_zero": False,
            "lends": False,  # an op hands on what it has fixed
            **more,
        }
    )


def _of(*names: str) -> Any:
    """The op of a class that is made of these arguments."""
    return lambda found, tensors, where, **given: found(*(given[n] for n in names))(*tensors)


def _times(count: float) -> Any:
    return lambda shapes, **_: count * math.prod(shapes[0])


def _alike(*shapes: Shape, **arguments: Any) -> Any:
    """A sample of two inputs of each of these shapes."""
    return sample(*(s for shape in shapes for s in (shape, shape)), **arguments)


_SIZES = ((), (1,), (7,), (17,), (4, 1, 129), (0, 3), (1023,))

_AXES = (
    _alike((7,), axes=0),
    _alike((65,), axes=-1),
    _alike((5, 13), axes=1),
    _alike((2, 3, 4), axes=-1),
    _alike((5, 3, 4), axes=-3),
    _alike((2, 3, 4), axes=-2),
    _alike((2, 3, 4), axes=(0, -1)),
    _alike((4, 1), axes=1),
    _alike((3, 0), axes=1),
    _alike((2, 257), axes=1),
)

_NORMALIZED = (
    sample((7,), (7,), (7,)),
    sample((5, 13), (5, 13), (13,)),
    sample((5, 13), (5, 13), (13,), axes=-1, eps=0.5),
    sample((33, 3), (33, 3), (1, 3), axes=0),
    sample((2, 3, 4), (2, 3, 4), (4,), axes=-1),
    sample((5, 3, 4), (5, 3, 4), (1, 3, 4), axes=-3),
    sample((2, 3, 4), (2, 3, 4), (1, 3, 1), axes=(0, -1)),
    sample((2, 3, 4), (2, 3, 4), (1, 1, 4), axes=(-3, -2)),
    sample((0, 3), (0, 3), (3,)),
    sample((2, 257), (2, 257), (257,)),
    # two blocks of threads, of which most of the second have no row
    sample((65, 3), (65, 3), (3,)),
)

ROWS = (
    _row(
        "TanhGrad",
        lambda t, g, y: g * (1 - y * y),
        tuple(_alike(shape) for shape in _SIZES),
        domains=(_CUBIC,),
        call=_of(),
        flops=_times(3.0),
        errors=(refuses((3,), (4,), says="broadcast"),),
    ),
    _row(
        "ActivationGrad",
        g.activation_grad,
        tuple(
            _alike(shape, activation=name)
            for i, shape in enumerate(_SIZES)
            for j, name in enumerate(g.ACTIVATIONS)
            if len(shape) == 1 or i % 4 == j
        ),
        domains=(Domain(), Domain(spread=4.0, huge=lambda largest: math.sqrt(math.log(largest)))),
        call=_of("activation"),
        flops=_times(20.0),
        identities=(Identity("at 0 the slope is 1/2, of sigmoid 1/4, exactly", g.at_zero),),
        errors=(
            refuses((3,), (3,), activation="relu", says="activation='relu'"),
            refuses((3,), (4,), activation="silu", says="broadcast"),
        ),
    ),
    _row(
        "SoftmaxGrad",
        g.softmax_grad,
        (*_AXES, _alike((3, 5), axes=None)),
        domains=(_CUBIC,),
        call=_of("axes"),
        flops=_times(4.0),
        errors=(
            refuses((3, 4), (3, 4), axes=2, raises="IndexError", says="axis=2, ndim=2"),
            refuses((3, 4), (3, 5), axes=-1, says="have one shape"),
        ),
    ),
    _row(
        "LogSoftmaxGrad",
        g.logsoftmax_grad,
        tuple(
            _alike(s.shapes[0], axis=dict(s.kwargs)["axes"])
            for s in _AXES
            if type(dict(s.kwargs)["axes"]) is int
        ),
        domains=(_LOGARITHMS, Domain()),
        call=_of("axis"),
        flops=_times(4.0),
        errors=(
            refuses((3, 4), (3, 4), axis=2, raises="IndexError", says="axis=2, ndim=2"),
            refuses((3, 4), (4,), axis=-1, says="have one shape"),
        ),
    ),
    _row(
        "StandardizeGrad",
        g.standardize_grad,
        (*_AXES, _alike((5, 13), axes=None), _alike((5, 13), axes=-1, eps=0.5)),
        regions=(*_REGIONS, "shifted"),
        domains=(_WIDE,),
        kinks=lambda h, x, axes=-1, eps=1e-5: reach(x, axes, eps),
        call=g.of_lanes,
        flops=_times(10.0),
        errors=(
            refuses((3, 4), (3, 4), axes=2, raises="IndexError", says="axis=2, ndim=2"),
            refuses((3, 5), (3, 4), axes=-1, says="dy has the shape of x"),
        ),
    ),
    _row(
        "NormalizeGrad",
        g.normalize_grad,
        _NORMALIZED,
        domains=(_QUARTIC,),
        kinks=lambda g, x, weight, axes=-1, eps=1e-5: reach(x, axes, eps),
        call=g.of_lanes,
        flops=_times(11.0),
        errors=(
            refuses((3, 4), (3, 4), (3,), axes=-1, says=r"weight.shape=\(3,\)"),
            refuses((3, 5), (3, 4), (4,), axes=-1, says="dy has the shape of x"),
        ),
    ),
    _row(
        "NormalizeGrads",
        g.normalize_grads,
        (
            *_NORMALIZED,
            sample((40, 70), (40, 70), (70,)),
            sample((3, 300, 2), (3, 300, 2), (1, 1, 2), axes=(0, 1)),
            sample((0, 3, 4), (0, 3, 4), (1, 3, 1), axes=(0, 2)),
        ),
        domains=(_QUARTIC,),
        kinks=lambda g, x, weight, axes=-1, eps=1e-5: reach(x, axes, eps),
        call=g.of_lanes,
        flops=_times(14.0),
        errors=(
            refuses((3, 4), (3, 4), (3,), axes=-1, says=r"weight.shape=\(3,\)"),
            refuses((3, 5), (3, 4), (4,), axes=-1, says="dy has the shape of x"),
        ),
    ),
    _row(
        "InverseDeviation",
        inverse_deviation,
        (
            *(sample(s.shapes[0], **dict(s.kwargs)) for s in _AXES),
            sample((2, 4, 5), axes=-1),
            sample((5, 13), axes=None),
            sample((5, 13), axes=-1, eps=0.5),
        ),
        regions=(*_REGIONS, "shifted"),
        domains=(_WIDE,),
        kinks=reach,
        call=g.of_lanes,
        flops=_times(6.0),
        errors=(
            refuses((3, 4), axes=2, raises="IndexError", says="axis=2, ndim=2"),
            refuses((3, 4), eps=-1.0, says="eps=-1.0"),
        ),
    ),
    _row(
        "PutItem",
        g.put,
        (
            sample((), index="3", shape=(7,)),
            sample((2,), index="-2:", shape=(7,)),
            sample((7,), index="::-1", shape=(7,)),
            sample((10,), index="30:2:-3", shape=(33,)),
            sample((13,), index="1", shape=(5, 13)),
            sample((3, 7), index="1:4,::2", shape=(5, 13)),
            sample((3, 2), index="0,...,::-2", shape=(2, 3, 4)),
            sample((0, 13), index="2:2", shape=(5, 13)),
        ),
        regions=("special", "zeros", "denormal", "integer"),
        arguments=indexed,
        call=_of("index", "shape"),
        linear=True,
        errors=(
            refuses((2,), index="0:3", shape=(5,), says="broadcast"),
            refuses((), index="7", shape=(5,), raises="IndexError", says="index=7, axis=0, size=5"),
        ),
        identities=(Identity("f(a)[index] = a, and the sum", g.put_back),),
    ),
    _row(
        "Windows",
        g.windows_of,
        (
            sample((1, 1, 1, 1), kernel=1),
            sample((1, 4, 4, 2), kernel=2),
            sample((2, 5, 7, 3), kernel=2),
            sample((2, 5, 7, 3), kernel=3, stride=1, padding=1),
            sample((2, 7, 6, 2), kernel=(3, 2), stride=(1, 3), padding=(1, 0)),
            sample((1, 8, 8, 3), kernel=2, stride=3),
            sample((0, 4, 4, 2), kernel=2),
        ),
        regions=("special", "zeros", "denormal", "integer"),
        call=g.of_geometry,
        linear=True,
        view=True,
        errors=(
            refuses((1, 4, 4, 2), kernel=5, says="fits into the padded image"),
            refuses((4, 4, 2), kernel=2, says="4 axes"),
        ),
        identities=(Identity("the largest of a window, without padding", g.largest_of_windows),),
    ),
    _row(
        "Fold",
        g.fold,
        (
            sample((1, 1, 1, 1, 1, 1), kernel=1, shape=(1, 1, 1, 1)),
            sample((1, 2, 2, 2, 2, 2), kernel=2, shape=(1, 4, 4, 2)),
            sample((2, 2, 3, 2, 2, 3), kernel=2, shape=(2, 5, 7, 3)),
            sample((2, 5, 7, 3, 3, 3), kernel=3, stride=1, padding=1, shape=(2, 5, 7, 3)),
            sample(
                (2, 7, 2, 3, 2, 2), kernel=(3, 2), stride=(1, 3), padding=(1, 0), shape=(2, 7, 6, 2)
            ),
            sample((1, 3, 3, 2, 2, 3), kernel=2, stride=3, shape=(1, 8, 8, 3)),
        ),
        call=g.of_geometry,
        linear=True,
        flops=_times(1.0),
        errors=(refuses((1, 3, 3, 2, 2, 2), kernel=2, shape=(1, 4, 4, 2), says="broadcast"),),
        identities=(Identity("<fold(y), x> = <y, windows of x>", g.folded),),
    ),
    _row(
        "MaxPoolGrad",
        g.max_pool_grad,
        (
            sample((1, 1, 1, 1), (1, 1, 1, 1), kernel=1),
            sample((1, 2, 2, 2), (1, 4, 4, 2), kernel=2),
            sample((2, 2, 3, 3), (2, 5, 7, 3), kernel=2),
            sample((2, 5, 7, 3), (2, 5, 7, 3), kernel=3, stride=1, padding=1),
            sample((2, 7, 2, 2), (2, 7, 6, 2), kernel=(3, 2), stride=(1, 3), padding=(1, 0)),
            sample((1, 3, 3, 3), (1, 8, 8, 3), kernel=2, stride=3),
            sample((1, 5, 5, 2), (1, 9, 5, 2), kernel=(5, 3), stride=(2, 1), padding=(2, 1)),
            sample((2, 3, 3, 21), (2, 4, 4, 21), kernel=2, stride=1),
            sample((0, 2, 2, 2), (0, 4, 4, 2), kernel=2),
        ),
        kinks=lambda g, x, kernel, stride=None, padding=0: gap(x, kernel, stride, padding),
        jumps=True,
        call=g.of_geometry,
        flops=_times(2.0),
        errors=(
            refuses((1, 3, 2, 2), (1, 4, 4, 2), kernel=2, says=r"expected=\(1, 2, 2, 2\)"),
            refuses((1, 2, 2, 2), (1, 4, 4, 2), kernel=5, says="fits into the padded image"),
        ),
    ),
    _row(
        "AvgPoolGrad",
        g.avg_pool_grad,
        (
            sample((1, 1, 1, 1), kernel=1, shape=(1, 1, 1, 1)),
            sample((1, 2, 2, 2), kernel=2, shape=(1, 4, 4, 2)),
            sample((2, 2, 3, 3), kernel=2, shape=(2, 5, 7, 3)),
            sample((2, 5, 7, 3), kernel=3, stride=1, padding=1, shape=(2, 5, 7, 3)),
            sample((2, 7, 2, 2), kernel=(3, 2), stride=(1, 3), padding=(1, 0), shape=(2, 7, 6, 2)),
            sample((1, 3, 3, 3), kernel=2, stride=3, shape=(1, 8, 8, 3)),
            sample(
                (1, 4, 3, 2),
                kernel=(5, 3),
                stride=2,
                padding=(2, 1),
                shape=(1, 8, 5, 2),
                count_include_pad=False,
            ),
            sample((2, 3, 3, 21), kernel=2, stride=1, shape=(2, 4, 4, 21)),
            sample((0, 2, 2, 2), kernel=2, shape=(0, 4, 4, 2)),
        ),
        call=g.of_geometry,
        linear=True,
        flops=_times(1.0),
        errors=(
            refuses((1, 3, 2, 2), kernel=2, shape=(1, 4, 4, 2), says=r"expected=\(1, 2, 2, 2\)"),
            refuses((1, 2, 2), kernel=2, shape=(4, 4, 2), says="4 axes"),
        ),
        identities=(Identity("<f(g), x> = <g, avg_pool(x)>", g.pool_adjoint),),
    ),
    _row(
        "ConvInputGrad",
        g.conv_input_grad,
        (
            sample((1, 1, 1, 1), (1, 1, 1, 1), x_shape=(1, 1, 1, 1)),
            sample((1, 1, 1, 5), (3, 3, 2, 5), x_shape=(1, 4, 4, 2), stride=2),
            sample((2, 5, 7, 4), (3, 3, 3, 4), x_shape=(2, 5, 7, 3), padding=1),
            sample((2, 5, 4, 4), (3, 2, 3, 4), x_shape=(2, 7, 5, 3)),
            sample((1, 4, 12, 3), (2, 2, 2, 3), x_shape=(1, 5, 5, 2), padding=(0, 4)),
            sample((1, 9, 9, 2), (3, 3, 2, 2), x_shape=(1, 9, 9, 2), padding=2, dilation=2),
            sample((2, 3, 3, 6), (3, 3, 2, 6), x_shape=(2, 5, 5, 4), groups=2),
            sample((1, 2, 2, 5), (3, 3, 1, 5), x_shape=(1, 6, 6, 5), stride=2, groups=5),
            sample((1, 4, 3, 17), (3, 3, 9, 17), x_shape=(1, 6, 5, 9)),
            # by Winograd's transforms on the cpu
            sample((1, 8, 9, 33), (3, 3, 32, 33), x_shape=(1, 8, 9, 32), padding=1),
        ),
        call=g.of_conv,
        flops=g.input_flops,
        errors=(
            refuses((1, 2, 2, 5), (3, 3, 3, 5), x_shape=(1, 4, 4, 2), says="channels"),
            refuses((1, 2, 2, 5), (3, 3, 2, 5), x_shape=(1, 5, 5, 2), says="dy must have"),
        ),
        identities=(Identity("<f(dy, w), x> = <dy, conv(x, w)>", g.input_adjoint),),
    ),
    _row(
        "ConvWeightGrad",
        g.conv_weight_grad,
        (
            sample((1, 1, 1, 1), (1, 1, 1, 1), w_shape=(1, 1, 1, 1)),
            sample((1, 4, 4, 2), (1, 1, 1, 5), w_shape=(3, 3, 2, 5), stride=2),
            sample((2, 5, 7, 3), (2, 5, 7, 4), w_shape=(3, 3, 3, 4), padding=1),
            sample((2, 7, 5, 3), (2, 5, 4, 4), w_shape=(3, 2, 3, 4)),
            sample((1, 5, 5, 2), (1, 4, 12, 3), w_shape=(2, 2, 2, 3), padding=(0, 4)),
            sample((1, 9, 9, 2), (1, 9, 9, 2), w_shape=(3, 3, 2, 2), padding=2, dilation=2),
            sample((2, 5, 5, 4), (2, 3, 3, 6), w_shape=(3, 3, 2, 6), groups=2),
            sample((1, 6, 6, 5), (1, 2, 2, 5), w_shape=(3, 3, 1, 5), stride=2, groups=5),
            sample((1, 6, 5, 9), (1, 4, 3, 17), w_shape=(3, 3, 9, 17)),
        ),
        call=g.of_conv,
        flops=g.weight_flops,
        errors=(
            refuses((1, 4, 4, 2), (1, 2, 2, 5), w_shape=(3, 3, 3, 5), says="channels"),
            refuses((1, 4, 4, 2), (1, 2, 2, 5), w_shape=(2, 3, 2, 5), says="dy must have"),
        ),
        identities=(Identity("<f(x, dy), w> = <dy, conv(x, w)>", g.weight_adjoint),),
    ),
    _row(
        "LSTMStepGrad",
        g.lstm_grad,
        tuple(
            sample((rows, 4 * n), *((rows, n),) * 3)
            for rows, n in ((1, 1), (3, 5), (0, 2), (2, 16), (4, 33))
        ),
        regions=RECURRENT,
        domains=(MILD,),
        flops=_times(8.0),
        call=_of(),
        errors=(
            refuses((3, 8), (3, 3), (3, 3), (3, 3), says="gates are"),
            refuses((3, 8), (3, 2), (3, 3), (3, 2), says="have one shape"),
        ),
    ),
    _row(
        "LSTMSequenceGrad",
        g.lstm_sequence_grad,
        tuple(
            sample(
                (steps, batch, 4 * n),
                (n, 4 * n),
                *((batch, n),) * 2,
                (steps, batch, n),
                *((batch, n),) * 2,
            )
            for steps, batch, n in ((1, 1, 1), (3, 2, 3), (2, 0, 2), (2, 3, 9))
        ),
        regions=RECURRENT,
        domains=(MILD,),
        flops=lambda shapes, **_: math.prod(shapes[0]) * (4.0 * shapes[1][0] + 8.0),
        call=_of(),
        errors=(
            refuses((2, 3, 8), (2, 8), *((3, 2),) * 2, (2, 3, 3), *((3, 2),) * 2, says="shape"),
        ),
    ),
)
