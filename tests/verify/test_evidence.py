"""The scripts that gather evidence about the verifier run, and say what they should."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EVIDENCE = Path(__file__).parents[1] / "evidence"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def size(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EVIDENCE)
    return importlib.import_module("size")


@pytest.fixture
def seeds(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EVIDENCE)
    return importlib.import_module("seeds")


def test_the_pages_of_reports_are_what_they_are_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EVIDENCE)
    pages = importlib.import_module("pages")
    monkeypatch.delenv("NEEDLE_DATA", raising=False)
    assert pages.main(["--check"]) == 0, "run python tests/evidence/pages.py"


def test_speed_shows_shares_of_limits_where_a_file_has_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(EVIDENCE)
    pages = importlib.import_module("pages")
    origin = {"cpu": "a cpu", "isa": "v4", "torch": "2", "commit": "c" * 40}
    row = {"name": "exp 16", "dtype": "float32", "threads": 1, "ratio": 2.0,
           "ratio_quartiles": [1.5, 2.5], "needle_us": 10.0, "torch_us": 20.0}  # fmt: skip
    for name, more in (("old", {}), ("new", {"limit": "copy 1 MiB", "share_of_limit": 0.9})):
        data = {
            "provenance": origin | {"command": f"needle-verify bench --json {name}"},
            "geometric_mean": {"1 thread(s)": 2.0},
            "rows": [row | more],
        }
        (tmp_path / f"speed-{name}.json").write_text(json.dumps(data))
    new, old = pages.speed(tmp_path).split("## speed-old.json")
    assert "90% of copy 1 MiB |" in new
    assert "of the limit" not in old
    assert "`needle-verify bench --json old`" in old


def test_both_judges_find_every_planted_fault(size: ModuleType, tmp_path: Path) -> None:
    path, text = tmp_path / "size.json", tmp_path / "size.md"
    arguments = ["--quick", "--slow-up-to", "16", "--json", str(path), "--markdown", str(text)]
    assert size.main(arguments) == 0
    rows = json.loads(path.read_text())["rows"]
    found = {(r["checker"], r["fault"]): r for r in rows}
    checkers = {checker for checker, _ in found}
    ours = {c for c in checkers if c.startswith("needle-verify")}
    assert {"torch gradcheck, fast", "torch gradcheck, slow"} <= checkers
    assert len(ours) == 6  # vjp, fd and both, of torch's and of needle's
    for checker in ours:
        for fault in size.FAULTS:
            for function in size.FUNCTIONS:
                for n in map(str, size.QUICK):
                    said, asked, _ = found[checker, fault][function][n]
                    assert (said, asked) == (int(fault != size.CORRECT), 1)
    report = text.read_text()
    assert "| needle-verify fd, needle.Op | never |" in report
    assert str(tmp_path) not in report


def test_a_missed_fault_is_told(size: ModuleType) -> None:
    row = {"checker": "blind", "fault": "doubled", "function": "exp", "ms": 1.0}
    rows = [row | {"n": 16, "said wrong": [1, 1]}, row | {"n": 256, "said wrong": [1, 0]}]
    assert size.first_missed(rows, "blind", "doubled") == "256 (1/2)"
    assert size.first_missed(rows[:1], "blind", "doubled") == "never"


def test_what_verify_check_says_is_what_is_counted(size: ModuleType) -> None:
    import verify

    for fault in (size.CORRECT, "one element 1 % off"):
        planted = size.Planted("exp", fault, 16, 0)
        reference = size.FUNCTIONS["exp"].torch
        for judge in ("vjp", "fd"):
            report = verify.check(
                planted.torch(), reference, planted.point, judges=(judge,), save=None
            )
            assert report.ok is not size.needle_verify(judge, "torch")(planted)


def test_seeds_are_counted_and_not_run_again(
    seeds: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, text = tmp_path / "alarms.json", tmp_path / "alarms.md"
    arguments = ["--seeds", "2", "--folder", str(tmp_path), "--json", str(path)]
    arguments += ["--markdown", str(text), "--", "--op", "exp", "--budget", "smoke", "--jobs", "1"]
    assert seeds.main(arguments) == 0
    first = json.loads(path.read_text())["seeds"]
    assert [s["seed"] for s in first] == [0, 1]
    assert all(s["counts"] == {"PASS": s["verdicts"]} and not s["alarms"] for s in first)
    assert text.read_text().startswith(f"# 0 alarms in {2 * first[0]['verdicts']} verdicts")

    # an interrupted seed goes on, the complete one is left alone
    results = tmp_path / "seed1.jsonl"
    kept = results.read_text().splitlines(keepends=True)[:5]
    results.write_text("".join(kept))
    ran: list[list[str]] = []
    subprocess_run = seeds.subprocess.run
    monkeypatch.setattr(
        seeds.subprocess, "run", lambda a, **k: ran.append(a) or subprocess_run(a, **k)
    )
    assert seeds.main(arguments) == 0
    [again] = [a for a in ran if "verify" in a]
    assert again[-2:] == ["--resume", str(results)]
    assert results.read_text().startswith("".join(kept))
    second = json.loads(path.read_text())["seeds"]
    assert second[0] == first[0]
    assert second[1]["verdicts"] == first[1]["verdicts"]


def test_results_of_another_command_or_commit_do_not_count(
    seeds: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "seed0.jsonl"
    plan = {"size": 0, "hash": "", "selection": {}}
    header = {"needle_verify": 1, "command": ["needle-verify", "--op", "exp"], "plan": plan}
    path.write_text(json.dumps(header | {"commit": "a"}) + "\n")
    assert seeds.stored(path, ["--op", "exp"], "a") is not None
    assert seeds.stored(path, ["--op", "log"], "a") is None
    assert seeds.stored(path, ["--op", "exp"], "b") is None
    assert seeds.stored(tmp_path / "none", ["--op", "exp"], "a") is None


def test_an_alarm_is_told(seeds: ModuleType) -> None:
    from verify.results import Results
    from verify.spec import Status, Verdict

    ids = [
        f"exp/{judge}/cpu/float64/3/-/compact/interior/seed4" for judge in ("forward", "vjp", "fd")
    ]
    verdicts = [
        Verdict(ids[0], Status.PASS, rho=0.5, checked=3),
        Verdict(ids[1], Status.FAIL, rho=9.0, checked=3, worst="dx[0] = 1, should be 2"),
        Verdict(ids[2], Status.PASS, rho=0.25, checked=3),
    ]
    found = seeds.line(4, Results({"plan": {"size": 3}}, verdicts))
    assert found["largest rho, forward and vjp"] == 0.5
    assert found["largest rho, differences"] == 0.25
    assert found["alarms"] == [{"id": ids[1], "status": "FAIL", "text": "dx[0] = 1, should be 2"}]
    head = {"options": [], "command": "", "cpu": "", "versions": {"torch": ""}, "commit": ""}
    text = seeds.markdown(head | {"seeds": [found]})
    assert text.startswith("# 1 alarms in 3 verdicts")
    assert f"- `{ids[1]}` FAIL: dx[0] = 1, should be 2" in text
    assert "Weak" not in text
    weak = found | {"weak groups": ["exp/algebra/cpu/float64"]}
    assert "- `exp/algebra/cpu/float64`, seed 4" in seeds.markdown(head | {"seeds": [weak]})


def test_large_inputs_meet_finite_differences(size: ModuleType) -> None:
    import verify
    from verify.registry import plan_cases, rows
    from verify.registry.planning import FD_LARGEST
    from verify.sampling import size as elements

    planted = size.Planted("exp", "one element 1 % off", 8192, 0)
    report = verify.check(
        planted.torch(), size.FUNCTIONS["exp"].torch, planted.point, judges=("fd",), save=None
    )
    [verdict] = report.verdicts
    assert verdict.status == "FAIL"
    assert verdict.budget["noise"] > 0

    def large(budget: str) -> list[int]:
        cases = plan_cases(rows()["exp"], "cpu", "float64", "fd", 0, budget)
        return [n for c in cases if (n := elements(c.shapes)) > FD_LARGEST["fd"]]

    assert large("default") == []
    assert large("deep") == [263 * 257]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EVIDENCE)
    return importlib.import_module("gate")


def test_the_gate_is_told_from_noise(gate: ModuleType, tmp_path: Path) -> None:
    path, text, folder = tmp_path / "a.json", tmp_path / "a.md", tmp_path / "runs"
    chosen = ["--op", "exp,matmul", "--check", "forward,vjp", "--budget", "smoke", "--jobs", "1"]
    arguments = ["accuracy", "--seeds", "2", "--folder", str(folder), "--json", str(path)]
    assert gate.main([*arguments, "--markdown", str(text), "--", *chosen]) == 0
    report = json.loads(path.read_text())
    assert report["comparisons"] == 2
    assert report["alarms"] == {}
    assert "No alarm." in text.read_text()
    rows = {(r["part"], r["factor"]): r["found"] for r in report["planted"]}
    assert rows["all of it", 5.0] >= rows["all of it", 1.25]
    assert all(r["ops"] >= 2 for r in report["planted"])


def test_the_gate_is_told_from_noise_of_speed(gate: ModuleType, tmp_path: Path) -> None:
    """From processes that are there already: a run that was interrupted goes on."""
    rng = np.random.default_rng(3)
    for name, n, slower in (("record", 4, 0.0), ("rerun", 6, 0.0), ("planted", 3, 0.2)):
        for i in range(n):
            ratios = (rng.normal(2, 0.05, 15) / (1 + slower)).tolist()
            row = {"threads": 1, "dtype": "float32", "name": "exp 16", "ratios": ratios}
            where = {"cpu": "a", "isa": "b", "torch": "c"}
            text = json.dumps({"provenance": where, "rows": [row]})
            (tmp_path / f"{name}{i}.json").write_text(text)
    path, counts = tmp_path / "s.json", ["--record", "4", "--reruns", "6", "--planted", "3"]
    arguments = ["speed", *counts, "--folder", str(tmp_path), "--json", str(path)]
    assert gate.main([*arguments, "--markdown", str(tmp_path / "s.md")]) == 0
    report = json.loads(path.read_text())
    assert [(r["runs"], r["runs with an alarm"]) for r in report["reruns"]] == [(6, 0), (6, 0)]
    assert [(r["runs"], r["runs with an alarm"]) for r in report["planted"]] == [(3, 3), (3, 3)]


def test_growth_finds_a_cliff_that_torch_does_not_have(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(EVIDENCE)
    growth = importlib.import_module("growth")

    def points(**of: list[float]) -> list[dict[str, float]]:
        return [
            {"size": 1 << k, "needle_us": a, "torch_us": b}
            for k, (a, b) in enumerate(zip(of["needle"], of["torch"], strict=True))
        ]

    straight, jump = [1.0, 2.0, 4.0, 8.0], [1.0, 2.0, 8.2, 16.0]
    assert growth.cliffs(points(needle=straight, torch=straight), int) == []
    (cliff,) = growth.cliffs(points(needle=jump, torch=straight), int)
    assert (cliff["size"], cliff["torch"]) == (4, 1)
    assert growth.cliffs(points(needle=jump, torch=jump), int) == []
    cubes = [1.0, 8.0, 64.0, 512.0]
    assert growth.cliffs(points(needle=cubes, torch=cubes), lambda n: n**3) == []

    path, page = tmp_path / "g.json", tmp_path / "g.md"
    arguments = ["--series", "exp", "matmul", "MLP", "--largest", "16", "--rounds", "2"]
    files = ["--target", "1e-6", "--json", str(path), "--markdown", str(page)]
    assert growth.main([*arguments, *files]) == 0
    series = {s["name"]: s for s in json.loads(path.read_text())["series"]}
    assert [p["size"] for p in series["MLP"]["points"]] == [1, 2, 4, 8, 16]
    assert [p["size"] for p in series["matmul"]["points"]] == [4, 8, 16]
    assert "## exp, float32" in page.read_text()
    assert str(tmp_path) not in page.read_text()


def test_memory_is_of_one_library_in_one_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(EVIDENCE)
    memory = importlib.import_module("memory")
    path = tmp_path / "m.json"
    monkeypatch.setattr(memory, "SIZES", {"course": 0})
    assert memory.main(["--batch", "16", "--json", str(path)]) == 0
    (row,) = json.loads(path.read_text())["rows"]
    assert row["needle"]["arrays_peak_bytes"] > 16 * 3 * 32 * 32 * 4
    assert row["needle"]["peak_bytes"] > 0
    assert row["torch"]["peak_bytes"] > 0
    assert row["ratio"] == row["needle"]["peak_bytes"] / row["torch"]["peak_bytes"]


def test_accuracy_before_and_after(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(EVIDENCE)
    accuracy = importlib.import_module("accuracy")
    files = []
    for name, errors in (("before", (0.5, 1.0, 2.0)), ("after", (0.5, 1.25, 1.0))):
        rows = [
            {"op": op, "arguments": {}, "device": "cpu", "isa": "v4", "dtype": "float32"}
            | {"normal": {"most": most, "mean": most / 4}}
            for op, most in zip(("sin", "exp", "log"), errors, strict=True)
        ]
        table = {"commit": "c" * 40, "started": "today", "machine": {"cpu": "a cpu"}, "rows": rows}
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(table))
    out = tmp_path / "change.md"
    accuracy.main([*map(str, files), "--markdown", str(out)])
    text = out.read_text()
    assert "1 more, 1 less, 1 as it was" in text
    assert "All were measured again." in text
    assert "| exp | cpu | v4 | float32 | 1.0000 | 1.2500 | 0.2500 | 0.3125 | more |" in text
