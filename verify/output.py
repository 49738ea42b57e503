"""Writing to a terminal that may have gone away (a closed pipe, a full disk), and to reports."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import TextIO

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Output:
    """stdout and stderr; `failed` is why stdout could not be written to, the last time it was."""

    failed = ""

    @classmethod
    def prepare(cls) -> None:
        """Before the first word: a shell's `>&-` leaves no stream at all."""
        cls.failed = ""
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  (for the whole process)


def say(text: str, end: str = "\n") -> None:
    """Write to stdout; a reader that has gone (head, less) does not end the run."""
    try:
        sys.stdout.write(text + end)
        sys.stdout.flush()
    except BrokenPipeError:
        _divert(sys.stdout)
    except OSError as error:
        _divert(sys.stdout)
        Output.failed = str(error)
        tell(f"stdout cannot be written to: {error}")


def tell(text: str) -> None:
    """Write to stderr."""
    try:
        sys.stderr.write(f"needle-verify: {text}\n")
        sys.stderr.flush()
    except OSError:
        _divert(sys.stderr)


def _divert(stream: TextIO) -> None:
    """What is still to come, and what Python would flush at its end, goes nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def printable(text: str) -> str:
    """Text for a report: what neither XML nor HTML may hold is a question mark."""
    return _UNPRINTABLE.sub("?", text)
