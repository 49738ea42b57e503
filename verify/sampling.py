"""The numbers of a case, all from its id: values by region and domain, laid out in memory.

A layout is a recipe: a compact array (`base`) and the views to take of it, so that the device's
kernel sees the strides and not a copy. Nothing here imports needle or torch.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.random.bit_generator import ISeedSequence

from verify import idx
from verify.precision import PRECISIONS, Precision
from verify.spec import LAYOUTS, Case, Domain, Row, Shape, UsageError

Array: TypeAlias = npt.NDArray[Any]
# ("getitem", index) | ("permute", axes) | ("broadcast_to", shape)
View: TypeAlias = tuple[str, Any]

# Regions of the judge `errors`: inputs of two dtypes, or on two devices, or the first as an array.
MIXTURES = ("dtypes", "devices", "arrays")
OF_TENSORS = MIXTURES[:2]

DATA_VARIABLE = "NEEDLE_DATA"
IMAGES, LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"


@dataclass(frozen=True, slots=True)
class Laid:
    """An input: `base` goes to the device, `views` taken there give `value`."""

    value: Array
    base: Array
    views: tuple[View, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """Everything that a judge needs of a case."""

    inputs: tuple[Laid, ...]
    arguments: dict[str, Any]  # the op's keyword arguments


class _Seed(ISeedSequence):
    """A hash as the seed: numpy's own sequence would hash it again, slowly."""

    def __init__(self, digest: bytes) -> None:
        self.digest = digest

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> npt.NDArray[Any]:
        return np.frombuffer(self.digest, dtype)[:n_words]


def generator(case: Case, stream: str) -> np.random.Generator:
    """The named random stream of a case: the same alone, in any order, on any worker and device."""
    seed: Any = _Seed(case.entropy(stream))
    return np.random.Generator(np.random.PCG64(seed))


def problem(case: Case, row: Row) -> Problem:
    """Inputs and arguments of a case."""
    inputs: list[Laid] = []
    for i, shape in enumerate(case.shapes):
        rng = generator(case, f"input{i}")
        # what a refusal names has shapes of its own
        given = row.given[i] if row.given and case.judge != "errors" else None
        if given is None:
            value = values(rng, domain_of(row, i), case.region, shape, case.dtype, i)
        else:
            value = np.asarray(given, case.dtype)
        if case.judge in ("fd", "second") or (case.judge, case.region) == ("algebra", "interior"):
            value = on_grid(value)
        inputs.append(lay_out(value, case.layout, rng))
    if case.layout == "aliased":
        inputs = [inputs[i] for i in first_alike(row, case.shapes)]
    return Problem(tuple(inputs), row.arguments(dict(case.kwargs)))


def domain_of(row: Row, i: int) -> Domain:
    """Where the values of input i lie."""
    return row.domains[min(i, len(row.domains) - 1)]


def first_alike(row: Row, shapes: Sequence[Shape]) -> list[int]:
    """For each input the first one that can stand for it: of its shape and domain."""
    kinds = [(shape, replace(domain_of(row, i), special=True)) for i, shape in enumerate(shapes)]
    return [kinds.index(kind) for kind in kinds]


def cotangent(case: Case, index: int, shape: Shape) -> Laid:
    """A random signed cotangent in the case's layout: backward of a sum sends a broadcast one.

    In region "integer" small integers, so that sums stay exact.
    """
    rng = generator(case, f"cotangent{index}")
    if case.region == "integer":
        drawn = _nonzero_integers(rng, shape, 3)
    else:
        # away from 0: a wrong element of the gradient cannot hide behind a small cotangent
        drawn = rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
        if case.judge == "second":
            drawn = on_grid(drawn)
    return lay_out(np.asarray(drawn, case.dtype), case.layout, rng)


# --- values


def values(
    rng: np.random.Generator, domain: Domain, region: str, shape: Shape, dtype: str, index: int = 0
) -> Array:
    """An array of the region inside the domain; UsageError for a region that is not known."""
    if region == "mnist":
        return (
            _mnist(rng, shape, dtype)
            if index == 0
            else values(rng, domain, "interior", shape, dtype)
        )
    if region not in _REGIONS:
        raise UsageError(f"[case] a region is one of {sorted(_REGIONS)}, got region={region!r}")
    with np.errstate(all="ignore"):
        drawn = _REGIONS[region](rng, domain, shape, PRECISIONS[dtype])
        return np.asarray(drawn, dtype)


Draw: TypeAlias = Callable[[np.random.Generator, Domain, Shape, Precision], Array]


def _signs(rng: np.random.Generator, domain: Domain, shape: Shape) -> Array:
    return np.asarray(rng.choice([-1.0, 1.0] if domain.low < 0 else [1.0, 1.0], shape))


def _interior(rng: np.random.Generator, domain: Domain, shape: Shape, of: Precision) -> Array:
    drawn = domain.spread * rng.standard_normal(shape)
    if domain.nonzero:
        return _signs(rng, domain, shape) * np.exp(drawn)
    return np.asarray(np.exp(drawn) if domain.low == 0 else drawn)


def _huge(rng: np.random.Generator, domain: Domain, shape: Shape, of: Precision) -> Array:
    largest = min(domain.huge(of.largest), domain.high, of.largest)
    return np.asarray(_signs(rng, domain, shape) * largest * np.exp2(-4.0 * rng.random(shape)))


def _shifted(rng: np.random.Generator, domain: Domain, shape: Shape, of: Precision) -> Array:
    """Far from 0 for their spread: a variance of E[x^2] - E[x]^2 loses its digits.

    Near enough that the dtype still tells the values apart.
    """
    drawn, far = _interior(rng, domain, shape, of), min(1000.0, math.ldexp(1.0, of.p - 5))
    return drawn + far if domain.low < 0 and domain.high == math.inf else drawn


def _tiny(rng: np.random.Generator, domain: Domain, shape: Shape, of: Precision) -> Array:
    smallest = domain.tiny(of.largest)
    return np.asarray(_signs(rng, domain, shape) * smallest * np.exp2(4.0 * rng.random(shape)))


def _ties(rng: np.random.Generator, domain: Domain, shape: Shape, of: Precision) -> Array:
    return np.asarray(_signs(rng, domain, shape) * rng.choice([0.5, 1.0, 1.75], shape))


def _zeros(rng: np.random.Generator, domain: Domain, shape: Shape, of: Precision) -> Array:
    drawn = _interior(rng, domain, shape, of)
    return np.where(rng.random(shape) < 0.6, rng.choice([0.0, -0.0], shape), drawn)


def _negative(rng: np.random.Generator, domain: Domain, shape: Shape, of: Precision) -> Array:
    return -np.exp(domain.spread * rng.standard_normal(shape))


def _positive(rng: np.random.Generator, domain: Domain, shape: Shape, of: Precision) -> Array:
    return -_negative(rng, domain, shape, of)


def _whole(rng: np.random.Generator, domain: Domain, shape: Shape, of: Precision) -> Array:
    """Whole exponents, and bases below 0 where other regions have them above."""
    if domain.low == 0:
        return _negative(rng, domain, shape, of)
    return np.asarray(rng.integers(-4, 5, shape), np.float64)


def _special(rng: np.random.Generator, domain: Domain, shape: Shape, of: Precision) -> Array:
    drawn = _interior(rng, domain, shape, of)
    if not domain.special:
        return drawn
    odd = [np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0, -1.0]
    return np.where(rng.random(shape) < 0.4, rng.choice(odd, shape), drawn)


def _edge(rng: np.random.Generator, domain: Domain, shape: Shape, of: Precision) -> Array:
    """Where results leave the range; not for sums, which may overflow in one order only."""
    largest, normal = of.largest, of.normal
    ends = [largest, largest / 2, largest**0.5, 1.0 + of.eps, 1.0, normal**0.5, normal]
    return np.asarray(_signs(rng, domain, shape) * rng.choice(ends, shape))


def _integer(rng: np.random.Generator, domain: Domain, shape: Shape, of: Precision) -> Array:
    """Small enough that sums and products of many are exact, in 16 bits too."""
    largest = 4 if of.p > 11 else 2
    return np.abs(_nonzero_integers(rng, shape, largest)) * _signs(rng, domain, shape)


def _denormal(rng: np.random.Generator, domain: Domain, shape: Shape, of: Precision) -> Array:
    steps = rng.integers(1, 1 << min(20, of.p - 1), shape)
    return np.asarray(_signs(rng, domain, shape) * (steps * of.eta))


def _nonzero_integers(rng: np.random.Generator, shape: Shape, largest: int) -> Array:
    return np.asarray(rng.integers(1, largest + 1, shape) * rng.choice([-1.0, 1.0], shape))


_REGIONS: dict[str, Draw] = {
    "interior": _interior,
    "tiny": _tiny,
    "huge": _huge,
    "ties": _ties,
    "zeros": _zeros,
    "special": _special,
    "integer": _integer,
    "negative": _negative,
    "positive": _positive,
    "whole": _whole,
    "edge": _edge,
    "denormal": _denormal,
    "shifted": _shifted,
    **dict.fromkeys((*MIXTURES, "refused"), _interior),
}
KNOWN = _REGIONS.keys() - {*MIXTURES, "refused"}  # regions that a row may name


def on_grid(value: Array) -> Array:
    """Values rounded to 20 bits after the point: steps of finite differences are exact."""
    with np.errstate(all="ignore"):
        rounded = np.round(value.astype(np.float64) * 2.0**20) * 2.0**-20
    return np.asarray(np.where((rounded == 0) & (value != 0), value, rounded), value.dtype)


# --- layouts

_SINGLE = [name for name in LAYOUTS if name not in ("mixed", "aliased")]


def lay_out(value: Array, layout: str, rng: np.random.Generator) -> Laid:
    """The recipe of a layout. Gaps hold NaN: a kernel that reads them shows it."""
    shape = value.shape
    if layout == "mixed":
        layout = str(rng.choice(_SINGLE))
    if layout == "broadcast":
        stretched = [d for d, n in enumerate(shape) if n > 1]
        if not stretched:
            return Laid(value, value)
        axis = stretched[int(rng.integers(len(stretched)))]
        base = np.ascontiguousarray(value.take([0], axis))
        return Laid(np.broadcast_to(base, shape).copy(), base, (("broadcast_to", shape),))
    if layout in ("compact", "aliased"):
        return Laid(value, value)
    if value.ndim == 0:
        padded = np.array([np.nan, value, np.nan], value.dtype)
        return Laid(value, padded, (("getitem", (1, ...)),))
    if layout == "strided":
        # powers of two: a stride as long as a vector must not be taken for one
        every = int(rng.choice([2, 2, 4, 8, 16]))
        base = np.full((*shape[:-1], every * shape[-1]), np.nan, value.dtype)
        base[..., ::every] = value
        return Laid(value, base, (("getitem", (..., slice(None, None, every))),))
    if layout == "offset":
        base = np.full((shape[0] + 3, *shape[1:]), np.nan, value.dtype)
        base[1 : 1 + shape[0]] = value  # by one: by two, doubles would begin where a vector may
        return Laid(value, base, (("getitem", slice(1, 1 + shape[0])),))
    if layout == "transposed":
        axes = tuple(reversed(range(value.ndim)))
        return Laid(value, np.ascontiguousarray(value.transpose(axes)), (("permute", axes),))
    if layout == "reversed":
        step = (slice(None, None, -1),) * value.ndim
        return Laid(value, np.ascontiguousarray(value[step]), (("getitem", step),))
    raise UsageError(f"[case] no such layout, got layout={layout!r}")


def widened(laid: Laid, dtype: str) -> Laid:
    """The same numbers in the same layout, in another dtype."""
    return Laid(laid.value.astype(dtype), laid.base.astype(dtype), laid.views)


def apply_views(base: Array, views: Sequence[View]) -> Array:
    """What the recipe gives in numpy; the target does the same with its own arrays."""
    for kind, argument in views:
        if kind == "getitem":
            base = base[argument]
        elif kind == "permute":
            base = base.transpose(argument)
        else:
            base = np.broadcast_to(base, argument)
    return np.asarray(base)


def gaps(laid: Laid) -> npt.NDArray[np.bool_]:
    """The elements of the base that the views leave out."""
    outside = np.ones(laid.base.shape, np.bool_)
    if any(kind == "broadcast_to" for kind, _ in laid.views):
        return ~outside  # stretched, never cut
    apply_views(outside, laid.views)[...] = False
    return outside


# --- real data


def data_folder() -> Path | None:
    """The folder named by NEEDLE_DATA (needle-verify --data), or None."""
    named = os.environ.get(DATA_VARIABLE)
    return Path(named) if named else None


def read_test_images() -> npt.NDArray[np.uint8]:
    """The images of the MNIST test set, (N, H, W) bytes. Raises: UsageError as idx.read does."""
    return idx.read(_folder() / IMAGES, "images", 3)


def read_test_labels() -> npt.NDArray[np.uint8]:
    """Their labels. Raises: UsageError as idx.read does."""
    return idx.read(_folder() / LABELS, "labels", 1)


def _folder() -> Path:
    folder = data_folder()
    if folder is None:
        raise UsageError(
            f"[data] region mnist needs the MNIST test set: give --data DIR or set {DATA_VARIABLE}"
        )
    return folder


def _mnist(rng: np.random.Generator, shape: Shape, dtype: str) -> Array:
    """Random images of the test set, as `fitted` gives them."""
    images = read_test_images()
    chosen = rng.choice(len(images), shape[:1] or 1, replace=shape[:1] > images.shape[:1])
    return fitted(images[chosen], shape).astype(dtype)


def fitted(images: npt.NDArray[np.uint8], shape: Shape) -> Array:
    """Images in [0, 1] as (N, H, W, 1), flat as (N, H W), or as (N, C, H + 4, W + 4).

    The last has a margin of zeros and equal channels. Raises: UsageError for other shapes.
    """
    values = images / 255.0
    n, height, width = images.shape
    if shape == (n, height, width, 1) or shape == (n, height * width):
        return values.reshape(shape)
    if len(shape) == 4 and (shape[0], *shape[2:]) == (n, height + 4, width + 4):
        padded = np.pad(values, ((0, 0), (2, 2), (2, 2)))
        return np.repeat(padded[:, None], shape[1], axis=1)
    wanted = [(n, height, width, 1), (n, height * width), (n, "C", height + 4, width + 4)]
    raise UsageError(f"[case] region mnist has images of shape {wanted}, got shape={shape}")


def size(shapes: Sequence[Shape]) -> int:
    """Elements of all shapes together."""
    return sum(math.prod(s) for s in shapes)
