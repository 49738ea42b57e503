"""Files of verdicts in a folder: whole or absent, safe beside other runs, and not too many.

A file is written beside its place and moved there, so a reader sees one version or the other; its
first line is a hash of the rest, and a file that does not fit it is none. Of two runs that write
the same file the later one wins: verdicts of the other are judged again, which is no harm.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any

from verify.cache.sources import digest

MOST_BYTES = 1 << 28  # a run of every op at budget default, on two devices, takes some 15 MB


def cache_folder() -> Path:
    """The user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home, "needle-verify", "verdicts")


class Store:
    """JSON values by name."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self.folder = folder
        self._most_bytes = most_bytes

    def read(self, name: str) -> Any:
        """The value of a name; None where there is none, or a damaged one."""
        path = self.folder / name
        try:
            head, _, body = path.read_bytes().partition(b"\n")
            if head.decode() != digest(body):
                return None
            value = json.loads(zlib.decompress(body))
        except (OSError, ValueError, zlib.error):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used: others go first
        return value

    def write(self, name: str, value: Any) -> None:
        """Keep a value. Raises: OSError where the folder cannot be written."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        body = zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 1)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".draft")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(digest(body).encode() + b"\n" + body)
            os.replace(draft, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise

    def prune(self) -> None:
        """Remove what was used least recently, until the rest fits."""
        found = []
        for path in self.folder.rglob("*"):
            with contextlib.suppress(OSError):  # another run removed it
                if path.is_file():
                    at = path.stat()
                    found.append((at.st_mtime, at.st_size, path))
        left = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if left <= self._most_bytes:
                break
            with contextlib.suppress(OSError):
                path.unlink()
            left -= size
        for folder in (p for p in self.folder.glob("*") if p.is_dir()):
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()
