"""What the course defines: the rows that somebody else's needle is asked, and how far they go.

The course leaves much open. Arguments that its interface does not have are not asked. What it has
and leaves undefined is asked, and counted apart where it goes wrong: `outside` says which cases
those are, and why. Negative axes, logsumexp over any axes, strides that do not divide and padding
wider than the kernel are defined.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from verify import registry, targets
from verify.registry import course_autograd, planning
from verify.registry.course_calls import MORE, call_of, reference_of
from verify.registry.course_formulas import usual
from verify.sampling import size
from verify.spec import Batch, Case, Row, Sample, Shape, UsageError

JUDGES = ("forward", "vjp", "fd", "errors", "batch")
NDARRAY = "NDArray"  # what lies under a Tensor there, see verify.targets

# name -> the arguments that the course gives it
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "autograd.Tensor": ("form",),
    **dict.fromkeys(("add", "multiply", "power", "divide", "negate", "log", "exp", "relu"), ()),
    **dict.fromkeys(("tanh", "matmul", "logsoftmax"), ()),
    **dict.fromkeys(("add_scalar", "mul_scalar", "power_scalar", "divide_scalar"), ("scalar",)),
    **dict.fromkeys(("transpose", "summation", "logsumexp", "flip"), ("axes",)),
    **dict.fromkeys(("reshape", "broadcast_to"), ("shape",)),
    **dict.fromkeys(("stack", "split"), ("axis",)),
    **dict.fromkeys(("dilate", "undilate"), ("axes", "dilation")),
    "conv": ("stride", "padding"),
    **dict.fromkeys(("nn.Linear", "nn.Flatten", "nn.ReLU", "nn.Tanh", "nn.Sigmoid"), ()),
    **dict.fromkeys(("nn.Sequential", "nn.Residual", "nn.Identity"), ()),
    "nn.Module": (),
    "nn.Conv": ("stride",),
    "nn.SoftmaxLoss": ("labels",),
    **dict.fromkeys(("nn.BatchNorm1d", "nn.BatchNorm2d"), ("training", "momentum", "eps")),
    "nn.LayerNorm1d": ("eps",),
    "nn.Dropout": ("p", "training"),
    **dict.fromkeys(("nn.RNNCell", "nn.RNN"), ("nonlinearity", "fresh")),
    **dict.fromkeys(("nn.LSTMCell", "nn.LSTM"), ("fresh",)),
    "nn.Embedding": ("indices",),
    "optim.SGD": ("lr", "momentum", "weight_decay", "count", "reset"),
    "optim.Adam": ("lr", "beta1", "beta2", "eps", "weight_decay", "count", "reset"),
}
# not in its interface, asked where an implementation has it
BEYOND: dict[str, tuple[str, ...]] = {"max": ("axes",)}

# In these regions a result depends on the formula, and the course names none.
_REGIONS = {
    "special": "infinities and NaN",
    "edge": "the edges of the range",
    "denormal": "denormal numbers: compilers are often told to flush them",
}
# The same of gradients alone: op -> regions, and what leaves the range there in the usual formula.
_GRADIENTS: dict[str, tuple[tuple[str, ...], str]] = {
    "divide": (("tiny", "huge"), "a gradient whose a / b^2 has a square beyond the range"),
    "power": (("zeros",), "a gradient whose a^(b - 1) or log(a) is infinite"),
    "power_scalar": (("zeros",), "a gradient whose a^(b - 1) is infinite"),
    "nn.Sigmoid": (("huge",), "a gradient whose 1 / (1 + exp(-x))^2 leaves the range"),
}
_OF_GRADIENTS = ("vjp", "fd")  # judges that ask for them
_SEVERAL = "a reduction over several of the axes"
_MORE_AXES = "broadcasting to more axes"
_SAMPLED = 400  # elements of a float32 difference: noise hides errors in larger ones


# --- what is outside


def _matmul(shapes: Sequence[Shape], world: str) -> str:
    if min(map(len, shapes)) < 2:
        return "products of vectors"
    if world == NDARRAY and max(map(len, shapes)) > 2:
        return "batches of matrices"
    batches = zip(reversed(shapes[0][:-2]), reversed(shapes[1][:-2]), strict=False)
    return "batches of different sizes" if any(m != n for m, n in batches) else ""


def _one_axis(shapes: Sequence[Shape], world: str, axes: Any = None) -> str:
    return _SEVERAL if world == NDARRAY and _several(axes) else ""


def _several(axes: Any) -> bool:
    return isinstance(axes, tuple) and len(axes) > 1


def _broadcast(shapes: Sequence[Shape], world: str, shape: Shape) -> str:
    added = len(shape) != len(shapes[0])
    return _MORE_AXES if added and world == NDARRAY else ""


def _matrix(shapes: Sequence[Shape], world: str, **_: Any) -> str:
    return "inputs that are no matrix" if len(shapes[0]) != 2 else ""


def _square(shapes: Sequence[Shape], world: str, **_: Any) -> str:
    height, width = shapes[1][:2]
    return "kernels that are not square" if height != width else ""


def _odd(shapes: Sequence[Shape], world: str, **_: Any) -> str:
    return "kernels of an even size" if shapes[1][0] % 2 == 0 else ""


_SAMPLES: dict[str, Callable[..., str]] = {
    "matmul": _matmul,
    "summation": _one_axis,
    "max": _one_axis,
    "broadcast_to": _broadcast,
    "reshape": lambda shapes, world, shape: "a size of -1" if -1 in shape else "",
    "conv": _square,
    "nn.Conv": _odd,
    **dict.fromkeys(("logsoftmax", "nn.SoftmaxLoss", "nn.LayerNorm1d", "nn.BatchNorm1d"), _matrix),
    "nn.Linear": _matrix,
    "nn.Dropout": lambda shapes, world, p=0.5, **_: "a probability of 1" if p == 1 else "",
    "nn.Embedding": lambda shapes, world, indices: (
        "" if np.ndim(indices) == 2 else "indices that are no matrix"
    ),
}


def _sample_outside(
    row: Row, shapes: Sequence[Shape], arguments: dict[str, Any], world: str
) -> str:
    if any(math.prod(shape) == 0 for shape in (*shapes, arguments.get("shape", ()))):
        return "empty arrays"
    if not all(shapes) or arguments.get("shape") == ():
        return "arrays without axes"
    if row.family == "elementwise" and len(set(shapes)) > 1:
        return "operands of different shapes"
    rule = _SAMPLES.get(row.name)
    return "" if rule is None else rule(shapes, world, **arguments)


def _gradient_outside(case: Case, finding: Any) -> str:
    """Why the course leaves open what a case asks of a gradient; empty: it does not."""
    regions, formula = _GRADIENTS.get(case.op, ((), ""))
    finite = case.op == "power_scalar" and dict(case.kwargs)["scalar"] >= 1
    lost = case.op != "nn.Sigmoid" or _underflows(case.dtype, finding)
    if case.region in regions and lost and not finite:
        return formula
    tied = case.region == "huge" and case.layout in ("broadcast", "mixed")
    if tied and case.op in ("logsumexp", "logsoftmax", "nn.SoftmaxLoss"):
        # exp(x - logsumexp(x)) is as usual a gradient as any: the logarithm of n is lost there
        return "shares of large values that tie"
    return ""


def _underflows(dtype: str, finding: Any) -> bool:
    """Whether the worst element is wrong for a square too small to be held; NaN is always wrong."""
    worst = None if finding is None else finding.comparison
    least = 8 * math.sqrt(np.finfo(dtype).tiny)  # times a cotangent
    return worst is not None and abs(worst.got) < least and abs(worst.want) < least


def cast_down(case: Case) -> str:
    """Why a dtype is open here; empty: it is computed."""
    if _library().computes(case.device, case.dtype) == case.dtype:
        return ""
    return f"the course computes float32: {case.dtype} is cast down silently"


def _outside(case: Case, finding: Any = None) -> str:
    """Why the course leaves open what a case asks of the library here; empty: it does not.

    finding: what was found, which some reasons are about.
    """
    library = _library()
    if not library.has(case.op):
        return ""
    if why := cast_down(case):
        return why
    if case.judge == "errors":
        return "the course leaves open what bad input does"
    asked = dict(case.kwargs)
    if case.op == "autograd.Tensor" and course_autograd.lacks(library.tensor_class, asked["form"]):
        return "the course leaves open: a number divided by a Tensor"
    why = _REGIONS.get(case.region) or _sample_outside(
        rows()[case.op], case.shapes, asked, library.world(case.device)
    )
    if case.judge in _OF_GRADIENTS:
        why = why or _gradient_outside(case, finding)
    if case.op == "nn.Dropout" and not why and asked.get("training", True):
        rule = targets.dropout_of(library, case.device, asked.get("p", 0.5))
        why = "which draws dropout keeps" if rule == "other" else ""
    if case.op in ("summation", "max") and _several(asked.get("axes")) and why in ("", _SEVERAL):
        # what takes them must get them right
        several = targets.refuses(library, case.device, case.op, "axes", (0, 1))
        why = _SEVERAL if several else ""
    more = (5, 2, 3, 4)
    if why == _MORE_AXES and not targets.refuses(library, case.device, case.op, "shape", more):
        why = ""
    return f"the course leaves open: {why}" if why else ""


# --- rows


def _asked(row: Row, sample: Sample) -> bool:
    """Whether the course's interface has the sample's arguments, and in this form."""
    allowed = ARGUMENTS.get(row.name) or BEYOND.get(row.name, ())
    given = dict(sample.kwargs)
    pairs = any(isinstance(given.get(name), tuple) for name in ("stride", "padding"))
    return given.keys() <= set(allowed) and not pairs


def _library() -> targets.Library:
    library = targets.foreign()
    if library is None:
        raise UsageError("[target] a row of the course is for somebody else's needle")
    return library


def _target(row: Row, problem: Any, device: str, dtype: str) -> targets.Target:
    return targets.CourseCall(_library(), row, problem, device, dtype)


def _no_bits(device: str, shapes: tuple[Shape, ...], **_: Any) -> bool:
    return False


@functools.cache
def rows() -> dict[str, Row]:
    """The rows of what the course has, as somebody else's needle is asked."""
    known = registry.rows()
    return {name: _course_row(known[name]) for name in (*ARGUMENTS, *BEYOND)}


def layouts(row: Row) -> tuple[str, ...]:
    """Those that the course's arrays have."""
    return tuple(name for name in row.layouts if name != "reversed")


def _course_row(row: Row) -> Row:
    reference = reference_of(row)
    # a norm of integers is exact in one order of its operations only
    exact = ("integer",) if "Norm" in row.name else ()
    return replace(
        row,
        reference=reference,
        samples=tuple(s for s in (*row.samples, *MORE.get(row.name, ())) if _asked(row, s)),
        errors=tuple(e for e in row.errors if _asked(row, Sample(e.shapes, e.kwargs))),
        regions=tuple(r for r in row.regions if r not in exact),
        captured=(),
        mixtures=(),
        layouts=layouts(row),
        call=call_of(row),
        signed_zero=False,
        view=True,
        apart=True,
        draws=None,
        training=None,
        growth=None,
        identities=(),
        batch=row.batch and Batch(row.batch.axes, _no_bits, row.batch.least),
        target=_target,
        outside=_outside,
        usual=usual(row.name, reference),
        accuracy=dict.fromkeys(targets.DEVICES, "course"),
    )


class CourseRegistry:
    """Rows and plans for a subject that was looked at. It is what verify.plan asks."""

    def __init__(self, found: targets.Found, added: Mapping[str, Row]) -> None:
        """added: rows of plugins."""
        self.found, self.added = found, added

    def rows(self) -> dict[str, Row]:
        """The course's rows, and those beyond it that the subject has; plugins' last."""
        has = self.found.names
        own = {name: row for name, row in rows().items() if name in ARGUMENTS or name in has}
        return own | dict(self.added)

    def plan_cases(
        self, row: Row, device: str, dtype: str, judge: str, seed: int, budget: str = "default"
    ) -> list[Case]:
        """What the course defines by the budget; each sample that it leaves open once."""
        if judge not in JUDGES:
            return []
        if row.name in self.added:
            return self._planned(row, device, dtype, judge, seed, budget)
        world = self.found.worlds.get(device, "")
        open_ = [s for s in row.samples if _sample_outside(row, s.shapes, dict(s.kwargs), world)]
        defined = replace(row, samples=tuple(s for s in row.samples if s not in open_))
        cases = self._planned(defined, device, dtype, judge, seed, budget)
        if judge in ("forward", "vjp") and (row.differentiable or judge == "forward"):
            cases += [
                Case(row.name, judge, device, dtype, s.shapes, s.kwargs, "compact", s.region, seed)
                for s in (open_ if budget != "smoke" else open_[:1])
            ]
        return cases

    def _planned(
        self, row: Row, device: str, dtype: str, judge: str, seed: int, budget: str
    ) -> list[Case]:
        if judge == "fd":  # which would ask for slopes along running statistics
            fitting = (s for s in row.samples if dict(s.kwargs).get("training", True))
            row = replace(row, samples=tuple(fitting))
        if judge != "fd" or "float64" in self.found.dtypes:
            return planning.plan_cases(row, device, dtype, judge, seed, budget)
        if dtype != "float32":
            return []
        small = replace(row, samples=tuple(s for s in row.samples if size(s.shapes) <= _SAMPLED))
        planned = planning.plan_cases(small, device, "float64", judge, seed, budget)
        smooth = [case for case in planned if case.region not in ("ties", "zeros")]
        return [replace(case, dtype="float32") for case in smooth]
