"""A course-style needle under the names and rules of this toolkit."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from verify.sampling import Array
from verify.spec import Broken, Missing
from verify.targets.course import signatures
from verify.targets.course.place import Place

DEVICES = {"cpu": "cpu", "numpy": "cpu_numpy", "cuda": "cuda"}
_HOMES = ("", "backend_ndarray", "backend_selection", "autograd", "device", "backend_numpy")
NUMPY, NDARRAY = "numpy arrays", "NDArray"

# functions of the course -> classes, where only these exist
CLASSES = {
    "add": "EWiseAdd", "add_scalar": "AddScalar", "multiply": "EWiseMul",
    "mul_scalar": "MulScalar", "power": "EWisePow", "power_scalar": "PowerScalar",
    "divide": "EWiseDiv", "divide_scalar": "DivScalar", "transpose": "Transpose",
    "reshape": "Reshape", "broadcast_to": "BroadcastTo", "summation": "Summation",
    "matmul": "MatMul", "negate": "Negate", "log": "Log", "exp": "Exp", "relu": "ReLU",
    "tanh": "Tanh", "logsumexp": "LogSumExp", "logsoftmax": "LogSoftmax", "stack": "Stack",
    "split": "Split", "flip": "Flip", "dilate": "Dilate", "undilate": "UnDilate", "conv": "Conv",
}  # fmt: skip


class Library:
    """The imported package; Missing is raised for what it does not have."""

    def __init__(
        self, place: Place, package: Any, broken: Mapping[str, Exception] | None = None
    ) -> None:
        """broken: what importing a part raised."""
        self.place, self.package, self.broken = place, package, dict(broken or {})
        self.tensor_class: Any = getattr(package, "Tensor", None) or package.autograd.Tensor

    # --- names

    def resolve(self, name: str) -> Callable[..., Any]:
        """What a public name stands for. Raises: Missing; Broken where its part has an error."""
        kind, _, last = name.rpartition(".")
        home = getattr(self.package, kind or "ops", None)
        found: Any = getattr(home, last, None)
        if found is None and not kind:
            found = getattr(self.package, last, None)
            made = getattr(home, CLASSES.get(last, "-"), None)
            if found is None and made is not None:
                return lambda *tensors, **given: signatures.call(made, (), (), (), given)(
                    *(tensors[0] if isinstance(tensors[0], list) else tensors)  # stack's list
                )
        if not callable(found):
            if kind in self.broken:
                raise Broken(self.why_not(kind)) from self.broken[kind]
            raise Missing(f"it has no {name}")
        function: Callable[..., Any] = found
        return function

    def has(self, name: str) -> bool:
        """Whether there is such a name, with or without a body."""
        try:
            self.resolve(name)
        except (Missing, Broken):
            return False
        return True

    def why_not(self, part: str) -> str:
        """What importing a part raised: type, file and line."""
        error, where = self.broken[part], ""
        places = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
        if isinstance(error, SyntaxError):
            places.append((str(error.filename), error.lineno))
        for file, line in places:
            if Path(file).is_relative_to(self.place.root):
                where = f" ({Path(file).relative_to(self.place.root)}:{line})"
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        return f"needle.{part} cannot be imported: {type(error).__name__}: {text}{where}"

    # --- devices

    @functools.cache  # noqa: B019  (one library a process)
    def face(self, name: str) -> Any:
        """The device object of a name; None where the package knows no devices. Raises: Missing."""
        makers = []
        for home in _HOMES:
            module = getattr(self.package, home, None) if home else self.package
            makers += [m for m in [getattr(module, DEVICES.get(name, "-"), None)] if callable(m)]
        if not makers:
            if name == "cpu" and not any(hasattr(self.package, d) for d in DEVICES.values()):
                return None
            raise Missing(f"it has no {DEVICES.get(name, name)}()")
        try:
            found = makers[0]()
            usable = not hasattr(found, "enabled") or bool(found.enabled())
        except Exception as error:
            raise Missing(f"{DEVICES[name]}() raised {type(error).__name__}: {error}") from error
        if not usable:
            raise Missing(f"{DEVICES[name]}() is not enabled: its native module is not built")
        return found

    def device_status(self, name: str) -> str | None:
        """None when the device can be used, otherwise why not."""
        try:
            self.world(name)
        except Exception as error:
            return f"{self.place.package}: {error}"
        return None

    @functools.cache  # noqa: B019
    def world(self, device: str) -> str:
        """What lies under a Tensor there: NUMPY or NDARRAY."""
        data = self.tensor(np.zeros(2, np.float32), device, "float32", False).realize_cached_data()
        return NUMPY if isinstance(data, np.ndarray) else NDARRAY

    @functools.cache  # noqa: B019
    def computes(self, device: str, dtype: str) -> str:
        """The dtype of what comes of a request for `dtype`, through an op.

        The course computes float32: an op that does not is wrong.
        """
        if dtype == "float32":
            return dtype
        try:
            made = self.tensor(np.ones(3, dtype), device, dtype, False)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        try:
            return dtype_of(made + made)
        except Exception:  # not written yet, or judged where add is
            return dtype_of(made)

    # --- tensors

    def tensor(self, value: Array, device: str, dtype: str, grad: bool) -> Any:
        """A Tensor of these values."""
        where = {"device": self.face(device), "dtype": dtype}
        if where["device"] is None:
            del where["device"]
        copy = np.array(value, dtype)
        return signatures.call(self.tensor_class, (copy,), (), (), {**where, "requires_grad": grad})

    def over(self, data: Any, grad: bool) -> Any:
        """A Tensor over an array of the package's own: copying would undo its layout."""
        make = getattr(self.tensor_class, "make_const", None)
        if make is None:
            return None
        return signatures.call(make, (data,), (), (), {"requires_grad": grad})

    def data(self, value: Array, device: str, dtype: str) -> Any:
        """What lies under a Tensor of these values."""
        return self.tensor(value, device, dtype, False).realize_cached_data()

    def listed(self, outputs: Any) -> list[Any]:
        """All results, nested ones too. Raises: Missing for None: a body that was left out."""
        if outputs is None:
            raise Missing("it gives None: it has no body yet")
        if isinstance(outputs, (tuple, list)) or type(outputs).__name__ == "TensorTuple":
            parts = [outputs[i] for i in range(len(outputs))]
            return [y for part in parts for y in self.listed(part)]
        return [outputs]


def dtype_of(t: Any) -> str:
    """The dtype's name, whether the package keeps a str or numpy's."""
    return str(np.dtype(t.dtype))


def array_of(t: Any, what: str) -> Array:
    """A copy of a Tensor's numbers. Raises: Missing for None, Broken for what is no array."""
    while isinstance(t, (tuple, list)) or type(t).__name__ == "TensorTuple":
        if len(t) != 1:
            raise Broken(f"{what} has {len(t)} parts, should be one Tensor")
        t = t[0]
    if t is None or (hasattr(t, "realize_cached_data") and t.realize_cached_data() is None):
        raise Missing(f"{what} is None: it has no body yet")
    found = t.numpy() if hasattr(t, "numpy") else t
    return np.array(found)
