"""What a plugin asks wrongly is told of the plugin, not of the op under test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import verify
from verify import registry
from verify.cli import main
from verify.results import read
from verify.spec import MALFORMED, Exit, Status, UsageError

pytestmark = pytest.mark.timeout(300)
PLUGIN = """\
import torch
import verify

def same(x, n=0):
    return x * x.dtype.type(1)

def fails(x, n=0):
    raise ValueError("no op")

def raises(x):
    raise ValueError("no reference")

def unknown(x):
    return torch.special.bessel_j0(x)

def later(x):
    raise NotImplementedError("not yet")

def row(name, function, reference, **arguments):
    return verify.row(name, function, reference, [verify.sample((17,), **arguments)], via="numpy")
"""


@pytest.fixture(autouse=True)
def _no_plugin_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield
    registry.use_plugins(())


def run(rows: str, *options: str) -> int:
    """needle-verify over these rows: exit code."""
    Path("my_ops.py").write_text(f"{PLUGIN}\nROWS = [{rows}]\n")
    return main(["--plugin", "my_ops.py", "--op", "user", "--jobs", "1", *options])


def test_a_reference_that_raises_is_no_failure_of_the_op(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = ", ".join(
        f"row('{function}_{reference}', {function}, {reference})"
        for function in ("same", "fails")
        for reference in ("raises", "unknown", "later")
        if (function, reference) != ("fails", "unknown")  # torch computes it: the op is wrong
    )
    only = ("--check", "forward", "--dtype", "float32", "--layout", "compact")
    assert run(rows, *only, "--json", "r.jsonl") == Exit.WEAK
    out = capsys.readouterr().out
    said = {
        "raises": ("my_ops.py:11", "ValueError: no reference"),
        "unknown": ("my_ops.py:14", "LookupError: [bounded] no error rule"),
        "later": ("my_ops.py:17", "NotImplementedError: not yet"),
    }
    for verdict in read(Path("r.jsonl")).verdicts:
        name = verdict.id.split("/")[0]
        place, text = said[name.partition("_")[2]]
        assert (verdict.status, verdict.attribution) == (Status.UNIMPLEMENTED, MALFORMED)
        assert verdict.message.startswith(f"[{name}] a reference answers what its row asks, got ")
        assert f"{place}, which raised {text}" in verdict.message
        assert f"MISSING 4: {verdict.message}" in out.splitlines()
    assert main(["--replay", "same_raises/forward/cpu/float32/17/-/compact/interior/seed0"]) == 2


def test_a_function_that_raises_is_a_failure_still() -> None:
    assert run("row('a', fails, abs)", "--check", "forward", "--json", "r.jsonl") == Exit.WRONG
    assert {v.status for v in read(Path("r.jsonl")).verdicts} == {Status.FAIL}


@pytest.mark.parametrize("value", ["[1, 2]", "{'k': 1}", "(1, [2])", "'a/b'", "'a b'", "abs"])
def test_an_argument_that_no_id_holds_is_named(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"row('a', same, abs, fine=(1, 2.0), n={value})", "--list") == Exit.USAGE
    told = capsys.readouterr().err
    assert "arguments are literals" in told
    assert f"got n={eval(value)!r} in row 'a'" in told


def test_what_no_id_holds_is_named_elsewhere_too() -> None:
    with pytest.raises(UsageError, match=r"tuples of ints, got shapes=\(\[3\],\) in row 'a'"):
        verify.row("a", abs, abs, [verify.sample([3])], via="numpy")  # type: ignore[arg-type]
    refusal = verify.refuses((3,), n=[1])
    with pytest.raises(UsageError, match=r"got n=\[1\] in row 'a'"):
        verify.row("a", abs, abs, [verify.sample((3,))], via="numpy", refusals=[refusal])
    with pytest.raises(UsageError, match=r"got n=\[1\]"):
        verify.check(lambda x, n: x * 1, None, (3,), arguments={"n": [1]}, via="numpy")
