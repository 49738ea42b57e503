"""Automatic differentiation: values, the ops that make them, and the reverse pass over their graph.

A Tensor remembers the op and the inputs that it was computed from. `backward` walks that graph from
the result to the leaves: every Op turns the cotangent of its result into those of its inputs, as
Tensors made by ops, so that gradients can be differentiated again. The operators of Tensor are
attached by needle/ops/operators.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from needle.autograd.grad_mode import grad_mode, is_grad_enabled, no_grad
from needle.backend_ndarray import BackendDevice, NDArray, full
from needle.backend_ndarray.counted import Counted, counted
from needle.backend_selection import BACKEND, default_device

__all__ = [
    "LAZY_MODE",
    "TENSOR_COUNTER",
    "MakeTensorTuple",
    "Number",
    "Op",
    "Tensor",
    "TensorOp",
    "TensorTuple",
    "TensorTupleOp",
    "TupleGetItem",
    "Value",
    "composed_vjp",
    "find_topo_sort",
    "is_grad_enabled",
    "make_tuple",
    "no_grad",
    "tuple_get_item",
]

Number: TypeAlias = int | float | np.floating[Any] | np.integer[Any] | np.bool

LAZY_MODE = False  # True: a value is computed when it is first looked at
if TYPE_CHECKING:
    TENSOR_COUNTER: int  # values alive now


def __getattr__(name: str) -> int:
    if name == "TENSOR_COUNTER":
        return counted()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# --- ops


class Op:
    """A differentiable function of values. Derive from TensorOp or TensorTupleOp."""

    __slots__ = ()
    differentiable = True  # False: results never require grad and gradient is never called

    def __call__(self, *inputs: Any) -> Any:
        raise NotImplementedError(f"[{self}] derive from TensorOp or TensorTupleOp")

    def __repr__(self) -> str:
        return type(self).__name__

    def compute(self, *arrays: Any, **_: Any) -> Any:
        """The result's NDArray (for a TensorTupleOp a tuple of them) from the inputs' NDArrays."""
        raise NotImplementedError(f"[{self}] compute is not defined")

    def gradient(self, out_grad: Any, node: Any) -> Any:
        """The cotangents of node.inputs from that of node: one Tensor, or a tuple of them.

        None stands for the cotangent of an input that does not require grad.
        """
        raise NotImplementedError(f"[{self}] gradient is not defined")

    def gradient_as_tuple(self, out_grad: Value, node: Value) -> tuple[Any, ...]:
        """What gradient gives, always as a tuple with one entry for each input."""
        result = self.gradient(out_grad, node)
        if type(result) is tuple:
            return result
        return tuple(result) if isinstance(result, list) else (result,)


class TensorOp(Op):
    """An op whose result is a Tensor."""

    __slots__ = ()

    def __call__(self, *inputs: Any) -> Tensor:
        return Tensor.make_from_op(self, inputs)


class TensorTupleOp(Op):
    """An op whose result is a TensorTuple."""

    __slots__ = ()

    def __call__(self, *inputs: Any) -> TensorTuple:
        return TensorTuple.make_from_op(self, inputs)


# --- values


class Value(Counted):
    """A node of the graph: what an op made of its inputs, or a leaf (op is None).

    Values are compared and hashed by identity.
    """

    __slots__ = ("__weakref__", "cached_data", "grad", "inputs", "op", "requires_grad")

    op: Op | None
    inputs: tuple[Any, ...]  # Tensors; a TensorTuple where the op takes one
    cached_data: Any  # an NDArray or a tuple of them; None until a lazy value is looked at
    requires_grad: bool
    grad: Tensor | None  # set by backward on leaves that require grad

    def _set(self, op: Op | None, inputs: tuple[Any, ...], data: Any, requires_grad: bool) -> None:
        self.grad = None
        self.op = op
        self.inputs = inputs
        self.cached_data = data
        self.requires_grad = requires_grad

    @classmethod
    def make_const(cls, data: Any, *, requires_grad: bool = False) -> Self:
        """A leaf over data (an NDArray, a tuple of them, or a value), which it shares."""
        self = cls.__new__(cls)
        if isinstance(data, Value):
            data = data.realize_cached_data()
        self._set(None, (), data, requires_grad)
        return self

    @classmethod
    def make_from_op(cls, op: Op, inputs: Sequence[Any]) -> Self:
        """The value of op on inputs; a leaf where nothing is to be differentiated."""
        # Two inputs and one are spelled out: a loop would double the cost of a small op.
        data = None
        try:
            if len(inputs) == 2:
                a, b = inputs
                wanted = a.requires_grad or b.requires_grad
                x, y = a.cached_data, b.cached_data
                if not (LAZY_MODE or x is None or y is None):
                    data = op.compute(x, y)
            elif len(inputs) == 1:
                (a,) = inputs
                wanted = a.requires_grad
                x = a.cached_data
                if not (LAZY_MODE or x is None):
                    data = op.compute(x)
            else:
                wanted = any([x.requires_grad for x in inputs])
            if data is None and not LAZY_MODE:
                data = op.compute(*(x.realize_cached_data() for x in inputs))
        except AttributeError:
            _check_inputs(op, inputs)
            raise
        except TypeError as error:
            if str(error).startswith("[NDArray]"):  # what reads arguments knows no op
                raise TypeError(f"[{op}]" + str(error).removeprefix("[NDArray]")) from None
            raise
        self = cls.__new__(cls)
        self.grad = None
        self.cached_data = data
        self.requires_grad = wanted and grad_mode.enabled and op.differentiable
        if self.requires_grad or data is None:
            self.op = op
            self.inputs = tuple(inputs)
        else:
            self.op = None
            self.inputs = ()
        return self

    def is_leaf(self) -> bool:
        """Whether no op made this value."""
        return self.op is None

    def realize_cached_data(self) -> Any:
        """The value's NDArray (or tuple of them), computed now if it was not yet."""
        if self.cached_data is None:
            stack: list[Value] = [self]
            while stack:
                node = stack[-1]
                waiting = [x for x in node.inputs if x.cached_data is None]
                if waiting:
                    stack += waiting
                    continue
                stack.pop()
                if node.cached_data is None and node.op is not None:
                    node.cached_data = node.op.compute(*(x.cached_data for x in node.inputs))
        return self.cached_data


class Tensor(Value):
    """An n-d array that can be differentiated.

    array: numbers, nested lists, a numpy array, an NDArray or a Tensor. Nothing but a Tensor on the
    same device and of the same dtype is shared; everything else is copied.
    dtype: float32 unless given; that of array where it is an NDArray or a Tensor.
    device: default_device() unless given; that of array where it is an NDArray or a Tensor.

    After `y.backward()` the leaves that require grad hold it in `.grad`, which each backward
    overwrites. Treat `.grad` as read-only: it may share memory with other gradients.
    """

    __slots__ = ()
    __array_ufunc__ = None  # numpy's operators leave a mixed operation to Tensor's

    def __init__(
        self,
        array: Any,
        *,
        device: BackendDevice | None = None,
        dtype: Any = None,
        requires_grad: bool = True,
    ) -> None:
        if isinstance(array, Tensor):
            data = array.realize_cached_data()
            if device is not None:
                data = data.to(device)
            if dtype is not None and data.dtype != dtype:
                data = data.astype(dtype)
        elif isinstance(array, NDArray):
            data = NDArray(array, device=device, dtype=dtype)
        else:
            if dtype is None:
                keep = BACKEND == "np" and np.asarray(array).dtype == np.float64
                dtype = "float64" if keep else "float32"
            data = NDArray(array, device=device or default_device(), dtype=dtype)
        self._set(None, (), data, requires_grad)

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies and pickles are leaves: a graph is not data.
        state = (type(self), self.realize_cached_data(), self.requires_grad)
        return _rebuild, state

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes."""
        try:
            return self.cached_data.shape  # type: ignore[no-any-return]
        except AttributeError:  # lazy
            return self.realize_cached_data().shape  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> str:
        """Name of the element type."""
        return self.realize_cached_data().dtype  # type: ignore[no-any-return]

    @property
    def device(self) -> BackendDevice:
        """The device that holds the elements."""
        return self.realize_cached_data().device  # type: ignore[no-any-return]

    @property
    def data(self) -> Tensor:
        """The value without its graph (see detach); assigning replaces it by another Tensor's.

        The shape may change, the dtype may not.
        """
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"[data] a Tensor is expected, got type={type(value).__name__}")
        if value.dtype != self.dtype:
            raise TypeError(
                f"[data] the dtype must not change, got dtype={value.dtype}, expected={self.dtype}"
            )
        self.cached_data = value.realize_cached_data()

    def detach(self) -> Tensor:
        """A leaf over the same memory that requires no grad."""
        return Tensor.make_const(self.realize_cached_data())

    def numpy(self) -> npt.NDArray[Any]:
        """A copy as a numpy array."""
        return self.realize_cached_data().numpy()  # type: ignore[no-any-return]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return self.realize_cached_data().__array__(dtype, copy)  # type: ignore[no-any-return]

    def __float__(self) -> float:
        return float(self.realize_cached_data())

    def __int__(self) -> int:
        return int(self.realize_cached_data())

    def __bool__(self) -> bool:
        return True  # in code of the course, `if layer.bias:` asks whether there is one

    def __len__(self) -> int:
        return len(self.realize_cached_data())

    def item(self) -> Any:
        """The one element as a Python number. Raises: ValueError when there is not exactly one."""
        return self.realize_cached_data().item()

    def __repr__(self) -> str:
        return f"needle.Tensor({self.realize_cached_data()})"

    def __str__(self) -> str:
        return str(self.realize_cached_data())

    def backward(self, out_grad: Tensor | None = None, *, retain_graph: bool = True) -> None:
        """Sets `.grad` of every leaf that requires grad and that this Tensor was computed from.

        out_grad is the cotangent of this Tensor, ones unless given. With grad mode on, the
        gradients have a graph themselves; under no_grad() they have none.
        retain_graph: False, for a step of training, is less memory: gradients have no graph, and
        the one that leads here lets go of its arrays on the way, so that no other backward can
        walk it.
        Raises: RuntimeError when the Tensor requires no grad or its graph was let go of, TypeError
        or ValueError when out_grad does not fit it.
        """
        if not self.requires_grad:
            raise RuntimeError("[backward] the tensor must require grad, got requires_grad=False")
        data = self.realize_cached_data()
        if out_grad is None:
            ones = full(data.shape, 1, dtype=data.dtype, device=data.device)
            out_grad = Tensor.make_const(ones)
        elif not isinstance(out_grad, Tensor):
            raise TypeError(f"[backward] out_grad is a Tensor, got type={type(out_grad).__name__}")
        check_out_grad(out_grad.realize_cached_data(), data)
        if retain_graph:
            run_backward(self, out_grad)
        else:
            with no_grad():
                run_backward(self, out_grad, retain_graph=False)

    if TYPE_CHECKING:  # attached by needle/ops/operators.py

        def __add__(self, other: Tensor | Number) -> Tensor: ...
        def __radd__(self, other: Number) -> Tensor: ...
        def __sub__(self, other: Tensor | Number) -> Tensor: ...
        def __rsub__(self, other: Number) -> Tensor: ...
        def __mul__(self, other: Tensor | Number) -> Tensor: ...
        def __rmul__(self, other: Number) -> Tensor: ...
        def __truediv__(self, other: Tensor | Number) -> Tensor: ...
        def __rtruediv__(self, other: Number) -> Tensor: ...
        def __pow__(self, other: Tensor | Number) -> Tensor: ...
        def __rpow__(self, other: Number) -> Tensor: ...
        def __matmul__(self, other: Tensor) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __lt__(self, other: Tensor | Number) -> Tensor: ...
        def __le__(self, other: Tensor | Number) -> Tensor: ...
        def __gt__(self, other: Tensor | Number) -> Tensor: ...
        def __ge__(self, other: Tensor | Number) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __iter__(self) -> Iterator[Tensor]: ...
        def matmul(self, other: Tensor) -> Tensor: ...
        def sum(self, axes: Any = None, keepdims: bool = False) -> Tensor: ...
        def mean(self, axes: Any = None, keepdims: bool = False) -> Tensor: ...
        def var(
            self, axes: Any = None, keepdims: bool = False, correction: float = 0
        ) -> Tensor: ...
        def prod(self, axes: Any = None, keepdims: bool = False) -> Tensor: ...
        def max(self, axes: Any = None, keepdims: bool = False) -> Tensor: ...
        def min(self, axes: Any = None, keepdims: bool = False) -> Tensor: ...
        def argmax(self, axis: int | None = None, keepdims: bool = False) -> Tensor: ...
        def argmin(self, axis: int | None = None, keepdims: bool = False) -> Tensor: ...
        def cumsum(self, axis: int, reverse: bool = False) -> Tensor: ...
        def squeeze(self, axes: Any = None) -> Tensor: ...
        def unsqueeze(self, axes: Any) -> Tensor: ...
        def reshape(self, *shape: Any) -> Tensor: ...
        def transpose(self, axes: Any = None) -> Tensor: ...
        def permute(self, axes: Any) -> Tensor: ...
        def broadcast_to(self, shape: Any) -> Tensor: ...


def _rebuild(cls: type[Tensor], data: NDArray, requires_grad: bool) -> Tensor:
    """What copying and unpickling call."""
    return cls.make_const(data, requires_grad=requires_grad)


def _check_inputs(op: Op, inputs: Sequence[Any]) -> None:
    for i, x in enumerate(inputs):
        if not isinstance(x, Value):
            raise TypeError(f"[{op}] inputs are Tensors, got inputs[{i}]={type(x).__name__}")


# The modules below build on the classes above.
from needle.autograd.reverse import (  # noqa: E402
    check_out_grad,
    composed_vjp,
    find_topo_sort,
    run_backward,
)
from needle.autograd.tuples import (  # noqa: E402
    MakeTensorTuple,
    TensorTuple,
    TupleGetItem,
    make_tuple,
    tuple_get_item,
)

if BACKEND == "np":
    from needle.autograd import numpy_world

    numpy_world.enter()
