"""How rho is distributed, from results files alone."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from verify import quantiles, registry
from verify.plan import Selection, make_plan
from verify.results import Writer, provenance
from verify.spec import Exit, Status, Verdict
from verify.summary import Group


def verdict(
    op: str, judge: str, seed: int, rho: float | None, status: Status = Status.PASS
) -> Verdict:
    return Verdict(f"{op}/{judge}/cpu/float32/3/-/compact/interior/seed{seed}", status, rho=rho)


def many(op: str, n: int, largest: float, judge: str = "vjp") -> list[Verdict]:
    return [verdict(op, judge, i, largest * (i + 1) / n) for i in range(n)]


def test_quantiles_are_values_and_never_below() -> None:
    [(group, q)] = quantiles.quantiles(many("exp", 1000, 1.0)).items()
    assert group == Group("exp", "vjp", "cpu", "float32")
    assert (q.verdicts, q.largest) == (1000, 1.0)
    assert q.median == pytest.approx(0.501)
    assert q.q99 == pytest.approx(0.991)
    assert q.q999 == 1.0
    assert q.worst.endswith("/seed999")
    [few] = quantiles.quantiles(many("exp", 5, 1.0)).values()
    assert few.q99 == few.q999 == few.largest


def test_a_case_counts_once_and_only_passed_ones_with_a_rho_do() -> None:
    groups = quantiles.quantiles(
        [
            verdict("exp", "vjp", 0, 0.1),
            verdict("exp", "vjp", 0, 0.2),
            verdict("exp", "vjp", 1, None),
            verdict("exp", "vjp", 2, 7.0, Status.FAIL),
        ]
    )
    [q] = groups.values()
    assert (q.verdicts, q.largest) == (1, 0.2)


def test_a_loose_bound_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantiles, "ENOUGH", 100)
    verdicts = [
        *many("exp", 100, 0.009),
        *many("exp", 100, 0.5, "fd"),  # no derived bound
        *many("tanh", 99, 0.009),
        *many("log", 100, 0.011),
        *many("sqrt", 100, 0.0),  # nothing is known of a bound that no error was held against
    ]
    found = quantiles.loose(quantiles.quantiles(verdicts))
    assert [(f.op, f.certain) for f in found] == [("exp", True), ("tanh", False)]
    text = quantiles.markdown(quantiles.quantiles(verdicts))
    assert "- exp: 0.009 in 100 verdicts. No reason is stated." in text
    assert "- tanh: 0.009 in 99 verdicts. Too few verdicts to say." in text
    monkeypatch.setitem(quantiles.REASONS, "exp", "It is wide for a reason.")
    assert "- exp: 0.009 in 100 verdicts. It is wide for a reason." in quantiles.markdown(
        quantiles.quantiles(verdicts)
    )


def test_reasons_are_of_rows() -> None:
    assert quantiles.REASONS.keys() <= registry.rows().keys()


@pytest.fixture
def files(fake: ModuleType, tmp_path: Path) -> list[Path]:
    plan = make_plan(Selection(ops=("good",), dtypes=("float32",)), fake.Registry())
    paths = []
    for i, rho in enumerate((0.002, 0.004)):
        paths.append(tmp_path / f"{i}.jsonl")
        with Writer(paths[-1], provenance(plan, ["needle-verify"])) as writer:
            for case in plan.cases:
                name = case.id.replace("seed0", f"seed{i}")
                writer.write(Verdict(name, Status.PASS, rho=rho))
    return paths


def test_the_command_reads_several_files(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(p) for p in files]
    assert quantiles.main(names) is Exit.GOOD
    assert "Too few verdicts to say." in capsys.readouterr().out
    report, text = tmp_path / "q.json", tmp_path / "q.md"
    assert quantiles.main([*names, "--json", str(report), "--markdown", str(text)]) is Exit.GOOD
    assert capsys.readouterr().out == ""
    data = json.loads(report.read_text())
    assert {g["largest"] for g in data["groups"]} == {0.004}
    assert data["loose"][0]["op"] == "good"
    assert text.read_text().startswith("# How much of its error budget needle uses")


def test_a_certainly_loose_bound_without_a_reason_is_weak_evidence(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantiles, "ENOUGH", 1)
    assert quantiles.main([str(p) for p in files]) is Exit.WEAK


def test_a_file_that_is_none_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quantiles.main([str(tmp_path / "none.jsonl")]) is Exit.USAGE
    assert "[results] cannot read the file, got file=" in capsys.readouterr().err
