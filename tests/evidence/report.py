"""What the reports of this folder share: where their numbers come from, and tables."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from verify.plan import Plan, Selection
from verify.results import provenance as of_plan


def provenance(script: str, arguments: Sequence[str] | None) -> dict[str, Any]:
    """Command, machine, versions and commit."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    run = of_plan(Plan(Selection(), ()), given)
    versions = run["versions"] | {name: _version(name) for name in ("jax", "jaxlib")}
    return {
        # a folder of this machine says nothing to others
        "command": shlex.join(
            ["python", script, *(Path(a).name if Path(a).is_absolute() else a for a in given)]
        ),
        "started": run["started"],
        "cpu": f"{run['machine']['cpu']}, {run['machine']['cores']} cores",
        "versions": versions,
        "commit": run["commit"],
    }


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
