"""Where an op is written: for reports that point at a line."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import Any

from verify.spec import Missing
from verify.targets.devices import resolve


@functools.cache
def source(name: str) -> str:
    """path:line of an op's class, or of what its public name stands for; empty: not in Python.

    The path begins at the folder that holds the package needle: needle/ops/convolution.py:12.
    """
    try:
        import needle

        found = _op_class(inspect.unwrap(resolve(name)))
        path = Path(inspect.getsourcefile(found) or "").resolve()
        _, line = inspect.getsourcelines(found)
        below = path.relative_to(Path(needle.__file__).resolve().parent)
    except (ImportError, Missing):  # needle lives on a cluster, or lost the name
        return ""
    except (TypeError, OSError, ValueError):  # compiled, or an op of verify's own
        return ""
    return f"{Path('needle', below).as_posix()}:{line}"


def _op_class(function: Any) -> Any:
    """The only Op class that a function of Tensors names, itself or by an instance; else it."""
    from needle.autograd import Op

    names = getattr(getattr(function, "__code__", None), "co_names", ())
    named = [vars(inspect.getmodule(function)).get(n) for n in names] if names else []
    classes = {x if isinstance(x, type) else type(x) for x in named}
    ops = [c for c in classes if issubclass(c, Op)]
    return ops[0] if len(ops) == 1 else function
