"""`needle-verify bench`: times needle beside torch, and says where it is too slow."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from verify.output import by_lines, say, tell
from verify.plan import require_known
from verify.progress import Bar
from verify.selecting import names, require_writable, write
from verify.setup import Parts
from verify.spec import DTYPES, Exit, UsageError

if TYPE_CHECKING:
    from verify.bench.definitions import Pair
    from verify.bench.limits import Limits

DESCRIPTION = """\
Times ops, layers, optimizers and models of needle beside torch in one process: both take turns,
with equal threads. A ratio above 1 means that needle is faster. Absolute times drift with the
machine; the ratio of neighbours does not. pytest tests/benchmarks times the same pairs."""
EPILOG = """\
examples:
  needle-verify bench --op conv                      one op, forward and backward
  needle-verify bench --op 'nn.*' --dtype float32 --threads 1
  needle-verify bench --op conv --least 0.9          exit 4 where it is slower than torch / 0.9
  needle-verify bench --seconds 60 --json s.json --markdown s.md
  needle-verify gate r.jsonl --baseline b.json --ratios s.json   beside what is on record

Ctrl-C ends it: what was timed is reported.

exit codes: 0 all was timed   1 a pair could not be   2 usage or set-up   3 it was interrupted,
  or nothing was timed   4 a ratio is below --least
"""
_DEVICES = ("cpu", "cuda")


def options(p: argparse.ArgumentParser) -> None:
    """Adds the options."""
    several: dict[str, Any] = {"action": "extend", "nargs": "+"}
    p.add_argument("--op", **several, metavar="NAME", help="ops by name or glob (all)")
    p.add_argument("--family", **several, metavar="NAME", help="families of pairs (all)")
    p.add_argument("--dtype", **several, metavar="NAME", help="dtypes (float32, float64)")
    p.add_argument("--device", default="cpu", metavar="NAME", help="cpu (default) or cuda")
    p.add_argument("--threads", type=int, **several, metavar="N", help="numbers of threads (1 2)")
    p.add_argument("--seconds", type=float, metavar="S", help="stop then: what is left is told")
    p.add_argument("--json", metavar="FILE", help="every row, with the ratio of every round")
    p.add_argument("--markdown", metavar="FILE", help="the same to read, slowest first")
    p.add_argument("--least", type=float, metavar="R", help="exit 4 where a ratio is surely below")
    p.add_argument("--rounds", type=int, default=15, metavar="N", help="turns of each side (15)")
    p.add_argument(
        "--target", type=float, default=0.01, metavar="S", help="seconds of a turn (0.01)"
    )
    p.add_argument("--cold", action="store_true", help="cuda: with nothing in the L2 cache")
    p.add_argument(
        "--slowdown", type=float, default=0.0, metavar="S", help="plant one: 0.2 is 20 %% slower"
    )
    p.add_argument("-q", "--quiet", action="store_true", help="no rows, the means only")


@dataclass
class Timed:
    """What a run gave."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # what time did not reach
    failed: list[str] = field(default_factory=list)
    interrupted: bool = False


def run(chosen: argparse.Namespace, arguments: Sequence[str], parts: Parts | None) -> Exit:
    """Time, report, hold."""
    dtypes = names(chosen, "dtype") or ("float32", "float64")
    _check(chosen, dtypes)
    try:
        import torch

        from verify.bench import families, report
        from verify.bench.place import PLACE
    except ImportError as error:
        raise UsageError(f"[setup] needle and torch are timed, got {error}") from error
    steps = families.select(names(chosen, "op"), names(chosen, "family"))
    if not steps:
        tell("nothing is selected: no pair fits these options (exit 3)")
        return Exit.WEAK
    PLACE.name, PLACE.cold = chosen.device, chosen.cold
    _require_device(PLACE)
    # Products of torch in the precision of their dtype: TF32 would be another computation.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    timed = Timed()
    threads = (chosen.threads or [1, 2])[: 1 if chosen.device == "cuda" else None]
    limits = {f"{n} thread(s)": PLACE.limits(n) for n in threads}
    work = [(n, *step, d) for n in threads for step in steps for d in dtypes]
    try:
        _time(work, chosen, timed, limits)
    except KeyboardInterrupt:  # what is timed counts
        timed.interrupted = True
    mean = report.means(timed.rows)
    for name, value in mean.items():
        say(f"geometric mean, {name}: {value:.2f} x")
    said = {
        "provenance": report.provenance(["needle-verify", "bench", *arguments]),
        "limits": limits,
        "geometric_mean": mean,
        "rows": timed.rows,
        "not_reached": timed.left,
        "failed": timed.failed,
    }
    if chosen.json is not None:
        write("json", chosen.json, by_lines(said))
    if chosen.markdown is not None:
        write("markdown", chosen.markdown, report.markdown(said))
    return _exit(timed, chosen.least)


def _check(chosen: argparse.Namespace, dtypes: Sequence[str]) -> None:
    """UsageError for values that nothing can be timed with."""
    require_known("device", chosen.device, _DEVICES)
    for dtype in dtypes:
        require_known("dtype", dtype, DTYPES)
    if set(dtypes) & {"float16", "bfloat16"} and chosen.device == "cpu":
        raise UsageError(f"[dtype] 16 bits are computed on cuda alone, got {', '.join(dtypes)}")
    for name, least in (("rounds", 2), ("target", 1e-6), ("seconds", 1e-6), ("least", 1e-6)):
        value = getattr(chosen, name)
        if value is not None and not least <= value < float("inf"):
            raise UsageError(f"[{name}] at least {least:g}, got {name}={value:g}")
    for n in chosen.threads or ():
        if n < 1:
            raise UsageError(f"[threads] at least one, got threads={n}")
    if not chosen.slowdown >= 0:
        raise UsageError(f"[slowdown] from 0 on, got slowdown={chosen.slowdown:g}")
    require_writable(chosen, ("json", "markdown"))


def _require_device(place: Any) -> None:
    import torch

    if not place.needle.enabled():
        raise UsageError(f"[device] {place.name} cannot be used here: {place.needle.reason}")
    if place.name == "cuda" and not torch.cuda.is_available():
        raise UsageError("[device] this torch has no CUDA, got device=cuda")


def _time(
    work: Sequence[tuple[int, str, str, str]],
    chosen: argparse.Namespace,
    timed: Timed,
    limits: Mapping[str, Limits],
) -> None:
    """Every pair of every op in turn; an interrupt leaves what is done."""
    from verify.bench.measure import compare

    end = time.monotonic() + (chosen.seconds or float("inf"))
    with Bar(len(work), (), "done", quiet=chosen.quiet, first="timing") as bar:
        for done, (threads, family, op, dtype) in enumerate(work):
            if time.monotonic() > end:
                timed.left += [f"{op} {dtype}" for _, _, op, dtype in work[done:]]
                return
            _set_threads(threads)
            for pair in _pairs(family, op, dtype, timed):
                if time.monotonic() > end:
                    timed.left.append(f"{pair.name} {dtype}")
                    continue
                try:
                    found = compare(
                        pair,
                        chosen.rounds,
                        chosen.target,
                        chosen.slowdown,
                        limits[f"{threads} thread(s)"],
                    )
                except Exception as error:  # the others count all the same; the exit code tells
                    _failed(timed, f"{pair.name} {dtype}", error)
                    continue
                timed.rows.append({"threads": threads} | found)
                if not chosen.quiet:
                    _show(timed.rows[-1])
            bar.count("done")


def _pairs(family: str, op: str, dtype: str, timed: Timed) -> Iterator[Pair]:
    """The pairs of an op; what its inputs or models raise is told."""
    from verify.bench.families import FAMILIES

    try:
        yield from FAMILIES[family][op](dtype)
    except Exception as error:
        _failed(timed, f"{op} {dtype}", error)


def _failed(timed: Timed, name: str, error: Exception) -> None:
    timed.failed.append(f"{name}: {type(error).__name__}: {error}")
    tell(f"[bench] it cannot be timed, got {timed.failed[-1]}")


def _set_threads(n: int) -> None:
    import torch

    import needle as ndl

    torch.set_num_threads(n)
    ndl.set_num_threads(n)


def _show(row: dict[str, Any]) -> None:
    low, high = row["ratio_quartiles"]
    say(
        f"{row['threads']} thread(s)  {row['dtype']}  {row['name']:<52}{row['ratio']:6.2f} x "
        f"({low:.2f} - {high:.2f})  {row['needle_us']:10.2f} us"
    )
    sys.stdout.flush()


def _exit(timed: Timed, least: float | None) -> Exit:
    """The smallest code that applies, as everywhere."""
    if timed.left and not timed.interrupted:
        tell(f"time is up: {len(timed.left)} were not reached, {timed.left[0]} first")
    if timed.interrupted:
        tell(f"interrupted: {len(timed.rows)} rows were timed")
    slow = [r for r in timed.rows if least is not None and r["ratio_quartiles"][1] < least]
    for r in slow:
        tell(
            f"[least] slower than {least:g} x torch, got {r['ratio']:.2f} x (upper quartile "
            f"{r['ratio_quartiles'][1]:.2f}): {r['name']} {r['dtype']}, {r['threads']} thread(s)"
        )
    if timed.failed:
        return Exit.WRONG
    if timed.interrupted or not timed.rows:
        return Exit.WEAK
    return Exit.REGRESSED if slow else Exit.GOOD
