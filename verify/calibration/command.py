"""`needle-verify calibrate`: measure, report, and hold the constants against what was found."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verify.calibration import table
from verify.calibration.arguments import EVERY
from verify.calibration.parts import DEVICES, JUDGE, Extent, plan
from verify.output import by_lines, say, tell
from verify.plan import Plan, Selection, require_known
from verify.results import Results, Writer, provenance, read, unfinished
from verify.selecting import names, require_writable, write
from verify.setup import Parts
from verify.spec import COMPUTED, Case, Exit, UsageError, Verdict

if TYPE_CHECKING:
    from verify.runner import Runner

DESCRIPTION = """\
Measures the error of every unary op in ULP of the result: float32 over all 2^32 bit patterns,
against float64; float64 over 20,000 arguments, some of them around the worst of the others, against
50 digits. The constants of verify/accuracy.py, from which bounds follow, rest on its tables."""
EPILOG = """\
examples:
  needle-verify calibrate                                all of it on the cpu device: an hour
  needle-verify calibrate --op exp --patterns 4194304    every 1025th pattern: seconds
  needle-verify calibrate --device torch --dtype float64      the oracle itself
  needle-verify calibrate --json r.json --resume         go on after an interrupt
  needle-verify --html r.html --accuracy r.json          the table in the page of a run

exit codes: 0 every error is within its constant and its bound, every special value is right
  1 something is not   2 usage or set-up   3 not all was measured
"""
_FUNCTION = "verify.calibration.measure:run_case"
_ISAS = ("v2", "v3", "v4")
_TIMEOUT = 600.0  # seconds for a part, which takes about one


def options(p: argparse.ArgumentParser) -> None:
    """Adds the options."""
    p.add_argument("--op", action="append", metavar="NAME", help="ops, as exp,erf (all)")
    p.add_argument("--device", action="append", metavar="NAMES", help=f"{', '.join(DEVICES)} (cpu)")
    p.add_argument(
        "--dtype", action="append", metavar="NAMES", help=f"{', '.join(COMPUTED)} (both)"
    )
    p.add_argument("--isa", metavar="ISA", help=f"{', '.join(_ISAS)}, of the cpu device (the best)")
    p.add_argument(
        "--patterns",
        default="all",
        metavar="N",
        help="about so many float32 patterns, evenly spread (all)",
    )
    p.add_argument(
        "--samples",
        type=int,
        default=Extent.samples,
        metavar="N",
        help=f"float64 arguments ({Extent.samples})",
    )
    p.add_argument("--jobs", type=int, metavar="N", help="workers per device (2)")
    p.add_argument("--json", metavar="FILE", help="keep the table as JSON")
    p.add_argument("--markdown", metavar="FILE", help="the same to read")
    p.add_argument(
        "--resume", action="store_true", help="go on with what an interrupt left beside --json"
    )
    p.add_argument("-q", "--quiet", action="store_true", help="failures only")


def run(options: argparse.Namespace, arguments: Sequence[str], parts: Parts | None) -> Exit:
    """Measure what the options say."""
    from verify import registry

    extent = _extent(options)
    selection = _selection(options)
    _require_usable(selection.devices, parts)
    known = registry if parts is None or parts.registry is None else parts.registry
    todo = Plan(selection, plan(selection, known.rows(), extent))
    header = provenance(todo, ["needle-verify", "calibrate", *arguments])
    function = _FUNCTION if parts is None else parts.case_function
    with tempfile.TemporaryDirectory(prefix="needle-verify-") as folder:
        kept = options.json is not None
        path = Path(f"{options.json}.parts") if kept else Path(folder, "parts")
        results = _execute(todo, options, path, header, function)
        lines = table.gather(todo.cases, results.verdicts)
        whole = len(results.verdicts) == len(todo.cases)
        if whole:
            _write(options, lines, results)
        if whole and kept:
            path.unlink()
    _say(lines, options.quiet)
    if not whole:
        where = f"{path} keeps them; go on with the same options and --resume" if kept else ""
        tell(f"interrupted: {len(results.verdicts)} of {len(todo.cases)} parts. {where}")
    if any(line.status == "FAIL" for line in lines):
        return Exit.WRONG
    return Exit.GOOD if whole else Exit.WEAK


def _say(lines: Sequence[table.Line], quiet: bool) -> None:
    """The table, and what is wrong."""
    if not quiet:
        say(table.terminal(lines))
    for line in lines:
        for text in line.wrong:
            say(f"FAIL {line.name} {line.device} {line.dtype}: {text}")


def _extent(options: argparse.Namespace) -> Extent:
    """How much the options ask for."""
    text = options.patterns
    patterns = EVERY if text == "all" else int(text) if text.isdecimal() else 0
    if not 0 < patterns <= EVERY:
        raise UsageError(f"[patterns] all, or a number up to 2^32, got patterns={text!r}")
    for name in ("samples", "jobs"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UsageError(f"[{name}] at least one, got {name}={value}")
    return Extent(patterns, options.samples)


def _selection(options: argparse.Namespace) -> Selection:
    devices = names(options, "device") or ("cpu",)
    dtypes = names(options, "dtype") or COMPUTED
    for what, got, valid in (("device", devices, DEVICES), ("dtype", dtypes, COMPUTED)):
        for value in got:
            require_known(what, value, valid)
    if options.isa is not None:
        require_known("isa", options.isa, _ISAS)
    require_writable(options, ("json", "markdown"))
    if options.resume and options.json is None:
        raise UsageError("[resume] it goes on beside the table, got json=None")
    return Selection(names(options, "op"), devices, dtypes, (JUDGE,), ("compact",))


def _require_usable(devices: Sequence[str], parts: Parts | None) -> None:
    from verify import targets

    status = parts.device_status if parts is not None else None
    for device in devices:
        try:
            reason = None if device == "torch" else (status or targets.device_status)(device)
        except Exception as error:  # whatever importing the subject raises is a matter of set-up
            raise UsageError(f"[setup] needle cannot be used: {error}") from error
        if reason is not None:
            raise UsageError(f"[device] {device} cannot be used here: {reason}")


def _execute(
    todo: Plan, options: argparse.Namespace, path: Path, header: dict[str, Any], function: str
) -> Results:
    """Every part's verdict, kept in the file at `path` as they come."""
    from verify.progress import Watch
    from verify.runner import Runner
    from verify.worker import Settings

    left: list[Case] = list(todo.cases)
    verdicts: list[Verdict] = []
    if options.resume:
        earlier = read(path)
        left, verdicts = unfinished(todo, earlier, path)
        header, writer = earlier.header, Writer(path, None, earlier.complete_bytes)
    elif path.exists():
        raise UsageError(
            "[calibrate] an interrupted run left its parts: --resume goes on with them, "
            f"or delete the file, got file={path}"
        )
    else:
        writer = Writer(path, header)
    settings = Settings(function, threads=1, isa=options.isa or "")
    runner = Runner(left, settings, jobs=options.jobs, timeout=_TIMEOUT)
    try:
        with (
            writer,
            Watch(len(todo.cases), verdicts, quiet=options.quiet) as watch,
            contextlib.suppress(KeyboardInterrupt),  # the second one, outside the runner
            contextlib.closing(_arriving(runner)) as arriving,
        ):
            for verdict in arriving:
                watch.show(verdict)
                if verdict is not None:
                    writer.write(verdict)
                    verdicts.append(verdict)
    finally:
        if not verdicts:
            path.unlink()  # nothing to go on from
    return Results(header, verdicts)


def _arriving(runner: Runner) -> Generator[Verdict | None, None, None]:
    """The runner's verdicts; a worker that cannot start is a UsageError."""
    from verify.worker import SetupError

    try:
        yield from runner.verdicts()
    except SetupError as error:
        raise UsageError(f"[setup] {error}") from error


def _write(options: argparse.Namespace, lines: Sequence[table.Line], results: Results) -> None:
    """The files that --json and --markdown ask for."""
    data = table.report(lines, results.header)
    texts = {
        "json": by_lines(data),
        "markdown": table.markdown(lines, results.header),
    }
    for name, text in texts.items():
        path = getattr(options, name)
        if path is not None:
            write(name, path, text)
