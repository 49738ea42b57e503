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
from verify.sampling import first_alike
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


def asked_by_few(row: Row) -> bool:
    """Whether a sample is small enough for judges that make many calls."""
    return any(2 * len(s.shapes) < sampling.size(s.shapes) <= 3000 for s in row.samples)


def applies(row: Row, judge: str, dtype: str) -> bool:
    if judge == "errors":
        return bool(row.errors) or any(len(s.shapes) > 1 for s in row.samples)
    if judge == "forward":
        return True
    if judge == "step":
        return row.training is not None
    if judge == "trajectory":  # that of a ResNet9 takes a deep run
        return row.training is not None and not row.training.slow and dtype == "float64"
    if judge == "vjp":
        return row.differentiable
    if judge == "algebra":
        linear = row.differentiable and (row.linear or row.multilinear)
        smooth = row.differentiable and not row.linear and dtype == "float64"
        return asked_by_few(row) and (linear or smooth or bool(row.identities))
    if judge == "batch":
        parameters = min(sampling.size(s.shapes) for s in row.samples)
        return row.batch is not None and (dtype == "float32" or parameters < 100_000)
    if judge == "growth":
        return row.growth is not None or (row.family == "elementwise" and dtype == "float32")
    if judge == "across":
        return asked_by_few(row)
    # a ResNet9 has too many parameters for differences
    small = any(sampling.size(s.shapes) <= planning.FD_LARGEST[judge] for s in row.samples)
    return row.differentiable and small and dtype == "float64"


@pytest.mark.parametrize("name", ROWS)
def test_plans(name: str) -> None:
    row = ROWS[name]
    several = any(len(s.shapes) > 1 for s in row.samples)
    for judge in JUDGES:
        for dtype in DTYPES:
            cases = registry.plan_cases(row, "cpu", dtype, judge, 3)
            assert bool(cases) == applies(row, judge, dtype)
            assert len(cases) <= 70
            assert len({c.id for c in cases}) == len(cases)
            for case in cases:
                assert Case.parse(case.id) == case
                assert case.seed == 3
            found = {c.layout for c in cases}
            if judge in ("forward", "vjp") and cases:
                wanted = set(row.layouts) - (set() if several else {"mixed"})
                assert found | {"aliased"} == wanted | {"aliased"}
                larger = [s for s in row.samples if sampling.size(s.shapes) > 2 * len(s.shapes)]
                alike = any(len(set(first_alike(row, s.shapes))) < len(s.shapes) for s in larger)
                possible = alike and not row.in_place and "aliased" in row.layouts
                assert ("aliased" in found) == possible
            if judge == "forward":
                assert {c.region for c in cases} >= {"interior", *row.regions}


def test_every_optimizer_and_model_is_trained() -> None:
    for name, row in ROWS.items():
        assert (row.training is not None) == name.startswith(("optim.", "models.")), name


def test_every_op_that_has_axes_or_several_inputs_refuses_something() -> None:
    silent = [
        name
        for name, row in ROWS.items()
        if "." not in name and len(row.samples[0].shapes) > 1 and not row.errors
    ]
    assert not silent


@pytest.mark.parametrize("name", ROWS)
def test_references_give_results_for_every_sample(name: str) -> None:
    row = ROWS[name]
    for case in registry.plan_cases(row, "cpu", "float32", "forward", 0):
        problem = sampling.problem(case, row)
        arrays = [laid.value for laid in problem.inputs]
        assert reference.output_shapes(row, arrays, problem.arguments)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.flops])
def test_costs_are_positive(name: str) -> None:
    row = ROWS[name]
    assert row.flops is not None
    costs = [row.flops(s.shapes, **row.arguments(dict(s.kwargs))) for s in row.samples]
    assert min(costs) >= 0
    assert max(costs) > 0
