"""Native faults: what the rules change, that ids stay, that a switch does what the diff says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from verify.faults import cpp, native, native_plan
from verify.faults.fault import ELSEWHERE, KINDS, Fault
from verify.faults.native_rules import changes
from verify.faults.native_scope import EXEMPT, RULED
from verify.spec import UsageError

ROOT = Path(__file__).resolve().parents[2]
RULED_FILE = "csrc/cpu/select.cc"
SWITCH = ROOT / "verify" / "faults" / "switch"


@pytest.fixture(scope="module")
def every() -> tuple[Fault, ...]:
    return native.faults(ROOT)


def mutants(body: str, head: str = "void f(int n, int m)") -> dict[str, str]:
    """kind -> the only line that differs, of the faults in a function of one kind each."""
    text = f"{head} {{\n  {body}\n{'}' * body.count('{')}}}\n"
    found = {}
    for change in changes(RULED_FILE, text):
        after = native_plan.edited(text, change.plain).split("\n")
        differing = [b.strip() for a, b in zip(text.split("\n"), after, strict=True) if a != b]
        assert len(differing) == 1
        found[change.kind] = differing[0]
    return found


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("for (int i = 0; i < n; ++i) {", {"off-by-one": "for (int i = 0; i < n - 1; ++i) {"}),
        ("for (i = 0; i < n + m; ++i) {", {"off-by-one": "for (i = 0; i < (n + m) - 1; ++i) {"}),
        ("for (i = 0; i < n; i += w) {", {"tail": "for (i = 0; i < n - w; i += w) {"}),
        ("for (int i = 0; i < kWide; ++i) {", {}),
        ("constexpr int w = 4;\n  for (int i = 0; i < w; ++i) {", {}),
        ("#pragma GCC unroll 4\n  for (int i = 0; i < n; ++i) {", {}),
        ("return n + m;", {"sign": "return n - m;"}),
        ("return n - m;", {"dropped": "return n - 0 * m;"}),
        ("return n - 1;", {"constant": "return n - 0 * 1;"}),
        ("return n * m;", {"dropped": "return n;"}),
        ("return n * to_step;", {"stride": "return n * 2 * to_step;"}),
        ("return n < m ? g() : h();", {"comparison": "return n <= m ? g() : h();"}),
        ("return n < m ? n : m;", {}),
        ("return n < 0 ? -n : n;", {}),
        ("if (out.size() > 0) {", {}),
        ("if (n == 3) return;", {"dropped": "if (false) return;"}),
        ("__syncthreads();", {"barrier": "/* left out */;"}),
        ("store(p, v);", {"unwritten": "/* left out */;"}),
        ("const int h = x.shape[1];", {"axis": "const int h = x.shape[0];"}),
        ("const int o = at.of[0];", {"swapped": "const int o = at.of[1];"}),
        ("if (n == 0) a = b; else c = d;", {}),
        ("throw E(n + m);", {}),
        ("static_assert(n < m);", {}),
        ("return g<n - 1>();", {}),
    ],
)  # fmt: skip
def test_rules_change_what_they_say(body: str, expected: dict[str, str]) -> None:
    assert mutants(body) == expected


def test_formulas_have_faults_of_their_own() -> None:
    text = "return horner(z, 0.25, -0.5, 1e-7) + fma(a, b, c) * constant<V>(2);"
    found = [
        c for c in changes(RULED_FILE, f"V f(V a) {{\n  {text}\n}}\n") if c.kind == "precision"
    ]
    assert len(found) == 1
    assert found[0].plain[0].text == "0 * "
    assert mutants("return fma(a, b, c);") == {"sign": "return fma(-a, b, c);"}
    assert mutants("return constant<V>(0.5);") == {"constant": "return constant<V>(1.001 * 0.5);"}
    assert mutants("return constant<V>(1000);") == {}


def test_what_is_not_compiled_has_no_faults() -> None:
    text = (
        "#if defined(__AVX512F__)\nint a;\n#elif defined(__AVX2__) && defined(__FMA__)\nint b;\n"
        '#else\nint c;\n#endif\n// int d;\nint e = g("int f;");\n'
        "#ifdef __CUDACC__\nint h;\n#endif\n"
    )
    assert [n for n in "abcdefh" if f"int {n}" in cpp.blank(text)] == ["b", "e"]
    assert len(cpp.blank(text)) == len(text)


def test_functions_are_named_with_their_classes() -> None:
    text = """
namespace n {
template <class T>
struct Box {
  T v;
  int size() const { return [&] { return 1; }(); }
};
static const int table[] = {1, 2};
template <class T, class I>
__global__ void __launch_bounds__(kThreads) kernel(Pass<T, I> p) {
  if (p) { g(); }
}
}
"""
    assert [f.name for f in cpp.functions(cpp.blank(text))] == ["Box::size", "kernel"]


def test_faults_are_many_and_of_every_native_kind(every: tuple[Fault, ...]) -> None:
    languages = Counter(fault.language for fault in every)
    assert languages["cpu"] >= 250
    assert languages["cuda_sim"] >= 120
    assert {fault.kind for fault in every} <= KINDS.keys()
    native_kinds = (
        "off-by-one tail stride barrier precision unwritten stale rare race denormal damage "
        "outside leak comparison sign constant dropped swapped transposed axis eps variance "
        "correction"
    )
    assert {fault.kind for fault in every} == set(native_kinds.split())


def test_faults_say_where_they_are(every: tuple[Fault, ...]) -> None:
    assert len({fault.id for fault in every}) == len(every)
    for fault in every:
        lines = (ROOT / fault.path).read_text().split("\n")
        before = fault.before.split("\n")
        assert lines[fault.line - 1 : fault.line - 1 + len(before)] == before, fault.id
        assert fault.before != fault.after, fault.id
        assert "@" not in fault.after, fault.id


def test_ids_stay_when_lines_move(tmp_path: Path, every: tuple[Fault, ...]) -> None:
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    file = tmp_path / "csrc" / "cpu" / "lanes.cc"
    file.write_text("// A new first line.\n" + file.read_text())
    assert [fault.id for fault in native.faults(tmp_path)] == [fault.id for fault in every]


def test_a_patch_that_no_longer_fits_is_an_error(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    file = tmp_path / "csrc" / "cuda" / "scan.cu"
    file.write_text(file.read_text().replace("if (reversed)", "if (backwards)"))
    with pytest.raises(
        UsageError, match=r"found once, got count=0, file='csrc/cuda/scan.cu'.*if \(reversed"
    ):
        native.faults(tmp_path)


def test_what_is_named_exists() -> None:
    for path in RULED:
        assert (ROOT / path).is_file(), path
    for place in EXEMPT:
        path, _, name = place.partition(":")
        names = [f.name for f in cpp.functions(cpp.blank((ROOT / path).read_text()))]
        assert name in names, place


COUNTED = """
extern "C" int last(const int* p, int n) {
  int sum = 0;
  for (int i = 0; i < n; ++i) sum = sum * 2 + p[i];
  if (sum < 0) return -1;
  return sum - 1;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A small library with the faults of COUNTED behind switches, and the faults' kinds."""
    if shutil.which("c++") is None:
        pytest.skip("no compiler")
    folder = tmp_path_factory.mktemp("switch")
    found = changes(RULED_FILE, COUNTED)
    edits = [e for n, c in enumerate(found, start=1) for e in native_plan.compiled(n, c)]
    source = '#include "faults.h"\n' + native_plan.edited(COUNTED, edits)
    (folder / "counted.cc").write_text(source)
    files = [folder / "counted.cc", SWITCH / "faults.cc", "-o", folder / "counted.so"]
    options = ["-std=c++20", "-O2", "-shared", "-fPIC", f"-I{SWITCH}"]
    subprocess.run(["c++", *options, f"-DNEEDLE_FAULTS={len(found)}", *files], check=True)
    return folder / "counted.so", [change.kind for change in found]


def call(library: Path, *numbers: int, **environment: str) -> tuple[int, int, str]:
    """What the function gives, the active fault, and the marks of its places."""
    program = (
        "import ctypes, sys\n"
        "f = ctypes.CDLL(sys.argv[1])\n"
        "f.needle_fault_marks.restype = ctypes.c_void_p\n"
        "p = [int(n) for n in sys.argv[2:]]\n"
        "f.needle_fault_watch(1)\n"
        "last = f.last((ctypes.c_int * len(p))(*p), len(p))\n"
        "f.needle_fault_watch(0)\n"
        "f.last((ctypes.c_int * 1)(1), 1)\n"
        "marks = ctypes.string_at(f.needle_fault_marks(), 8)\n"
        "print(last, f.needle_fault_active(), ''.join(map(str, marks)))"
    )
    command = [sys.executable, "-c", program, str(library), *map(str, numbers)]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    last, active, marks = done.stdout.split()
    return int(last), int(active), marks


def test_a_switch_does_what_the_diff_says(library: tuple[Path, list[str]]) -> None:
    path, kinds = library
    assert call(path, 1, 2, 3)[:2] == (10, 0)
    results = {}
    for number, kind in enumerate(kinds, start=1):
        results[kind], active, _ = call(path, 1, 2, 3, NEEDLE_FAULT=str(number))
        assert active == number
    assert results["off-by-one"] == 3  # the last element is not reached
    assert results["constant"] == 11
    assert results["sign"] == -1
    assert results["dropped"] == 5  # the sum is not doubled
    assert call(path, 0, NEEDLE_FAULT=str(1 + kinds.index("comparison")))[0] == -1
    assert call(path, 1, 2, 3, NEEDLE_FAULT="10000")[:2] == (10, 0)


def test_places_that_are_executed_leave_marks(library: tuple[Path, list[str]]) -> None:
    path, kinds = library
    assert call(path, 1, 2, 3)[2][1 : len(kinds) + 1] == "1" * len(kinds)
    last, _, marks = call(path, -1)  # returns before the last line; what is not watched leaves none
    assert last == -1
    unmarked = [kind for kind, mark in zip(kinds, marks[1:], strict=False) if mark == "0"]
    assert unmarked == ["constant"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", ["csrc/cpu/gemm_block.cc", "csrc/cpu/reduce.cc", "csrc/cuda/reduce.cu"]
)
def test_rewritten_sources_compile(path: str, tmp_path: Path) -> None:
    if shutil.which("c++") is None:
        pytest.skip("no compiler")
    planned = native_plan.plan(ROOT)
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    for name, text in native_plan.switched(ROOT, planned).items():
        (tmp_path / name).write_text(text)
    language = ["-fopenmp"]
    if path.endswith(".cu"):
        language = [f"-I{tmp_path}/csrc/cuda/sim", "-DNEEDLE_SIM=1", "-x", "c++"]
    options = ["-std=c++20", "-fsyntax-only", "-w", "-DNEEDLE_NS=needle_x", f"-I{SWITCH}"]
    subprocess.run(["c++", *options, *language, tmp_path / path], check=True)


def test_what_the_cpu_never_executes_is_judged_on_the_simulator(every: tuple[Fault, ...]) -> None:
    by_id = {fault.id: fault for fault in every}
    assert set(ELSEWHERE) <= by_id.keys(), "an id that is no fault's any longer"
    assert {by_id[i].language for i in ELSEWHERE} == {"cuda_sim"}
    assert {by_id[i].path.split("/")[1] for i in ELSEWHERE} == {"core"}
