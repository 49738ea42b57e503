"""Verdicts of earlier runs: which stand, what makes each kind fall, and damaged files."""

from __future__ import annotations

import importlib
import json
import os
import py_compile
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import verify
from verify import cli, registry
from verify.cache import sources, surroundings, verdicts
from verify.cache.outline import lasting, outline
from verify.cache.store import Store, cache_folder
from verify.command import Run
from verify.plan import Selection, make_plan
from verify.setup import Parts, Setup
from verify.spec import Case, Status, Verdict
from verify.table import plain
from verify.tracing import Tracer, Tracing

pytestmark = pytest.mark.timeout(300)
OURS = Path(verify.__file__).parents[1]
CASE = Case("exp", "forward", "cpu", "float32", ((3,),))
BEHIND = ("ops/elementwise.py:Exp.compute", "ops/elementwise.py:exp")
IGNORED = shutil.ignore_patterns("__pycache__", "*.so")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """needle and verify in a folder of their own, and an empty cache."""
    for name in ("needle", "verify"):
        shutil.copytree(OURS / name, tmp_path / name, ignore=IGNORED)
    for name in ("_core.x.so", "_cuda_sim.x.so", "_cuda.x.so"):
        (tmp_path / "needle" / name).write_bytes(b"kernels")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for module in (sources, surroundings, verdicts):
        monkeypatch.setattr(module, "VERIFY", tmp_path / "verify")
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    for function in (sources.judging, sources.of_rows, sources._imports):
        function.cache_clear()


def cache(tree: Path, timeout: float = 60.0, threads: int = 1) -> verdicts.Cache:
    forget()
    return verdicts.Cache(tree / "needle", ("cpu", "numpy", "cuda_sim", "cuda"), threads, timeout)


def verdict(case: Case = CASE, **more: Any) -> Verdict:
    given: dict[str, Any] = {"status": Status.PASS, "rho": 0.5, "seconds": 1.0, "reached": BEHIND}
    return Verdict(case.id, **(given | more))


def keep(tree: Path, *kept: Verdict) -> None:
    filled = cache(tree)
    for one in kept:
        filled.add(one)
    filled.close()
    assert not filled.broken


def stands(tree: Path, case: Case = CASE, **how: Any) -> bool:
    return bool(cache(tree, **how).find([case]))


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text, path
    path.write_text(text.replace(before, after, 1))


def test_a_verdict_comes_back_as_it_was_and_says_so(tree: Path) -> None:
    kept = verdict(ulp=float("inf"), impostors=("zeros",), environment={"isa": "v3"}, checked=3)
    keep(tree, kept)
    (found,) = cache(tree).find([CASE])
    assert found.cached
    assert found.to_json() == kept.to_json() | {"cached": True}


def test_what_changes_nothing_changes_nothing(tree: Path) -> None:
    keep(tree, verdict())
    edit(tree / "needle/ops/elementwise.py", "class Exp(", "# a comment\n\n\nclass Exp(")
    edit(tree / "needle/ops/convolution.py", "def conv(", "def conv(  # spaces\n    ")
    edit(tree / "verify/registry/joining.py", '"""', '"""Another family. ')
    (tree / "needle/_cuda_sim.x.so").write_bytes(b"kernels of another device")
    assert stands(tree)


def body(path: Path, function: str) -> None:
    """Another statement in a function, whatever it is."""
    lines = path.read_text().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if line.lstrip().startswith(f"def {function}("))
    while not lines[at].rstrip().endswith(":"):
        at += 1
    indent = " " * (len(lines[at + 1]) - len(lines[at + 1].lstrip()))
    lines.insert(at + 1, f"{indent}'another'\n")
    path.write_text("".join(lines))


def test_a_function_matters_to_the_cases_that_execute_it(tree: Path) -> None:
    other = Case("relu", "forward", "cpu", "float32", ((3,),))
    keep(tree, verdict(), verdict(other, reached=("ops/activation.py:ReLU.compute",)))
    body(tree / "needle/ops/elementwise.py", "exp")
    assert not stands(tree)
    assert stands(tree, other)


APPENDED = {
    "a constant of needle": ("needle/optim/adam.py", "EPSILON = 1\n"),
    "another name in a module": ("needle/ops/loss.py", "def helper():\n    return 1\n"),
    "arrays": ("needle/backend_ndarray/numpy_backend.py", "\n\ndef helper():\n    return 1\n"),
    "a module that is new": ("needle/ops/more.py", "A = 1\n"),
    "the row's family": ("verify/registry/elementwise.py", "# other samples\n"),
    "what families share": ("verify/registry/identities.py", "# another\n"),
    "what a shared file imports": ("verify/registry/reduction.py", "# another\n"),
    "a judge": ("verify/judges/against_torch.py", "# another\n"),
    "the reference": ("verify/reference/rules.py", "# another\n"),
    "tolerances": ("verify/accuracy.py", "# another\n"),
    "the worker": ("verify/worker.py", "# another\n"),
    "the cache": ("verify/cache/outline.py", "# another\n"),
    "a kernel": ("needle/_core.x.so", "rebuilt"),
}


@pytest.mark.parametrize("change", APPENDED)
def test_what_stands_behind_every_case_of_a_row(tree: Path, change: str) -> None:
    keep(tree, verdict())
    name, text = APPENDED[change]
    with (tree / name).open("a") as file:
        file.write(text)
    assert not stands(tree)


@pytest.mark.parametrize(
    "body_of", ["autograd/reverse.py", "backend_ndarray/checks.py", "data/loader.py"]
)
def test_bodies_count_where_all_or_threads_execute_them(tree: Path, body_of: str) -> None:
    keep(tree, verdict())
    path = tree / "needle" / body_of
    names = [n.name for n in importlib.import_module("ast").parse(path.read_text()).body
             if type(n).__name__ == "FunctionDef"]  # fmt: skip
    body(path, names[0])
    assert not stands(tree)


@pytest.mark.parametrize("device", ["cpu", "numpy", "cuda_sim"])
def test_the_modules_of_the_device(tree: Path, device: str) -> None:
    case = Case("exp", "forward", device, "float32", ((3,),))
    keep(tree, verdict(case))
    (tree / "needle/_cuda.x.so").write_bytes(b"rebuilt")
    assert stands(tree, case)
    (tree / "needle/_cuda_sim.x.so").write_bytes(b"rebuilt")
    assert stands(tree, case) == (device != "cuda_sim")
    (tree / "needle/_core.x.so").write_bytes(b"rebuilt")
    assert not stands(tree, case)


@pytest.mark.parametrize(
    "name", ["NEEDLE_ISA", "NEEDLE_SIM_SEED", "NEEDLE_ANYTHING", "OMP_X", "LD_PRELOAD", "MKL_CBWR"]
)
def test_the_environment(tree: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    keep(tree, verdict())
    monkeypatch.setenv(name, "2")
    assert not stands(tree)


def test_versions_the_processor_and_threads(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tree, verdict())
    assert not stands(tree, threads=2)
    for name in ("_package", "_version", "_processor"):
        with monkeypatch.context() as patch:
            patch.setattr(surroundings, name, lambda *_: "another")
            assert not stands(tree), name
    for name, value in (("version", "3.99"), ("flags", SimpleNamespace(optimize=1))):
        with monkeypatch.context() as patch:
            patch.setattr(sys, name, value)
            assert not stands(tree), name
    assert stands(tree)


def test_only_a_pass_whose_functions_are_known_is_kept(tree: Path) -> None:
    keep(tree, *(verdict(status=status) for status in Status if status is not Status.PASS))
    keep(tree, verdict(reached=None), verdict(reached=("ops/elementwise.py:gone",)))
    assert not stands(tree)


@pytest.mark.parametrize("case", [
    Case("exp", "forward", "cuda", "float32", ((3,),)),  # the driver, and libraries found there
    Case("swish", "forward", "cpu", "float32", ((3,),)),  # a plugin's
    Case("exp", "forward", "cpu", "float32", ((3,),), region="mnist"),  # the user's files
], ids=lambda case: case.id)  # fmt: skip
def test_what_rests_on_more_than_is_known_is_not_kept(tree: Path, case: Case) -> None:
    keep(tree, verdict(case))
    assert not stands(tree, case)


def test_what_took_longer_than_it_may_now_is_judged_again(tree: Path) -> None:
    keep(tree, verdict(seconds=5.0))
    assert stands(tree)
    assert not stands(tree, timeout=4.0)


def test_sources_edited_during_a_run_are_nobodys(tree: Path) -> None:
    for name in ("needle/ops/softmax.py", "verify/checks.py", "needle/ops/fresh.py"):
        filled = cache(tree)
        filled.add(verdict())
        with (tree / name).open("a") as file:
            file.write("\n")
        filled.close()
        assert "edited" in filled.broken
        assert not stands(tree)


def test_an_edit_that_python_does_not_see_is_not_kept(tree: Path) -> None:
    """Within a second, of the same size: the old bytecode would be judged for the new source."""
    path = tree / "needle" / "ops" / "elementwise.py"
    text = path.read_text()
    os.utime(path, ns=(10**18, 10**18))
    compiled = Path(py_compile.compile(str(path)) or "")
    os.utime(compiled, ns=(10**18 + 1000, 10**18 + 1000))
    assert not cache(tree).broken
    path.write_text(text.replace("a.exp()", "a.sin()"))
    os.utime(path, ns=(10**18 + 2000, 10**18 + 2000))
    assert "elementwise.py is older" in cache(tree).broken
    os.utime(path, ns=(10**18 + 10**9, 10**18 + 10**9))  # another second: it is compiled again
    assert not cache(tree).broken


# --- files


def files() -> list[Path]:
    return [path for path in cache_folder().rglob("*") if path.is_file()]


@pytest.mark.parametrize("damage", [
    lambda data: b"", lambda data: data[:-1], lambda data: data[: len(data) // 2],
    lambda data: data[:-3] + b"abc", lambda data: b"\xff" * 40, lambda data: b"0" * 16 + data[16:],
])  # fmt: skip
def test_a_damaged_file_is_a_miss(tree: Path, damage: Callable[[bytes], bytes]) -> None:
    keep(tree, verdict())
    (path,) = files()
    path.write_bytes(damage(path.read_bytes()))
    assert not stands(tree)
    keep(tree, verdict())
    assert stands(tree)


@pytest.mark.parametrize("value", [None, [], {}, 7, {"functions": [], "sets": [[1]], "verdicts": 1},
    {"functions": [], "sets": [[]], "verdicts": {CASE.id: [0, {"status": "FINE"}]}},
    {"functions": [], "sets": [[]], "verdicts": {CASE.id: [0, {"status": "FAIL"}]}},
    {"functions": [], "sets": [], "verdicts": {CASE.id: [0, {"status": "PASS"}]}},
])  # fmt: skip
def test_a_whole_file_of_something_else_is_a_miss(tree: Path, value: Any) -> None:
    keep(tree, verdict())
    (path,) = files()
    Store(cache_folder()).write(path.relative_to(cache_folder()).as_posix(), value)
    assert not stands(tree)


def test_a_folder_that_cannot_be_written_costs_no_verdict(tree: Path) -> None:
    cache_folder().parent.mkdir(parents=True)
    cache_folder().write_text("a file")
    filled = cache(tree)
    filled.add(verdict())
    filled.close()
    assert filled.broken
    assert not stands(tree)


def test_runs_side_by_side_never_read_half_a_file(tmp_path: Path) -> None:
    store, wrong = Store(tmp_path), []

    def write(n: int) -> None:
        for i in range(100):
            store.write("name", {"n": n, "i": [i] * 500})
            found = store.read("name")
            wrong.extend([] if found and len(set(found["i"])) == 1 else [found])

    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


def test_two_runs_add_to_one_file(tree: Path) -> None:
    other = Case("exp", "vjp", "cpu", "float32", ((3,),))
    first, second = cache(tree), cache(tree)
    first.add(verdict())
    second.add(verdict(other))
    first.close()
    second.close()
    assert len(cache(tree).find([CASE, other])) == 2


def test_the_folder_stays_small_and_keeps_what_is_used(tmp_path: Path) -> None:
    store = Store(tmp_path, most_bytes=3000)
    for i in range(10):
        store.write(f"{i}/file", os.urandom(350).hex())
        os.utime(tmp_path / f"{i}/file", (i, i))
    store.read("0/file")
    store.prune()
    left = {path.name for path in tmp_path.iterdir()}
    assert "0" in left
    assert "9" in left
    assert "1" not in left
    assert sum(p.stat().st_size for p in tmp_path.rglob("file")) <= 3000


# --- what a case executes

LIBRARY = {
    "__init__.py": "from . import ops\n",
    "ops.py": """
import functools

TABLE = {}

def at_import(): return 1

def helper(x): return x + 1

def plain(x): return (lambda y: helper(y))(x)

@functools.cache
def remembered(x): return helper(x)

def by_hand(x):
    if x not in TABLE: TABLE[x] = helper(x)
    return TABLE[x]

def put(x, value): TABLE[x] = value

def through_another(x):
    if x not in TABLE: put(x, helper(x))
    return TABLE[x]

def by_alias(x):
    table = TABLE
    if x not in table: table[x] = helper(x)
    return table[x]

class Op:
    def compute(self, x): return [helper(y) for y in x]

VALUE = at_import()
""",
}


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Tracer, Any]]:
    root = tmp_path / "traced"
    root.mkdir()
    for name, text in LIBRARY.items():
        (root / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    tracer = Tracer(Tracing(str(root), frozenset(f"{root / n}" for n in lasting(root))))
    yield tracer, tracer.start(lambda: importlib.import_module("traced").ops)
    for name in ("traced", "traced.ops"):
        del sys.modules[name]


def test_what_is_executed_is_behind_it(library: tuple[Tracer, Any]) -> None:
    tracer, ops = library
    result, behind = tracer.call(lambda: ops.plain(1))
    assert result == 2
    assert behind == ("ops.py:at_import", "ops.py:helper", "ops.py:plain")
    assert tracer.call(lambda: ops.Op().compute([1]))[1] == (
        "ops.py:Op.compute", "ops.py:at_import", "ops.py:helper",
    )  # fmt: skip
    assert tracer.call(lambda: 1)[1] == ("ops.py:at_import",)


@pytest.mark.parametrize("name", ["remembered", "by_hand", "by_alias", "through_another"])
def test_what_is_remembered_is_behind_later_cases(library: tuple[Tracer, Any], name: str) -> None:
    tracer, ops = library
    for _ in range(2):  # the second time, helper is not executed
        assert "ops.py:helper" in (tracer.call(lambda: getattr(ops, name)(1))[1] or ())


def test_a_library_from_elsewhere_is_not_known(tmp_path: Path) -> None:
    tracer = Tracer(Tracing(str(tmp_path)))
    tracer.start(lambda: None)
    assert tracer.call(lambda: 1) == (1, None)


def test_needle_remembers_nothing_outside_of_what_is_taken_whole() -> None:
    """Else its callees would stand behind every later case; load_state_dict calls no op."""
    names = lasting(OURS / "needle")
    assert {n for n in names if n.startswith(("ops/", "nn/", "init/", "optim/", "models/"))} == {
        "optim/optimizer.py:Optimizer.load_state_dict"
    }


def test_every_op_has_its_functions() -> None:
    functions = outline(OURS / "needle").functions
    assert {"ops/elementwise.py:Exp.compute", "ops/convolution.py:conv"} <= functions.keys()


# --- whole runs


def test_runs_that_rest_on_more_have_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(Selection(ops=("exp",), budget="smoke"), registry)

    def has(*arguments: str, parts: Parts | None = None, **state: Any) -> bool:
        setup = Setup(cli.parser().parse(arguments), parts or Parts())
        for name, value in state.items():
            setattr(setup, name, value)
        return Run(setup, arguments, plain).cache(plan) is not None

    assert has()
    assert has("--resume", "r.jsonl")
    assert not has("--no-cache")
    assert not has(parts=Parts("fake_parts:run_case"))
    assert not has(target="somebody else's needle")
    assert not has(cluster="other machines")
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_plugins", ("my_ops.py",))
        assert not has()
    with monkeypatch.context() as patch:
        patch.setattr(surroundings, "others", lambda: True)
        assert not has()
    with monkeypatch.context() as patch:
        patch.setattr(surroundings, "needle_folder", lambda: None)
        assert not has()


@pytest.mark.timeout(600)
def test_after_an_edit_only_what_rests_on_it_is_judged(tmp_path: Path) -> None:
    """The user's view, in processes of their own: everything, nothing, one op, and a wrong one."""
    for name in ("needle", "verify"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(OURS / name, tmp_path / name, ignore=ignored)
    chosen = ["--op", "exp,relu", "--dtype", "float32", "--check", "forward,errors", "--jobs", "1"]
    chosen += ["--budget", "smoke"]

    def run(*options: str) -> tuple[int, dict[str, bool], str]:
        path = tmp_path / "r.jsonl"
        done = subprocess.run(
            [sys.executable, "-m", "verify", *chosen, *options, "--json", str(path)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
                              "XDG_CACHE_HOME": str(tmp_path / "cache")},
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        lines = [json.loads(line) for line in path.read_text().splitlines()[1:]]
        return done.returncode, {d["id"]: d["cached"] for d in lines}, done.stdout

    code, first, text = run()
    assert code == 0, text
    assert not any(first.values())
    code, again, text = run()
    assert code == 0
    assert again == dict.fromkeys(first, True)
    assert f"{len(first)} verdicts are of earlier runs" in text
    code, anew, text = run("--no-cache")
    assert not any(anew.values())
    assert "earlier runs" not in text
    path = tmp_path / "needle" / "ops" / "elementwise.py"
    right = path.read_text()
    body(path, "exp")
    code, edited, _ = run()
    assert code == 0
    assert {i for i, cached in edited.items() if not cached} == {i for i in first if i[:3] == "exp"}
    path.write_text(right.replace("return a.exp()", "return a.exp() + 1"))
    assert path.read_text() != right
    for _ in range(2):  # a failure is judged again
        code, wrong, text = run()
        assert code == 1, text
        assert {i for i, cached in wrong.items() if cached} >= {i for i in first if i[:4] == "relu"}
