"""Speed: ratios to torch, each of one round in which both took turns (needle-verify bench).

A row is slower when the ratios of its rounds lie below the recorded ones by more than its threshold
and by more than chance allows. Rounds of one process are more alike than processes are: memory
lies elsewhere, neighbours come and go. So the record takes the rounds of several processes, and a
row's threshold follows from how far their medians lie apart, and of several processes that are held
each has to be slower. Only what was measured on the same processor, instruction set and torch is
compared.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from verify.gate.outcome import Finding
from verify.gate.ranks import below
from verify.spec import UsageError

LEAST = 0.08  # no threshold is lower
# By the number of processes, how many standard deviations of their medians a threshold is: the one
# to the left of which 99 % of all processes lie, with a confidence of 95 % (one-sided tolerance
# factors of the normal distribution, ISO 16269-6). Of fewer the spread is not believed.
SPREADS = {3: 10.55, 4: 7.04, 5: 5.74, 6: 5.06, 7: 4.64, 8: 4.35, 9: 4.14, 10: 3.98}


@dataclass(frozen=True, slots=True)
class Speed:
    """What is on record of one row."""

    machine: str
    row: str  # threads, dtype, name
    threshold: float  # 0.1: ten per cent slower
    ratios: tuple[tuple[float, ...], ...]  # torch's time by needle's, of each round by process

    def to_json(self) -> dict[str, Any]:
        """JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Speed:
        """What to_json gave."""
        ratios = tuple(tuple(map(_positive, rounds)) for rounds in data["ratios"])
        if not ratios or not all(ratios):
            raise ValueError(f"no ratios of {data['row']}")
        return cls(data["machine"], data["row"], _positive(data["threshold"]), ratios)


def _positive(value: Any) -> float:
    if not 0 < float(value) < math.inf:
        raise ValueError(f"a ratio is positive, got {value!r}")
    return float(value)


@dataclass(frozen=True)
class Measured:
    """One file of needle-verify bench."""

    machine: str
    rows: dict[str, tuple[float, ...]]


def read(path: Path) -> Measured:
    """What a file holds. Raises: UsageError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        where = data["provenance"]
        place = f"{where['cpu']}, {where['isa']}, torch {where['torch']}"
        rows = {
            f"{d['threads']} thread(s) {d['dtype']} {d['name']}": tuple(map(_positive, d["ratios"]))
            for d in data["rows"]
        }
        if not rows:
            raise ValueError("it has no rows")
        if empty := [row for row, ratios in rows.items() if not ratios]:
            raise ValueError(f"no ratios of {empty[0]}")
    except OSError as error:
        raise UsageError(f"[ratios] cannot read, got file={path} ({error})") from error
    except (ValueError, KeyError, TypeError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(
            f"[ratios] no report of needle-verify bench, got file={path}: {what}"
        ) from error
    return Measured(place, rows)


def machine(files: Sequence[Measured]) -> str:
    """Where all of them were measured.

    Raises: UsageError where that is not one machine, or where a process counts twice.
    """
    if any(a == b for a, b in combinations(files, 2)):
        raise UsageError("[ratios] a file for each process, got the same one twice")
    found = sorted({f.machine for f in files})
    if len(found) != 1:
        raise UsageError(f"[ratios] files of one machine, got {' and '.join(found)}")
    return found[0]


def record(files: Sequence[Measured]) -> list[Speed]:
    """Every row with its threshold. Raises: UsageError where files have other rows."""
    where, rows = machine(files), files[0].rows
    if any(f.rows.keys() != rows.keys() for f in files):
        raise UsageError("[ratios] every process measures the same rows, got others")
    ratios = {row: tuple(f.rows[row] for f in files) for row in rows}
    return [Speed(where, row, _threshold(found), found) for row, found in ratios.items()]


def _threshold(ratios: Sequence[Sequence[float]]) -> float:
    if len(ratios) < min(SPREADS):
        return LEAST
    spread = statistics.stdev(math.log(statistics.median(rounds)) for rounds in ratios)
    return round(max(LEAST, math.expm1(SPREADS[min(len(ratios), max(SPREADS))] * spread)), 3)


def findings(
    recorded: Sequence[Speed], files: Sequence[Measured], alarms: float
) -> Iterator[Finding]:
    """Rows that are slower, and those that are gone; `alarms`: of all, by chance, in a run."""
    for speed in recorded:
        here = [f.rows[speed.row] for f in files if speed.row in f.rows]
        if not here:
            yield Finding("speed", speed.row, "the row was on record and is gone")
            continue
        p = _chance(speed, here)
        old, new = _center(speed.ratios), _center(here)
        # what the code does, it does in every process; a busy neighbour is there in some
        slowest = old / (1 + speed.threshold)
        in_all = all(statistics.median(rounds) < slowest for rounds in here)
        if in_all and p < alarms / len(recorded):
            text = (
                f"{old / new - 1:.0%} slower beside torch: ratio {new:.2f}, on record {old:.2f}; "
                f"if it were slower by its threshold of {speed.threshold:.0%}, p = {p:.0e}"
            )
            yield Finding("speed", speed.row, text)


def too_few(recorded: Sequence[Speed], files: Sequence[Measured], alarms: float) -> list[str]:
    """Rows of which not even rounds that are all far slower would raise an alarm."""
    found = []
    for speed in recorded:
        here = [f.rows[speed.row] for f in files if speed.row in f.rows]
        old = [r for rounds in speed.ratios for r in rounds]
        new = [0.0 for rounds in here for _ in rounds]
        if here and below(new, old) >= alarms / len(recorded):
            found.append(speed.row)
    return found


def _chance(speed: Speed, here: Sequence[Sequence[float]]) -> float:
    """That rounds so slow come of a row that is slower by its threshold, and no more."""
    new = [r * (1 + speed.threshold) for rounds in here for r in rounds]
    return below(new, [r for rounds in speed.ratios for r in rounds])


def _center(ratios: Sequence[Sequence[float]]) -> float:
    return statistics.median(statistics.median(rounds) for rounds in ratios)
