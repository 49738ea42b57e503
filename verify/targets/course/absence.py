"""What an exception says that a subject lacks, told apart from what its own code does wrong.

Missing is what this toolkit asks for, and what the course would have its students write: its ops,
layers and initialisers, NDArray's members, the kernels below. Any other name that a subject's own
code asks for is a mistake of that code: the course's Tensor has no exp, whether or not ops has.
"""

from __future__ import annotations

import sys
import traceback
import types
from pathlib import Path
from typing import Any

from verify.targets.course.layers import CONSTRUCTORS
from verify.targets.course.library import CLASSES, Library

_VERIFY = str(Path(__file__).resolve().parents[2])

_PUBLIC = {
    *CLASSES, *CLASSES.values(), *(name.rpartition(".")[2] for name in CONSTRUCTORS),
    "max", "make_tuple", "tuple_get_item", "fused_add_scalars", "Module", "Parameter", "Optimizer",
    "Identity", "Sequential", "rand", "randn", "randb", "constant", "ones", "zeros",
    "one_hot", "ones_like", "zeros_like", "xavier_uniform", "xavier_normal", "kaiming_uniform",
    "kaiming_normal",
}  # fmt: skip
_MODULES = {"needle", "autograd", "ops", "nn", "init", "optim", "data", "backend", "ndarray"}
# of NDArray, and functions of its module
_ARRAYS = {
    "array", "empty", "full", "sum", "max", "maximum", "log", "exp", "tanh", "flip", "pad",
    "permute", "broadcast_to", "compact", "is_compact", "as_strided", "reshape", "transpose",
    "matmul", "to", "fill", "flat",
}  # fmt: skip
_KERNELS = {
    "compact", "fill", "matmul", "matmul_tiled", "reduce_max", "reduce_sum", "from_numpy",
    "to_numpy", "ewise_setitem", "scalar_setitem",
    *(f"{form}_{name}" for form in ("ewise", "scalar")
      for name in ("add", "mul", "div", "maximum", "eq", "ge", "power", "log", "exp", "tanh")),
}  # fmt: skip
# methods of Tensor that stand for an op
_METHODS = {"sum": "summation"} | {
    name: name for name in ("reshape", "transpose", "matmul", "broadcast_to")
}
_OF_LAYERS = {"eval", "step", "reset_grad", "parameters"}


def absent(error: AttributeError | ImportError, library: Library) -> str:
    """What of the course's names is missing; empty: the code that asked is wrong."""
    if isinstance(error, ModuleNotFoundError):
        return str(error) if _of_course(error.name or "") else ""
    if isinstance(error, ImportError):
        module, name = error.name or "", getattr(error, "name_from", None) or _imported(error)
        return str(error) if _of_needle(module) and _unwritten(module, name) else ""
    owner, name, kind = error.obj, error.name or "", type(error.obj)
    if isinstance(owner, types.ModuleType):
        module = owner.__name__
        return f"{module} has no {name}" if _of_needle(module) and _unwritten(module, name) else ""
    if not _of_needle(kind.__module__):
        return ""
    tensor, array = isinstance(owner, library.tensor_class), kind.__name__ == "NDArray"
    if traceback.extract_tb(error.__traceback__)[-1].filename.startswith(_VERIFY):
        missing = tensor or array or name in _OF_LAYERS
    elif tensor:
        missing = name in _METHODS and not _written(_METHODS[name])
    else:
        missing = array and name in _ARRAYS
    return f"{kind.__name__} has no {name}" if missing else ""


def unfinished(error: BaseException | None, library: Library) -> bool:
    """Whether a part that raised this when it was imported is not written yet, and not wrong."""
    if isinstance(error, (AttributeError, ImportError)):
        return bool(absent(error, library))
    return isinstance(error, NotImplementedError)


def place(error: BaseException) -> str:
    """Function, file and line of the subject's own code that led to it; empty: none did."""
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if _of_needle(str(frame.f_globals.get("__name__"))):
            code = frame.f_code
            found = f" ({code.co_qualname}, {Path(code.co_filename).name}:{line})"
    return found


def _of_needle(module: str) -> bool:
    return module.partition(".")[0] == "needle"


def _of_course(module: str) -> bool:
    """Whether it is one of the course's modules: needle.ops.ops_mathematic is."""
    return _of_needle(module) and {p.partition("_")[0] for p in module.split(".")} <= _MODULES


def _imported(error: ImportError) -> str:
    """The name of `cannot import name 'exp' from 'needle.ops'`, which Python 3.11 keeps nowhere."""
    parts = error.msg.split("'")
    return parts[1] if len(parts) > 1 else ""


def _unwritten(module: str, name: str) -> bool:
    """Whether the course has this name there, and the package nowhere."""
    if "backend" in module:  # each has kernels of its own
        return name in _ARRAYS | _KERNELS
    return name in _PUBLIC and not _written(name)


def _written(name: str) -> bool:
    modules: list[Any] = [module for where, module in sys.modules.items() if _of_needle(where)]
    return any(hasattr(module, name) for module in modules if "backend" not in module.__name__)
