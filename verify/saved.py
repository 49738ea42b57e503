"""A saved failure run again: `needle-verify --replay FILE`, in a worker, as it ran then.

verify/counterexample.py has the format. Of a function given to verify.check the file also holds
what the judges must know of it; functions are kept by their importable names.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

from verify import checks, counterexample
from verify.request import Request, judge
from verify.sampling import MIXTURES
from verify.spec import Case, Domain, Refusal, UsageError, Verdict

VARIABLE = "NEEDLE_VERIFY_SAVED"  # tells a worker the file of its case
_KEYS = {"lost", "paths", "via", "name", "domains", "regions", "differentiable", "signed_zero"}
_KEYS |= {"linear", "view", "refusals"}
_FUNCTIONS = ("function", "reference", "gradient", "kinks")


def write(path: Path, request: Request, verdict: Verdict) -> str:
    """Save a failure; the line that replays it, or why there is none."""
    refused = Case.parse(verdict.id).judge == "errors"  # whose inputs are drawn
    given = [] if refused else request.given
    functions = {name: getattr(request, name) for name in _FUNCTIONS}
    names = {name: name_of(f) if f is not None else None for name, f in functions.items()}
    lost = [name for name, f in functions.items() if f is not None and names[name] is None]
    lost += ["domains"] if any(_special(d) for d in request.domains) else []
    more = {
        "functions": names,
        "lost": lost,
        "paths": sorted({str(Path.cwd()), *_roots(names)}),
        "via": request.via,
        "name": request.name.removeprefix("user."),
        "domains": [
            {k: str(getattr(d, k)) for k in ("low", "high", "spread")}
            | {k: getattr(d, k) for k in ("nonzero", "special")}
            for d in request.domains
        ],
        "regions": list(request.regions),
        "differentiable": request.differentiable,
        "linear": request.linear,
        "view": request.view,
        "refusals": [r if isinstance(r, str) else repr(astuple(r)) for r in request.refusals],
        "signed_zero": request.signed_zero,
    }
    line = counterexample.write(path, verdict, given, more=more)
    if lost:
        return (
            f"call verify.check again: {', '.join(lost)} cannot be imported by name (from a "
            f"notebook, or local); {path} holds the case and its inputs"
        )
    return line


def read(path: Path) -> dict[str, Any] | None:
    """What was saved; None for another file. Raises: UsageError if it cannot be replayed."""
    data = counterexample.read(path)
    if data is None or "functions" not in data:
        return data
    counterexample.require(path, data, _KEYS)
    if data["lost"]:
        raise UsageError(
            f"[replay] {', '.join(data['lost'])} cannot be imported by name: call verify.check "
            f"again with these inputs, got file={path}"
        )
    return data


def run_case(case: Case) -> Verdict:
    """The case of the file that the environment names: a worker's case function."""
    path = Path(os.environ[VARIABLE])
    data = read(path)
    if data is None:
        raise UsageError(f"[replay] no saved failure, got file={path}")
    inputs, cotangents = counterexample.arrays(path, data, len(case.shapes))
    if "functions" in data:
        return judge(_request(path, data, case, inputs), case)
    try:
        row = checks.row_of(case.op)
    except UsageError as error:
        raise UsageError(
            f"[replay] the registry has no {case.op} any more, got file={path}"
        ) from error
    return checks.judge(case, replace(row, given=tuple(inputs), cotangents=tuple(cotangents)))


def warm_up(threads: int = 1) -> dict[str, str]:
    """As that of verify.checks."""
    return checks.warm_up(threads)


def _request(path: Path, data: Mapping[str, Any], case: Case, given: Sequence[Any]) -> Request:
    sys.path[:0] = [p for p in data["paths"] if p not in sys.path]
    functions = {name: _function(text, path) for name, text in data["functions"].items()}
    inputs = [s if g is None else g for s, g in zip(case.shapes, given, strict=True)]
    return Request(
        **functions,
        inputs=inputs,
        arguments=dict(case.kwargs),
        name=data["name"],
        via=data["via"],
        domains=[
            Domain(
                float(d["low"]),
                float(d["high"]),
                float(d["spread"]),
                special=d["special"],
                nonzero=d.get("nonzero", False),  # files of before have none
            )
            for d in data["domains"]
        ],
        regions=data["regions"],
        differentiable=data["differentiable"],
        linear=data["linear"],
        view=data["view"],
        refusals=[r if r in MIXTURES else Refusal(*ast.literal_eval(r)) for r in data["refusals"]],
        signed_zero=data["signed_zero"],
    )


# --- functions by name


def name_of(function: Any) -> str | None:
    """ "module:qualified.name" from which the very function can be imported again, or None."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if module and module != "__main__" and _found(module, name) is function:
        return f"{module}:{name}"
    name = getattr(function, "__name__", "")
    homes = [  # functions of extension modules do not always know where they live
        m
        for m, content in list(sys.modules.items())
        if m != "__main__" and name and getattr(content, "__dict__", {}).get(name) is function
    ]
    return f"{min(homes, key=lambda m: (m.count('.'), len(m), m))}:{name}" if homes else None


def _found(module: str, name: str) -> Any:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _function(text: str | None, path: Path) -> Any:
    if text is None:
        return None
    module, _, name = text.partition(":")
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"[replay] cannot import {module} ({error}), got file={path}") from error
    found = _found(module, name)
    if found is None:
        raise UsageError(f"[replay] {module} has no {name} any more, got file={path}")
    return found


def _roots(names: Mapping[str, str | None]) -> list[str]:
    """Folders from which the functions' modules are imported, where they are plain files."""
    roots = []
    for text in names.values():
        module = (text or "").partition(":")[0]
        file = getattr(sys.modules.get(module), "__file__", None)
        if file and module.partition(".")[0] not in sys.stdlib_module_names:
            root = Path(file).resolve()
            for _ in range(module.count(".") + 1 + (root.name == "__init__.py")):
                root = root.parent
            if "site-packages" not in root.parts:
                roots.append(str(root))
    return roots


def _special(domain: Domain) -> bool:
    plain = Domain()
    return domain.huge is not plain.huge or domain.tiny is not plain.tiny
