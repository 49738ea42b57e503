"""The files for CI systems: valid, and their commands run here, over ops that misbehave."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from verify import cli

yaml = pytest.importorskip("yaml", reason="needs pyyaml (extra: test)")
ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
ACTION = ROOT / ".github/actions/needle-verify/action.yml"
GITLAB = ROOT / "ci/gitlab.yml"
GITHUB = ROOT / "ci/github.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
pytestmark = pytest.mark.timeout(180)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        (ACTION, ["vendor.github-actions"]),
        (GITHUB, ["vendor.github-workflows"]),
        (GITLAB, ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"]),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_the_files_fit_the_schemas_of_their_systems(path: Path, schema: list[str]) -> None:
    pytest.importorskip("check_jsonschema", reason="needs check-jsonschema (extra: test)")
    command = [sys.executable, "-m", "check_jsonschema", str(path), "--builtin-schema", *schema]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


class Shell:
    """bash with a needle-verify that runs fakes, and the reports it left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.summary = folder / "summary.md"
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        program = bin_folder / "needle-verify"
        fake = shlex.join([sys.executable, str(HERE / "fake_parts.py")])
        program.write_text(f'#!/bin/sh\nexec {fake} "$@"\n')
        program.chmod(0o755)
        path = os.pathsep.join([str(HERE), *filter(None, sys.path)])
        self.environment = os.environ | {
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": path,
            "GITHUB_STEP_SUMMARY": str(self.summary),
        }

    def run(self, script: str, **variables: str) -> int:
        """The exit code, as GitHub and GitLab run scripts."""
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        environment = self.environment | variables
        return subprocess.run(command, cwd=self.folder, env=environment, check=False).returncode

    def record(self, op: str) -> None:
        """Put a run of an op on record."""
        made = f"needle-verify --op {op} --check fd --json first.jsonl -q"
        gate = "needle-verify gate first.jsonl --baseline base.json --update"
        assert self.run(f"{made} && {gate}") == 0


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def action(shell: Shell, **inputs: str) -> dict[str, int]:
    """The exit code of each step whose condition holds."""
    described = load(ACTION)["inputs"]
    assert inputs.keys() <= described.keys()
    values = {name: given["default"] for name, given in described.items()} | inputs
    codes = {}
    for step in load(ACTION)["runs"]["steps"]:
        named = re.findall(r"inputs\.([\w-]+) != ''", step.get("if", ""))
        if all(values[name] for name in named):
            variables = {
                name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: values[m[1]], text)
                for name, text in step["env"].items()
            }
            assert "${{" not in step["run"], "what a user writes is no part of a script"
            codes[step["name"]] = shell.run(step["run"], **variables)
    return codes


def test_the_steps_of_the_action(shell: Shell) -> None:
    shell.record("good")
    options = "--op good* --check fd"
    made = action(shell, install="true", options=options, baseline="base.json")
    assert made == {"Install": 0, "Verify": 0, "Gate": 0}
    summary = shell.summary.read_text()
    assert "# needle-verify: all good (exit 0)" in summary
    assert "# needle-verify gate: nothing regressed (exit 0)" in summary
    kept = {path.name for path in (shell.folder / "needle-verify").iterdir()}
    names = load(ACTION)["outputs"]["folder"]["description"]
    assert set(re.findall(r"\w+\.(?:jsonl|xml|sarif|html)", names)) <= kept


def test_the_action_fails_where_needle_does(shell: Shell, tmp_path: Path) -> None:
    shell.record("good")
    options = "--op good,wrong --check fd"
    assert action(shell, install="", options=options) == {"Verify": 1}
    made = action(shell, install="", options=options, baseline="base.json")
    assert made == {"Verify": 1, "Gate": 4}
    assert json.loads((tmp_path / "needle-verify/results.sarif").read_text())["runs"]
    known = tmp_path / "known.toml"
    known.write_text('[[skip]]\nop = "wrong"\nreason = "known"\nexpires = 2999-01-01\n')
    made = action(shell, install="", options=options, baseline="base.json", skips=str(known))
    assert made == {"Verify": 0, "Gate": 0}
    assert action(shell, install="", options="--op nosuch") == {"Verify": 2}
    assert action(shell, install="", options="--op good\n--op nosuch\n") == {"Verify": 2}


def test_the_script_of_gitlab(shell: Shell) -> None:
    shell.record("good")
    job = load(GITLAB)[".needle-verify"]
    script = "\n".join(job["script"])
    own = {"BASELINE": "base.json"}
    for options, code in (("--op good* --check fd", 0), ("--op wrong --check fd", 1)):
        variables = job["variables"] | own | {"OPTIONS": options}
        assert shell.run(script, **variables) == code
    variables = job["variables"] | own | {"OPTIONS": "--op goodness --check fd"}
    assert shell.run(script, **variables) == 4, "good is on record and gone"
    assert (shell.folder / "needle-verify/gate.xml").exists()


def as_recorded(options: str, gate_options: str) -> None:
    """An example's run is that of the baseline it is held against, on another machine."""
    found = cli.parser().parse(shlex.split(options))
    groups = json.loads((ROOT / "reports" / "baseline.json").read_text())
    assert found.budget == groups["origin"]["budget"]
    assert set(found.device[0].split(",")) == {g["device"] for g in groups["groups"]}
    assert gate_options == "--same-machine"


def test_the_examples_use_what_is_there() -> None:
    for job in load(GITHUB)["jobs"].values():
        own = [step for step in job["steps"] if step.get("uses", "").startswith("./")]
        assert own
        for step in own:
            assert (ROOT / step["uses"] / "action.yml") == ACTION
            assert step["with"].keys() <= load(ACTION)["inputs"].keys()
            as_recorded(step["with"]["options"], step["with"]["gate-options"])
    job = load(GITLAB)[".needle-verify"]
    as_recorded(job["variables"]["OPTIONS"], job["variables"]["GATE_OPTIONS"])
    used = set(re.findall(r"\$([A-Z_]+)", json.dumps(job["script"])))
    assert used <= job["variables"].keys()


def test_the_hook_verifies_what_its_files_concern(shell: Shell) -> None:
    (hook,) = load(HOOKS)
    program, *words = shlex.split(hook["entry"])
    assert program == "needle-verify"
    found = cli.parser().parse([*words, "needle/ops/convolution.py", "needle/nn/conv.py"])
    assert found.changed == ["needle/ops/convolution.py", "needle/nn/conv.py"]
    assert found.budget == "smoke"
    assert hook["require_serial"], "one run for all files, not one for each batch"
    for path, wanted in (
        ("needle/ops/convolution.py", True),
        ("csrc/core/ops.def", True),
        ("verify/spec.py", True),
        ("tests/verify/test_cli.py", False),
        ("README.md", False),
    ):
        assert bool(re.search(hook["files"], path)) is wanted
    quick = "--check fd --dtype float32 --timeout 1"  # one of the fakes hangs
    command = f"{hook['entry']} verify/spec.py {quick}"
    assert shell.run(command) == 1, "the fakes are wrong, and say so"


@pytest.mark.parametrize("name", [[], *([name] for name in cli.SUBCOMMANDS)], ids="".join)
def test_every_command_explains_itself(name: list[str]) -> None:
    command = [sys.executable, "-m", "verify", *name, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    for word in ("examples:", "exit codes:", "needle-verify"):
        assert word in done.stdout
