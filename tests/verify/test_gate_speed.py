"""Speed: a slowdown is caught, noise of rounds and of processes is not taken for one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_gate import Bench

from verify.gate import speed
from verify.gate.rules import ALARMS

ROOT = Path(__file__).resolve().parents[2]
ROWS, ROUNDS = 40, 15
# Standard deviations of log ratios: of rounds, and of the medians of processes.
WITHIN, BETWEEN = 0.04, 0.015


def process(rng: np.random.Generator, slower: float = 0.0, cpu: str = "EPYC") -> dict[str, Any]:
    """What ratios.py would write; every third row is `slower`."""
    rows = []
    for i in range(ROWS):
        centre = 1 + i / 10
        centre /= 1 + (slower if i % 3 == 0 else 0)
        logs = np.log(centre) + rng.normal(0, BETWEEN) + rng.normal(0, WITHIN, ROUNDS)
        name = {"threads": 1, "dtype": "float32", "name": f"op {i}"}
        rows.append(name | {"ratios": np.exp(logs).tolist()})
    return {"provenance": {"cpu": cpu, "isa": "v4", "torch": "2.13"}, "rows": rows}


def written(path: Path, *reports: dict[str, Any]) -> list[str]:
    paths = [path.with_name(f"{path.name}{i}") for i in range(len(reports))]
    for each, report in zip(paths, reports, strict=True):
        each.write_text(json.dumps(report))
    return [word for each in paths for word in ("--ratios", str(each))]


def measured(path: Path, *reports: dict[str, Any]) -> list[speed.Measured]:
    return [speed.read(Path(p)) for p in written(path, *reports)[1::2]]


def test_fifty_reruns_raise_no_alarm_and_a_fifth_slower_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    record = speed.record(measured(tmp_path / "b", *(process(rng) for _ in range(10))))
    assert all(s.threshold < 0.15 for s in record)
    for _ in range(50):
        again = measured(tmp_path / "r", process(rng))
        assert not list(speed.findings(record, again, ALARMS))
    slower = {s.row for i, s in enumerate(record) if i % 3 == 0}
    for files, least in ((1, 0.97), (3, 0.99)):
        caught = 0
        for _ in range(20):
            now = measured(tmp_path / "s", *(process(rng, 0.2) for _ in range(files)))
            found = {f.subject for f in speed.findings(record, now, ALARMS)}
            assert not found - slower
            caught += len(found)
        assert caught >= least * 20 * len(slower)


@pytest.mark.parametrize("update", [[], ["--update"]], ids=["held", "recorded"])
def test_a_process_counts_once_and_has_rows(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str], update: list[str]
) -> None:
    """Three copies of a process would have no spread, and a threshold that noise passes."""
    one = process(np.random.default_rng(7))
    good = bench.results("r.jsonl")
    assert bench.gate(good, *update, *written(tmp_path / "s", one, one)) == 2
    assert "a file for each process, got the same one twice" in capsys.readouterr().err
    before = bench.baseline.read_text()
    assert bench.gate(good, *update, *written(tmp_path / "s", one | {"rows": []})) == 2
    assert "it has no rows" in capsys.readouterr().err
    assert bench.baseline.read_text() == before


def test_a_noisy_row_has_a_wider_threshold(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    reports = [process(rng) for _ in range(5)]
    for i, report in enumerate(reports):
        report["rows"][3]["ratios"] = [r * 1.1**i for r in report["rows"][3]["ratios"]]
    record = speed.record(measured(tmp_path / "b", *reports))
    assert record[3].threshold > 0.3
    assert record[4].threshold < 0.15
    two = speed.record(measured(tmp_path / "b", *reports[:2]))
    assert {s.threshold for s in two} == {speed.LEAST}, "of two, nothing is known of the spread"


def less_rows(rng: np.random.Generator) -> list[dict[str, Any]]:
    report = process(rng)
    del report["rows"][0]
    return [report]


def test_the_command(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(7)
    good = bench.results("r.jsonl")
    base = written(tmp_path / "b", *(process(rng) for _ in range(4)))
    now = written(tmp_path / "n", process(rng))
    assert bench.gate(good, *now) == 3
    assert "nothing is on record of this machine (EPYC, v4, torch 2.13)" in " ".join(
        capsys.readouterr().out.split()
    )
    assert bench.gate(good, *base, "--update") == 0
    assert bench.gate(good, *now) == 0
    assert bench.gate(good) == 0
    assert "speed was not held: no --ratios" in capsys.readouterr().out
    slow = [process(rng, 0.2) for _ in range(3)]
    assert bench.gate(good, *written(tmp_path / "s", *slow)) == 4
    out = capsys.readouterr().out
    assert re.search(r"1 thread\(s\) float32 op 0\n    \d\d% slower beside torch", out)
    assert "1 thread(s) float32 op 1\n" not in out
    assert bench.gate(good, *written(tmp_path / "o", process(rng, cpu="Xeon"))) == 3
    assert bench.gate(good, *now, *written(tmp_path / "o", process(rng, cpu="Xeon"))) == 2
    short = process(rng)
    for row in short["rows"]:
        row["ratios"] = row["ratios"][:3]
    assert bench.gate(good, *written(tmp_path / "f", short)) == 3
    assert "too few rounds to tell" in capsys.readouterr().out
    assert bench.gate(good, *now, "--update", *written(tmp_path / "u", *less_rows(rng))) == 2
    less = process(rng)
    del less["rows"][5]
    assert bench.gate(good, *written(tmp_path / "l", less)) == 4
    assert "op 5\n    the row was on record and is gone" in capsys.readouterr().out


def test_a_record_too_noisy_to_show_a_fifth_says_so(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(7)
    good = bench.results("r.jsonl")
    reports = [process(rng) for _ in range(10)]
    for i, report in enumerate(reports):
        report["rows"][3]["ratios"] = [r * 1.1**i for r in report["rows"][3]["ratios"]]
    assert bench.gate(good, *written(tmp_path / "b", *reports), "--update") == 0
    capsys.readouterr()
    assert bench.gate(good, *written(tmp_path / "n", process(rng))) == 0
    assert "speed: 1 of 40 rows were too noisy" in capsys.readouterr().out


@pytest.mark.parametrize("change", [{"rows": [{"name": "x"}]}, {"provenance": {}}, {"rows": 3}])
def test_another_file_is_a_usage_error(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any]
) -> None:
    report = process(np.random.default_rng(7)) | change
    assert bench.gate(bench.results("r.jsonl"), *written(tmp_path / "x", report)) == 2
    assert "[ratios] no report of needle-verify bench" in capsys.readouterr().err


@pytest.mark.slow
def test_ratios_writes_what_the_gate_reads(tmp_path: Path) -> None:
    path = tmp_path / "ratios.json"
    command = [sys.executable, str(ROOT / "tests/benchmarks/ratios.py"), "--json", str(path)]
    options = ["--family", "dispatch", "--dtype", "float32", "--threads", "1", "--rounds", "3"]
    # as a user's shell would: the script's neighbours are on the path
    environment = {name: v for name, v in os.environ.items() if name != "PYTHONSAFEPATH"}
    more = ["--target", "0.0005", "--slowdown", "0.2"]
    subprocess.run([*command, *options, *more], check=True, env=environment)
    found = speed.read(path)
    ((row, ratios),) = found.rows.items()
    assert row.startswith("1 thread(s) float32 dispatch")
    assert len(ratios) == 3
