"""What the documents say holds: links lead somewhere, code runs, the two commands are CI's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from verify import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(ROOT.glob("docs/*.md"))  # whose code is that of files in docs/examples
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *PAGES]
PATHS = re.compile(r"`((?:needle|verify|csrc|tests|reports)/[\w./]+)`")


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.M | re.S)


def test_docs_links_lead_somewhere() -> None:
    broken = [
        f"{path.name}: {target}"
        for path in DOCUMENTS
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text())
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert not broken


def test_docs_name_files_that_exist() -> None:
    """Paths in backticks that begin with a folder of the repository."""
    missing = [
        f"{path.name}: {name}"
        for path in DOCUMENTS
        for name in PATHS.findall(path.read_text())
        if not (ROOT / name).exists()
    ]
    assert not missing


@pytest.mark.parametrize(
    "code",
    [b for path in DOCUMENTS if path not in PAGES for b in blocks(path, "python")],
    ids=lambda code: code[:30],
)
def test_docs_python_blocks_run(code: str) -> None:
    exec(compile(code, "document", "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_docs_pages_show_what_their_examples_say(page: Path) -> None:
    """The files run in tests/verify/test_pages.py, with the commands of the pages."""
    examples = [path.read_text() for path in (ROOT / "docs" / "examples").glob("*.*")]
    shown = [code for language in ("python", "cpp") for code in blocks(page, language)]
    assert shown
    assert [code for code in shown if not any(code in text for text in examples)] == []


def test_docs_command_lines_parse() -> None:
    lines = [
        line
        for path in DOCUMENTS
        for block in blocks(path, "sh")
        for line in block.splitlines()
        if line.startswith("needle-verify")
    ]
    assert len(lines) > 5
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        known = words and words[0] in cli.SUBCOMMANDS
        parser = cli.subcommand(words.pop(0)) if known else cli.parser()
        parser.parse(words)


def test_docs_test_command_is_what_ci_runs() -> None:
    """.ci/run reads both commands out of the README; they must be where it looks."""
    readme = (ROOT / "README.md").read_text()
    for mark in ("verify", "tests"):
        assert len(re.findall(rf"^<!-- {mark} -->\n```sh\n.+\n```$", readme, re.M)) == 1
