"""Reading data files: a malformed one is reported by name, place and what was expected there."""

from __future__ import annotations

import gzip
import zlib
from os import PathLike
from pathlib import Path

StrPath = str | PathLike[str]


class DataError(ValueError):
    """A data file is malformed; the message names the file, the place, and what was expected."""

    def __init__(self, path: StrPath, place: str, expected: str, got: object) -> None:
        super().__init__(f"[data] {path}, {place}: expected {expected}, got {got}")


def read_bytes(path: StrPath) -> bytes:
    """The contents of a file, decompressed when it is gzip (told by its first bytes, not its name).

    Raises: FileNotFoundError; DataError when the compressed stream is damaged or cut off.
    """
    raw = Path(path).read_bytes()
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            path, f"{len(raw)} compressed bytes", "a whole gzip stream", error
        ) from error
