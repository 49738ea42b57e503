"""Writing to a terminal that may have gone away (a closed pipe, a full disk), and to reports."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


_WIDTH = 100  # of a line that a whole list or mapping shares


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


def by_lines(data: Mapping[str, Any] | Sequence[Any]) -> str:
    """A report's JSON, a record a line: a change shows as that line, and no byte is indentation.

    Records are the entries of the report's lists and mappings; a short list or mapping is a line.
    """
    return _json(data, 2 if isinstance(data, Mapping) else 1, "") + "\n"


def _json(value: Any, levels: int, margin: str) -> str:
    """The value, its outer levels over several lines."""
    line = json.dumps(value, allow_nan=False)
    whole = not margin or len(line) > _WIDTH
    if not (levels and whole and value and isinstance(value, (dict, list, tuple))):
        return line
    inner = margin + " "
    if isinstance(value, dict):
        entries = [f"{json.dumps(k)}: {_json(v, levels - 1, inner)}" for k, v in value.items()]
    else:
        entries = [_json(v, levels - 1, inner) for v in value]
    body = f",\n{inner}".join(entries)
    return f"{line[0]}\n{inner}{body}\n{margin}{line[-1]}"
