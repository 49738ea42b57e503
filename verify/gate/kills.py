"""Kill rates: how many of the planted faults were found, in the JSON of a faults report.

Every object in it that counts both `planted` and `killed`, or `of` and `found` as in `needle-verify
faults --report`, is a rate, wherever it lies; what other projects' checks find is none. Its name is
the way to it, with the texts beside the counts: judges/conv/vjp.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from verify.gate.outcome import Finding
from verify.spec import UsageError


@dataclass(frozen=True, slots=True)
class Kills:
    """Of some planted faults."""

    killed: int
    planted: int

    def to_json(self) -> dict[str, int]:
        """JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Kills:
        """What to_json gave."""
        return cls(int(data["killed"]), int(data["planted"]))

    def __str__(self) -> str:
        return f"{self.killed:,} of {self.planted:,}"


def read(path: Path) -> dict[str, Kills]:
    """The rates in a file. Raises: UsageError where there are none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"[faults] cannot read, got file={path} ({error})") from error
    found = dict(_rates(data, ""))
    if not found:
        raise UsageError(
            f"[faults] a report counts what was planted and what was killed, got file={path}"
        )
    return found


def _rates(data: Any, name: str) -> Iterator[tuple[str, Kills]]:
    if isinstance(data, list):
        for entry in data:
            yield from _rates(entry, name)
    if isinstance(data, dict):
        planted = data.get("planted", data.get("of"))
        killed = data.get("killed", data.get("found"))
        if type(planted) is int and type(killed) is int:
            texts = [value for value in data.values() if isinstance(value, str)]
            yield "/".join(filter(None, (name, *texts))) or "all", Kills(killed, planted)
        for key, value in data.items():
            if key == "peers":
                continue
            yield from _rates(value, f"{name}/{key}".lstrip("/"))


def findings(recorded: Mapping[str, Kills], here: Mapping[str, Kills]) -> Iterator[Finding]:
    """Rates below the recorded ones, and those that are gone."""
    for name, before in recorded.items():
        now = here.get(name)
        if now is None:
            yield Finding("faults", name, f"on record {before} were found; the rate is gone")
        elif now.killed * before.planted < before.killed * now.planted:
            yield Finding("faults", name, f"{now} were found; on record {before}")
