"""Six implementations in the course's style: every defect of a manifest is found, nothing else is.

Each lies beside a manifest.toml: the names that are asked, what is missing, and its defects: the
judges that must find each, and what may fail for it: cases, by a regular expression of their ids,
where it does not spoil all of a judge, and what is said, by one of their messages.
"""

from __future__ import annotations

import re
import shutil
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
        and case.judge in defect["judges"]
        and re.search(defect.get("case", ""), verdict.id) is not None
        and re.search(defect.get("says", ""), verdict.message) is not None
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


_RIGHT = {
    "dropout of other draws": (
        "return x * init.randb(*x.shape, p=1 - self.p)",
        "return x * Tensor((np.random.default_rng().random(x.shape) >= self.p) / (1 - self.p))",
        "nn.Dropout",
    ),
    "running statistics that are numpy arrays": (
        "(self.running_mean * keep + mean * self.momentum).detach()\n"
        "            self.running_var = "
        "(self.running_var * keep + unbiased * self.momentum).detach()\n"
        "        else:\n            mean, var = self.running_mean, self.running_var",
        "self.running_mean * keep + mean.numpy() * self.momentum\n"
        "            self.running_var = self.running_var * keep + var.numpy() * self.momentum\n"
        "        else:\n            mean, var = Tensor(self.running_mean), "
        "Tensor(self.running_var)",
        "nn.BatchNorm1d",
    ),
}


@pytest.mark.parametrize("name", _RIGHT)
def test_what_is_right_in_another_way_is_not_accused(name: str, tmp_path: Path) -> None:
    before, after, op = _RIGHT[name]
    shutil.copytree(HERE / "numpy_world", tmp_path / "target")
    file = tmp_path / "target" / "python" / "needle" / "nn.py"
    text = file.read_text()
    assert text.count(before) == 1
    text = text.replace(before, after).replace("from . import", "import numpy as np\nfrom . import")
    text = text.replace("unbiased = var * (n / max(n - 1, 1))", "unbiased = var")
    for what in ("zeros", "ones"):  # of the statistics
        array = f"np.{what}(dim, dtype='float32')" if "numpy" in name else f"init.{what}(dim)"
        which = "running_mean" if what == "zeros" else "running_var"
        text = text.replace(f"self.{which} = init.{what}(dim)", f"self.{which} = {array}")
    file.write_text(text)
    _, verdicts = run(tmp_path / "target", tmp_path / "r.jsonl", "--op", op, "--dtype", "float32")
    assert not [v for v in verdicts if v.status in WRONG]
    if op == "nn.Dropout":
        assert any("which draws dropout keeps" in v.message for v in verdicts)
        file.write_text(text.replace("/ (1 - self.p))", "/ (1.01 - self.p))"))
        _, verdicts = run(tmp_path / "target", tmp_path / "s.jsonl", "--op", op)
        assert [v for v in verdicts if v.status in WRONG], "a scale that is wrong is no other draw"


def test_one_matrix_for_several_axes_of_batches(tmp_path: Path) -> None:
    """Its gradient is a sum over all of them; here, of the first matrix of the second axis."""
    shutil.copytree(HERE / "numpy_world", tmp_path / "target")
    file = tmp_path / "target" / "python" / "needle" / "ops.py"
    right = "db = db.sum(tuple(range(len(db.shape) - len(b.shape))))"
    wrong = "db = Tensor(db.numpy().sum(0).reshape((-1, *b.shape))[0])"
    assert file.read_text().count(right) == 1
    file.write_text(file.read_text().replace(right, wrong))
    options = ("--op", "matmul", "--dtype", "float32")
    _, verdicts = run(tmp_path / "target", tmp_path / "r.jsonl", *options)
    found = [v.id for v in verdicts if v.status in WRONG]
    assert found
    assert all("/2x3x4x5,5x6/" in name for name in found)
