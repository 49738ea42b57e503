"""The Python mutator: rules make exactly the expected changes, ids stay, faults are spread."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from verify.faults import python
from verify.faults.by_hand import edits_by_hand, patches
from verify.faults.fault import KINDS
from verify.faults.python import ELSEWHERE, faults_of
from verify.faults.source import Source, executed_as, planted
from verify.spec import UsageError

ROOT = Path(__file__).parents[2]
FILE = "needle/ops/example.py"


def function(body: str, head: str = "def compute(self, a: Tensor, b: Tensor) -> Tensor:") -> str:
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    return f"class Op:\n    {head}\n{lines}"


def changes(text: str, kind: str) -> list[str]:
    """The lines that the faults of one kind put in the place of others."""
    return [f.after.strip() for f in faults_of(FILE, text) if f.kind == kind]


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("sign", "x = a + b\nreturn x", ["x = a - b"]),
        ("sign", "x = a - (b + 1)\nreturn x", ["x = a + (b + 1)"]),
        ("sign", "x = negate(a)\nreturn x", ["x = a"]),
        ("sign", "x = add(a, b)\nreturn x", ["x = (a - b)"]),
        ("sign", "return exp(a)", ["return -exp(a)"]),
        ("dropped", "return a * (b + 1)", ["return a", "return a * (1)"]),
        ("dropped", "return multiply(a, b)", ["return a", "return b"]),
        ("dropped", "return a / b", ["return a"]),
        ("dropped", "return a.exp()", ["return a"]),
        ("dropped", "check(a)\nreturn a", ["pass"]),
        ("dropped", "check_tensors(a=a)\nreturn a", []),
        ("dropped", "a[0] = b\nreturn a", ["pass"]),
        ("dropped", "a += b\nreturn a", ["pass"]),
        ("dropped", "if a:\n    raise ValueError(a)\nreturn a", ["pass"]),
        ("dropped", "if a.size == 0:\n    return b\nreturn a", ["if False:"]),
        ("swapped", "return a - b", ["return b - a"]),
        ("swapped", "return a @ (b * b)", ["return (b * b) @ a"]),
        ("swapped", "return divide(a, b)", ["return divide(b, a)"]),
        ("swapped", "return Conv(1)(a, b)", ["return Conv(1)(b, a)"]),
        ("swapped", "return a.less(b)", ["return b.less(a)"]),
        ("axis", "return a.sum(axis=-1)", ["return a.sum(axis=-2)", "return a.sum(axis=0)"]),
        ("axis", "return a.sum(keepdims=True)", ["return a.sum(keepdims=False)"]),
        ("axis", "return permute(a, order)", ["return permute(a, tuple(order)[::-1])"]),
        ("axis", "return max(a, axes)", ["return max(a, 0)", "return max(a, -1)"]),
        ("broadcast", "return sum_to_shape(a, b.shape)", ["return a"]),
        ("constant", "return a * 0.5", ["return a * 1.0"]),
        ("constant", "return a * 2", ["return a * 3", "return a * 1"]),
        ("comparison", "return a if b < 3 else b", ["return a if b <= 3 else b"]),
        ("comparison", "return a if 0 < b < 3 else b",
         ["return a if 0 <= b < 3 else b", "return a if 0 < b <= 3 else b"]),
        ("comparison", "return a.greater(b)", ["return a.greater_equal(b)"]),
        ("comparison", "return a if b is None else b", ["return a if b is not None else b"]),
        ("eps", "return a / (b + eps)", ["return a / (b + 0.0)"]),
        ("eps", "return a - a.max(axis=0)", ["return a"]),
        ("eps", "return range(steps)", []),
        ("variance", "return a / self.size(b)", ["return a / (self.size(b) - 1)"]),
        ("variance", "return divide_scalar(a, n)", ["return divide_scalar(a, (n) - 1)"]),
        ("correction", "return a / (1.0 - b**t)",
         ["return a / (1.0 - b)", "return a / (1.0 - b ** (t - 1))", "return a / (1.0)"]),
        ("off-by-one", "return a[0]", ["return a[1]"]),
        ("off-by-one", "return a[-1]", ["return a[-2]"]),
        ("off-by-one", "return a[: n]", ["return a[: n - 1]", "return a[: n + 1]"]),
        ("off-by-one", "return range(n)", ["return range(n - 1)", "return range(n + 1)"]),
        ("transposed", "return transpose(a)", ["return a"]),
        ("transposed", "return matmul(a, b)",
         ["return matmul(a.transpose(), b)", "return matmul(a, b.transpose())"]),
        ("detached", "return multiply(a, b)", ["return multiply(a.detach(), b)"]),
        ("detached", "check_tensors(a)\nreturn a.shape", []),
    ],
)  # fmt: skip
def test_a_rule_makes_exactly_these_changes(kind: str, body: str, expected: list[str]) -> None:
    assert sorted(changes(function(body), kind)) == sorted(expected)


def test_returned_gradients_change_their_signs_and_places() -> None:
    head = "def gradient(self, out_grad: Tensor, node: Tensor) -> tuple[Tensor | None, ...]:"
    text = function("return (p if a else None, q if b else None)", head)
    assert changes(text, "sign") == ["return (-p if a else None, q if b else None)"]
    assert changes(text, "swapped") == ["return (q if b else None, p if a else None)"]


def test_defaults_are_places_and_texts_types_and_errors_are_none() -> None:
    head = "def compute(self, a: Literal[7], momentum: float = 0.1, keepdims: bool = False) -> int:"
    text = function('"""Shape: 5."""\nassert a == 3\nraise ValueError(f"at least {4}")', head)
    after = [f.after for f in faults_of(FILE, text)]
    assert len(after) == 2
    assert "momentum: float = 0.2" in after[0]
    assert "keepdims: bool = True" in after[1]
    for name in ("__repr__", "composed"):
        assert not faults_of(FILE, function("return a - b", f"def {name}(self, a, b) -> Tensor:"))


def test_only_what_computes_has_two_faults_of_a_kind() -> None:
    body = "x = a - b\ny = b - a\nreturn x - y"
    assert changes(function(body), "swapped") == ["x = b - a", "return y - x"]
    assert changes(function(body, "def helper(a, b):"), "swapped") == ["x = b - a"]


def test_inner_functions_are_functions_of_their_own() -> None:
    text = function("def inner(x):\n    return x * 2\nreturn inner(a)")
    assert {f.function for f in faults_of(FILE, text)} == {"Op.compute.inner", "Op.compute"}


@pytest.mark.parametrize(
    ("qualified", "name"),
    [
        ("f", "f"),
        ("Op.compute", "Op.compute"),
        ("_shared.<locals>.share", "_shared.share"),
        ("f.<locals>.<lambda>", "f"),
        ("Op.compute.<locals>.<genexpr>", "Op.compute"),
    ],
)
def test_code_is_named_as_faults_name_it(qualified: str, name: str) -> None:
    assert executed_as(qualified) == name


def test_ids_stay_when_other_places_change() -> None:
    body = "x = a * b\nreturn x + 1"
    before = faults_of(FILE, function(body))
    other = function("return a - b", "def gradient(self, a: Tensor, b: Tensor) -> Tensor:")
    moved = faults_of(FILE, "import math\n\n" + other + function(body).removeprefix("class Op:\n"))
    known = {f.id: (f.before, f.after) for f in before}
    now = {f.id: (f.before, f.after) for f in moved}
    assert known.items() <= now.items()
    assert len(now) > len(known)


def test_what_is_planted_is_the_text_with_the_change_and_nothing_else() -> None:
    text = "é = 'ü'\n" + function("x = (\n    a\n    + b\n)\nreturn x")
    (fault,) = (f for f in faults_of(FILE, text) if f.kind == "sign")
    assert (fault.before, fault.after, fault.line) == ("            a\n            + b",
                                                      "            a - b", 5)  # fmt: skip
    assert planted(text, fault) == text.replace("a\n            + b", "a - b")
    with pytest.raises(UsageError, match=r"example\.py:5"):
        planted("\n" + text, fault)


def test_a_diff_shows_the_lines() -> None:
    (fault,) = (f for f in faults_of(FILE, function("return a * 0.5")) if f.kind == "constant")
    assert fault.diff() == (
        f"--- a/{FILE}\n+++ b/{FILE}\n@@ -3,1 +3,1 @@\n"
        "-        return a * 0.5\n+        return a * 1.0\n"
    )


def test_a_patch_without_its_text_is_an_error_that_names_the_place() -> None:
    source = Source(FILE, function("return a * a"))
    patch = {"file": FILE, "in": "Op.compute", "kind": "rare", "at": "a * a", "new": "a"}
    (edit,) = edits_by_hand(source, [patch])["Op.compute"]
    assert source.changed(edit) == function("return a")
    for wrong in ({"at": "c * c"}, {"at": "a"}, {"in": "Op.gradient"}):
        with pytest.raises(UsageError, match=r"example\.py:Op\."):
            edits_by_hand(source, [patch | wrong])


# --- the faults of needle itself

FAULTS = python.faults(ROOT)


def test_every_fault_is_a_change_of_its_own_that_parses() -> None:
    texts = {path: (ROOT / path).read_text() for path in {f.path for f in FAULTS}}
    trees = {path: ast.dump(ast.parse(text)) for path, text in texts.items()}
    changed = [planted(texts[f.path], f) for f in FAULTS]
    assert len({*texts.values(), *changed}) == len(texts) + len(changed)
    for fault, text in [*zip(FAULTS, changed, strict=True)][::10]:
        assert ast.dump(ast.parse(text)) != trees[fault.path], fault.id
    assert len({f.id for f in FAULTS}) == len(FAULTS) > 1000
    assert {f.kind for f in FAULTS} <= KINDS.keys()
    assert {f.language for f in FAULTS} == {"python"}


def test_every_patch_is_a_fault() -> None:
    assert {p["kind"] for p in patches()} <= {f.kind for f in FAULTS}
    assert {p["file"] for p in patches()} <= {f.path for f in FAULTS}


def test_every_op_layer_optimizer_and_initialiser_has_faults() -> None:
    """Methods that compute something; those that hand on a name, or refuse, need none."""
    with_faults = {(f.path, f.function) for f in FAULTS}
    wanted = {"ops": ("compute", "gradient"), "nn": ("forward",), "optim": ("step",)}
    missing = []
    for package, names in wanted.items():
        for path in sorted((ROOT / "needle" / package).rglob("*.py")):
            for name, node in Source("", path.read_text()).functions():
                if name.split(".")[-1] not in names or ELSEWHERE.keys() & set(name.split(".")):
                    continue
                last = node.body[-1]
                named = isinstance(last, ast.Return) and isinstance(last.value, ast.Name)
                key = (path.relative_to(ROOT).as_posix(), name)
                if not named and not isinstance(last, ast.Raise) and key not in with_faults:
                    missing.append(key)
    assert not missing
    drawn = {f.function for f in FAULTS if f.path.startswith("needle/init/")}
    assert {"rand", "randn", "randb", "xavier_uniform", "kaiming_normal"} <= drawn
