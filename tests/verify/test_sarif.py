"""SARIF: what the standard asks of a log, and failures at the lines of their ops.

SARIF 2.1.0 (OASIS) has a JSON schema of its own; NEEDLE_SARIF_SCHEMA names a copy of it to hold the
reports against. Without one, the rules of the standard that concern what is written here are below.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fake_verdicts import ALL, results, verdict

from verify import registry, sarif, targets
from verify.cli import main
from verify.spec import JUDGES, Case, Status
from verify.targets.devices import UNNAMED

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(120)

RESULT = {
    *("ruleId", "ruleIndex", "level", "message", "locations", "occurrenceCount", "properties"),
    *("partialFingerprints", "suppressions"),
}

PLUGIN = """import verify
ROWS = [verify.row("swish", abs, abs, [verify.sample((3,))], via="torch")]
"""


def require_standard(log: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of a log, once it keeps the rules (sections of the standard in brackets)."""
    if path := os.environ.get("NEEDLE_SARIF_SCHEMA"):
        jsonschema = pytest.importorskip("jsonschema")
        schema = json.loads(Path(path).read_text())
        jsonschema.validators.validator_for(schema)(schema).validate(log)
    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"  # [3.13.2]
    (run,) = log["runs"]
    assert set(run) <= {"tool", "invocations", "columnKind", "originalUriBaseIds", "results"}
    driver = run["tool"]["driver"]
    assert driver["name"]  # [3.19.8]
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(set(ids)) == len(ids)  # [3.19.23]
    assert all(rule["shortDescription"]["text"] for rule in driver["rules"])
    for invocation in run["invocations"]:
        assert isinstance(invocation["executionSuccessful"], bool)  # [3.20.14]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", invocation["startTimeUtc"])  # [3.9]
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")  # [3.14.17]
    for result in run["results"]:
        assert set(result) <= RESULT
        assert ids[result["ruleIndex"]] == result["ruleId"]  # [3.27.6]
        assert result["level"] in ("none", "note", "warning", "error")  # [3.27.10]
        assert result["message"]["text"]  # [3.11.8]
        assert result.get("occurrenceCount", 1) >= 1  # [3.27.16]
        prints = result.get("partialFingerprints", {})
        assert all(isinstance(v, str) for v in prints.values())  # [3.27.17]
        for suppression in result.get("suppressions", ()):
            assert suppression["kind"] in ("inSource", "external")  # [3.35.2]
        for location in result["locations"]:
            for logical in location["logicalLocations"]:
                assert logical["fullyQualifiedName"]  # [3.33.5]
            place = location["physicalLocation"]  # GitHub refuses a log that lacks one
            uri = place["artifactLocation"]["uri"]
            assert not uri.startswith("/")  # [3.4.4]: relative where there is a base
            assert not re.search(r"[\\\s:]", uri)
            assert place["artifactLocation"]["uriBaseId"] in run["originalUriBaseIds"]
            assert place["region"]["startLine"] >= 1  # [3.30.5]
        assert result["locations"]
    found: list[dict[str, Any]] = run["results"]
    return found


def name_of(result: dict[str, Any]) -> str:
    found: str = result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"]
    return found


def test_what_is_not_passed_is_a_result_and_known_failures_are_suppressed() -> None:
    log = json.loads(sarif.report(*results(*ALL, planned=9)))
    found = require_standard(log)
    assert [(name_of(r), r["level"]) for r in found] == [
        *(("bad", "error"), ("bad", "error"), ("bad", "error")),
        *(("new", "warning"), ("later", "error"), ("weak", "warning")),
    ]
    first = found[0]["message"]["text"]
    assert "line\n<&>??[1m" in first
    assert f"replay: {Case.parse(ALL[1].id).replay_line()}" in first
    reasons = [s["justification"] for r in found for s in r.get("suppressions", ())]
    assert reasons == ["until May"]
    assert "zeros would have passed" in found[-1]["message"]["text"]
    assert log["runs"][0]["invocations"][0]["exitCode"] == 1


def test_a_group_that_fails_alike_is_one_result() -> None:
    many = [verdict("bad", Status.FAIL, n, message=f"number {n}") for n in (1, 2, 3)]
    many.append(verdict("bad", Status.TIMEOUT, 4))
    found = require_standard(json.loads(sarif.report(*results(*many))))
    assert [r["occurrenceCount"] for r in found] == [3, 1]
    assert "number 1" in found[0]["message"]["text"]
    assert "and 2 more cases of bad/vjp/cpu/float32" in found[0]["message"]["text"]
    prints = {r["partialFingerprints"]["group/v1"] for r in found}
    assert len(prints) == 2, "a viewer would take two failures for one"


def test_a_good_run_has_no_result() -> None:
    assert require_standard(json.loads(sarif.report(*results(ALL[0])))) == []


def test_every_judge_is_a_rule() -> None:
    assert tuple(sarif._RULES) == JUDGES


# --- places


def test_every_op_has_its_place_in_the_repository() -> None:
    without = []
    for name in registry.rows():
        path, _, line = targets.source(name).rpartition(":")
        if not path:
            without.append(name)
            continue
        text = (ROOT / path).read_text().splitlines()[int(line) - 1]
        assert re.match(r"(class|def|@)\b", text) or text.startswith("@"), (name, path, line, text)
    assert set(without) == UNNAMED.keys(), "NDArray's, in C++, and functions of verify's own"


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("conv", "class Conv("),  # a function that makes its op
        ("exp", "class Exp("),  # one that uses an instance
        ("squeeze", "def squeeze("),  # one without an op of its own
        ("nn.Conv", "class Conv("),
        ("optim.Adam", "class Adam("),
    ],
)
def test_the_place_is_that_of_the_op_class(name: str, start: str) -> None:
    path, _, line = targets.source(name).rpartition(":")
    assert (ROOT / path).read_text().splitlines()[int(line) - 1].startswith(start)


def test_a_name_that_needle_lost_has_no_place() -> None:
    assert targets.source("no_such_op") == ""


def test_the_command_line_points_failures_and_crashes_at_their_ops(
    fake: ModuleType, tmp_path: Path
) -> None:
    path, kept = tmp_path / "r.sarif", tmp_path / "r.jsonl"
    parts = fake.parts(names=("tanh", "segfault", "good"))
    arguments = ["--check", "fd", "--dtype", "float32", "--budget", "smoke"]
    assert main([*arguments, "--json", str(kept), "--sarif", str(path)], parts) == 1
    found = {name_of(r): r["locations"][0] for r in require_standard(json.loads(path.read_text()))}
    assert set(found) == {"tanh", "segfault"}
    place = found["segfault"]["physicalLocation"]["artifactLocation"]
    assert place["uri"] == "needle/__init__.py", "needle has no op of that name"
    place = found["tanh"]["physicalLocation"]
    line = (ROOT / place["artifactLocation"]["uri"]).read_text().splitlines()
    assert line[place["region"]["startLine"] - 1].startswith("class Tanh(")
    assert f'"source":"{targets.source("tanh")}"' in kept.read_text(), "reports need the file alone"


def test_an_op_of_a_plugin_is_at_its_row_below_the_folder_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my ops").mkdir()
    plugin = tmp_path / "my ops" / "swish.py"
    plugin.write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    try:
        registry.use_plugins([str(plugin)])
        told = results(verdict("swish", Status.FAIL, 1))
        place = require_standard(json.loads(sarif.report(*told)))[0]["locations"][0]
    finally:
        registry.use_plugins([])
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "my%20ops/swish.py"
    assert place["physicalLocation"]["region"]["startLine"] == 2
