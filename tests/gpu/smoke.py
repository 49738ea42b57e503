"""Every CUDA kernel once, on shapes that reach its branches: what compute-sanitizer runs.

`python tests/gpu/smoke.py [DEVICE]` (cuda): compares with the cpu and exits 1 on a difference.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import needle.backend_ndarray as nd

Inputs = list[np.ndarray[Any, Any]]
UNARY = ("negate", "exp", "tanh", "relu")
BINARY = ("add", "multiply", "maximum", "equal", "less")


def cases(rng: np.random.Generator) -> Iterator[tuple[str, Callable[..., Any], Inputs]]:
    """Name, function of the arrays, arrays in float64."""
    a, b = rng.normal(size=(37, 65)), rng.normal(size=(37, 65))
    for name in UNARY:
        yield name, lambda x, name=name: getattr(x, name)(), [a]
        yield f"{name} strided", lambda x, name=name: getattr(x.T[1:, ::2], name)(), [a]
    for name in BINARY:
        yield name, lambda x, y, name=name: getattr(x, name)(y), [a, b]
        yield f"{name} broadcast", lambda x, y, name=name: getattr(x, name)(y[:, :1]), [a, b]
        yield f"{name} scalar", lambda x, name=name: getattr(x, name)(0.5), [a]
    yield "power", lambda x: x**2, [a]
    yield "log", lambda x: (x * x + 1).log(), [a]
    for axis in (None, 0, 1):
        yield f"sum {axis}", lambda x, axis=axis: x.sum(axis=axis), [a]
        yield f"max {axis}", lambda x, axis=axis: x.max(axis=axis), [a]
    yield "sum in slices", lambda x: x.sum(), [rng.normal(size=(3, 9001))]
    yield "sum of columns in slices", lambda x: x.sum(axis=0), [rng.normal(size=(9001, 3))]
    many = rng.normal(size=(300, 256))
    for what, other in (("row", many[:1]), ("column", many[:, :1])):
        yield f"add {what}", lambda x, y: x + y, [many, other]
    yield "add turned", lambda x, y: x.T + y, [many, many.T.copy()]
    yield "compact turned", lambda x: x.T.compact(), [many]
    for axis in (0, 1):
        yield f"sum of packs {axis}", lambda x, axis=axis: x.sum(axis=axis), [many]
        yield f"cumsum {axis}", lambda x, axis=axis: x.cumsum(axis), [many]
        yield f"argmax {axis}", lambda x, axis=axis: x.argmax(axis).astype("float64"), [many]
    yield "cumsum in slices", lambda x: x.cumsum(0, reverse=True), [rng.normal(size=9001)]
    yield "argmin in slices", lambda x: x.argmin().astype("float64"), [rng.normal(size=9001)]
    yield "where", lambda x, y: (x < y).where(x, y), [a, b]
    yield "astype", lambda x: x.astype("int32").astype("float64"), [a * 10]
    yield "compact", lambda x: x.permute((1, 0)).compact(), [a]
    yield "matmul", lambda x, y: x @ y.T, [a, b]
    yield "matmul batched", lambda x, y: x @ y, [rng.normal(size=s) for s in ((5, 70, 3), (3, 9))]
    for stride, padding, dilation, groups in ((1, 1, 1, 1), (2, 0, 1, 2), (3, 2, 2, 1)):
        p = {
            "stride": (stride, stride),
            "padding": (padding, padding),
            "dilation": (dilation, dilation),
            "groups": groups,
        }
        x, w = rng.normal(size=(2, 11, 9, 4)), rng.normal(size=(3, 3, 4 // groups, 6))
        yield f"conv2d {p}", lambda x, w, p=p: x.conv2d(w, **p), [x, w]
        yield (
            f"conv2d_grad_input {p}",
            lambda x, w, p=p: x.conv2d(w, **p).conv2d_grad_input(w, x.shape, **p),
            [x, w],
        )
        yield (
            f"conv2d_grad_weight {p}",
            lambda x, w, p=p: x.conv2d_grad_weight(x.conv2d(w, **p), w.shape, **p),
            [x, w],
        )


def main(name: str) -> int:
    device = {"cuda": nd.cuda, "cuda_sim": nd.cuda_sim}[name]()
    wrong = []
    for dtype, tolerance in (("float32", 1e-4), ("float64", 1e-12)):
        for what, function, inputs in cases(np.random.default_rng(0)):
            results = [
                function(*(nd.NDArray(x.astype(dtype), device=d, dtype=dtype) for x in inputs))
                for d in (device, nd.cpu())
            ]
            got, expected = (np.asarray(r.numpy(), np.float64) for r in results)
            if got.shape != expected.shape or not np.allclose(
                got, expected, rtol=tolerance, atol=tolerance * float(np.abs(expected).max())
            ):
                wrong.append(f"{what} {dtype}")
    device.synchronize()
    wrong += device.check_guards()
    sys.stdout.write("\n".join(wrong) + "\n" if wrong else "smoke: all agree with the cpu\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2] or ["cuda"]))
