"""How often does the gate cry wolf, and what does it catch?

    python tests/evidence/gate.py accuracy --seeds 8 --json reports/gate-accuracy.json \\
        --markdown reports/gate-accuracy.md -- --device cpu
    python tests/evidence/gate.py speed --reruns 50 --json reports/gate-speed.json \\
        --markdown reports/gate-speed.md -- --family softmax matmul --dtype float32 --threads 1

accuracy: the run of every seed is held against the record of every other, as it is and with the
rho of one op (of one of its judges, of one dtype) multiplied. What follows `--` are options of
needle-verify. speed: ratios.py (options after `--`) runs again and again in processes of its own,
on a quiet machine: for the record, as it is, and with a slowdown planted. Every run is kept in
--folder: what is complete is not run again.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import seeds
from report import provenance, table

from verify.gate import accuracy, speed
from verify.gate.baseline import Cases, cases_of
from verify.gate.rules import ALARMS
from verify.output import by_lines
from verify.spec import UsageError
from verify.summary import Group

Run = Mapping[Group, Cases]
FACTORS = (1.25, 1.5, 2.0, 3.0, 5.0)  # that rhos are multiplied by
PARTS = {  # of an op
    "all of it": lambda group: True,
    "float32": lambda group: group.dtype == "float32",
    "vjp": lambda group: group.judge == "vjp",
    "vjp in float32": lambda group: group.judge == "vjp" and group.dtype == "float32",
}
RATIOS = Path(__file__).parents[1] / "benchmarks" / "ratios.py"
PROCESSES = (1, 3)  # that a run of the gate is given; the last is what docs/gate.md asks for


# --- accuracy


def alarms(before: Run, here: Run) -> list[str]:
    """What the gate says of a run of another seed."""
    asked = accuracy.questions(before, here, accuracy.FACTOR)
    found = [*accuracy.findings(asked, ALARMS), *accuracy.lost(before, here)]
    return [f"{f.rule} {f.subject}: {f.text}" for f in found]


def worse(here: Run, op: str, part: str, factor: float) -> Run:
    """A run in which rhos of a part of an op are larger; at most 1, beyond they would fail."""
    return {
        group: {n: None if r is None else min(1.0, r * factor) for n, r in cases.items()}
        if group.op == op and PARTS[part](group)
        else cases
        for group, cases in here.items()
    }


def of_part(run: Run, op: str, part: str) -> list[float]:
    """The rhos there are to multiply."""
    return [
        rho
        for group, cases in run.items()
        if group.op == op and PARTS[part](group)
        for rho in cases.values()
        if rho is not None
    ]


def measure_accuracy(options: argparse.Namespace, report: dict[str, Any]) -> Iterator[None]:
    """Fills in the report, and stops where it can be looked at."""
    runs: list[Run] = []
    for seed in range(options.seeds):
        path = options.folder / f"seed{seed}.jsonl"
        runs.append(cases_of(seeds.run(seed, options.options, path, report["commit"]).verdicts))
    report["cases"] = sum(map(len, runs[0].values()))
    pairs = list(itertools.permutations(range(len(runs)), 2))
    said = {f"{i} {j}": alarms(runs[i], runs[j]) for i, j in pairs}
    report["comparisons"] = len(pairs)
    report["alarms"] = {pair: texts for pair, texts in said.items() if texts}
    yield
    ops = sorted({group.op for group, cases in runs[0].items() if any(cases.values())})
    report["planted"] = []
    for part, factor in itertools.product(PARTS, FACTORS):
        able = [op for op in ops if of_part(runs[0], op, part)]
        found = [op for op in able if alarms(runs[0], worse(runs[1], op, part, factor))]
        row = {"part": part, "factor": factor, "ops": len(able), "found": len(found)}
        report["planted"].append(row | {"missed": sorted(set(able) - set(found))})
        yield


def accuracy_markdown(report: dict[str, Any]) -> list[str]:
    """Its tables."""
    rows = [
        [part]
        + [
            f"{r['found']} of {r['ops']}"
            for factor in FACTORS
            for r in report["planted"]
            if (r["part"], r["factor"]) == (part, factor)
        ]
        for part in PARTS
    ]
    return [
        f"# {len(report['alarms'])} false alarms in {report['comparisons']} comparisons of runs",
        f"Runs of {report['cases']:,} cases with different seeds, each held against the record of "
        f"each other: `needle-verify {' '.join(report['options'])}`.",
        "\n".join(f"- {pair}: {text}" for pair, t in report["alarms"].items() for text in t)
        or "No alarm.",
        "## Ops found, whose rho was multiplied, with another seed than the record's",
        table(["what of the op", *(f"x {factor:g}" for factor in FACTORS)], rows),
    ]


# --- speed


def ratios(path: Path, options: Sequence[str]) -> speed.Measured:
    """What a process measured, from its file or from a run."""
    try:
        return speed.read(path)
    except UsageError:
        draft = path.with_suffix(".draft")
        command = [sys.executable, str(RATIOS), *options, "--json", str(draft)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        draft.replace(path)
        sys.stderr.write(f"{path}\n")
        return speed.read(path)


def measure_speed(options: argparse.Namespace, report: dict[str, Any]) -> Iterator[None]:
    """Fills in the report, and stops where it can be looked at."""

    def several(name: str, n: int, *more: str) -> list[speed.Measured]:
        paths = (options.folder / f"{name}{i}.json" for i in range(n))
        return [ratios(path, [*options.options, *more]) for path in paths]

    record = speed.record(several("record", options.record))
    report["rows"] = {s.row: s.threshold for s in record}
    report["reruns"], report["planted"] = [], []
    reruns = several("rerun", options.reruns)
    slow = several("planted", options.planted, "--slowdown", str(options.slowdown))
    for name, files in (("reruns", reruns), ("planted", slow)):
        for size in PROCESSES:
            # each begins a run, which goes on with its neighbours in time: as many runs as files
            runs = [[files[(i + j) % len(files)] for j in range(size)] for i in range(len(files))]
            said = [list(speed.findings(record, run, ALARMS)) for run in runs]
            report[name].append(
                {
                    "processes": size,
                    "runs": len(runs),
                    "runs with an alarm": sum(map(bool, said)),
                    "rows": len(runs) * len(record),
                    "alarms": [f"{f.subject}: {f.text}" for found in said for f in found],
                }
            )
    yield


def speed_markdown(report: dict[str, Any]) -> list[str]:
    """Its tables."""
    wide = {row: t for row, t in report["rows"].items() if t > speed.LEAST}
    keys = ("processes", "runs", "runs with an alarm", "rows")
    lines = [
        [what, *(str(r[key]) for key in keys), str(len(r["alarms"]))]
        for what in ("reruns", "planted")
        for r in report[what]
    ]
    head = ("what", "processes a run", "runs", "runs with an alarm", "rows", "alarms")
    reruns = report["reruns"][-1]
    return [
        f"# {reruns['runs with an alarm']} of {reruns['runs']} reruns of the same commit, "
        f"{reruns['processes']} processes each, raise an alarm",
        f"{len(report['rows'])} rows: `ratios.py {' '.join(report['options'])}`.",
        table(head, lines),
        "## Thresholds above the least",
        "\n".join(f"- {row}: {t:.0%}" for row, t in wide.items()) or "None.",
    ]


def main(arguments: list[str] | None = None) -> int:
    """Measures, writes, and gives 1 if an unchanged needle raised an alarm."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("accuracy", "speed"))
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--markdown", type=Path, help="file for the tables")
    parser.add_argument("--folder", type=Path, default=Path("build/gate"), help="for the runs")
    parser.add_argument("--seeds", type=int, default=8, help="of accuracy (8)")
    parser.add_argument("--record", type=int, default=5, help="processes on record (5)")
    parser.add_argument("--reruns", type=int, default=50, help="processes of the same commit (50)")
    parser.add_argument("--planted", type=int, default=6, help="processes with a slowdown (6)")
    parser.add_argument("--slowdown", type=float, default=0.2, help="the slowdown (0.2)")
    given = sys.argv[1:] if arguments is None else list(arguments)
    end = given.index("--") if "--" in given else len(given)
    options = parser.parse_args(given[:end])
    options.options = given[end + 1 :]
    options.folder.mkdir(parents=True, exist_ok=True)
    report = provenance("tests/evidence/gate.py", arguments)
    report["options"] = options.options
    measure, said = {
        "accuracy": (measure_accuracy, accuracy_markdown),
        "speed": (measure_speed, speed_markdown),
    }[options.what]
    for _ in measure(options, report):
        if options.json:
            options.json.write_text(by_lines(report))
    where = f"Made by `{report['command']}` on {report['cpu']}, commit {report['commit']}."
    text = "\n\n".join([*said(report), where]) + "\n"
    (options.markdown.write_text if options.markdown else sys.stdout.write)(text)
    wrong = report["alarms"] if options.what == "accuracy" else report["reruns"][-1]["alarms"]
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
