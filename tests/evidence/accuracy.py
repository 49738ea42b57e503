"""Two tables of `needle-verify calibrate` side by side: what a change of kernels did to accuracy.

git show REV:reports/accuracy-cpu.json > before.json
python tests/evidence/accuracy.py before.json reports/accuracy-cpu.json \
    --markdown reports/accuracy-change.md
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from report import table

NOISE = 5e-5  # ULP, half of the last digit that is shown


def read(path: Path) -> tuple[dict[str, Any], dict[tuple[str, ...], Any]]:
    """A table's head, and its rows by what was measured."""
    found = json.loads(path.read_text())
    rows = {}
    for row in found.pop("rows"):
        arguments = ", ".join(f"{k}={v}" for k, v in row["arguments"].items())
        name = f"{row['op']} ({arguments})" if arguments else row["op"]
        rows[name, row["device"], row["isa"], row["dtype"]] = row
    return found, rows


def markdown(before: Path, after: Path) -> str:
    """Largest and mean error of every function, before and after."""
    (old_head, old), (new_head, new) = read(before), read(after)
    lines, counts = [], {"more": 0, "less": 0, "as it was": 0}
    for key, row in new.items():
        pair = [f"{row['normal'][what]:.4f}" for what in ("most", "mean")]
        was, verdict = ["", ""], "new"
        if key in old:
            was = [f"{old[key]['normal'][what]:.4f}" for what in ("most", "mean")]
            by = row["normal"]["most"] - old[key]["normal"]["most"]
            verdict = "as it was" if abs(by) < NOISE else "more" if by > 0 else "less"
            counts[verdict] += 1
        lines.append([*key, was[0], pair[0], was[1], pair[1], verdict])
    gone = [" ".join(key) for key in old if key not in new]
    heads = ("function", "device", "ISA", "type", "largest before", "after", "mean before", "after")
    told = ", ".join(f"{n} {name}" for name, n in counts.items())
    return (
        "# Accuracy before and after\n\n"
        f"Errors in ULP of the result, of two runs of `needle-verify calibrate`: commit "
        f"{old_head['commit'][:12]} ({old_head['started']}) and {new_head['commit'][:12]} "
        f"({new_head['started']}), {new_head['machine']['cpu']}. Largest error: {told}; "
        f"{NOISE:g} ULP and less is as it was. "
        f"{'Not measured again: ' + ', '.join(gone) if gone else 'All were measured again.'}\n\n"
        f"{table([*heads, 'largest error'], lines)}\n"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--markdown", type=Path, required=True)
    options = parser.parse_args(arguments)
    options.markdown.write_text(markdown(options.before, options.after))


if __name__ == "__main__":
    main()
