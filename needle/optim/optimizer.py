"""What every optimizer shares: parameters, gradient clipping, checked hyper-parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from needle.autograd import Tensor
from needle.backend_ndarray import BackendDevice, NDArray, empty
from needle.backend_ndarray.checks import real
from needle.backend_ndarray.graph import Graph, current_graph, refuse_in_capture, stored
from needle.backend_ndarray.halves import narrowed
from needle.backend_selection import BACKEND
from needle.nn.module import as_array, check_mapping, fitting

T = TypeVar("T")
Update = tuple[int, Any, NDArray, NDArray]  # index, parameter, its array, its gradient's


def check(op: str, name: str, value: float, low: float, high: float = math.inf) -> float:
    """`value` as a float; ValueError unless it is finite and low <= value < high."""
    real(op, name, value)
    if not (math.isfinite(value) and low <= value < high):
        bounds = f"in [{low:g}, {high:g})" if math.isfinite(high) else f"at least {low:g}"
        raise ValueError(f"[{op}] {name} must be finite and {bounds}, got {name}={value}")
    return float(value)


def saved_count(name: str, value: Any, low: int) -> int:
    """A number of steps from a state. Raises: ValueError or TypeError when it is none."""
    count = int(_saved_number(name, value, "iu"))
    if count < low:
        raise ValueError(f"[load_state_dict] {name!r} is at least {low}, got {name}={count}")
    return count


def saved_rate(name: str, value: Any) -> float:
    """A learning rate from a state. Raises: ValueError or TypeError when it is none."""
    return check("load_state_dict", name, float(_saved_number(name, value, "iuf")), 0.0)


def _saved_number(name: str, value: Any, kinds: str) -> Any:
    number = as_array("load_state_dict", name, value)
    if number.shape != ():
        raise ValueError(f"[load_state_dict] {name!r} is one number, got shape={number.shape}")
    if number.dtype.kind not in kinds:
        wanted = "a number" if "f" in kinds else "an int"
        raise TypeError(f"[load_state_dict] {name!r} is {wanted}, got dtype={number.dtype}")
    return number


def _distinct(op: str, params: Any) -> list[Any]:
    """The parameters, each once. Raises: TypeError unless they are Tensors."""
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        raise TypeError(
            f"[{op}] params is an iterable of Tensors, got type={type(params).__name__}"
        )
    found = list({id(p): p for p in params}.values())
    for i, p in enumerate(found):
        if not isinstance(p, Tensor):
            raise TypeError(f"[{op}] parameters are Tensors, got params[{i}]={type(p).__name__}")
    return found


class Optimizer:
    """Holds parameters; subclasses define `step`. A step reads gradients and never changes them.

    A parameter that is given twice is held once.
    Raises: TypeError unless every parameter is a Tensor; ValueError when there are none.
    """

    lr: float
    required: tuple[str, ...] = ()  # what it remembers of every parameter that it has stepped

    def __init__(self, params: Iterable[Any]) -> None:
        op = type(self).__name__
        self.params: list[Any] = _distinct(op, params)
        if not self.params:
            raise ValueError(f"[{op}] at least one parameter is needed, got params=[]")

    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        raise NotImplementedError(f"[{type(self).__name__}] an Optimizer defines step")

    def reset_grad(self) -> None:
        """Drops the gradients."""
        for p in self.params:
            p.grad = None

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of what it remembers between steps by dotted name ("m.0": m of params[0]), and lr.

        Other hyper-parameters are not part of it.
        """
        state = {"lr": np.array(self.lr)}
        for kind, held in self._memory().items():
            state |= {f"{kind}.{i}": np.array(value) for i, value in held.items()}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copies a state of an optimizer of this kind with parameters of these shapes.

        When anything does not fit, nothing is loaded.
        Raises: ValueError when a name or shape does not fit, TypeError when a dtype does not.
        """
        check_mapping("load_state_dict", state)
        memory: dict[str, dict[int, Any]] = {kind: {} for kind in self._memory()}
        for name, value in state.items():
            if name == "lr":
                continue
            kind, _, index = str(name).partition(".")
            if kind not in memory or index not in map(str, range(len(self.params))):
                raise ValueError(
                    f"[load_state_dict] names are lr and {sorted(memory)}, each with the index of "
                    f"a parameter, got name={name!r}, parameters={len(self.params)}"
                )
            i = int(index)
            if kind == "t":
                memory[kind][i] = saved_count(name, value, 1)
            else:
                memory[kind][i] = fitting("load_state_dict", name, value, self.params[i])
        for i in sorted(set().union(*memory.values())):
            missing = [f"{kind}.{i}" for kind in self.required if i not in memory[kind]]
            if missing:
                raise ValueError(
                    f"[load_state_dict] a parameter has all of {list(self.required)} or none, "
                    f"got missing={missing}"
                )
        if "lr" in state:
            self.lr = saved_rate("lr", state["lr"])
        vars(self).update(memory)

    def _memory(self) -> dict[str, dict[int, Any]]:
        """Its attributes that map the index of a parameter to an array or to a count of steps."""
        return {name: value for name, value in vars(self).items() if isinstance(value, dict)}

    def _state(self, held: dict[int, NDArray], i: int, like: NDArray) -> NDArray:
        """What is remembered of a parameter, or memory for it: the first step fills it."""
        return held[i] if i in held else empty(like.shape, dtype=like.dtype, device=like.device)

    def _remember(self, held: dict[int, NDArray], i: int, new: NDArray, dtype: str) -> None:
        """Remembers new of a parameter, rounded; a captured step writes it to the old array."""
        new = narrowed(new, dtype)
        held[i] = stored(held[i], new) if i in held else new

    def clip_grad_norm(self, max_norm: float = 0.25) -> float:
        """Scales all gradients so that their joint 2-norm is at most max_norm; returns the norm
        before.

        The gradients are replaced, not changed in place. Raises: ValueError on a bad max_norm.
        """
        return clip_grad_norm(self.params, max_norm)

    def _needed(self) -> tuple[str, ...]:
        """What a step after the first finds in its memory of a parameter."""
        return self.required

    def _updates(self) -> Iterator[Update]:
        """What a step is of, where there is a gradient; nothing is given unless all fits."""
        for i, p, value, grad in self._fit():
            graph = current_graph(value.device)
            if graph is not None:
                graph.check_replay(partial(self._require_same, i, self._arrays(i)))
            yield i, p, value, grad
            if graph is not None and p.cached_data is not value:
                raise RuntimeError(
                    f"[{type(self).__name__}] a captured step writes parameters in place "
                    f"(needle.backend_ndarray.graph.stored), got a new array for params[{i}]"
                )

    def _fit(self) -> list[Update]:
        """The parameters that have a gradient; raises where one of them cannot be stepped."""
        op = type(self).__name__
        self.lr = check(op, "lr", self.lr, 0.0)
        held, updates = self._memory(), []
        device: BackendDevice | None = None
        dtype, graph = "", None
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            if not isinstance(p.grad, Tensor):
                raise TypeError(
                    f"[{op}] gradients are Tensors, got params[{i}].grad={type(p.grad).__name__}"
                )
            value, grad = p.realize_cached_data(), p.grad.realize_cached_data()
            if not grad.is_like(value):
                grad = self._fitting(i, value, grad)
            if value.device is not device or value.dtype != dtype:  # seldom: a step is a hot path
                device, dtype = value.device, value.dtype
                can, graph = device.computed_dtypes, current_graph(device)
                if dtype not in can:
                    raise TypeError(
                        f"[{op}] {device} computes in {', '.join(can)}, "
                        f"got params[{i}].dtype={dtype}"
                    )
            for kind, arrays in held.items():
                of_p = arrays.get(i)
                if isinstance(of_p, NDArray) and not of_p.is_like(value):
                    raise ValueError(
                        f"[{op}] what is remembered of a parameter is like it, got "
                        f"{kind}[{i}]={of_p.dtype}{of_p.shape} on {of_p.device}, "
                        f"params[{i}]={value.dtype}{value.shape} on {value.device}"
                    )
            if graph is not None:
                self._require_memory(i)
            updates.append((i, p, value, grad))
        return updates

    def _grouped(
        self, key: Callable[[int], T], captured: Callable[[Graph, int, NDArray, NDArray], NDArray]
    ) -> Iterator[tuple[T, list[Update]]]:
        """The updates that one kernel can make: of one dtype and device, and alike in key(index).

        Those of a captured step are made by captured, and not given.
        """
        groups: dict[tuple[T, str, BackendDevice], list[Update]] = {}
        for update in self._updates():
            i, p, value, grad = update
            device = value.device
            graph = current_graph(device)
            if graph is not None:
                p.cached_data = captured(graph, i, value, grad)
            else:
                groups.setdefault((key(i), value.dtype, device), []).append(update)
        for (agreed, _, _), updates in groups.items():
            yield agreed, updates

    def _fitting(self, i: int, value: NDArray, grad: NDArray) -> NDArray:
        """The gradient in the dtype of params[i], in numpy's world alone; raises elsewhere."""
        if grad.shape != value.shape:  # broadcast, it would change the parameter's shape
            raise ValueError(
                f"[{type(self).__name__}] a gradient has its parameter's shape, "
                f"got grad.shape={grad.shape}, params[{i}].shape={value.shape}"
            )
        if BACKEND == "np":
            return grad.astype(value.dtype)
        if grad.dtype != value.dtype:
            raise TypeError(
                f"[{type(self).__name__}] a gradient has its parameter's dtype, "
                f"got grad.dtype={grad.dtype}, params[{i}].dtype={value.dtype}"
            )
        raise ValueError(
            f"[{type(self).__name__}] a gradient lies on its parameter's device, "
            f"got grad.device={grad.device}, params[{i}].device={value.device}"
        )

    def _require_memory(self, i: int) -> None:
        """RuntimeError before the first step of params[i]: replays would repeat just that one."""
        missing = [kind for kind in self._needed() if i not in self._memory()[kind]]
        if missing:
            raise RuntimeError(
                f"[{type(self).__name__}] a step is taken before one is captured, "
                f"got params[{i}] without {missing}"
            )

    def _arrays(self, i: int) -> dict[str, NDArray]:
        """What a step writes for params[i]."""
        held = {kind: of[i] for kind, of in self._memory().items() if i in of}
        return {"params": self.params[i].cached_data} | {
            kind: array for kind, array in held.items() if isinstance(array, NDArray)
        }

    def _require_same(self, i: int, captured: Mapping[str, NDArray]) -> None:
        """RuntimeError where a replay would step other arrays than those in use."""
        for kind, array in self._arrays(i).items():
            if array is not captured.get(kind):
                raise RuntimeError(
                    f"[{type(self).__name__}] a graph goes on with the arrays of its capture: "
                    "capture again after load_state_dict, .data = or a step outside of the graph, "
                    f"got a new array for {kind}[{i}]"
                )


def clip_grad_norm(params: Iterable[Any], max_norm: float) -> float:
    """See `Optimizer.clip_grad_norm`; the scale is max_norm / (norm + 1e-6) as in torch."""
    check("clip_grad_norm", "max_norm", max_norm, 0.0)
    with_grad = [p for p in _distinct("clip_grad_norm", params) if p.grad is not None]
    grads = [p.grad.realize_cached_data() for p in with_grad]
    for g in grads:
        refuse_in_capture("clip_grad_norm", g.device, "the norm is read by the host")
    # hypot never overflows where the norm itself does not
    norm = math.hypot(*(_norm(g) for g in grads)) if grads else 0.0
    scale = max_norm / (norm + 1e-6)
    if scale < 1.0:
        for p, g in zip(with_grad, grads, strict=True):
            p.grad = Tensor(g * scale, device=g.device, dtype=g.dtype, requires_grad=False)
    return norm


def _norm(a: NDArray) -> float:
    largest = max(float(a.max()), float((-a).max())) if a.size else 0.0
    if largest == 0.0 or not math.isfinite(largest):
        return abs(largest)
    scaled = a / largest
    return largest * math.sqrt(float((scaled * scaled).sum()))
