"""Fixtures for the tests of the run: `fake` is the module of ops that misbehave on purpose."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from verify.targets import devices

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # tests import the fakes beside them


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No verdict of the user's own cache, and none of these runs in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(HERE)  # spawned workers get this sys.path too
    return importlib.import_module("fake_parts")


@pytest.fixture
def bench(fake: ModuleType, tmp_path: Path) -> Any:
    """Runs for the gate, the first of them on record."""
    made = importlib.import_module("fake_gate").Bench(fake, tmp_path)
    assert made.gate(made.results("first.jsonl"), "--update") == 0
    return made


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    """Starts a Python program that can import verify and the fakes, as a user's shell would."""

    def popen(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(HERE), *filter(None, sys.path)])
        return subprocess.Popen(
            [sys.executable, *arguments],
            env=os.environ | {"PYTHONPATH": path} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a process group of its own, to be interrupted as one
        )

    return popen


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[..., Any]], None]:
    """plant(name, function): the target's op of that name becomes the function."""
    resolve = devices.resolve

    def planted(name: str, function: Callable[..., Any]) -> None:
        monkeypatch.setattr(
            "verify.targets.call.resolve", lambda n: function if n == name else resolve(n)
        )

    return planted
