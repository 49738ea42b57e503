"""Every public op has a row, every row a plan, and the plan covers what it should."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import needle as ndl
from verify import reference, registry, sampling
from verify.registry import planning
from verify.spec import DTYPES, JUDGES, Case, Row

ROWS = registry.rows()
HOME = Path(ndl.__file__).parents[1]


def missing_rows(public: dict[str, str]) -> list[str]:
    """Lines "file: name" for public functions (name -> file that defines it) without a row."""
    known = ROWS.keys() | registry.NOT_JUDGED.keys()
    return sorted(f"{file}: {name}" for name, file in public.items() if name not in known)


def public_names() -> dict[str, str]:
    """The functions of needle.ops, layers, optimizers and models, each with its file."""
    kinds = {"nn": ndl.nn.Module, "optim": ndl.optim.Optimizer, "models": ndl.nn.Module}
    found = {name: f for name, f in vars(ndl.ops).items() if inspect.isfunction(f)}
    for module, kind in kinds.items():
        for name, value in vars(getattr(ndl, module)).items():
            if inspect.isclass(value) and issubclass(value, kind) and value is not kind:
                found[f"{module}.{name}"] = value
    return {
        name: str(Path(inspect.getfile(value)).relative_to(HOME))
        for name, value in found.items()
        if not name.startswith("_")
    }


def test_every_public_op_layer_optimizer_and_model_has_a_row() -> None:
    public = public_names()
    assert len(public) > 60
    missing = missing_rows(public)
    assert not missing, "public names without a row in verify/registry:\n" + "\n".join(missing)


def test_a_new_op_without_a_row_is_named_with_its_file() -> None:
    assert missing_rows({"exp": "elementwise.py", "sinc": "waves.py"}) == ["waves.py: sinc"]


def test_no_row_and_no_exception_is_stale() -> None:
    for name in ROWS:
        if name == "setitem":
            continue
        owner = ndl if "." in name else ndl.ops
        for part in name.split("."):
            owner = getattr(owner, part)
    for name, reason in registry.NOT_JUDGED.items():
        *module, last = name.split(".")
        assert hasattr(getattr(ndl, *module) if module else ndl.ops, last), name
        assert name not in ROWS
        assert reason


def test_planning_imports_neither_torch_nor_needle() -> None:
    script = (
        "import sys; from verify import registry;"
        "[registry.plan_cases(r, 'cpu', 'float32', 'vjp', 0) for r in registry.rows().values()];"
        "sys.exit(' '.join({'torch', 'needle'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def has_small_samples(row: Row) -> bool:
    """Whether finite differences can afford a sample: a ResNet9 has too many parameters."""
    return any(sampling.size(s.shapes) <= planning.FD_LARGEST for s in row.samples)


@pytest.mark.parametrize("name", ROWS)
def test_plans(name: str) -> None:
    row = ROWS[name]
    for judge in JUDGES:
        for dtype in DTYPES:
            cases = registry.plan_cases(row, "cpu", dtype, judge, 3)
            applies = (judge == "forward" or row.differentiable) and (
                judge != "fd" or (dtype == "float64" and has_small_samples(row))
            )
            assert bool(cases) == applies
            assert len(cases) <= 60
            assert len({c.id for c in cases}) == len(cases)
            for case in cases:
                assert Case.parse(case.id) == case
                assert case.seed == 3
            if applies:
                assert {c.layout for c in cases} == set(row.layouts)
            if judge == "forward":
                assert {c.region for c in cases} >= {"interior", *row.regions}


@pytest.mark.parametrize("name", ROWS)
def test_references_give_results_for_every_sample(name: str) -> None:
    row = ROWS[name]
    for case in registry.plan_cases(row, "cpu", "float32", "forward", 0):
        problem = sampling.problem(case, row)
        arrays = [laid.value for laid in problem.inputs]
        assert reference.output_shapes(row, arrays, problem.arguments)


@pytest.mark.parametrize("name", ROWS)
def test_costs_are_positive(name: str) -> None:
    row = ROWS[name]
    if row.flops is None:
        pytest.skip("the row states no cost: it moves elements")
    for s in row.samples:
        assert row.flops(s.shapes, **row.arguments(dict(s.kwargs))) >= 0
