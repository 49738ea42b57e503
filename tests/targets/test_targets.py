"""Six implementations in the course's style: every defect of a manifest is found, nothing else is.

Each lies beside a manifest.toml: the names that are asked, what is missing, and its defects: the
judges that must find each, and the cases (a regular expression of their ids) that may fail for it.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from verify.cli import main
from verify.results import read
from verify.spec import OUTSIDE, Case, Status, Verdict
from verify.summary import WRONG

pytestmark = pytest.mark.timeout(300)

HERE = Path(__file__).parent
MANIFESTS = sorted(HERE.glob("*/manifest.toml"))


def run(target: Path, path: Path, *options: str) -> tuple[int, list[Verdict]]:
    """needle-verify over a target: exit code and verdicts."""
    arguments = ["--target", str(target), "--json", str(path), "--jobs", "1", *options]
    return main(arguments), read(path).verdicts


def fits(defect: dict[str, Any], verdict: Verdict) -> bool:
    """Whether a verdict may be what it is because of a defect."""
    case = Case.parse(verdict.id)
    return (
        re.fullmatch(defect["op"], case.op) is not None
        and re.search(defect["case"], verdict.id) is not None
        and verdict.status == defect.get("status", "FAIL")
    )


@pytest.fixture(scope="module")
def compiled() -> None:
    """The native modules, built by the host's compiler where their sources lie."""
    for manifest in MANIFESTS:
        source = tomllib.loads(manifest.read_text()).get("compile")
        if source is not None:
            path = manifest.parent / source
            out = path.with_suffix(".so")
            command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(out), str(path)]
            subprocess.run(command, check=True)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda m: m.parent.name)
def test_every_defect_is_found_and_nothing_else(
    manifest: Path, compiled: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told = tomllib.loads(manifest.read_text())
    defects, missing = told["defect"], told.get("missing", [])
    code, verdicts = run(manifest.parent, tmp_path / "r.jsonl", *told["options"])
    out, err = capfd.readouterr()
    assert code == 1, out + err
    assert told["says"] in out.splitlines()[0]
    assert not re.search("hello|computing|ewise_add|Using needle", out + err), "it printed"

    explained: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        causes = [d["name"] for d in defects if fits(d, verdict)]
        assert causes or verdict.status not in WRONG, f"a false alarm: {verdict}"
        for name in causes:
            explained[name].append(verdict)
    for defect in defects:
        found = explained[defect["name"]]
        for judge in defect["judges"]:
            by_judge = [v for v in found if Case.parse(v.id).judge == judge]
            assert by_judge, f"{judge} does not find: {defect['name']}"
            said = defect.get("says", "")
            assert any(re.search(said, v.message) for v in by_judge), defect["name"]
        if defect.get("status", "FAIL") == "FAIL":
            # a worker explains the first failures of a group in full
            groups = {tuple(v.id.split("/")[:4]) for v in found}
            told_of = [v for v in verdicts if tuple(v.id.split("/")[:4]) in groups]
            assert any(v.attribution for v in told_of), defect["name"]
            assert all(f"--target {manifest.parent} --replay" in v.message for v in found)

    by_op: dict[str, set[Status]] = defaultdict(set)
    for verdict in verdicts:
        by_op[Case.parse(verdict.id).op].add(verdict.status)
        if verdict.status is Status.UNIMPLEMENTED:
            assert verdict.message, verdict.id
    for op, statuses in by_op.items():
        if op in missing:
            assert statuses == {Status.UNIMPLEMENTED}, op
            reasons = [v for v in verdicts if Case.parse(v.id).op == op]
            assert any(v.attribution != OUTSIDE for v in reasons), op
        elif not op.startswith("optim."):  # whose defects spoil every case
            assert Status.PASS in statuses, op
