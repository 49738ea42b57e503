"""One call of the subject, and what holds for every call whatever its values.

Device and dtype are passed explicitly and asserted on the results. The allocator's checked mode is
on: fresh memory is NaN, blocks have guard bands. Inputs, and the gaps between the elements of
strided ones, must be what they were; results share no memory with inputs, and nothing stays alive.
The same call gives the same bits, on any number of threads.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from verify.same import SHARES, require_same
from verify.sampling import Array, Laid, Problem, gaps
from verify.spec import Broken, Row
from verify.targets.devices import alive, checked_device, face, other_circumstances, resolve
from verify.targets.lending import lent, spoil


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
        self.device = checked_device(device)
        self._named = function
        self.function = _function(row, problem, self.device, dtype, function)

    def forward(self) -> list[Array]:
        """The results; the same bits again under other circumstances, and nothing left behind."""
        results = self._clean(self._forward)
        with other_circumstances(self.device):
            require_same(results, self._forward(), "the same call again, on other threads,")
        return results

    def vjp(self, cotangents: Sequence[Laid], alone: int = 0) -> list[Array]:
        """The cotangents of all results pulled back to every input.

        The same bits again under other circumstances, and for input `alone` where no other
        requires a gradient. The second time arguments are lists and arrays of a caller who changes
        them before backward.
        """
        grads = self._clean(lambda: self._vjp(cotangents))
        with other_circumstances(self.device):
            if len(self._distinct(self.problem.inputs)) == 1:
                all_again = self._vjp(cotangents, lent=True)
                require_same(grads, all_again, "the same gradient again, on other threads,")
            else:
                (again,) = self._vjp(cotangents, alone, lent=True)
                require_same(
                    [grads[alone]],
                    [again],
                    f"the gradient of input {alone} alone, on other threads,",
                )
        return grads

    def second(self, cotangents: Sequence[Laid], directions: Sequence[Array]) -> list[Array]:
        """The gradient of <directions, vjp> with respect to the inputs and the cotangents."""
        _, tensors = self._place(self.problem.inputs, grad=True)
        _, seeds = self._place(cotangents, grad=True)
        return self._second(tensors, seeds, directions)

    def gradients(self, values: Sequence[Array], cotangents: Sequence[Array]) -> list[Array]:
        """The VJP at other values, laid out compactly: for differences of it."""
        tensors = [self._tensor(v, grad=True) for v in values]
        seeds = [self._tensor(c, grad=False) for c in cotangents]
        _backward(listed(self.function(tensors)), seeds)
        grads = [self._gradient(t, f"input {i}") for i, t in enumerate(tensors)]
        _forget(tensors)
        return grads

    def evaluate(self, values: Sequence[Array]) -> list[Array]:
        """The results at other values, laid out compactly: for finite differences."""
        outputs = listed(self.function([self._tensor(v, grad=False) for v in values]))
        dtype = self.row.result_dtype or self.dtype
        return [self._result(y, f"result {i}", dtype) for i, y in enumerate(outputs)]

    def refusal(self, mixture: str) -> Exception | None:
        """What it raises for these inputs; the last of another dtype or device in a mixture, or
        the first as numpy's array.
        """
        _, tensors = self._place(self.problem.inputs, grad=False)
        if mixture == "dtypes":
            other = "float64" if self.dtype == "float32" else "float32"
            tensors[-1] = self._tensor(self.problem.inputs[-1].value, False, dtype=other)
        elif mixture == "devices":
            place = face("cpu" if self.device != face("cpu") else "numpy")
            tensors[-1] = self._tensor(self.problem.inputs[-1].value, False, device=place)
        elif mixture == "arrays":
            tensors[0] = self.problem.inputs[0].value.copy()
        try:
            for y in listed(self.function(tensors)):
                y.numpy()
        except Exception as error:
            return error
        return None

    # --- one run

    def _forward(self) -> list[Array]:
        arrays, tensors = self._place(self.problem.inputs, grad=False)
        outputs = listed(self.function(tensors))
        if not (self.row.view or self.row.in_place):
            self._check_fresh(outputs, arrays)
        self._check_shared(outputs, arrays)
        dtype = self.row.result_dtype or self.dtype
        results = [self._result(y, f"result {i}", dtype) for i, y in enumerate(outputs)]
        self._check_inputs(arrays)
        return results

    def _vjp(
        self, cotangents: Sequence[Laid], alone: int | None = None, lent: bool = False
    ) -> list[Array]:
        """The gradients of all inputs, or only that of one, where no other requires one.

        lent: of a call whose arguments change once it has returned.
        """
        arrays, tensors = self._place(self.problem.inputs, grad=alone is None)
        if alone is not None:
            tensors[alone].requires_grad = True
        outputs = listed(self._lent(tensors) if lent else self.function(tensors))
        seed_arrays, seeds = self._place(cotangents, grad=False)
        _backward(outputs, seeds)
        wanted = [(i, t) for i, t in enumerate(tensors) if t.requires_grad]
        grads = [self._gradient(t, f"input {i}") for i, t in wanted]
        if any(t.grad is not None for t in tensors if not t.requires_grad):
            raise Broken("an input that requires no gradient got one")
        _forget(tensors)
        self._check_inputs(arrays)
        for base, laid in zip(seed_arrays, cotangents, strict=True):
            if base.numpy().tobytes() != np.ascontiguousarray(laid.base).tobytes():
                raise Broken("the cotangent was changed by backward")
        return grads if alone is None else grads[:1]

    def _lent(self, tensors: list[Any]) -> Any:
        """The results of a call whose arguments change as soon as it has returned."""
        if not self.row.lends or self.row.target is not None:
            return self.function(tensors)
        arguments = {name: lent(name, v) for name, v in self.problem.arguments.items()}
        problem = replace(self.problem, arguments=arguments)
        outputs = _function(self.row, problem, self.device, self.dtype, self._named)(tensors)
        for value in arguments.values():
            spoil(value)
        return outputs

    def _second(
        self, tensors: list[Any], seeds: list[Any], directions: Sequence[Array]
    ) -> list[Array]:
        _backward(listed(self.function(tensors)), seeds)
        first = [_required(t, f"input {i}") for i, t in enumerate(tensors)]
        leaves = [*tensors, *seeds]
        _forget(leaves)
        weights = [self._tensor(d, grad=False) for d in directions]
        if any(g.requires_grad for g in first):  # a constant gradient has a gradient of zero
            _backward(first, weights)
        grads = [
            self._result(t.grad, "the second gradient", self.dtype)
            if t.grad is not None
            else np.zeros(t.shape, self.dtype)
            for t in leaves
        ]
        _forget(leaves)
        return grads

    def _clean(self, run: Callable[[], list[Array]]) -> list[Array]:
        """What run gives; Broken when memory of the device or Tensors stay alive behind it."""
        before = alive(self.device)
        results = run()
        if alive(self.device) == before:
            return results
        gc.collect()  # of cycles, and of what was garbage before: only a second run tells
        before = alive(self.device)
        run()
        gc.collect()
        bytes_, values = (n - b for n, b in zip(alive(self.device), before, strict=True))
        if bytes_ > 0 or values != 0:  # fewer than before: they are counted wrongly
            raise Broken(f"{bytes_} bytes and {values} Tensors stay alive after the call")
        return results

    # --- on the way in

    def _tensor(self, a: Array, grad: bool, device: Any = None, dtype: str = "") -> Any:
        array = _array(a, device or self.device, dtype or self.dtype)
        return array if self.row.in_place else _make(array, grad)

    @staticmethod
    def _distinct(inputs: Sequence[Laid]) -> set[int]:
        return {id(laid) for laid in inputs}

    def _place(self, inputs: Sequence[Laid], grad: bool) -> tuple[list[Any], list[Any]]:
        """The bases on the device, and the inputs as views of them; one that comes twice is one."""
        placed: dict[int, tuple[Any, Any]] = {}
        for laid in inputs:
            if id(laid) in placed:
                continue
            base = view = _array(laid.base, self.device, self.dtype)
            for kind, argument in laid.views:
                view = view[argument] if kind == "getitem" else getattr(view, kind)(argument)
            placed[id(laid)] = (base, view if self.row.in_place else _make(view, grad))
        both = [placed[id(laid)] for laid in inputs]
        return [base for base, _ in both], [tensor for _, tensor in both]

    # --- on the way out

    def _result(self, y: Any, what: str, dtype: str) -> Array:
        if y.dtype != dtype:
            raise Broken(f"{what} has dtype {y.dtype}, should have {dtype}")
        if y.device != self.device:
            raise Broken(f"{what} is on {y.device!r}, should be on {self.device!r}")
        return np.array(y.numpy())

    def _gradient(self, t: Any, what: str) -> Array:
        return self._result(_required(t, what), f"the gradient of {what}", self.dtype)

    def _check_fresh(self, outputs: Sequence[Any], bases: Sequence[Any]) -> None:
        taken = {base._handle.ptr() for base in bases if base.size}
        for i, y in enumerate(outputs):
            data = y.realize_cached_data()
            if data.size and data._handle.ptr() in taken:
                raise Broken(f"result {i} {SHARES}")

    def _check_shared(self, outputs: Sequence[Any], bases: Sequence[Any]) -> None:
        """Where the op is documented as a view of its input."""
        shares, inputs = self.row.shares, self.problem.inputs
        if shares is None or any(laid.views for laid in inputs):
            return
        if not shares(tuple(laid.value.shape for laid in inputs), **self.problem.arguments):
            return
        held = {base._handle.ptr() for base in bases}
        for i, y in enumerate(outputs):
            data = y.realize_cached_data()
            if data.size and data._handle.ptr() not in held:
                raise Broken(f"result {i} is a copy, should be a view of its input")

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


def _array(a: Array, device: Any, dtype: str) -> Any:
    from needle.backend_ndarray import NDArray

    return NDArray(np.ascontiguousarray(a).reshape(a.shape), device=device, dtype=dtype)


def _backward(outputs: Sequence[Any], seeds: Sequence[Any]) -> None:
    """Pulls the cotangents of all results back to the leaves."""
    if len(outputs) == 1:
        outputs[0].backward(seeds[0])
        return
    _weighted_sum(outputs, seeds).backward()


def _forget(leaves: Sequence[Any]) -> None:
    """Drops the gradients: as graphs they hold the leaves that hold them."""
    for t in leaves:
        t.grad = None


def _required(t: Any, what: str) -> Any:
    if t.grad is None:
        raise Broken(f"backward gave {what} no gradient")
    return t.grad


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
    where = {"device": device, "dtype": dtype}
    if row.draws and not problem.inputs:
        construct = row.draws.call
        return lambda tensors: construct(found, where, **arguments)
    if call is None:
        return lambda tensors: found(*tensors, **arguments)
    return lambda tensors: call(found, tensors, where, **arguments)


def listed(outputs: Any) -> list[Any]:
    """All results, nested ones too: an LSTM gives (out, (h, c))."""
    from needle import TensorTuple

    if isinstance(outputs, (TensorTuple, tuple, list)):
        return [y for part in outputs for y in listed(part)]
    return [outputs]


def _weighted_sum(outputs: Sequence[Any], seeds: Sequence[Any]) -> Any:
    """One scalar whose gradient at output i is exactly seed i."""
    from needle import ops

    total: Any = None
    for y, seed in zip(outputs, seeds, strict=True):
        term = ops.summation(ops.multiply(y, seed))
        total = term if total is None else ops.add(total, term)
    return total
