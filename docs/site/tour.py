"""Runs the cells of docs/tour.ipynb in turn: what each prints.

python docs/site/tour.py           # says where a cell prints something else than the notebook shows
python docs/site/tour.py --write   # and writes it into the notebook
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TOUR = Path(__file__).resolve().parents[1] / "tour.ipynb"


_WORST = re.compile(r"^(\S+ (?:cpu|numpy|torch|cuda\w*) \w+ N (?:N )?[A-Z]+(?: N){1,2}) .*")


def plain(line: str) -> str:
    """Without what differs from machine to machine: numbers, widths, a table's worst case."""
    text = re.sub(r"\s+", " ", line).strip()
    return _WORST.sub(r"\1", re.sub(r"[-+]?\d[\d,.]*(e[-+]?\d+)?|\binf\b", "N", text))


def printed(notebook: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Every code cell with what it prints now; an exception ends the notebook, as it should."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for i, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile("".join(cell["source"]), f"cell {i}", "exec"), names)
            yield cell, out.getvalue()


def shown(cell: dict[str, Any]) -> str:
    """What the notebook shows below a cell."""
    return "".join("".join(output.get("text", "")) for output in cell["outputs"])


def main() -> int:
    """1 if the notebook shows something else, and is not to be written."""
    notebook = json.loads(TOUR.read_text())
    differ = 0
    for count, (cell, text) in enumerate(printed(notebook), 1):
        differ += shown(cell) != text
        stream = {"name": "stdout", "output_type": "stream", "text": text.splitlines(True)}
        cell["outputs"] = [stream] if text else []
        cell["execution_count"] = count
    if "--write" in sys.argv:
        TOUR.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
        return 0
    sys.stdout.write(f"{differ} cells print something else\n")
    return bool(differ)


if __name__ == "__main__":
    sys.exit(main())
