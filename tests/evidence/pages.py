"""ACCURACY.md, SPEED.md and COVERAGE.md of reports/, from what is committed there and the plan.

    python tests/evidence/pages.py                 # all three
    python tests/evidence/pages.py --check         # exit 1 if one is not what it would be

Nothing is measured here. ACCURACY is made of accuracy-*.json, SPEED of speed-*.json in reports,
COVERAGE of the plan of budget default: what is asked of which op, and why what is not.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from report import table

from verify import registry
from verify.accuracy import K_ULP
from verify.registry.planning import why_none
from verify.spec import DTYPES, JUDGES, Row

REPORTS = Path(__file__).resolve().parents[2] / "reports"
MADE = "Made by `python tests/evidence/pages.py`"
DEVICES = ("cpu", "numpy", "cuda_sim", "cuda")
SHORT = {"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16"}


def accuracy(folder: Path = REPORTS) -> str:
    """The largest errors of every function, a column for each machine or library."""
    files = [(p, json.loads(p.read_text())) for p in sorted(folder.glob("accuracy-*.json"))]
    names = [p.stem.removeprefix("accuracy-") for p, _ in files]
    parts = [
        "# Accuracy",
        f"The largest error of each unary function in ULP of the result. {MADE} from "
        "accuracy-*.json; every file has a table of its own beside it, with arguments, means and "
        "quantiles. The constant is what bounds on the cpu allow: an error above it is a failure.",
        table(
            ("file", "machine", "float32 patterns", "commit", "measured"),
            [
                (
                    f"`accuracy-{name}.md`",
                    f"{data['machine']['cpu']}, {data['machine']['cores']} cores",
                    f"{max(r['count'] for r in data['rows']):,}",
                    data["commit"][:12],
                    data["started"][:10],
                )
                for name, (_, data) in zip(names, files, strict=True)
            ],
        ),
    ]
    for dtype in ("float32", "float64"):
        found: dict[str, dict[str, float]] = defaultdict(dict)
        for name, (_, data) in zip(names, files, strict=True):
            for row in data["rows"]:
                if row["dtype"] == dtype:
                    found[row["op"] + _given(row["arguments"])][name] = row["most"]
        shown = [name for name in names if any(name in most for most in found.values())]
        parts += [
            f"## {dtype}",
            table(
                ("function", *shown, "constant (cpu)"),
                [
                    (op, *(_ulp(most.get(name)) for name in shown), _constant(op, dtype))
                    for op, most in found.items()
                ],
            ),
        ]
    return _page(parts)


def speed(folder: Path = REPORTS) -> str:
    """Ratios to torch, a table for each file."""
    parts = [
        "# Speed",
        f"needle beside torch on the CPU, in one process, calls interleaved. A ratio above 1 means "
        f"that needle is faster. {MADE} from speed-*.json. Every figure is of the machine and the "
        "commit named above its table.",
    ]
    for path in sorted(folder.glob("speed-*.json")):
        data = json.loads(path.read_text())
        if not {"provenance", "geometric_mean", "rows"} <= data.keys():
            continue  # no file of ratios.py
        of = data["provenance"]
        parts += [
            f"## {path.name}",
            f"{of['cpu']}, {of['isa']}; torch {of['torch']}; commit {of['commit'][:12]}; "
            f"`{'' if of['command'].startswith('needle-verify') else 'python '}{of['command']}`",
            "Geometric means: "
            + ", ".join(f"{ratio:.2f} on {name}" for name, ratio in data["geometric_mean"].items())
            + f". {_below(data['rows'])}",
            _ratios(data["rows"]),
        ]
    return _page(parts)


def _below(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many rows are slower than torch's, and which all of the time."""
    slower = [r for r in rows if r["ratio"] < 1]
    kinds = {(r["name"], r["dtype"]): 0 for r in slower}
    for r in slower:
        kinds[r["name"], r["dtype"]] += 1
    threads = len({r["threads"] for r in rows})
    always = [f"{name} {dtype}" for (name, dtype), n in kinds.items() if n == threads]
    return (
        f"{len(slower)} of {len(rows)} rows are below 1"
        + (f"; whatever the threads: {', '.join(always)}" if always else "")
        + "."
    )


def _ratios(rows: Sequence[Mapping[str, Any]]) -> str:
    lines, limits = [], any("limit" in r for r in rows)
    for r in rows:
        low, high = r["ratio_quartiles"]
        times = (f"{r[side]:,.1f}" for side in ("needle_us", "torch_us"))
        lines.append(
            (
                r["name"],
                r["dtype"],
                str(r["threads"]),
                f"**{r['ratio']:.2f}**" if r["ratio"] < 1 else f"{r['ratio']:.2f}",
                f"{low:.2f} to {high:.2f}",
                *times,
                *((_share(r),) if limits else ()),
            )
        )
    head = ("call", "dtype", "threads", "ratio", "quartiles", "needle, µs", "torch, µs")
    return table((*head, "of the limit") if limits else head, lines)


def _share(row: Mapping[str, Any]) -> str:
    """How near a row is to the limit that binds it, which was measured in the same run."""
    share = row.get("share_of_limit")
    return "" if share is None else f"{share:.0%} of {row['limit']}"


def coverage() -> str:
    """Cases by op, judge, device and dtype, and the reasons of empty cells."""
    rows = {name: row for name, row in registry.rows().items() if row.family != "user"}
    counts = {
        device: {
            name: {
                judge: tuple(
                    len(registry.plan_cases(row, device, dtype, judge, 0)) for dtype in _of(device)
                )
                for judge in JUDGES
            }
            for name, row in rows.items()
        }
        for device in DEVICES
    }
    total = sum(n for ops in counts.values() for js in ops.values() for c in js.values() for n in c)
    parts = [
        "# Coverage",
        f"{len(rows)} ops, layers, optimizers, models and others; {total:,} cases of budget "
        f"default on {', '.join(DEVICES)}. {MADE} from the plan; `needle-verify --list` prints "
        "the ids. A cell has the number of cases in each dtype. A dot is explained below.",
    ]
    for devices in _alike(counts):
        kinds = "/".join(SHORT[d] for d in _of(devices[0]))
        parts += [
            f"## On {' and '.join(devices)}: {kinds}",
            table(
                ("op", *JUDGES),
                [
                    (name, *("/".join(str(n or "·") for n in of) if any(of) else "·"
                             for of in (counts[devices[0]][name][judge] for judge in JUDGES)))
                    for name in rows
                ],
            ),
        ]  # fmt: skip
    return _page([*parts, "## Why cells are empty", *_reasons(rows)])


def _of(device: str) -> tuple[str, ...]:
    """The dtypes that a device computes in."""
    return tuple(DTYPES) if device.startswith("cuda") else ("float32", "float64")


def _alike(counts: Mapping[str, Any]) -> list[list[str]]:
    """Devices of which the same is asked, `across` apart, together."""

    def asked(device: str) -> Any:
        return {
            name: {judge: of for judge, of in judges.items() if judge != "across"}
            for name, judges in counts[device].items()
        }

    found: list[list[str]] = []
    for device in counts:
        same = next((g for g in found if asked(g[0]) == asked(device)), None)
        if same is not None and _of(same[0]) == _of(device):
            same.append(device)
        else:
            found.append([device])
    return found


def _reasons(rows: Mapping[str, Row]) -> list[str]:
    parts = []
    for judge in JUDGES:
        why: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for name, row in rows.items():
            for dtype in DTYPES:
                if reason := why_none(row, dtype, judge):
                    why[reason][name].append(SHORT[dtype])
        if why:
            lines = [f"- {reason}: {_names(ops, list(rows))}" for reason, ops in why.items()]
            parts.append(f"**{judge}**\n\n" + "\n".join(lines))
    across = "- numpy is what the other devices are held against"
    return [*parts, f"**across, on numpy**\n\n{across}"]


def _names(ops: Mapping[str, Sequence[str]], of: Sequence[str]) -> str:
    """Ops by the dtypes that are concerned."""
    by: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, dtypes in ops.items():
        by[tuple(dtypes)].append(name)
    return "; ".join(
        _said(names, of) + ("" if len(dtypes) == len(DTYPES) else f" in {', '.join(dtypes)}")
        for dtypes, names in by.items()
    )


def _said(names: Sequence[str], of: Sequence[str]) -> str:
    others = [name for name in of if name not in names]
    if len(others) >= len(names):
        return ", ".join(names)
    return "every op but " + ", ".join(others) if others else "every op"


def _given(arguments: Mapping[str, Any]) -> str:
    return "".join(f" {name}={value}" for name, value in arguments.items())


def _ulp(most: float | None) -> str:
    return "" if most is None else f"{most:.3f}" if math.isfinite(most) else "inf"


def _constant(op: str, dtype: str) -> str:
    k = K_ULP["cpu"][dtype].get(op)
    return "" if k is None else f"{k:g}"


def _page(parts: Iterable[str]) -> str:
    return "\n\n".join(parts) + "\n"


PAGES = {"ACCURACY.md": accuracy, "SPEED.md": speed, "COVERAGE.md": coverage}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if one differs")
    check = parser.parse_args(arguments).check
    os.environ.pop("NEEDLE_DATA", None)  # whose samples only some machines have
    old = []
    for name, make in PAGES.items():
        path, text = REPORTS / name, make()
        if check and (not path.exists() or path.read_text() != text):
            old.append(name)
        elif not check:
            path.write_text(text)
    if old:
        sys.stderr.write(f"{', '.join(old)}: run python tests/evidence/pages.py\n")
    return bool(old)


if __name__ == "__main__":
    sys.exit(main())
