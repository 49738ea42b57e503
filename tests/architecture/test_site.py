"""The site builds without a warning and none of its links is broken: what `tox -e docs` does."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {"sphinx-build": [sys.executable, "-m", "sphinx"], "python": [sys.executable]}


def test_the_site_builds_as_tox_builds_it(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="needs sphinx (extra: docs)")
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    lines = tox["testenv:docs"]["commands"].replace("build/site", str(tmp_path)).splitlines()
    commands = [line.split() for line in lines if line.split()[:1] not in ([], ["pytest"])]
    assert [command[0] for command in commands] == ["sphinx-build", "python"]
    for program, *arguments in commands:
        done = subprocess.run(
            [*PROGRAMS[program], *arguments], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
