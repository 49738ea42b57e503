"""One call of a course-style subject: a Target.

Asked of it is what the course asks: results and gradients, inputs and cotangents unharmed, the
dtype and device that were named, no graph behind an optimizer or running statistics. Not asked: the
same bits on more threads, memory of its own, errors of certain types.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from verify.sampling import Array, Laid, Problem, View, apply_views
from verify.spec import Broken, Missing, Row
from verify.targets.course import leeway, signatures
from verify.targets.course.absence import absent, place, unfinished
from verify.targets.course.layers import CONSTRUCTORS, Made, held_graphs
from verify.targets.course.library import NUMPY, Library, array_of, dtype_of

_REDUCTIONS = ("summation", "logsumexp", "max")


@dataclass(frozen=True, slots=True)
class _Placed:
    """An array of the subject's own, and what it held when it was made."""

    data: Any
    then: Array

    @property
    def changed(self) -> bool:
        """Whether it was written to."""
        now = self.data if isinstance(self.data, np.ndarray) else self.data.numpy()
        return bool(now.tobytes() != self.then.tobytes())


class CourseCall:
    """A Target: one call of a row's op on laid-out inputs of one device of the subject."""

    def __init__(
        self,
        library: Library,
        row: Row,
        problem: Problem,
        device: str,
        dtype: str,
        found: Callable[..., Any] | None = None,
    ) -> None:
        """found: what is called, where it is none of the library's public names."""
        self.library, self.row, self.problem = library, row, problem
        self.device, self.dtype = device, dtype
        self.face = library.face(device)
        if (got := library.computes(device, dtype)) != dtype:
            raise Missing(f"{dtype} was asked for, it computes {got}")
        try:
            self.found = found or library.resolve(row.name)
        except Broken as error:
            if unfinished(error.__cause__, library):
                raise Missing(str(error)) from error
            raise
        self.made: list[Any] = []  # layers and optimizers of the last call
        self.arguments = problem.arguments

    def forward(self) -> list[Array]:
        """The results."""
        return self._in_either_form(self._forward)

    def vjp(self, cotangents: Sequence[Laid], alone: int = 0) -> list[Array]:
        """The cotangents of all results pulled back to every input."""
        return self._in_either_form(lambda: self._vjp(cotangents))

    def evaluate(self, values: Sequence[Array]) -> list[Array]:
        """The results at other values, laid out compactly."""

        def run() -> list[Array]:
            tensors = [self.library.tensor(v, self.device, self.dtype, False) for v in values]
            return self._results(self._outputs(tensors), [v.shape for v in values])

        return self._in_either_form(run)

    def second(self, cotangents: Sequence[Laid], directions: Sequence[Array]) -> list[Array]:
        """Raises: Missing."""
        raise Missing("a second gradient is not asked of a course implementation")

    def gradients(self, values: Sequence[Array], cotangents: Sequence[Array]) -> list[Array]:
        """Raises: Missing."""
        raise Missing("a second gradient is not asked of a course implementation")

    def refusal(self, mixture: str) -> Exception | None:
        """What it raises for these inputs."""
        try:
            self.forward()
        except Missing:
            raise
        except Exception as error:
            return error
        return None

    # --- one run

    def _in_either_form(self, run: Callable[[], list[Array]]) -> list[Array]:
        """With one axis as an int or as a tuple: whichever the implementation takes."""
        with np.errstate(all="ignore"):  # overflow is judged, not warned of
            try:
                return run()
            except (AttributeError, ImportError) as error:
                if what := absent(error, self.library):
                    raise Missing(what) from error
                kind = AttributeError if isinstance(error, AttributeError) else ImportError
                raise kind(f"{error}{place(error)}") from error
            except Exception as error:
                before, self.arguments = self.arguments, _other_form(self.arguments)
                if self.arguments == before or not self._refused(error, before):
                    self.arguments = before
                    raise
                try:
                    return run()
                except Exception:
                    self.arguments = before
                    return run()  # what it said of the form that the course names

    def _refused(self, error: Exception, arguments: dict[str, Any]) -> bool:
        """Whether an error is about the form of an axis, and not about what is computed."""
        if isinstance(error, TypeError) or self.row.name not in _REDUCTIONS:
            return isinstance(error, TypeError)
        axes = arguments["axes"]
        form = (0,) if isinstance(axes, tuple) else 0
        return refuses(self.library, self.device, self.row.name, "axes", form)

    def _forward(self) -> list[Array]:
        inputs = self.problem.inputs
        # a training loop's gradients require gradients: what an optimizer keeps of them shows
        placed, tensors = self._place(inputs, grad=self.row.family in ("optimizer", "autograd"))
        results = self._results(self._outputs(tensors), [laid.value.shape for laid in inputs])
        self._check(placed, tensors)
        return results

    def _vjp(self, cotangents: Sequence[Laid]) -> list[Array]:
        """A run for each result: `.grad` is overwritten, and a sum would be an op of its own."""
        wanted = len(cotangents) - self.row.without_gradient
        totals: list[Array] = []
        for i, cotangent in enumerate(cotangents[:wanted]):
            grads = self._pulled(i, cotangent, len(cotangents))
            wide = [g.astype(np.float64) for g in grads]
            totals = [t + w for t, w in zip(totals, wide, strict=True)] if totals else wide
        found = [t.astype(self.dtype) for t in totals]
        values = [laid.value for laid in self.problem.inputs]
        seeds = [c.value for c in cotangents]
        return leeway.gradients(self.row.name, found, values, seeds, self._axes())

    def _pulled(self, i: int, cotangent: Laid, count: int) -> list[Array]:
        placed, tensors = self._place(self.problem.inputs, grad=True)
        outputs = self._outputs(tensors)
        if len(outputs) != count:
            raise Broken(f"it gave {len(outputs)} results, should give {count}")
        shape = tuple(int(n) for n in outputs[i].shape)
        if cotangent.value.size == 1:
            value = leeway.seed(cotangent.value, shape)
            cotangent = Laid(value, value)
        ((seed_placed,), (seed,)) = self._place([cotangent], grad=False)
        outputs[i].backward(seed)
        grads = []
        for k, t in enumerate(tensors):
            grad = getattr(t, "grad", None)
            if grad is None and count == 1:
                raise Broken(f"backward gave input {k} no gradient")
            found = np.zeros(t.shape) if grad is None else array_of(grad, f"the gradient of {k}")
            if grad is not None and found.dtype.name != self.dtype:
                raise Broken(
                    f"the gradient of input {k} has dtype {found.dtype}, should have {self.dtype}"
                )
            grads.append(found)
        self._check(placed, tensors)
        if seed_placed.changed:
            raise Broken("the cotangent was changed by backward")
        return grads

    def _outputs(self, tensors: list[Any]) -> list[Any]:
        """The results as Tensors."""
        self.made.clear()
        call, arguments = self.row.call, self.arguments
        if call is None:
            found = signatures.call(self.found, tensors, (), (), arguments)
        else:
            where = {"device": self.face, "dtype": self.dtype}
            found = call(self._made, tensors, where, **arguments)
        outputs = self.library.listed(found)
        if any(y is None for y in outputs):
            raise Missing("a result is None: its body is missing")
        return outputs

    def _made(self, *positional: Any, **keywords: Any) -> Any:
        """Stands for the name in a row's call: a layer is made, a function called."""
        names = CONSTRUCTORS.get(self.row.name)
        if names is None:
            plain = signatures.call(self.found, positional, (), (), keywords)
            stateless = self.row.name == "nn.Sequential"
            return Made(plain, self.library, self.device, self.dtype) if stateless else plain
        made = signatures.call(self.found, (), names, positional, keywords)
        self.made.append(made)
        if self.row.family == "optimizer":
            return made
        return Made(made, self.library, self.device, self.dtype)

    def _axes(self) -> Any:
        return self.problem.arguments.get("axes", self.problem.arguments.get("axis"))

    # --- on the way in

    def _place(self, inputs: Sequence[Laid], grad: bool) -> tuple[list[_Placed], list[Any]]:
        """What lies on the device, and Tensors over views of it; one that comes twice is one."""
        placed: dict[int, tuple[_Placed, Any]] = {}
        for laid in inputs:
            if id(laid) not in placed:
                placed[id(laid)] = self._placed(laid, grad)
        both = [placed[id(laid)] for laid in inputs]
        return [base for base, _ in both], [tensor for _, tensor in both]

    def _placed(self, laid: Laid, grad: bool) -> tuple[_Placed, Any]:
        if laid.views:
            base = self.library.data(laid.base, self.device, self.dtype)
            view = self._viewed(base, laid.views)
            tensor = None if view is None else self.library.over(view, grad)
            if tensor is not None:
                seen = array_of(tensor, "a view")
                if seen.shape != laid.value.shape or seen.tobytes() != laid.value.tobytes():
                    kinds = ", ".join(kind for kind, _ in laid.views)
                    raise Broken(f"a view of an array ({kinds}) does not show what numpy's does")
                return _Placed(base, laid.base), tensor
        tensor = self.library.tensor(laid.value, self.device, self.dtype, grad)
        return _Placed(tensor.realize_cached_data(), laid.value), tensor

    def _viewed(self, base: Any, views: Sequence[View]) -> Any:
        """The views taken of the package's own array; None where the course has no such view."""
        if self.library.world(self.device) == NUMPY:
            return apply_views(base, views)
        view = base
        for kind, argument in views:
            if kind == "getitem":
                argument = _whole_index(argument, len(view.shape))
                if argument is None:
                    return None
                view = view[argument]
            elif kind == "broadcast_to" and len(argument) != len(view.shape):
                return None
            else:
                view = getattr(view, kind)(argument)
        return view

    # --- on the way out

    def _results(self, outputs: Sequence[Any], shapes: Sequence[tuple[int, ...]]) -> list[Array]:
        found = []
        for i, y in enumerate(outputs):
            if (got := dtype_of(y)) != self.dtype:
                raise Broken(f"result {i} has dtype {got}, should have {self.dtype}")
            if self.face is not None and self.library.world(self.device) != NUMPY:
                place = y.device
                if place != self.face:
                    raise Broken(f"result {i} is on {place!r}, should be on {self.face!r}")
            found.append(array_of(y, f"result {i}"))
        for made in self.made:
            if text := held_graphs(made, self.library.tensor_class):
                raise Broken(text)
        return leeway.results(self.row.name, found, shapes, self._axes())

    def _check(self, placed: Sequence[_Placed], tensors: Sequence[Any]) -> None:
        """Inputs are what they were; an optimizer may write into its parameters."""
        written = self.arguments.get("count", 1) if self.row.family == "optimizer" else 0
        values = [laid.value for laid in self.problem.inputs]
        for i, (base, t, then) in enumerate(zip(placed, tensors, values, strict=True)):
            if i >= written and (base.changed or array_of(t, "").tobytes() != then.tobytes()):
                raise Broken(f"input {i} was changed by the call")
        for made in self.made:
            if text := held_graphs(made, self.library.tensor_class):
                raise Broken(text)


@functools.cache
def refuses(library: Library, device: str, name: str, argument: str, value: Any) -> bool:
    """Whether an op raises where a plain array of three axes is given with such an argument."""
    try:
        x = library.tensor(np.ones((2, 3, 4)), device, "float32", False)
        signatures.call(library.resolve(name), (x,), (), (), {argument: value})
    except Exception:
        return True
    return False


def _whole_index(index: Any, ndim: int) -> Any:
    """An index with a part for every axis; None for steps back, which the course has not."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (ndim - len(parts) + 1)
    parts += [slice(None)] * (ndim - len(parts))
    if any(not isinstance(p, slice) or (p.step or 1) < 0 for p in parts):
        return None
    return tuple(parts)


def _other_form(arguments: dict[str, Any]) -> dict[str, Any]:
    """One axis as a tuple where it is an int, and the other way round."""
    other = dict(arguments)
    for name in ("axes", "axis"):
        value = other.get(name)
        if isinstance(value, int):
            other[name] = (value,)
        elif isinstance(value, tuple) and len(value) == 1:
            other[name] = value[0]
    return other
