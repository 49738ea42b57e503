"""Imports run one way: every import and #include is held against the layers of ARCHITECTURE.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Layer -> what it may import inside this repository. A layer is a module or a package; a module
# belongs to the longest layer name that fits. Importing within one's own layer is always allowed.
NEEDLE = {
    "needle.backend_ndarray": {"needle._core"},
    "needle.backend_selection": {"needle.backend_ndarray"},
    "needle.autograd": {"needle.backend_ndarray", "needle.backend_selection"},
    "needle.ops": {"needle.autograd", "needle.backend_ndarray"},
    "needle.init": {
        "needle.ops",
        "needle.autograd",
        "needle.backend_selection",
        "needle.backend_ndarray",
    },
    "needle.nn": {"needle.init", "needle.ops", "needle.autograd", "needle.backend_ndarray"},
    "needle.optim": {
        "needle.nn",
        "needle.autograd",
        "needle.backend_selection",
        "needle.backend_ndarray",
    },
    "needle.data": {"needle.autograd", "needle.backend_ndarray"},
    "needle.serialization": set(),
    "needle.models": {
        "needle.nn",
        "needle.optim",
        "needle.data",
        "needle.init",
        "needle.ops",
        "needle.autograd",
        "needle.backend_ndarray",
    },
}

VERIFY_LAYERS = (  # lowest first: a layer may import those above it in this list, never those below
    {"verify.spec", "verify.accuracy", "verify.output", "verify.regularity", "verify.tracing"},
    {"verify.idx", "verify.training", "verify.precision"},
    {"verify.sampling", "verify.budget", "verify.fd", "verify.counterexample", "verify.same"},
    {"verify.fd_float32"},
    {"verify.laws", "verify.reference", "verify.targets", "verify.subjects", "verify.batches"},
    {"verify.registry", "verify.judges", "verify.custom"},
    {"verify.attribution", "verify.shrinking"},
    {"verify.checks"},
    {"verify.changed", "verify.plan", "verify.worker", "verify.request"},
    {
        "verify.pool",
        "verify.results",
        "verify.summary",
        "verify.skips",
        "verify.selecting",
        "verify.saved",
    },
    {"verify.foreign", "verify.cache"},
    {"verify.runner", "verify.progress", "verify.table", "verify.dask_engine"},
    {
        "verify.junit",
        "verify.sarif",
        "verify.markdown",
        "verify.html",
        "verify.quantiles",
        "verify.api",
        "verify.strategies",
    },
    {"verify.gate.outcome", "verify.gate.ranks", "verify.compare.pairs"},
    {"verify.gate.kills", "verify.gate.speed"},
    {"verify.gate.baseline"},
    {"verify.gate.accuracy"},
    {"verify.gate.rules"},
    {"verify.against", "verify.setup"},
    {"verify.replay"},
    {"verify.command", "verify.pytest_plugin"},
    {"verify.bench", "verify.calibration", "verify.compare", "verify.faults", "verify.gate"},
    {"verify.completion"},
    {"verify.cli"},
    {"verify.__main__"},
)


def modules(package: str) -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name: str, path: Path) -> set[str]:
    """Absolute names of everything that a module imports, at top level or inside functions."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                anchor = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*anchor, base] if base else anchor)
            names.update({base} | {f"{base}.{alias.name}" for alias in node.names})
    return names


def layer(name: str, layers: set[str]) -> str | None:
    fitting = [known for known in layers if name == known or name.startswith(known + ".")]
    return max(fitting, key=len, default=None)


def forbidden(name: str, path: Path, allowed: dict[str, set[str]]) -> list[str]:
    own = layer(name, set(allowed))
    assert own is not None, f"{path} belongs to no layer: add it to {__file__} and ARCHITECTURE.md"
    wrong = []
    for target in imported(name, path):
        target_layer = layer(target, set(allowed))
        if target_layer and target_layer != own and target_layer not in allowed[own]:
            wrong.append(f"{path.relative_to(ROOT)} imports {target}")
    return wrong


def verify_rules() -> dict[str, set[str]]:
    rules: dict[str, set[str]] = {}
    below: set[str] = set()
    for names in VERIFY_LAYERS:
        for name in names:
            rules[name] = set(below)
        below |= names
    return rules


def test_needle_layers() -> None:
    wrong = []
    for name, path in modules("needle").items():
        if name != "needle":  # the package face gathers every layer
            wrong += forbidden(name, path, NEEDLE | {"needle._core": set()})
    assert not wrong, "\n".join(wrong)


def test_verify_layers() -> None:
    wrong = []
    for name, path in modules("verify").items():
        if name != "verify":
            wrong += forbidden(name, path, verify_rules())
    assert not wrong, "\n".join(wrong)


def test_needle_never_imports_verify_or_torch() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {target}"
        for name, path in modules("needle").items()
        for target in imported(name, path)
        if target.split(".")[0] in {"verify", "torch"}
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("foreign", "home"), [("needle", "verify.targets"), ("torch", "verify.reference")]
)
def test_one_home_for_foreign_imports(foreign: str, home: str) -> None:
    """A reference derived from its subject proves nothing: each is imported in one place only.

    verify.bench times both, and judges nothing.
    """
    wrong = [
        f"{path.relative_to(ROOT)} imports {target}"
        for name, path in modules("verify").items()
        if layer(name, {home, "verify.bench"}) is None
        for target in imported(name, path)
        if target.split(".")[0] == foreign
    ]
    assert not wrong, "\n".join(wrong)


CSRC = {
    "core": {"core"},
    "cpu": {"core", "cpu"},
    "cuda": {"core", "cuda"},
    "bind": {"core", "cpu", "cuda", "bind"},
}


def test_native_layers() -> None:
    wrong = []
    for path in sorted((ROOT / "csrc").rglob("*")):
        if path.suffix not in {".h", ".cuh", ".cc", ".cu", ".def"}:
            continue
        own = path.relative_to(ROOT / "csrc").parts[0]
        for include in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M):
            beside, rooted = path.parent / include, ROOT / "csrc" / include
            target = beside if beside.exists() else rooted
            if not target.exists():
                continue  # a system or third-party header
            other = target.resolve().relative_to(ROOT / "csrc").parts[0]
            if other not in CSRC[own]:
                wrong.append(f"{path.relative_to(ROOT)} includes {include}")
    assert not wrong, "\n".join(wrong)


def test_the_walk_sees_a_forbidden_import(tmp_path: Path) -> None:
    bad = tmp_path / "autograd.py"
    bad.write_text("def f():\n    from needle.nn import Module\n    return Module\n")
    seen = imported("needle.autograd", bad)
    assert "needle.nn" in seen
    assert layer("needle.nn.Module", set(NEEDLE)) == "needle.nn"
    assert "needle.nn" not in NEEDLE["needle.autograd"]
