"""Every name of the course's interface exists and takes what the course passes."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import needle as ndl

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from names import NAMES, POSITIONAL

ROWS = [(owner, name, text) for owner, row in NAMES.items() for name, text in row.items()]


def resolve(path: str) -> Any:
    """A module, or a class in one."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        return getattr(resolve(module), name)


def expected(text: str) -> list[inspect.Parameter]:
    return list(inspect.signature(eval(f"lambda {text}: 0")).parameters.values())


def accepts(given: list[inspect.Parameter], wanted: list[inspect.Parameter], by_name: bool) -> str:
    """What of wanted is missing in given, or "" where callers of wanted can call given."""
    kinds = inspect.Parameter
    by_place = [p for p in given if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    star = any(p.kind is kinds.VAR_POSITIONAL for p in given)
    any_name = any(p.kind is kinds.VAR_KEYWORD for p in given)
    named = {p.name: p for p in given}
    place = 0
    for want in wanted:
        if want.kind is kinds.VAR_POSITIONAL:
            if not star:
                return f"*{want.name}"
            continue
        if want.kind is kinds.VAR_KEYWORD:
            if not any_name:
                return f"**{want.name}"
            continue
        found = named.get(want.name)
        if want.kind is kinds.POSITIONAL_OR_KEYWORD:
            receiver = want.name == "self" and place == 0
            same = not by_name or receiver
            if place < len(by_place) and (same or by_place[place].name == want.name):
                found = by_place[place]
            elif star:
                continue
            else:
                return f"{want.name} at place {place}"
            place += 1
        elif found is None and not any_name:
            return want.name
        if found is None or want.default is ...:
            if found is not None and found.default is kinds.empty:
                return f"a default for {want.name}"
        elif want.default is not kinds.empty and want.default != found.default:
            return f"{want.name}={want.default!r}, which is {found.default!r}"
    names = {p.name for p in wanted} | {p.name for p in by_place[:place]}
    for p in given:
        variadic = p.kind in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
        if p.name not in names and not variadic and p.default is kinds.empty:
            return f"{p.name}, which callers do not pass"
    return ""


@pytest.mark.parametrize(("owner", "name", "text"), ROWS, ids=[f"{o}.{n}" for o, n, _ in ROWS])
def test_course_name_and_signature(owner: str, name: str, text: str) -> None:
    thing = getattr(resolve(owner), name)
    if text:
        given = list(inspect.signature(thing).parameters.values())
        missing = accepts(given, expected(text), name not in POSITIONAL)
        assert not missing, f"{owner}.{name}{inspect.signature(thing)} lacks {missing}"


def test_course_signatures_are_compared() -> None:
    """The comparison above sees a missing, renamed, reordered or extra required parameter."""
    wanted = expected("a, b=1, *, c=None")
    for text, ok in {
        "a, b=1, *, c=None": True,
        "a, b=1, d=2, *, c=None, e=3": True,
        "a, b=1, c=None": True,
        "a, b=1, **kw": True,
        "a, b=1": False,
        "a, b=2, *, c=None": False,
        "b, a=1, *, c=None": False,
        "a, b=1, *, c": False,
        "a, b=1, *, c=None, e": False,
    }.items():
        assert (accepts(expected(text), wanted, True) == "") is ok, text


@pytest.mark.parametrize("name", ["nn", "data", "init", "ops", "optim", "autograd"])
def test_course_submodules_are_attributes(name: str) -> None:
    assert getattr(ndl, name) is importlib.import_module(f"needle.{name}")
    assert ndl.backend_ndarray.ndarray.NDArray is ndl.backend_ndarray.NDArray
    assert ndl.backend_selection.NDArray is ndl.backend_ndarray.NDArray


def test_course_devices() -> None:
    assert ndl.default_device() == ndl.cpu()
    assert repr(ndl.cpu()) == "cpu()"
    assert ndl.cpu() == ndl.cpu()
    assert ndl.cpu() != ndl.cpu_numpy()
    assert ndl.cpu().enabled()
    assert ndl.cuda().enabled() in (True, False)
    assert {d.name for d in ndl.all_devices()} >= {"cpu", "cuda", "cpu_numpy"}


def test_course_import_prints_nothing() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "import needle"], capture_output=True, text=True, check=True
    )
    assert (run.stdout, run.stderr) == ("", "")
