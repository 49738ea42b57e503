"""Notebooks as pages: their cells as Markdown, code with what it printed. Nothing is run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from myst_parser.sphinx_ import Parser

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx


def markdown(notebook: dict[str, Any]) -> str:
    """A notebook's text."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        printed = "".join(
            "".join(output.get("text", output.get("data", {}).get("text/plain", "")))
            for output in cell["outputs"]
        )
        parts += [f"```text\n{printed.rstrip()}\n```"] if printed else []
    return "\n\n".join(parts)


class NotebookParser(Parser):
    """Reads .ipynb files."""

    supported: ClassVar[tuple[str, ...]] = ("ipynb",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """The notebook's Markdown."""
        super().parse(markdown(json.loads(inputstring)), document)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_source_suffix(".ipynb", "ipynb")
    app.add_source_parser(NotebookParser)
    return {"parallel_read_safe": True}
