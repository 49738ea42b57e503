"""The gate over kill rates of planted faults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_gate import Bench

from verify.faults.fault import Fault
from verify.faults.outcome import FOUND, MISSED, SURVIVED, Outcome
from verify.faults.report import Ended, as_json

pytestmark = pytest.mark.timeout(120)


def test_the_report_of_faults_is_one_of_kill_rates(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "faults.json"

    def report(found: int, gradcheck: int) -> str:
        faults = [Fault(f"needle/a.py:f:sign:{i}", "needle/a.py", i, "x", "-x") for i in range(10)]
        outcomes = {
            fault.id: Outcome(
                fault.id,
                "",
                FOUND if i < found else SURVIVED,
                "sin",
                case=f"sin/vjp/cpu/float32/{i}/-/compact/interior/seed0",
                peers={"gradcheck": FOUND if i < gradcheck else MISSED},
            )
            for i, fault in enumerate(faults)
        }
        path.write_text(json.dumps(as_json(Ended({}, faults, outcomes, {}, {}))))
        return str(path)

    good = bench.results("r.jsonl")
    assert bench.gate(good, "--faults", report(9, 5), "--update") == 0
    assert bench.gate(good, "--faults", report(9, 4)) == 0, "a peer's rate is no rate of ours"
    assert bench.gate(good, "--faults", report(8, 5)) == 4
    assert "languages/python\n    8 of 10 were found; on record 9 of 10" in capsys.readouterr().out


def test_kill_rates(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def report(killed: int, planted: int = 40) -> str:
        path = tmp_path / "faults.json"
        rows = [{"op": "conv", "judge": "vjp", "planted": planted, "killed": killed}]
        total = {"planted": 100, "found": 99}
        path.write_text(json.dumps({"total": total, "judges": rows}))
        return str(path)

    good = bench.results("r.jsonl")
    assert bench.gate(good, "--faults", report(38)) == 3, "nothing is on record"
    assert bench.gate(good, "--faults", report(38), "--update") == 0
    assert bench.gate(good, "--faults", report(38)) == 0
    assert bench.gate(good, "--faults", report(39, 41)) == 0, "of more faults, as many"
    assert bench.gate(good) == 0
    assert "kill rates were not held: no --faults" in capsys.readouterr().out
    assert bench.gate(good, "--faults", report(37)) == 4
    out = capsys.readouterr().out
    assert "judges/conv/vjp\n    37 of 40 were found; on record 38 of 40" in out
    (tmp_path / "faults.json").write_text('{"total": {"planted": 100, "killed": 99}}')
    assert bench.gate(good, "--faults", str(tmp_path / "faults.json")) == 4
    assert "the rate is gone" in capsys.readouterr().out
    (tmp_path / "faults.json").write_text("{}")
    assert bench.gate(good, "--faults", str(tmp_path / "faults.json")) == 2
