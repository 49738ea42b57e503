"""Plugins: rows of one's own are judged as needle's, and malformed ones are told."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import verify
from verify import custom, registry
from verify.cli import main
from verify.judges import examine
from verify.results import read
from verify.spec import Case, Status, UsageError

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).resolve().parents[2]
Start = Callable[..., subprocess.Popen[str]]
Run = Callable[..., tuple[int, str, str]]
OPS = """\
import os
import numpy as np
import verify
from beside import scale

def half(x):
    return x * x.dtype.type(scale)

def wrong(x):
    return x * x.dtype.type(0.51)

def deadly(x):
    if x.shape == (3,):
        os.abort()
    return x * x.dtype.type(0.5)

def pulled(g, x):
    return g * g.dtype.type(0.5)

def right(x):
    return x * 0.5

SAMPLES = [verify.sample((17,)), verify.sample((3,))]
ROWS = [
    verify.row(name, function, right, SAMPLES, gradient=pulled, linear=True)
    for name, function in (("my_half", half), ("my_wrong", wrong), ("my_deadly", deadly))
]
"""


@pytest.fixture(autouse=True)
def _no_plugin_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    registry.use_plugins(())


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """my_ops.py in the current folder, with a module beside it."""
    monkeypatch.chdir(tmp_path)
    Path("beside.py").write_text("scale = 0.5\n")
    Path("my_ops.py").write_text(OPS)
    return tmp_path / "my_ops.py"


@pytest.fixture
def run(plugin: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """needle-verify --plugin my_ops.py: exit code, stdout, stderr."""

    def start(*arguments: str, plugin: str = "my_ops.py") -> tuple[int, str, str]:
        code = main(["--plugin", plugin, "--jobs", "1", *arguments])
        return code, *capsys.readouterr()

    return start


def test_an_op_of_a_plugin_is_judged_like_needles_own(run: Run) -> None:
    code, out, _ = run("--op", "my_half", "--junit", "r.xml", "--budget", "smoke")
    assert code == 0, out
    lines = [line.split()[:5] for line in out.splitlines() if line.startswith("my_half ")]
    assert [(line[2], line[4]) for line in lines] == [("f32", "PASS"), ("f64", "PASS")]
    judges = {line.split("/")[1] for line in run("--op", "my_half", "--list")[1].split()}
    assert judges == {"forward", "vjp", "fd"}
    assert 'name="my_half/vjp/cpu/float32/' in Path("r.xml").read_text()


def test_a_failure_is_replayed_with_its_plugin(run: Run, capsys: Any) -> None:
    only = ("--dtype", "float32", "--check", "forward", "--budget", "smoke", "--json", "r.jsonl")
    code, out, _ = run("--op", "my_wrong", *only)
    assert code == 1
    line = "needle-verify --plugin my_ops.py --replay my_wrong/forward/cpu/float32/17/-/compact/"
    assert f"replay: {line}interior/seed0" in out
    kept = next(Path("r.jsonl.failures").glob("*.json"))
    # its line; the results file; the saved counterexample: both know their plugin
    for words in (shlex.split(f"{line}interior/seed0")[1:], ["--replay", "r.jsonl"]):
        assert main([*words, "--jobs", "1"]) == 1
        assert "my_wrong/forward" in capsys.readouterr().out
    assert main(["--replay", str(kept)]) == 1
    assert "should be" in capsys.readouterr().out
    # without it the op is not known
    assert main(["--replay", shlex.split(line)[-1] + "interior/seed0"]) == 2


def test_a_crash_names_the_plugin_in_its_replay_line_too(run: Run) -> None:
    only = ("--check", "forward", "--budget", "smoke", "-v")
    code, out, _ = run("--op", "my_deadly", "--dtype", "float32", "--layout", "compact", *only)
    assert code == 1
    assert "CRASH my_deadly/forward/cpu/float32/3/-/compact/interior/seed0" in out
    said = "replay: needle-verify --plugin my_ops.py --replay my_deadly/forward/cpu/float32/3/-/"
    assert said in out
    assert "PASS  my_deadly/forward/cpu/float32/17/" in out


def test_a_run_goes_on_with_its_plugin(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    only = ("--dtype", "float32", "--check", "vjp", "--json", "r.jsonl")
    assert run("--op", "my_half", *only)[0] == 0
    lines = Path("r.jsonl").read_text().splitlines(keepends=True)
    Path("r.jsonl").write_text("".join(lines[:3]))
    assert main(["--resume", "r.jsonl", "--jobs", "1"]) == 0
    found = read(Path("r.jsonl"))
    assert len(found.verdicts) == len(lines) - 1
    assert {v.environment["plugins"] for v in found.verdicts} == {str(Path("my_ops.py").resolve())}


def test_a_gate_knows_the_rows_of_a_run_with_plugins(run: Run) -> None:
    assert run("--op", "my_half", "--budget", "smoke", "--json", "r.jsonl")[0] == 0
    gate = ["gate", "r.jsonl", "--baseline", "b.json"]
    registry.use_plugins(())  # as in a process of its own
    assert main([*gate, "--update"]) == 0
    assert main(gate) == 0


def test_pytest_takes_plugins(
    plugin: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    options = ("-p", "verify.pytest_plugin", "--needle-verify", "--plugin", str(plugin))
    more = ("--op", "my_half,my_wrong", "--check", "vjp", "--budget", "smoke")
    result = pytester.runpytest_subprocess(*options, *more, "--dtype", "float32")
    result.assert_outcomes(passed=10)
    more = ("--op", "my_wrong", "--check", "forward", "--budget", "smoke", "--dtype", "float32")
    result = pytester.runpytest_subprocess(*options, *more)
    result.assert_outcomes(failed=5)
    result.stdout.fnmatch_lines([f"*needle-verify --plugin {plugin} --replay my_wrong/*"])


def test_no_library_is_imported_for_the_plan(plugin: Path, start: Start) -> None:
    program = (
        "import sys, verify.cli\n"
        "assert verify.cli.main(['--plugin', 'my_ops.py', '--list', '--op', 'my_half']) == 0\n"
        "print({'torch', 'needle'} & set(sys.modules), file=sys.stderr)"
    )
    process = start("-c", program)
    out, err = process.communicate()
    assert err.splitlines()[-1] == "set()"
    assert "my_half/forward/cpu/float32/17/" in out


MALFORMED = {
    "no file": (None, "there is no such file", "my_ops.py"),
    "not Python": ("x = (", "SyntaxError", "my_ops.py:1"),
    "an import": ("import os\nimport no_such_module", "no_such_module", "my_ops.py:2"),
    "sys.exit": ("import sys\n\nsys.exit(0)", "SystemExit", "my_ops.py:3"),
    "no rows": ("x = 1", "lists rows in ROWS", "my_ops.py"),
    "empty rows": ("ROWS = []", "lists rows in ROWS", "my_ops.py"),
    "no row": ("ROWS = [1]", "verify.row makes a row", "my_ops.py"),
    "a clash": ('ROWS = [row("relu")]', "name='relu'", "my_ops.py:5"),
    "twice": ('ROWS = [row("a"), row("a")]', "name='a'", "my_ops.py:5"),
    "a name": ('ROWS = [row("a/b")]', "a name is a word", "my_ops.py:5"),
    "via": ('ROWS = [row("a", via="")]', "a plain function needs via=", "my_ops.py:5"),
    "another via": ('ROWS = [row("a", via="jax")]', "via is one of", "my_ops.py:5"),
    "samples": ('ROWS = [row("a", samples=[(3, 4)])]', "samples are verify.sample", "my_ops.py:5"),
    "no samples": ('ROWS = [row("a", samples=[])]', "samples are verify.sample", "my_ops.py:5"),
    "reference": ('ROWS = [row("a", reference=1)]', "a reference is a function", "my_ops.py:5"),
    "function": ('ROWS = [row("a", function=1)]', "a function, got", "my_ops.py:5"),
    "layouts": ('ROWS = [row("a", layouts=["odd"])]', "layouts are of", "my_ops.py:5"),
    "regions": ('ROWS = [row("a", regions=["odd"])]', "regions are of", "my_ops.py:5"),
    "domains": ('ROWS = [row("a", domains=[(0, 1)])]', "domains are verify.Domain", "my_ops.py:5"),
    "an argument": ('ROWS = [row("a", colour=1)]', "colour", "my_ops.py:5"),
    "an id": ('ROWS = [row("a", samples=[verify.sample((3,), mode="a/b")])]', "literals", ":5"),
    "mixtures": ('ROWS = [row("a", refusals=["dtypes"])]', "mixtures are of several", ":5"),
}
HELPER = (
    "import verify\n"
    "def row(name, **more):\n"
    "    given = dict(function=abs, reference=abs, samples=[verify.sample((3,))], via='numpy')\n"
    "    return verify.row(name, **(given | more))\n"
)


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_malformed_is_exit_2_with_file_and_place(run: Run, what: str) -> None:
    text, words, place = MALFORMED[what]
    Path("my_ops.py").unlink()
    if text is not None:
        uses = HELPER if "row(" in text else ""
        Path("my_ops.py").write_text(f"{uses}{text}\n")
    code, out, err = run("--list", "--op", "a")
    assert code == 2
    assert out == ""
    assert words in err
    # the helper's own line is the last in the file that led to the error of a row
    assert place.replace(":5", ":4") in err or place in err


@pytest.mark.parametrize("given", [".", os.devnull])
def test_a_plugin_is_one_file(given: str, run: Run) -> None:
    code, _, err = run("--list", plugin=given)
    what = "a folder" if given == "." else "a pipe or a device"
    assert (code, what in err, "no such file" in err) == (2, True, False)


def test_a_plugin_that_ends_the_process_is_exit_2(plugin: Path, start: Start) -> None:
    plugin.write_text("import os\n\nos._exit(0)\n")
    process = start("-m", "verify", "--plugin", "my_ops.py", "--list")
    _, err = process.communicate()
    assert process.returncode == 2
    assert "my_ops.py:3: SystemExit: os._exit(0)" in err


FORKS = """\
import atexit, os
from os import _exit
if not (child := os.fork()):
    os._exit(7)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
atexit.register(_exit, status + 1)
"""


def test_a_process_of_the_plugins_own_may_end(plugin: Path, start: Start) -> None:
    """What multiprocessing forks ends by os._exit, and so may the plugin once it is imported."""
    plugin.write_text(FORKS + OPS)
    process = start("-m", "verify", "--plugin", "my_ops.py", "--list", "--op", "my_half", "-q")
    _, err = process.communicate()
    assert (process.returncode, err) == (8, "")


def test_packages_bring_rows_by_an_entry_point(
    plugin: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As pip would install them: a module, and a .dist-info beside it."""
    folder = Path("site")
    for name, target in (("good", "their_ops"), ("named", "their_ops_too:LIST")):
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[needle_verify.rows]\n{name} = {target}\n")
    text = f"{HELPER}ROWS = [row('theirs')]\n"
    (folder / "their_ops.py").write_text(text)
    (folder / "their_ops_too.py").write_text(text.replace("ROWS", "LIST").replace("theirs", "too"))
    monkeypatch.syspath_prepend(folder.resolve())
    registry.rows.cache_clear()
    assert main(["--list", "--op", "user", "--check", "forward", "--budget", "smoke"]) == 0
    ops = {line.split("/")[0] for line in capsys.readouterr().out.split()}
    assert ops == {"theirs", "too"}
    assert main(["--op", "theirs", "--budget", "smoke", "--jobs", "1"]) == 0
    capsys.readouterr()
    (folder / "broken-1.0.dist-info").mkdir()
    (folder / "broken-1.0.dist-info" / "entry_points.txt").write_text(
        "[needle_verify.rows]\nbroken = no_such_module\n"
    )
    registry.rows.cache_clear()
    assert main(["--list"]) == 2
    assert "broken = no_such_module" in capsys.readouterr().err
    monkeypatch.undo()
    registry.rows.cache_clear()


# --- rows


def swapped(a: Any, b: Any) -> Any:
    return b - a


def test_what_a_kind_of_function_cannot_have_is_left_out() -> None:
    import torch

    class Square(torch.autograd.Function):
        pass

    samples = [verify.sample((5,), (5,))]
    tensors = verify.row("a", Square, swapped, samples)
    assert not {"reversed", "mixed", "aliased"} & set(tensors.layouts)
    assert tensors.twice
    arrays = verify.row("a", swapped, swapped, samples, via="numpy")
    assert not arrays.differentiable
    assert not arrays.twice
    assert set(verify.row("a", swapped, swapped, samples, via="needle").layouts) >= {"mixed"}
    for device, maker in (("cpu", "torch"), ("cuda", "cuda")):
        assert tensors.accuracy.get(device, device) == maker


def test_a_function_asked_where_it_cannot_run_is_unimplemented() -> None:
    samples = [verify.sample((5,), (5,))]
    for via, device in (("numpy", "cuda_sim"), ("torch", "numpy")):
        row = verify.row("a", swapped, swapped, samples, via=via)
        case = Case("a", "forward", device, "float32", ((5,), (5,)))
        assert examine(case, row).status is Status.UNIMPLEMENTED


def test_arguments_and_order_reach_function_and_reference() -> None:
    def scaled(a: Any, b: Any, by: float) -> Any:
        return (b - a) * np.asarray(by, a.dtype)

    row = verify.row(
        "a", scaled, lambda a, b, by: (b - a) * by, [verify.sample((5,), (5,), by=3.0)], via="numpy"
    )
    case = Case("a", "forward", "cpu", "float32", ((5,), (5,)), (("by", 3.0),))
    assert examine(case, row).status is Status.PASS


def test_kinds_are_told_by_the_classes_alone() -> None:
    import torch

    from needle.ops import ReLU

    assert custom.kind_of(ReLU) == custom.kind_of(ReLU()) == "needle"
    assert custom.kind_of(torch.nn.ReLU()) == "torch"
    assert custom.kind_of(len) == custom.kind_of(swapped) == ""
    with pytest.raises(UsageError, match="needle brings its own gradient"):
        verify.row("a", ReLU, abs, [verify.sample((3,))], gradient=swapped)
