"""The subject: the only file that imports needle.

An op is known by its public name. Every call passes device and dtype explicitly, asserts them on
the results, runs with the allocator's checked mode on (fresh memory is NaN, blocks have guard
bands), and checks that inputs, and the gaps between the elements of strided ones, are what they
were.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from verify.sampling import Array, Laid, Problem, gaps
from verify.spec import Broken as Broken
from verify.spec import Missing as Missing
from verify.spec import Row, UsageError

DEVICES = {"cpu": "cpu", "numpy": "cpu_numpy", "cuda": "cuda", "cuda_sim": "cuda_sim"}
_CHECKED: set[str] = set()  # devices whose checked mode was switched on here


def device_status(name: str) -> str | None:
    """None when the device can be used here, otherwise why not and what to do."""
    if name not in DEVICES:
        return f"there is no such device, known are {', '.join(DEVICES)}"
    try:
        face = _face(name)
    except ImportError as error:
        return f"needle cannot be imported ({error}): install it with `pip install .`"
    if face.enabled():
        return None
    return f"{face.reason or 'it is not available'}"


def environment(threads: int | None = None) -> dict[str, str]:
    """Pins the thread count; the instruction set and the version that verdicts record."""
    import needle
    from needle import _core

    if threads is not None:
        _core.set_num_threads(threads)
    version = getattr(needle, "__version__", "")
    return {"isa": _core.isa(), "threads": str(_core.get_num_threads())} | (
        {"needle": version} if version else {}
    )


@functools.cache
def _face(name: str) -> Any:
    from needle import backend_ndarray

    return getattr(backend_ndarray, DEVICES[name])()


@functools.cache
def _device(name: str) -> Any:
    """The device's face, checked mode on."""
    reason = device_status(name)
    if reason is not None:
        raise UsageError(f"[device] {name} cannot be used: {reason}")
    face = _face(name)
    face.set_checked(True)
    _CHECKED.add(name)
    return face


def resolve(name: str) -> Callable[..., Any]:
    """What a public name stands for; raises Missing."""
    import needle

    if name == "setitem":
        return _setitem
    found: Any = needle if "." in name else needle.ops
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise Missing(f"needle has no {name}")
    return found  # type: ignore[no-any-return]


def _setitem(a: Any, b: Any, index: Any) -> Any:
    a[index] = b
    return a


# --- calls


class Target(Protocol):
    """What the judges ask of a subject; raises Missing and Broken, or whatever the subject does."""

    def forward(self) -> list[Array]:
        """The results."""

    def vjp(self, cotangents: Sequence[Laid]) -> list[Array]:
        """The cotangents of all results pulled back to every input."""

    def evaluate(self, values: Sequence[Array]) -> list[Array]:
        """The results at other values, laid out compactly: for finite differences."""


class Call:
    """A Target: one call of a row's op, or of `function`, on laid-out inputs of one device."""

    def __init__(
        self,
        row: Row,
        problem: Problem,
        device: str,
        dtype: str,
        function: Callable[..., Any] | None = None,
    ) -> None:
        self.row, self.problem, self.dtype = row, problem, dtype
        self.device = _device(device)
        self.function = _function(row, problem, self.device, dtype, function)

    def forward(self) -> list[Array]:
        """The results."""
        arrays, tensors = self._place(self.problem.inputs, grad=False)
        results = self._results(self.function(tensors))
        self._check_inputs(arrays)
        return results

    def vjp(self, cotangents: Sequence[Laid]) -> list[Array]:
        """The cotangents of all results pulled back to every input."""
        arrays, tensors = self._place(self.problem.inputs, grad=True)
        outputs = _listed(self.function(tensors))
        seed_arrays, seeds = self._place(cotangents, grad=False)
        if len(outputs) == 1:
            outputs[0].backward(seeds[0])
        else:
            _weighted_sum(outputs, seeds).backward()
        grads = []
        for i, t in enumerate(tensors):
            if t.grad is None:
                raise Broken(f"backward gave input {i} no gradient")
            grads.append(self._result(t.grad, f"the gradient of input {i}"))
        self._check_inputs(arrays)
        for base, laid in zip(seed_arrays, cotangents, strict=True):
            if base.numpy().tobytes() != np.ascontiguousarray(laid.base).tobytes():
                raise Broken("the cotangent was changed by backward")
        return grads

    def evaluate(self, values: Sequence[Array]) -> list[Array]:
        """The results at other values, laid out compactly: for finite differences."""
        outputs = _listed(self.function([self._tensor(v, grad=False) for v in values]))
        return [y.numpy() for y in outputs]

    # --- on the way in

    def _array(self, a: Array) -> Any:
        from needle.backend_ndarray import NDArray

        return NDArray(
            np.ascontiguousarray(a).reshape(a.shape), device=self.device, dtype=self.dtype
        )

    def _tensor(self, a: Array, grad: bool) -> Any:
        array = self._array(a)
        return array if self.row.in_place else _make(array, grad)

    def _place(self, inputs: Sequence[Laid], grad: bool) -> tuple[list[Any], list[Any]]:
        """The bases on the device, and the inputs as views of them."""
        bases, tensors = [], []
        for laid in inputs:
            base = view = self._array(laid.base)
            for kind, argument in laid.views:
                view = view[argument] if kind == "getitem" else getattr(view, kind)(argument)
            bases.append(base)
            tensors.append(view if self.row.in_place else _make(view, grad))
        return bases, tensors

    # --- on the way out

    def _results(self, outputs: Any) -> list[Array]:
        return [self._result(y, f"result {i}") for i, y in enumerate(_listed(outputs))]

    def _result(self, y: Any, what: str) -> Array:
        if y.dtype != self.dtype:
            raise Broken(f"{what} has dtype {y.dtype}, should have {self.dtype}")
        if y.device != self.device:
            raise Broken(f"{what} is on {y.device!r}, should be on {self.device!r}")
        return np.asarray(y.numpy())

    def _check_inputs(self, bases: Sequence[Any]) -> None:
        for i, (base, laid) in enumerate(zip(bases, self.problem.inputs, strict=True)):
            now, then = base.numpy(), laid.base
            if self.row.in_place and i == 0:
                outside = gaps(laid)
                now, then = now[outside], then[outside]
            if now.tobytes() != np.ascontiguousarray(then).tobytes():
                raise Broken(f"input {i} was changed by the call")
        damage = self.device.check_guards()
        if damage:
            raise Broken("memory outside an array was written: " + "; ".join(damage))


def _make(array: Any, grad: bool) -> Any:
    """A Tensor over the array itself: copying would undo its layout."""
    from needle import Tensor

    return Tensor.make_const(array, requires_grad=grad)


def _function(
    row: Row,
    problem: Problem,
    device: Any,
    dtype: str,
    function: Callable[..., Any] | None,
) -> Callable[[list[Any]], Any]:
    """The row's op, or what stands for it, as a function of the list of its inputs."""
    found = resolve(row.name) if function is None else function
    call, arguments = row.call, problem.arguments
    if call is None:
        return lambda tensors: found(*tensors, **arguments)
    where = {"device": device, "dtype": dtype}
    return lambda tensors: call(found, tensors, where, **arguments)


def as_function(subject: Any) -> Callable[..., Any] | None:
    """An Op, its class or a Module as a function of Tensors; None for what is none of needle's."""
    from needle.autograd import Op
    from needle.nn import Module

    if isinstance(subject, type) and issubclass(subject, Op):
        subject = subject()
    return subject if isinstance(subject, (Op, Module)) else None


def why_not(function: Callable[..., Any], arrays: Sequence[Array], **arguments: Any) -> str:
    """Why a function does not make Tensors of Tensors; empty: it does."""
    from needle import Tensor

    try:
        tensors = [Tensor(a, device=_face("numpy"), dtype=str(a.dtype)) for a in arrays]
        outputs = _listed(function(*tensors, **arguments))
    except Exception as error:
        return f"it raised {type(error).__name__}: {error}"
    return "" if all(isinstance(y, Tensor) for y in outputs) else "it makes no Tensors of Tensors"


@contextlib.contextmanager
def borrowed() -> Iterator[None]:
    """In a process that is not ours: the allocators' checked mode is off again afterwards."""
    try:
        yield
    finally:
        while _CHECKED and os.environ.get("NEEDLE_CHECKED") != "1":
            _face(_CHECKED.pop()).set_checked(False)
        _device.cache_clear()


def _listed(outputs: Any) -> list[Any]:
    """All results, nested ones too: an LSTM gives (out, (h, c))."""
    from needle import TensorTuple

    if isinstance(outputs, (TensorTuple, tuple, list)):
        return [y for part in outputs for y in _listed(part)]
    return [outputs]


def _weighted_sum(outputs: Sequence[Any], seeds: Sequence[Any]) -> Any:
    """One scalar whose gradient at output i is exactly seed i."""
    from needle import ops

    total: Any = None
    for y, seed in zip(outputs, seeds, strict=True):
        term = ops.summation(ops.multiply(y, seed))
        total = term if total is None else ops.add(total, term)
    return total
