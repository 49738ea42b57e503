"""The published schema of results files: what is written fits it, what is malformed does not."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import json
import math
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from verify.cli import main
from verify.plan import Selection
from verify.results import FORMAT, from_line, to_line
from verify.spec import IMPOSTORS, Status, Verdict

jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema (extra: test)")
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    text = (resources.files("verify") / "schema" / f"results-{FORMAT}.json").read_text()
    found: dict[str, Any] = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(found)
    return found


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Of a run with every kind of verdict, a known failure among them."""
    folder = tmp_path_factory.mktemp("run")
    skips, path = folder / "known.toml", folder / "results.jsonl"
    skips.write_text('[[skip]]\nop = "raising"\nreason = "known"\nexpires = 2999-01-01\n')
    arguments = ["--op", "good,weak,missing,wrong,raising,segfault", "--check", "fd"]
    arguments += ["--budget", "smoke", "--skips", str(skips), "--json", str(path)]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)  # spawned workers get this sys.path too
        assert main(arguments, importlib.import_module("fake_parts").parts()) == 1
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_line_of_a_run_fits(schema: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    assert lines[0]["skips"]
    found = {line["status"] for line in lines[1:]}
    assert found == {"PASS", "UNIMPLEMENTED", "FAIL", "SKIP", "CRASH"}
    for line in lines:
        validator.validate(line)


def test_a_real_run_fits(schema: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    chosen = ["--op", "exp,relu", "--dtype", "float32", "--budget", "smoke", "--jobs", "1"]
    assert main([*chosen, "--json", str(path), "-q"]) == 0
    validator = jsonschema.Draft202012Validator(schema)
    real = path.read_text().splitlines()
    assert len(real) > 20
    for line in real:
        validator.validate(json.loads(line))


def test_infinities_and_nan_fit(schema: dict[str, Any]) -> None:
    verdict = Verdict("exp/vjp/cpu/float32/3/-/compact/interior/seed0", Status.FAIL)
    verdict.rho, verdict.ulp, verdict.budget = math.inf, math.nan, {"bound": -math.inf}
    verdict.torch_rho, verdict.torch_ulp = math.inf, 0.5
    line = json.loads(json.dumps(to_line(verdict), allow_nan=False))
    jsonschema.Draft202012Validator(schema).validate(line)
    assert from_line(line).rho == from_line(line).torch_rho == math.inf


HEADER = {
    ("needle_verify",): [FORMAT + 1, str(FORMAT), None],
    ("command",): ["needle-verify", [1]],
    ("plan", "size"): ["5", -1, 1.5],
    ("plan", "selection", "ops"): ["exp", [0]],
    ("machine", "cores"): ["two"],
    ("commit",): [7, "main"],
    ("surprise",): [0],
    ("plan", "surprise"): [0],
    ("plan", "selection", "surprise"): [0],
    ("machine", "surprise"): [0],
}
VERDICT = {
    ("id",): ["exp/vjp", 3, None],
    ("status",): ["WEAK", "pass", None],
    ("rho",): ["0.5", [0.5], "Infinity"],
    ("torch_ulp",): ["0.5", [0.5]],
    ("budget",): [[], {"bound": "wide"}],
    ("impostors",): ["zeros", ["ones"], ["nan", "nan"]],
    ("checked",): [1.5, -1, "3"],
    ("seconds",): ["1", -0.5],
    ("environment",): [{"threads": 1}],
    ("digest",): [0, "not hex"],
    ("surprise",): [0],
}


@pytest.mark.parametrize("path", [*HEADER, *VERDICT], ids=".".join)
def test_a_wrong_type_or_an_unknown_field_is_refused(
    schema: dict[str, Any], lines: list[dict[str, Any]], path: tuple[str, ...]
) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    for whole, wrong in ((lines[0], HEADER), (lines[1], VERDICT)):
        for value in wrong.get(path, ()):
            line = copy.deepcopy(whole)
            inner = line
            for name in path[:-1]:
                inner = inner[name]
            inner[path[-1]] = value
            assert not validator.is_valid(line), (path, value)


@pytest.mark.parametrize("part", [0, 1])
def test_what_a_line_needs(schema: dict[str, Any], lines: list[dict[str, Any]], part: int) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    kind = schema["$defs"][("header", "verdict")[part]]
    for name in kind["required"]:
        line = {k: v for k, v in lines[part].items() if k != name}
        assert not validator.is_valid(line), name


def test_the_schema_names_what_the_code_names(schema: dict[str, Any]) -> None:
    kinds = schema["$defs"]
    fields = kinds["verdict"]["properties"]
    held = {f.name for f in dataclasses.fields(Verdict)}
    assert set(fields) == held - {"reached"}  # between a worker and the cache, in no file
    assert set(fields["status"]["enum"]) == {str(s) for s in Status} - {"WEAK"}  # per group only
    assert tuple(fields["impostors"]["items"]["enum"]) == IMPOSTORS
    assert set(kinds["selection"]["properties"]) == {f.name for f in dataclasses.fields(Selection)}
    assert kinds["header"]["properties"]["needle_verify"]["const"] == FORMAT
