"""Convolution, NHWC x HWIO: every geometry that implementations are known to get wrong."""

from __future__ import annotations

import math
from typing import Any

from verify.registry.planning import sample
from verify.spec import Domain, Row, Shape


def _conv(
    t: Any, x: Any, w: Any, stride: Any = 1, padding: Any = 1, dilation: Any = 1, groups: int = 1
) -> Any:
    y = t.nn.functional.conv2d(
        x.permute(0, 3, 1, 2),
        w.permute(3, 2, 0, 1),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    return y.permute(0, 2, 3, 1)


def _pair(v: Any) -> tuple[int, int]:
    return v if isinstance(v, tuple) else (v, v)


def _flops(
    shapes: tuple[Shape, ...], stride: Any = 1, padding: Any = 1, dilation: Any = 1, groups: int = 1
) -> float:
    x, w = shapes
    pixels = float(x[0])
    for n, k, s, p, d in zip(
        x[1:3], w[:2], _pair(stride), _pair(padding), _pair(dilation), strict=True
    ):
        pixels *= (n + 2 * p - d * (k - 1) - 1) // s + 1
    return 2.0 * pixels * math.prod(w)


ROWS = (
    Row(
        name="conv",
        family="conv",
        reference=_conv,
        samples=(
            sample((1, 1, 1, 1), (1, 1, 1, 1), padding=0),
            sample((1, 4, 4, 2), (3, 3, 2, 5), stride=2),  # a stride that does not divide
            sample((2, 5, 7, 3), (3, 3, 3, 4)),  # an image that is not square
            sample((2, 7, 5, 3), (3, 2, 3, 4), padding=0),  # a kernel that is not square
            sample((1, 8, 8, 4), (1, 1, 4, 9), padding=0),  # 1 x 1: a matmul
            sample((1, 8, 9, 4), (1, 1, 4, 3), stride=2, padding=0),
            sample((3, 6, 6, 1), (3, 3, 1, 2), padding=3),  # more padding than kernel - 1
            sample((1, 5, 5, 2), (2, 2, 2, 3), padding=(0, 4)),
            sample((2, 9, 9, 2), (3, 3, 2, 3), stride=3, padding=0),
            sample((2, 10, 8, 2), (3, 3, 2, 3), stride=(2, 3), padding=(1, 0)),
            sample((1, 9, 9, 2), (3, 3, 2, 2), padding=2, dilation=2),
            sample((1, 11, 7, 2), (2, 3, 2, 2), stride=2, padding=1, dilation=(3, 2)),
            sample((2, 5, 5, 4), (3, 3, 2, 6), groups=2),
            sample((1, 6, 6, 5), (3, 3, 1, 5), stride=2, groups=5),  # depthwise
            sample((1, 3, 3, 2), (3, 3, 2, 1), padding=0),  # one output pixel
            # a stride longer than the kernel
            sample((2, 4, 4, 3), (4, 4, 3, 2), stride=5, padding=2),
            sample((0, 4, 4, 2), (3, 3, 2, 3)),
            sample((2, 6, 6, 17), (3, 3, 17, 33)),  # channels around vector widths
            sample((1, 12, 13, 8), (5, 5, 8, 16), padding=2),
            sample((2, 8, 8, 16), (3, 3, 16, 9), stride=2),
            sample((4, 33, 33, 8), (3, 3, 8, 16)),  # work for several threads
            sample((1, 41, 43, 3), (3, 3, 3, 65)),
            # a row of pixels that the weights' gradient sums in two blocks
            sample((1, 2, 519, 2), (2, 2, 2, 3), padding=0),
            # more pixels than the simulator counts in 32 bits
            sample((1, 143, 141, 2), (2, 2, 2, 3), padding=0),
            # by Winograd's transforms on the cpu: whole tiles, cut ones, several blocks of columns
            sample((1, 8, 8, 32), (3, 3, 32, 32)),
            sample((2, 9, 11, 33), (3, 3, 33, 35), padding=(0, 2)),
            sample((2, 10, 8, 32), (3, 3, 32, 150)),
            # an image that overflows in the transforms, or is not finite, is summed over its taps
            *(
                sample((3, 8, 9, 33), (3, 3, 33, 35), padding=1, region=region)
                for region in ("huge", "special", "ties")
            ),
            sample((2, 34, 21, 40), (3, 3, 40, 72), padding=0),  # work for several threads
            # where the transforms do not serve
            sample((1, 17, 17, 32), (3, 3, 32, 32), stride=2),
            sample((1, 11, 12, 32), (3, 3, 32, 33), padding=2, dilation=2),
            sample((1, 6, 7, 32), (3, 3, 32, 32), padding=3),
            sample((2, 28, 28, 1), (3, 3, 1, 4), region="mnist"),
            sample((3, 28, 28, 1), (5, 5, 1, 3), region="mnist", stride=2, padding=2),
        ),
        regions=("tiny", "huge", "zeros", "special", "integer", "ties"),
        # padding is no operand: infinities and NaN in the image only, so that 0 x inf does not
        # decide
        domains=(Domain(), Domain(special=False)),
        signed_zero=False,
        flops=_flops,
    ),
)
