"""needle/_core.pyi names what the native module offers, no more and no less."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import needle.backend_ndarray
from needle import _core

STUB = Path(needle.backend_ndarray.__file__).parents[1] / "_core.pyi"
TREE = ast.parse(STUB.read_text())
# Slots that Python derives, or that mean nothing to a type checker.
IMPLIED = {"__doc__", "__module__", "__new__", "__repr__", "__reduce__", "__delitem__"}


def names_in(body: list[ast.stmt]) -> set[str]:
    names = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    names |= {
        node.target.id
        for node in body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    return names


@pytest.mark.parametrize("name", ["NDArray", "Device", "Handle", "Stream", "Event", "Graph"])
def test_nd_backend_stub_has_the_members(name: str) -> None:
    stub = next(n for n in TREE.body if isinstance(n, ast.ClassDef) and n.name == name)
    native = set(vars(getattr(_core, name))) - IMPLIED
    if name != "NDArray":
        native -= {"_pybind11_conduit_v1_"}
    if name in ("Device", "Handle"):  # cannot be made, but every class of pybind11's has one
        native -= {"__init__"}
    assert names_in(stub.body) - IMPLIED == native


def test_nd_backend_stub_has_the_functions() -> None:
    native = {name for name in vars(_core) if not name.startswith("__")}
    assert {n for n in names_in(TREE.body) if not n.startswith("_")} == native
