"""Does needle-verify accuse right kernels? Every case of a selection, with N seeds.

    python tests/evidence/seeds.py --json reports/false-alarms.json \\
        --markdown reports/false-alarms.md -- --device cpu,numpy

What follows `--` are options of needle-verify. The results of each seed are kept in --folder: a
seed whose file is complete is not run again, one that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from report import provenance, table

from verify.output import by_lines
from verify.quantiles import DERIVED
from verify.results import Results, read
from verify.spec import Case, Status, UsageError, Verdict
from verify.summary import WRONG, summarize

HEAD = (
    "seed", "verdicts", "alarms", "weak groups", "largest rho of forward and vjp",
    "of differences", "seconds of judging",
)  # fmt: skip


def stored(path: Path, arguments: Sequence[str], commit: str | None) -> Results | None:
    """A file's results, if they are of this command on this commit; None: it must start anew."""
    try:
        results = read(path)
    except UsageError:
        return None
    header = results.header
    same = header["command"][1:] == list(arguments) and header["commit"] == commit
    return results if same else None


def complete(results: Results) -> bool:
    """Whether every case of the plan has its verdict."""
    return len({v.id for v in results.verdicts}) == results.header["plan"]["size"]


def run(seed: int, options: Sequence[str], path: Path, commit: str | None) -> Results:
    """The results of a seed, from its file or from a run."""
    options = [*options, "--no-cache"]  # evidence is of what was judged here
    arguments = [*options, "--seed", str(seed), "--json", str(path)]
    before = stored(path, arguments, commit)
    if before is not None and complete(before):
        sys.stderr.write(f"seed {seed}: {path} is complete\n")
        return before
    if before is not None:
        arguments = [*options, "--seed", str(seed), "--resume", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "verify", *arguments], check=False, stdout=subprocess.DEVNULL
    )
    if done.returncode == 2:
        raise SystemExit(2)
    results = read(path)
    if not complete(results):
        raise SystemExit(f"[seeds] seed {seed} was interrupted; the same command goes on")
    sys.stderr.write(f"seed {seed}: {len(results.verdicts):,} verdicts, exit {done.returncode}\n")
    return results


def line(seed: int, results: Results) -> dict[str, Any]:
    """What a seed gave."""
    verdicts = results.verdicts
    summary = summarize(verdicts, results.header["plan"]["size"])
    bound = [v for v in verdicts if Case.parse(v.id).judge in DERIVED]
    slopes = [v for v in verdicts if Case.parse(v.id).judge not in DERIVED]
    return {
        "seed": seed,
        "verdicts": len(verdicts),
        "counts": {str(status): n for status, n in sorted(summary.counts.items()) if n},
        "seconds of judging": round(sum(v.seconds for v in verdicts), 1),
        "elements compared": sum(v.checked for v in verdicts),
        "largest rho, forward and vjp": largest(bound),
        "largest rho, differences": largest(slopes),
        "alarms": [
            {"id": v.id, "status": str(v.status), "text": v.worst or v.message}
            for v in verdicts
            if v.status in WRONG
        ],
        "weak groups": ["/".join(group) for group in summary.weak],
    }


def largest(verdicts: Sequence[Verdict]) -> float | None:
    """The largest rho of those that passed."""
    rhos = [v.rho for v in verdicts if v.rho is not None and v.status is Status.PASS]
    return max(rhos, default=None)


def markdown(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = report["seeds"]
    total: Counter[str] = Counter()
    for each in lines:
        total.update(each["counts"])
    verdicts = sum(each["verdicts"] for each in lines)
    alarms = [a | {"seed": each["seed"]} for each in lines for a in each["alarms"]]
    parts = [
        f"# {len(alarms):,} alarms in {verdicts:,} verdicts on right kernels",
        f"`needle-verify {' '.join(report['options'])}` with {len(lines)} seeds: "
        + ", ".join(f"{n:,} {status}" for status, n in total.items())
        + f". Made by `{report['command']}` on {report['cpu']}, torch "
        f"{report['versions']['torch']}, commit {report['commit']}.",
        table(
            HEAD,
            [
                [
                    str(each["seed"]),
                    f"{each['verdicts']:,}",
                    f"{len(each['alarms']):,}",
                    f"{len(each['weak groups']):,}",
                    number(each["largest rho, forward and vjp"]),
                    number(each["largest rho, differences"]),
                    f"{each['seconds of judging']:,.0f}",
                ]
                for each in lines
            ],
        ),
    ]
    if alarms:
        parts.append("## Alarms")
        parts.append("\n".join(f"- `{a['id']}` {a['status']}: {a['text']}" for a in alarms))
    weak = [f"- `{group}`, seed {each['seed']}" for each in lines for group in each["weak groups"]]
    if weak:
        parts += ["## Weak groups", "\n".join(weak)]
    return "\n\n".join(parts) + "\n"


def number(x: float | None) -> str:
    """Three digits."""
    return "-" if x is None else f"{x:.3f}"


def main(arguments: list[str] | None = None) -> int:
    """Runs, writes, and gives 1 if anything but PASS was said."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file for the numbers")
    parser.add_argument("--markdown", type=Path, help="file for the table")
    parser.add_argument("--seeds", type=int, default=20, help="how many (default 20)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument(
        "--folder", type=Path, default=Path("build/seeds"), help="for the results files"
    )
    parser.add_argument("options", nargs="*", help="options of needle-verify, after --")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    report = provenance("tests/evidence/seeds.py", arguments)
    report["options"] = options.options
    report["seeds"] = []
    for seed in range(options.first, options.first + options.seeds):
        path = options.folder / f"seed{seed}.jsonl"
        report["seeds"].append(line(seed, run(seed, options.options, path, report["commit"])))
        if options.json:  # after every seed: a long run can be looked at
            options.json.write_text(by_lines(report))
    text = markdown(report)
    (options.markdown.write_text if options.markdown else sys.stdout.write)(text)
    good = {str(Status.PASS), str(Status.SKIP)}
    return 0 if all(each["counts"].keys() <= good for each in report["seeds"]) else 1


if __name__ == "__main__":
    raise SystemExit(main())
