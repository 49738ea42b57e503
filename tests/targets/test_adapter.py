"""Between needle-verify and somebody else's needle: finding it, importing, calling, leeway."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import needle
from verify import fd, fd_float32
from verify.cli import main
from verify.registry import course, planning
from verify.results import read
from verify.spec import OUTSIDE, Case, Exit, Missing, Status, UsageError, Verdict
from verify.summary import summarize
from verify.targets.course import importing, leeway, place, signatures

pytestmark = pytest.mark.timeout(300)
HERE = Path(__file__).parent
STUBS = HERE / "mostly_stubs"
ROOT = HERE.parents[1]


# --- where it lies


@pytest.mark.parametrize(
    ("given", "package"),
    [
        ("numpy_world", "numpy_world/python/needle"),
        ("numpy_world/python", "numpy_world/python/needle"),
        ("numpy_world/python/needle", "numpy_world/python/needle"),
        ("nested_package", "nested_package/python/needle/needle"),
        ("nested_package/python", "nested_package/python/needle/needle"),
        ("nested_package/python/needle", "nested_package/python/needle/needle"),
        ("nested_package/python/needle/needle", "nested_package/python/needle/needle"),
        ("root_package", "root_package/needle"),
        ("root_package/needle", "root_package/needle"),
        ("native_module", "native_module/hw3/needle"),
    ],
)
def test_a_package_is_found_from_wherever_it_is_named(given: str, package: str) -> None:
    assert place.find(str(HERE / given)) == place.Place(
        (HERE / package).parent.resolve(), (HERE / package).resolve()
    )


def test_several_homeworks_are_named(tmp_path: Path) -> None:
    for name in ("hw2", "hw4"):
        shutil.copytree(STUBS, tmp_path / name)
    with pytest.raises(UsageError, match="hw2, hw4 hold a needle each: name one"):
        place.find(str(tmp_path))


def test_nothing_there_names_the_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--target", str(tmp_path)]) == Exit.USAGE
    told = capsys.readouterr().err
    assert f"got target={tmp_path}" in told
    for folder in ("needle", "python/needle", "python/needle/needle"):
        assert str(tmp_path.resolve() / folder) in told
    assert main(["--target", str(tmp_path / "absent")]) == Exit.USAGE


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("import absent_module", "ModuleNotFoundError: No module named 'absent_module'"),
        ("import os; os.abort()", "importing it ended the process"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_what_cannot_be_imported_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, says: str
) -> None:
    shutil.copytree(STUBS, tmp_path / "hw1")
    ops = tmp_path / "hw1" / "needle" / "ops.py"
    ops.write_text(f"{line}\n{ops.read_text()}")
    assert main(["--target", str(tmp_path / "hw1"), "--op", "add"]) == Exit.USAGE
    told = capsys.readouterr().err
    assert says in told
    where = f"{tmp_path / 'hw1' / 'needle'}, found below target={tmp_path / 'hw1'}, cannot be used"
    assert where in told


def test_ours_is_not_imported_in_its_place_and_nothing_is_drawn(tmp_path: Path) -> None:
    """In a process where our own package is first on the path, and already imported."""
    shutil.copytree(STUBS, tmp_path / "hw1")
    (tmp_path / "hw1" / "apps").mkdir()
    (tmp_path / "hw1" / "apps" / "simple_ml.py").write_text("import numpy\nnumpy.random.seed(0)\n")
    init = tmp_path / "hw1" / "needle" / "__init__.py"
    init.write_text(f"import apps.simple_ml\n{init.read_text()}")
    code = (
        "import json, numpy, needle; ours = needle.__file__; numpy.random.seed(5);"
        "from verify.targets.course import place, importing;"
        f"found, _ = importing.load(place.find({str(tmp_path / 'hw1')!r}));"
        "print(json.dumps([ours, found.__file__, numpy.random.rand()]))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    ours, theirs, number = json.loads(out)
    assert ours == needle.__file__
    assert Path(theirs).parent == tmp_path / "hw1" / "needle"
    np.random.seed(5)
    assert number == np.random.rand()


# --- a run


def test_a_run_names_its_target_everywhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Provenance, replay lines, a saved failure, a results file, and --resume; all by name."""
    results = tmp_path / "r.jsonl"
    chosen = ["--op", "negate,add", "--check", "vjp", "--dtype", "float32", "--jobs", "1"]
    chosen += ["--budget", "smoke", "--json", str(results)]
    assert main(["--target", str(STUBS), *chosen]) == Exit.WRONG
    out = capfd.readouterr().out
    head = f"target {STUBS / 'needle'}: cpu (numpy arrays); float32, float64; "
    assert out.startswith(head)
    found = read(results)
    assert found.header["target"]["path"] == str(STUBS)
    wrong = [v for v in found.verdicts if v.status is Status.FAIL]
    assert {Case.parse(v.id).op for v in wrong} == {"negate"}
    line = f"needle-verify --target {STUBS} --replay {wrong[0].id}"
    assert line in wrong[0].message
    assert wrong[0].attribution == f"negate of {STUBS / 'needle'} is wrong, on cpu"
    assert not wrong[0].source, "our own op is written elsewhere"

    assert main(["--target", str(STUBS), "--replay", wrong[0].id]) == Exit.WRONG
    assert "should be" in capfd.readouterr().out
    saved = next(Path(f"{results}.failures").glob("*.json"))
    header, *lines = results.read_text().splitlines(keepends=True)
    one = tmp_path / "one.jsonl"
    one.write_text(header + next(line for line in lines if '"FAIL"' in line))
    for file in (saved, one):  # which say whose failure it was
        assert main(["--replay", str(file)]) == Exit.WRONG
        assert "bits        the same as recorded" in capfd.readouterr().out
    assert main(["--target", str(HERE / "root_package"), "--replay", str(saved)]) == Exit.USAGE
    assert "the run was of target=" in capfd.readouterr().err

    results.write_text("".join([header, *lines[:-1]]))
    assert main(["--resume", str(results), "--jobs", "1"]) == Exit.WRONG
    assert len(read(results).verdicts) == len(found.verdicts)


def test_one_axis_at_a_time_is_no_fault_but_a_gradient_that_raises_is(tmp_path: Path) -> None:
    home = Path("python", "needle", "ops.py")

    def statuses(name: str, before: str, after: str) -> dict[str, set[Status]]:
        copy = shutil.copytree(HERE / "numpy_world", tmp_path / name)
        text = (copy / home).read_text()
        assert before in text
        (copy / home).write_text(text.replace(before, after))
        results = tmp_path / f"{name}.jsonl"
        chosen = ["--op", "summation", "--check", "forward,vjp", "--dtype", "float32"]
        main(["--target", str(copy), *chosen, "--layout", "compact", "--json", str(results), "-q"])
        found: dict[str, set[Status]] = {"forward": set(), "vjp": set()}
        for verdict in read(results).verdicts:
            if re.search(r"axes=\(\d,\d", verdict.id):
                found[Case.parse(verdict.id).judge].add(verdict.status)
        return found

    summed = "array_api.sum(a, {})"
    refused = statuses("refused", summed.format("axis=self.axes"), summed.format("int(self.axes)"))
    assert refused == {"forward": {Status.UNIMPLEMENTED}, "vjp": {Status.UNIMPLEMENTED}}
    wrong = statuses("wrong", "[1 if i in axes else", "[1 if i in axes % 9 else")
    assert wrong == {"forward": {Status.PASS}, "vjp": {Status.FAIL}}


@pytest.mark.parametrize("body", ["raise ValueError('shapes')", "return (a + b).astype('float16')"])
def test_an_addition_that_is_wrong_leaves_nothing_open(tmp_path: Path, body: str) -> None:
    copy = shutil.copytree(HERE / "root_package", tmp_path / "it")
    ops = copy / "needle" / "ops.py"
    assert ops.read_text().count("return a + b\n") == 1
    ops.write_text(ops.read_text().replace("return a + b\n", f"{body}\n"))
    results = tmp_path / "r.jsonl"
    chosen = ["--op", "add,multiply", "--check", "forward", "--budget", "smoke", "-q"]
    assert main(["--target", str(copy), *chosen, "--json", str(results)]) == Exit.WRONG
    plain = [v for v in read(results).verdicts if "float32" in v.id and v.attribution != OUTSIDE]
    by_op = {op: {v.status for v in plain if v.id.startswith(op)} for op in ("add", "multiply")}
    assert by_op == {"add": {Status.FAIL}, "multiply": {Status.PASS}}


def test_our_own_needle_raises_no_alarm_behind_the_adapter(tmp_path: Path) -> None:
    """It keeps the course's interface: what is asked of others must hold for it."""
    package = shutil.copytree(Path(needle.__file__).parent, tmp_path / "ours" / "needle")
    shutil.copy(needle._core.__file__, package)  # an editable install has it elsewhere
    names = "add,log,power,matmul,summation,logsumexp,conv,split,nn.Conv,nn.BatchNorm2d,nn.LSTM"
    chosen = ["--op", f"{names},nn.Embedding,nn.Dropout,optim.SGD", "--budget", "smoke"]
    results = tmp_path / "r.jsonl"
    code = main(["--target", str(package.parent), *chosen, "--jobs", "1", "--json", str(results)])
    verdicts = read(results).verdicts
    assert code == Exit.GOOD, [v for v in verdicts if v.status is not Status.PASS]
    assert verdicts[0].environment["target"] == str(package.parent)
    assert sum(v.status is Status.PASS for v in verdicts) > 400


# --- what is open, and what is not


@pytest.mark.parametrize(
    ("name", "shapes", "kwargs"),
    [
        ("summation", ((4, 9, 8),), {"axes": -2}),
        ("logsumexp", ((2, 3, 4),), {"axes": (0, -1)}),
        ("logsumexp", ((4, 9, 8),), {"axes": -2}),
        ("conv", ((1, 4, 4, 2), (3, 3, 2, 5)), {"stride": 2}),
        ("conv", ((3, 6, 6, 1), (3, 3, 1, 2)), {"padding": 3}),
        ("conv", ((2, 5, 7, 3), (3, 3, 3, 4)), {}),
        ("flip", ((33,),), {"axes": (-1,)}),
        ("dilate", ((2, 4, 5),), {"axes": (-1,), "dilation": 3}),
        ("stack", ((3,), (3,), (3,)), {"axis": -1}),
        ("nn.BatchNorm2d", ((2, 3, 4, 5), (3,), (3,)), {}),
    ],
)
def test_what_the_course_defines_is_never_open(
    name: str, shapes: tuple[tuple[int, ...], ...], kwargs: dict[str, object]
) -> None:
    row = course.rows()[name]
    assert planning.sample(*shapes, **kwargs) in row.samples, "it is asked"
    for world in ("numpy arrays", course.NDARRAY):
        assert course._sample_outside(row, shapes, kwargs, world) == ""


def test_most_of_every_row_is_defined() -> None:
    for name, row in course.rows().items():
        for world in ("numpy arrays", course.NDARRAY):
            defined = [
                s
                for s in row.samples
                if not course._sample_outside(row, s.shapes, dict(s.kwargs), world)
            ]
            assert len(defined) >= 2, name


def test_what_is_open_is_no_failure_and_no_evidence() -> None:
    case = "exp/forward/cpu/float64/3/-/compact/interior/seed0"
    apart = Verdict(case, Status.UNIMPLEMENTED, attribution=OUTSIDE, message="float32 only")
    right = Verdict(case.replace("64", "32"), Status.PASS, checked=3)
    absent = Verdict(case.replace("exp", "log"), Status.UNIMPLEMENTED, message="it has no log")
    assert summarize([apart, right], 2).exit is Exit.GOOD
    assert summarize([apart, right], 2).outside == {"float32 only": 1}
    wild = replace(apart, rho=5e6, id=apart.id.replace("float64", "float32"))
    assert summarize([wild, replace(right, rho=0.5)], 2).lines[0].rho == 0.5
    assert summarize([apart], 1).exit is Exit.WEAK
    assert summarize([apart, right, absent], 3).exit is Exit.WEAK


def test_ties_may_share_as_they_like_but_not_more() -> None:
    x, g = np.array([3.0, 1.0, 3.0]), [np.array(2.0)]
    for shares in ([2.0, 0, 0], [0.5, 0, 1.5], [1, 0, 1]):
        (settled,) = leeway.gradients("max", [np.array(shares)], [x], g, None)
        assert settled.tolist() == [1, 0, 1]
    for wrong in ([2.0, 0, 2.0], [3.0, 0, -1.0], [1.0, 1.0, 0]):
        (settled,) = leeway.gradients("max", [np.array(wrong)], [x], g, None)
        assert settled.tolist() != [1, 0, 1]


def test_relu_has_any_slope_at_zero_but_none_beyond() -> None:
    x, g = np.array([0.0, 0.0, 0.0, 2.0]), [np.array([2.0, -2.0, 2.0, 2.0])]
    found = [np.array([2.0, -1.0, 3.0, 2.0])]
    assert leeway.gradients("relu", found, [x], g, None)[0].tolist() == [0, 0, 3, 2]


def test_only_a_full_sum_has_two_shapes() -> None:
    one = np.ones(1)
    assert leeway.results("summation", [one], [(2, 3)], None)[0].shape == ()
    assert leeway.results("summation", [one], [(2, 3)], (0, -1))[0].shape == ()
    assert leeway.results("summation", [one], [(2, 1)], 0)[0].shape == (1,)
    assert leeway.results("exp", [one], [()], None)[0].shape == (1,)


# --- calls


def test_calls_go_by_the_names_there_are() -> None:
    def dilate(a: int, dilation: int, axis: int) -> tuple[int, int, int]:
        return a, dilation, axis

    assert signatures.call(dilate, (7,), (), (), {"axes": 1, "dilation": 2}) == (7, 2, 1)

    class Linear:
        def __init__(self, in_dim: int, width: int, use_bias: bool = True) -> None:
            self.made = (in_dim, width, use_bias)

    names = ("in_features", "out_features", "bias")
    where = {"device": "cpu", "dtype": "float32"}
    assert signatures.call(Linear, (), names, (3, 4, False), where).made == (3, 4, False)
    with pytest.raises(Missing, match="takes no nonlinearity"):
        signatures.call(Linear, (), names, (3, 4), {"nonlinearity": "relu"})


def test_functions_without_a_body_are_told_from_short_ones(tmp_path: Path) -> None:
    source = '''
class Op:
    def compute(self, a):
        """Documented."""
        ### BEGIN YOUR SOLUTION

        ### END YOUR SOLUTION

    def gradient(self, out_grad, node):
        ### BEGIN YOUR SOLUTION
        return None
        ### END YOUR SOLUTION

    def right(self, a):
        ### BEGIN YOUR SOLUTION
        return a
        ### END YOUR SOLUTION

    def hook(self):
        pass
'''
    path = tmp_path / "ops.py"
    path.write_text(source)
    lines = source.splitlines()
    found = [lines[n - 1].split("(")[0].split()[-1] for n in sorted(importing._unwritten(path))]
    assert found == ["compute", "gradient"]


# --- differences in float32


FUNCTIONS = {
    "exp": (np.exp, np.exp),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "cube": (lambda x: x * x * x, lambda x: 3 * x * x),
    "linear": (lambda x: 3 * x, lambda x: 3 + 0 * x),
}


def coarse(name: str, n: int, seed: int) -> tuple[fd_float32.CoarseProber, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = (np.round(rng.standard_normal(n) * 2.0**20) * 2.0**-20).astype(np.float32)
    weights = rng.uniform(0.5, 1.5, n) * rng.choice([-1.0, 1.0], n)
    f, slope = FUNCTIONS[name]

    def single(values: list[np.ndarray]) -> list[np.ndarray]:
        return [f(values[0].astype(np.float32))]

    right = (weights.astype(np.float32) * slope(x)).astype(np.float64)
    return fd_float32.CoarseProber(single, [x], [weights], rng), right


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_differences_find_a_wrong_element_and_raise_no_alarm(name: str) -> None:
    missed = 0
    for seed in range(40):
        for n in (3, 16, 60):
            prober, right = coarse(name, n, seed)
            assert prober.accuse(right).ok, (name, n, seed)
            wrong = right.copy()
            wrong[int(np.argmax(np.abs(right)))] *= 1.05
            missed += prober.judge(wrong).ok
    assert missed == 0


def test_what_float32_noise_drowns_is_no_evidence() -> None:
    def buried(values: list[np.ndarray]) -> list[np.ndarray]:
        x = values[0].astype(np.float32)
        return [x + np.float32(0.05) * np.sin(np.float32(1e5) * x)]

    rng = np.random.default_rng(0)
    x = np.array([0.53, 0.28], np.float32)
    prober = fd_float32.CoarseProber(buried, [x], [np.ones(2)], rng)
    assert {p.slope.kind for p in prober.probes} == {fd.NOISE}
