"""Copies of the targets with something changed, and what a run over one says."""

from __future__ import annotations

import shutil
from pathlib import Path

from verify.cli import main
from verify.results import read
from verify.spec import Verdict
from verify.summary import WRONG

HERE = Path(__file__).parent


def changed(folder: Path, base: str, file: str, *changes: tuple[str, str]) -> Path:
    """A copy of a target in which some text is another."""
    copy = shutil.copytree(HERE / base, folder / "it")
    path = copy / file
    text = path.read_text()
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    path.write_text(text)
    return copy


def asked(target: Path, *options: str) -> list[Verdict]:
    """The verdicts of needle-verify over a target."""
    results = target.parent / "r.jsonl"
    main(["--target", str(target), *options, "--jobs", "1", "-q", "--json", str(results)])
    return read(results).verdicts


def wrong(verdicts: list[Verdict]) -> list[str]:
    """The ids of failures."""
    return [v.id for v in verdicts if v.status in WRONG]
