"""Docstrings as they are written here, for Sphinx: plain text, then Shape, Raises and others.

A paragraph or a sentence that begins with one of WORDS and a colon becomes a field; what is left
is text in which no character has a meaning. "See Softmax." of a function becomes a link.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

WORDS = "Shape|Shapes|dtype|Domain|Gradient|Draws|Raises|Source"
_START = re.compile(rf"(?:^|(?<=[.;]) )({WORDS}): ")


def fields(lines: list[str]) -> list[str]:
    """A docstring's lines as reStructuredText."""
    parts, examples = [[]], []
    for line in lines:
        if line.startswith(">>>") or (examples and line.strip()):
            examples.append(line)
        elif not line.strip():
            parts.append([])
        else:
            parts[-1].append(line)
    text, told = [], []
    for part in parts:
        if all(line.startswith(" ") for line in part):  # shown as it stands
            text += ["::", "", *(f"   {line}" for line in part), ""] if part else []
            continue
        pieces = _START.split("\n".join(part).replace("\n", " "))
        text += [_plain(pieces[0]), ""] if pieces[0].strip() else []
        told += [
            f":{word}: {_plain(value)}"
            for word, value in zip(pieces[1::2], pieces[2::2], strict=True)
        ]
    return [*text, *examples, *([""] if examples else []), *told, ""]


def _plain(text: str) -> str:
    escaped = re.sub(r"([\\*`|_<>])", r"\\\1", re.sub(r"\s+", " ", text).strip())
    # what a docstring has put in backticks is code
    return re.sub(r"\\`([^`]+?)\\`", lambda m: f"``{_unescaped(m[1])}``", escaped)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    module = getattr(obj, "__module__", "")

    def link(found: re.Match[str]) -> str:
        known = hasattr(sys.modules.get(module), found[1])
        return f"See :py:class:`~{module}.{found[1]}`." if known else found[0]

    lines[:] = [re.sub(r"\bSee ([A-Z]\w+)\.", link, line) for line in fields(lines)]


def _skip(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """argmax's and argmin's kernel is no part of their interface."""
    return True if name == "place" else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _process)
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True}
