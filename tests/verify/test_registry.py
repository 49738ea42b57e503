"""Every public op has a row, every row a plan, and the plan covers what it should."""

from __future__ import annotations

import inspect
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

import needle as ndl
from verify import reference, registry, sampling
from verify.plan import select_ops
from verify.registry import (
    costs,
    parameters,
    planning,
    refusals,
    refusals_of_layers,
    refusals_of_training,
)
from verify.sampling import first_alike
from verify.spec import DTYPES, JUDGES, Case, Row, UsageError
from verify.targets.devices import UNNAMED

ROWS = registry.rows()
HOME = Path(ndl.__file__).parents[1]
# Rows that refuse nothing, and why.
ACCEPTS_EVERYTHING = {
    "nn.Identity": "it gives back what it gets",
}


def missing_rows(public: dict[str, str]) -> list[str]:
    """Lines "file: name" for public functions (name -> file that defines it) without a row."""
    known = ROWS.keys() | registry.NOT_JUDGED.keys()
    return sorted(f"{file}: {name}" for name, file in public.items() if name not in known)


def public_names() -> dict[str, str]:
    """Everything that needle exports to be called, each with its file."""
    found = {name: f for name, f in vars(ndl.ops).items() if inspect.isfunction(f)}
    for module in ("nn", "optim", "init", "data", "models"):
        for name, value in vars(getattr(ndl, module)).items():
            if callable(value):
                found[f"{module}.{name}"] = value
    return {
        name: str(Path(inspect.getfile(value)).relative_to(HOME))
        for name, value in found.items()
        if not name.startswith("_")
    }


def test_every_public_name_has_a_row_or_a_reason() -> None:
    public = public_names()
    assert len(public) > 150
    missing = missing_rows(public)
    assert not missing, "public names without a row in verify/registry:\n" + "\n".join(missing)


def test_a_new_op_without_a_row_is_named_with_its_file() -> None:
    assert missing_rows({"exp": "elementwise.py", "sinc": "waves.py"}) == ["waves.py: sinc"]


def test_no_row_and_no_exception_is_stale() -> None:
    for name in ROWS:
        if name in UNNAMED:
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
        return row.name not in ACCEPTS_EVERYTHING
    if judge == "forward":
        return bool(row.samples)
    if judge == "distribution":
        return row.draws is not None
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
        parameters = min((sampling.size(s.shapes) for s in row.samples), default=0)
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
            unclaimed = row.training is not None and dtype in row.training.unclaimed
            claimed = not (judge == "step" and unclaimed)
            assert bool(cases) == (claimed and applies(row, judge, dtype))
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
            if judge == "forward" and cases:
                assert {c.region for c in cases} >= {"interior", *row.regions}


def test_every_optimizer_and_model_is_trained() -> None:
    for name, row in ROWS.items():
        # a block is trained in its model, gradients are clipped before a step
        if name not in ("models.ResidualBlock", "optim.clip_grad_norm"):
            assert (row.training is not None) == (row.family in ("optimizer", "model")), name


def test_every_row_refuses_something_or_has_a_reason() -> None:
    silent = [
        name
        for name, row in ROWS.items()
        if not registry.plan_cases(row, "cpu", "float32", "errors", 0)
    ]
    assert silent == [name for name in ROWS if name in ACCEPTS_EVERYTHING]
    assert all(ACCEPTS_EVERYTHING.values())


def test_every_row_with_arguments_refuses_some_of_them() -> None:
    """Beside mixtures of inputs, which any row refuses."""
    silent = [
        name
        for name, row in ROWS.items()
        if not row.errors and any(s.kwargs or len(s.shapes) > 1 for s in row.samples)
    ]
    assert not silent


def test_tables_by_name_are_of_rows() -> None:
    refused = (refusals.REFUSALS, refusals_of_layers.LAYERS, refusals_of_training.TRAINING)
    for table in (*refused, parameters.DRAWS, costs.FLOPS, costs.BYTES):
        assert table.keys() <= ROWS.keys()
    assert sum(map(len, refused)) == len(set().union(*refused))  # a name is in one of them


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


# Ops that compute nothing, and why; layers, optimizers and models are made of ops.
MOVES_ONLY = {
    **dict.fromkeys(
        (
            *("reshape", "transpose", "permute", "broadcast_to", "flip", "undilate", "squeeze"),
            *("unsqueeze", "getitem", "split", "iter", "Windows", "member"),
        ),
        "a view",
    ),
    **dict.fromkeys(
        (
            *("dilate", "pad", "stack", "concatenate", "setitem", "cast", "PutItem"),
            *("fill", "to", "from_dlpack", "cast_beside"),
        ),
        "copies elements",
    ),
    **dict.fromkeys(("gather", "take", "take_along_axis", "where"), "chooses elements"),
    "one_hot": "writes zeros and ones",
}


def test_every_op_states_its_costs_or_computes_nothing() -> None:
    ops = {name: row for name, row in ROWS.items() if "." not in name}
    assert [name for name, row in ops.items() if not row.flops] == [
        name for name in ops if name in MOVES_ONLY
    ]
    views = {name for name, reason in MOVES_ONLY.items() if reason == "a view"}
    assert views == {name for name, row in ops.items() if row.view} - {"einsum"}


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.bytes])
def test_bytes_are_counted_for_every_sample(name: str) -> None:
    row = ROWS[name]
    assert row.bytes is not None
    for s in row.samples:
        arguments = row.arguments(dict(s.kwargs))
        four, eight = (row.bytes(s.shapes, itemsize, **arguments) for itemsize in (4, 8))
        assert 0 <= four <= eight
        assert (four > 0) == (not row.view and sampling.size(s.shapes) > 0) or "0" in str(s)


def test_costs_are_those_counted_by_hand() -> None:
    def flops(name: str, *shapes: tuple[int, ...], **arguments: object) -> float:
        count = ROWS[name].flops
        assert count is not None
        return count(shapes, **arguments)

    assert flops("einsum", (3, 5), (5, 2), spec="ij,jk->ik") == 2 * 3 * 5 * 2
    assert flops("einsum", (3, 4, 6), (2, 1, 6, 5), spec="...ij,...jk") == 2 * (2 * 3) * 4 * 6 * 5
    assert flops("scatter_add", (5, 13), index=None, axis=0, n=4) == 65
    arguments = ROWS["take"].arguments({"indices": ((7, 5), 30), "axis": 0})
    moved = ROWS["take"].bytes
    assert moved is not None
    assert moved(((30, 16),), 4, **arguments) == 8 * 35 + 2 * 4 * 35 * 16


@pytest.mark.parametrize(
    ("op", "axes"),
    [("conv", slice(0, 3)), ("max_pool", slice(None)), ("take", slice(None)), ("add", slice(None))]
    + [(name, slice(None)) for name in ("summation", "where", "scatter_add")],
)
def test_some_sample_has_more_elements_than_the_simulator_indexes_in_32_bits(
    op: str, axes: slice
) -> None:
    text = (Path(__file__).parents[2] / "csrc" / "cuda" / "nest.cuh").read_text()
    (most,) = re.findall(r"#if NEEDLE_SIM\n.*kNarrow = ([\d']+);", text)
    cases = registry.plan_cases(registry.rows()[op], "cuda_sim", "float32", "forward", 0)
    sizes = [math.prod(case.shapes[0][axes]) for case in cases if case.shapes]
    assert max(sizes) > int(most.replace("'", ""))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("randn", "init.randn"),
        ("kaiming_unifrm", "init.kaiming_uniform"),
        ("RandomCrp", "data.RandomCrop"),
        ("StepLR", "optim.StepLR"),
        ("transforms", "transform"),
        ("schedules", "schedule"),
    ],
)
def test_near_names_of_initialisers_transforms_and_schedules(asked: str, told: str) -> None:
    with pytest.raises(UsageError, match=rf"did you mean (.* or )?{re.escape(told)}\b"):
        select_ops([asked], ROWS)


@pytest.mark.parametrize("family", ["init", "transform", "schedule", "data"])
def test_families_of_what_is_no_op_are_selected(family: str) -> None:
    chosen = select_ops([family], ROWS)
    assert len(chosen) > 1
    assert {ROWS[name].family for name in chosen} == {family}
