"""`needle-verify compare A B`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from verify import table
from verify.compare import report
from verify.compare.pairs import compare
from verify.output import say
from verify.results import read
from verify.selecting import require_writable, write
from verify.setup import Parts
from verify.spec import Exit

DESCRIPTION = """\
Shows two runs (needle-verify --json FILE) side by side: verdicts that changed, how much of their
error budget the ops use, seconds. Commits, seeds, devices: whatever the runs differ in."""
EPILOG = """\
examples:
  needle-verify compare before.jsonl after.jsonl
  needle-verify compare cpu.jsonl cuda.jsonl --html r.html
  needle-verify compare main.jsonl branch.jsonl --markdown r.md

exit codes: 0 compared, whatever was found (needle-verify gate judges)   2 usage
"""


def options(p: argparse.ArgumentParser) -> None:
    """Adds the options."""
    p.add_argument("one", metavar="A", help="a results file")
    p.add_argument("two", metavar="B", help="another")
    p.add_argument("--html", metavar="FILE", help="a page with everything")
    p.add_argument("--markdown", metavar="FILE", help="a short report, changed verdicts first")
    p.add_argument("--no-color", action="store_true", help="no colours (also NO_COLOR, and pipes)")


def run(options: argparse.Namespace, arguments: Sequence[str], parts: Parts | None) -> Exit:
    """Compare and show."""
    require_writable(options, ("html", "markdown"), ("one", "two"))
    found = compare(read(Path(options.one)), read(Path(options.two)))
    names = (options.one, options.two)
    colour = sys.stdout.isatty() and not options.no_color and "NO_COLOR" not in os.environ
    say(report.terminal(found, names, table.paint if colour else table.plain))
    if options.markdown is not None:
        write("markdown", options.markdown, report.markdown(found, names))
    if options.html is not None:
        write("html", options.html, report.html(found, names))
    return Exit.GOOD
