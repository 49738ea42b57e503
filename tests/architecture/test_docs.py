"""What the documents say holds: links lead somewhere, code runs, the two commands are CI's."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from verify import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(ROOT.glob("docs/*.md"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *PAGES, *sorted(ROOT.glob("docs/api/*.md"))]
EXAMPLES = [p.read_text() for p in sorted((ROOT / "docs" / "examples").glob("*.*"))]
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


def unchecked(text: str) -> list[str]:
    """First lines of the blocks that no test looks into: indented, quoted, of another language.

    A schematic has no language; `console` runs in tests/verify/test_pages.py.
    """
    checked = {"", "python", "cpp", "console", "sh", "toml", "yaml", "text"}
    built = re.compile(r"```\{(toctree|include|literalinclude|eval-rst)\}")  # by Sphinx
    fences = re.findall(r"^[ \t>*+-]*(?:`{3,}|~{3,}).*$", text, re.M)
    return [f for f in fences[::2] if f.removeprefix("```") not in checked and not built.match(f)]


def test_docs_hold_no_block_that_nothing_checks() -> None:
    found = {path.name: unchecked(path.read_text()) for path in DOCUMENTS}
    assert {name: fences for name, fences in found.items() if fences} == {}
    for fence in ("```py", "~~~python", "```python title", " ```python", "````python", "> ```sh"):
        assert unchecked(f"```sh\n```\n{fence}\n```\n") == [fence]


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(block, id=f"{path.stem}-{i}")
        for path in DOCUMENTS
        for i, block in enumerate(blocks(path, "python"))
        if not any(block in text for text in EXAMPLES)  # these run with their files
    ],
)
def test_docs_python_blocks_run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "document", "exec"), {"__name__": "document"})


@pytest.mark.parametrize("page", ["custom-op", "autograd-function", "cuda-kernel"])
def test_docs_blocks_of_a_plugin_are_its_whole_file(page: str) -> None:
    """They can be copied one after the other; the file runs in tests/verify/test_pages.py."""
    shown = ast.parse("".join(blocks(ROOT / "docs" / f"{page}.md", "python")))
    file = ast.parse((ROOT / "docs" / "examples" / f"{page.replace('-', '_')}.py").read_text())
    assert ast.dump(shown) == ast.dump(ast.Module(file.body[1:], []))  # without its docstring


def test_docs_pages_show_what_their_examples_say() -> None:
    """The files run in tests/verify/test_pages.py, with the commands of the pages."""
    shown = [code for page in PAGES for code in blocks(page, "cpp")]
    assert shown
    assert [code for code in shown if not any(code in text for text in EXAMPLES)] == []


def test_docs_data_blocks_can_be_read() -> None:
    for path in DOCUMENTS:
        for block in blocks(path, "toml"):
            tomllib.loads(block)
        for block in blocks(path, "yaml"):
            yaml.safe_load(block)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_docs_shell_blocks_are_shell() -> None:
    for path in DOCUMENTS:
        for block in blocks(path, "sh"):
            found = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
            assert found.returncode == 0, f"{path.name}: {found.stderr}"


def test_docs_tour_prints_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/site/tour.py runs its cells; numbers may differ from machine to machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "docs" / "site")
    tour = importlib.import_module("tour")
    notebook = json.loads(tour.TOUR.read_text())
    assert notebook["nbformat"] == 4
    cells = list(tour.printed(notebook))
    assert len(cells) > 5
    for cell, text in cells:
        now, then = (list(map(tour.plain, t.splitlines())) for t in (text, tour.shown(cell)))
        assert now == then, "run python docs/site/tour.py --write"


def test_docs_pictures_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By docs/site/pictures.py; those with measured dots may differ by machine, two cannot."""
    monkeypatch.syspath_prepend(ROOT / "docs" / "site")
    monkeypatch.setattr(importlib.import_module("svg"), "IMAGES", tmp_path)
    importlib.import_module("pictures").draw()
    kept = {path.name: path.read_text() for path in (ROOT / "docs" / "images").glob("*.svg")}
    drawn = {path.name: path.read_text() for path in tmp_path.glob("*.svg")}
    assert drawn.keys() == kept.keys()
    assert [name for name in ("flow.svg", "tensor.svg") if drawn[name] != kept[name]] == []


def test_docs_name_every_page() -> None:
    """A page that no table of contents names is not found."""
    index = (ROOT / "docs" / "index.md").read_text()
    assert [p.stem for p in PAGES if f"\n{p.stem}\n" not in index and p.stem != "index"] == []
    of_api = (ROOT / "docs" / "api" / "index.md").read_text()
    assert [p.stem for p in ROOT.glob("docs/api/*.md") if f"\n{p.stem}\n" not in of_api] == [
        "index"
    ]


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
