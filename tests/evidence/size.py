"""Does a large problem hide a wrong gradient? The same planted faults before every checker.

    python tests/evidence/size.py --json reports/size-blindness.json \\
        --markdown reports/size-blindness.md

Checkers: torch.autograd.gradcheck (fast and slow), jax.test_util.check_grads (where jax is
installed), and two judges of needle-verify, on a torch.autograd.Function and on a needle.Op. All
with their defaults, in float64 unless the name says otherwise.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from gradient_faults import CORRECT, FAULTS, FUNCTIONS, Planted
from report import provenance, table

from verify.judges import examine
from verify.output import by_lines
from verify.request import Request
from verify.spec import Case, Status

SIZES = (16, 256, 1024, 4096, 16384, 262144, 1048576)
QUICK = (16, 256)
Checker = Callable[[Planted], bool]  # whether it says that something is wrong


def gradcheck(fast: bool) -> Checker:
    """torch's own, without the text of a failure: for that it computes the whole Jacobian."""
    module = importlib.import_module("torch.autograd.gradcheck")

    def says_wrong(planted: Planted) -> bool:
        x = torch.tensor(planted.point, requires_grad=True)
        f = planted.torch().apply
        with mock.patch.object(module, "_run_slow_mode_and_get_error", return_value=""):
            return not module.gradcheck(f, x, fast_mode=fast, raise_exception=False)

    return says_wrong


def check_grads(mode: str, dtype: str) -> Checker:
    """jax's own; float32 is what jax computes in unless told otherwise."""

    def says_wrong(planted: Planted) -> bool:
        import jax
        from jax.test_util import check_grads

        jax.config.update("jax_enable_x64", dtype == "float64")
        f, x = planted.jax(mode, dtype)
        try:
            check_grads(f, (x,), order=1, modes=[mode])
        except AssertionError:
            return True
        return False

    return says_wrong


def needle_verify(judge: str, subject: str) -> Checker:
    """One judge of verify.check, without the explanation of what it finds."""

    def says_wrong(planted: Planted) -> bool:
        function = planted.torch() if subject == "torch" else planted.needle()
        reference = FUNCTIONS[planted.function].torch
        request = Request(function=function, reference=reference, inputs=(planted.point,))
        case = Case(request.name, judge, subject, "float64", request.shapes)
        finding = examine(case, request.row, locate=False)
        # on a right gradient an undecided judge counts as an alarm
        return finding.status is not Status.PASS

    return says_wrong


def checkers(slow_up_to: int) -> dict[str, tuple[Checker, float]]:
    """Every checker by name, with the largest size that it is asked at."""
    found: dict[str, tuple[Checker, float]] = {
        "torch gradcheck, fast": (gradcheck(fast=True), math.inf),
        "torch gradcheck, slow": (gradcheck(fast=False), slow_up_to),
    }
    if importlib.util.find_spec("jax"):
        for mode, dtype in (("rev", "float64"), ("rev", "float32"), ("fwd", "float32")):
            found[f"jax check_grads, {mode}, {dtype}"] = (check_grads(mode, dtype), math.inf)
    for subject, judge in ((s, j) for s in ("torch", "cpu") for j in ("vjp", "fd")):
        found[f"needle-verify {judge}, {KINDS[subject]}"] = (
            needle_verify(judge, subject),
            math.inf,
        )
    return found


KINDS = {"torch": "autograd.Function", "cpu": "needle.Op"}


def measure(
    asked: dict[str, tuple[Checker, float]], sizes: tuple[int, ...], seeds: int, seconds: float
) -> Iterator[list[dict[str, Any]]]:
    """All rows so far, after every checker and size: one for each function and fault.

    Seeds end once they took `seconds` of processor time.
    """
    rows: list[dict[str, Any]] = []
    for n in sizes:
        for name, (says_wrong, largest) in asked.items():
            if n > largest:
                continue
            says_wrong(Planted("exp", CORRECT, n, -1))  # the first call pays for imports
            for function in FUNCTIONS:
                for fault in FAULTS:
                    said: list[int] = []
                    times: list[float] = []
                    while len(said) < seeds and sum(times) <= seconds:
                        planted = Planted(function, fault, n, len(said))
                        began = time.process_time()  # what others do here does not count
                        said.append(int(says_wrong(planted)))
                        times.append(time.process_time() - began)
                    row = {"checker": name, "function": function, "fault": fault, "n": n}
                    ms = round(1000 * statistics.median(times), 2)
                    rows.append(row | {"said wrong": said, "ms": ms})
            sys.stderr.write(f"N = {n:,}: {name}\n")
            yield rows
    for subject in KINDS.values():
        rows += either(rows, f"needle-verify {{}}, {subject}")
    yield rows


def either(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """vjp and fd together: wrong where one of them says so, at the cost of both."""
    keyed = {(r["checker"], r["function"], r["fault"], r["n"]): r for r in rows}
    joined = []
    for (checker, *key), vjp in keyed.items():
        if checker != name.format("vjp"):
            continue
        fd = keyed[name.format("fd"), *key]
        said = [
            max(pair) for pair in zip(vjp["said wrong"], fd["said wrong"], strict=False)
        ]  # of the seeds that both saw
        ms = round(vjp["ms"] + fd["ms"], 2)
        joined.append(vjp | {"checker": name.format("vjp + fd"), "said wrong": said, "ms": ms})
    return joined


# --- the report


def counts(rows: list[dict[str, Any]], **wanted: Any) -> tuple[int, int]:
    """How often it was said that something is wrong, of how often it was asked."""
    chosen = [r["said wrong"] for r in rows if all(r[k] == v for k, v in wanted.items())]
    return sum(map(sum, chosen)), sum(map(len, chosen))


def as_json(report: dict[str, Any]) -> str:
    """A line for each checker and fault: function -> N -> [said wrong, asked, ms]."""
    grouped: dict[tuple[str, str], dict[str, dict[int, list[float]]]] = {}
    for r in report["rows"]:
        by_function = grouped.setdefault((r["checker"], r["fault"]), {})
        numbers = [sum(r["said wrong"]), len(r["said wrong"]), r["ms"]]
        by_function.setdefault(r["function"], {})[r["n"]] = numbers
    rows = [
        {"checker": checker, "fault": fault} | functions
        for (checker, fault), functions in grouped.items()
    ]
    return by_lines(report | {"rows": rows})


def first_missed(rows: list[dict[str, Any]], checker: str, fault: str) -> str:
    """The smallest size at which the fault was missed at least once."""
    for n in sorted({r["n"] for r in rows}):
        said, asked = counts(rows, checker=checker, fault=fault, n=n)
        if said < asked:
            return f"{n:,} ({said}/{asked})"
    return "never"


def share(said: int, asked: int) -> str:
    """3/5."""
    return f"{said}/{asked}" if asked else "not asked"


def markdown(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    rows = report["rows"]
    names = list(dict.fromkeys(r["checker"] for r in rows))
    sizes = sorted({r["n"] for r in rows})
    right = [r for r in rows if r["fault"] == CORRECT]
    faults = [f for f in FAULTS if f != CORRECT]
    seen = sorted({len(r["said wrong"]) for r in rows})
    seeds = f"{seen[0]} to {seen[-1]} seeds" if len(seen) > 1 else f"{seen[0]} seeds"
    parts = [
        "# Does size hide a wrong gradient?",
        f"{', '.join(FUNCTIONS)} at N standard normal points with a fault planted in the gradient; "
        f"{seeds} each, fewer where a check is slow. Made by `{report['command']}` on "
        f"{report['cpu']}, torch {report['versions']['torch']}, jax {report['versions']['jax']}, "
        f"commit {report['commit']}.",
        "## The smallest N at which a fault was missed",
        "In brackets how often it was found there, over all functions and seeds.",
        table(
            ["checker", *faults, "false alarms"],
            [
                [
                    name,
                    *(first_missed(rows, name, f) for f in faults),
                    share(*counts(rows, checker=name, fault=CORRECT)),
                ]
                for name in names
            ],
        ),
        "## Milliseconds (of the processor) of one check of a correct gradient, median",
        table(
            ["checker", *(f"N = {n:,}" for n in sizes)],
            [
                [name]
                + [
                    f"{statistics.median(ms):,.1f}"
                    if (ms := [r["ms"] for r in right if r["checker"] == name and r["n"] == n])
                    else "not asked"
                    for n in sizes
                ]
                for name in names
            ],
        ),
        "## Found, of those planted",
    ]
    for name in names:
        parts.append(f"### {name}")
        lines = [
            [fault, *(share(*counts(rows, checker=name, fault=fault, n=n)) for n in sizes)]
            for fault in FAULTS
        ]
        parts.append(table(["fault", *(f"N = {n:,}" for n in sizes)], lines))
    return "\n\n".join(parts) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Measures, writes, and gives 1 if needle-verify missed a fault or raised a false alarm."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file for the rows")
    parser.add_argument("--markdown", type=Path, help="file for the tables")
    parser.add_argument("--seeds", type=int, default=5, help="of each fault (default 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="then no further seed")
    parser.add_argument("--slow-up-to", type=int, default=1024, help="N of gradcheck's slow mode")
    parser.add_argument("--jax", type=Path, help="folder that jax is installed in")
    parser.add_argument("--quick", action="store_true", help="small N and one seed, in seconds")
    options = parser.parse_args(arguments)
    if options.jax:
        sys.path.append(str(options.jax))
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sizes, seeds = (QUICK, 1) if options.quick else (SIZES, options.seeds)
    asked = checkers(options.slow_up_to)
    if not any(name.startswith("jax") for name in asked):
        sys.stderr.write("jax is not installed: its columns are left out\n")
    report = provenance("tests/evidence/size.py", arguments)
    for rows in measure(asked, sizes, seeds, options.seconds):
        report["rows"] = rows
        if options.json:  # after every step: a long run can be looked at
            options.json.write_text(as_json(report))
    text = markdown(report)
    (options.markdown.write_text if options.markdown else sys.stdout.write)(text)
    right = all(
        all(said != (r["fault"] == CORRECT) for said in r["said wrong"])
        for r in rows
        if r["checker"].startswith("needle-verify vjp + fd")
    )
    return 0 if right else 1


if __name__ == "__main__":
    raise SystemExit(main())
