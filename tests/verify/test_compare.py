"""Two runs side by side: what changed, whatever they differ in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_gate import Bench, Change
from test_html import Page

from verify.cli import main
from verify.compare.pairs import compare
from verify.results import read
from verify.spec import Status, Verdict

pytestmark = pytest.mark.timeout(120)
EVIL = "<script>alert('|')</script>"


def failing(status: Status, *parts: str) -> Change:
    def change(v: Verdict) -> Verdict:
        if set(parts) <= set(v.id.split("/")):
            return replace(v, status=status, worst=f"dx[0] = 1 {EVIL}", rho=9.0)
        return v

    return change


def both(bench: Bench, one: dict[str, Any], two: dict[str, Any]) -> tuple[str, str]:
    return (str(bench.results("one.jsonl", **one)), str(bench.results("two.jsonl", **two)))


def test_changed_verdicts_worse_first(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    def change(v: Verdict) -> Verdict:
        crashed = failing(Status.CRASH, "slow", "3", "vjp", "float32")(v)
        return failing(Status.FAIL, "good", "7", "vjp", "float64")(crashed)

    before = {"change": failing(Status.FAIL, "goodness", "5", "vjp", "float32")}
    paths = both(bench, before, {"change": change})
    found = compare(*(read(Path(p)) for p in paths))
    assert [(str(c.before), str(c.after), c.id.split("/")[0], c.worse) for c in found.changes] == [
        ("PASS", "FAIL", "good", True),
        ("PASS", "CRASH", "slow", True),
        ("FAIL", "PASS", "goodness", False),
    ]
    assert found.only == ([], [])
    capsys.readouterr()
    assert main(["compare", *paths], bench.parts) == 0
    out = capsys.readouterr().out
    assert "3 verdicts changed, 2 for the worse" in out
    assert "  PASS -> FAIL good/vjp/cpu/float64/7/" in out
    assert max(len(line) for line in out.splitlines() if " -> " not in line) <= 80
    assert "239 PASS, 1 FAIL" in out
    assert "238 PASS, 1 FAIL, 1 CRASH" in out


@pytest.mark.parametrize(
    "two", [{"seed": 5}, {"devices": ("numpy",)}, {"seed": 5, "devices": ("numpy",)}]
)
def test_another_seed_or_device_is_the_same_case(bench: Bench, two: dict[str, Any]) -> None:
    two["change"] = failing(Status.FAIL, "good", "7", "vjp", "float64")
    paths = both(bench, {}, two)
    found = compare(*(read(Path(p)) for p in paths))
    assert found.only == ([], [])
    assert len(found.changes) == 1
    assert found.changes[0].id.endswith(f"seed{two.get('seed', 0)}")


def test_several_devices_are_told_apart(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    paths = both(bench, {"devices": ("cpu", "numpy")}, {})
    found = compare(*(read(Path(p)) for p in paths))
    assert not found.changes
    assert [len(ids) for ids in found.only] == [240, 0]
    assert main(["compare", *paths], bench.parts) == 0
    out = capsys.readouterr().out
    assert "no verdict changed in the 240 cases of both runs" in out
    assert f"240 cases only in {paths[0]}:" in out


def test_runs_without_a_common_case_are_not_called_unchanged(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = both(bench, {"change": lambda v: v if v.id.startswith("good/") else None},
                 {"change": lambda v: v if v.id.startswith("slow/") else None})  # fmt: skip
    for paths in (first, (first[0], str(bench.results("none.jsonl", change=lambda v: None)))):
        page = tmp_path / "c.html"
        assert main(["compare", *paths, "--html", str(page)], bench.parts) == 0
        assert "no case is in both runs" in capsys.readouterr().out
        assert '<span class="weak">no case is in both runs' in page.read_text()


def test_an_op_that_one_run_has_not(bench: Bench) -> None:
    paths = both(bench, {}, {"change": lambda v: None if v.id.startswith("slow/") else v})
    found = compare(*(read(Path(p)) for p in paths))
    (line,) = [line for line in found.lines if line.op == "slow"]
    assert line.cases == (80, 0)
    assert line.rho[0] is not None
    assert line.rho[1] is None


def test_rho_is_that_of_all_cases_of_the_op(bench: Bench) -> None:
    def change(v: Verdict) -> Verdict:
        return replace(v, rho=(v.rho or 0) * 2, seconds=0.5)

    found = compare(*(read(Path(p)) for p in both(bench, {}, {"change": change})))
    for line in found.lines:
        one, two = line.rho
        assert one is not None
        assert two is not None
        assert two.largest == pytest.approx(2 * one.largest)
        assert one.verdicts == 80
        assert line.seconds == (0, 40)


def test_reports(bench: Bench, tmp_path: Path) -> None:
    page, text = tmp_path / "c.html", tmp_path / "c.md"
    change = failing(Status.FAIL, "good", "7", "vjp", "float64")
    paths = both(bench, {}, {"change": change})
    arguments = ["compare", *paths, "--html", str(page), "--markdown", str(text)]
    assert main(arguments, bench.parts) == 0
    markdown = text.read_text()
    assert markdown.startswith("# needle-verify compare: 1 verdict changed, 1 for the worse\n")
    assert markdown.index("PASS → **FAIL** `good/vjp/cpu/float64/7/") < markdown.index("| commit |")
    assert r"alert('\|')" in markdown
    html = page.read_text()
    parsed = Page(html)
    assert EVIL not in html, "escaped"
    assert EVIL in parsed.text
    assert next(r for r in parsed.rows if r[0] == "good")[:3] == ["good", "80", "80"]
    assert "src=" not in html, "a page needs no network"


def test_usage_errors(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    (one, _) = both(bench, {}, {})
    assert main(["compare", one], bench.parts) == 2
    assert main(["compare", one, "/no/such/file"], bench.parts) == 2
    assert "[results] cannot read the file, got file=/no/such/file" in capsys.readouterr().err
    assert main(["compare", one, one, "--html", "/no/such/folder/x"], bench.parts) == 2
    before = Path(one).read_text()
    assert main(["compare", one, one, "--html", one], bench.parts) == 2
    assert f"[html] a file of its own, got that of one: html={one}" in capsys.readouterr().err
    assert Path(one).read_text() == before


def test_torchs_own_largest_rho_stands_beside_both(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def of_torch(v: Verdict) -> Verdict:
        mine = v.id.startswith("good/forward") and "/float32/" in v.id
        return replace(v, torch_rho=1.25, torch_ulp=0.5) if mine else v

    paths = both(bench, {"change": of_torch}, {"change": of_torch})
    capsys.readouterr()
    files = {name: tmp_path / f"c.{name}" for name in ("html", "markdown")}
    options = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    assert main(["compare", *paths, *options], bench.parts) == 0
    table = capsys.readouterr().out.split("seconds    torch")[1].splitlines()[1:]
    assert [line.split()[-1] for line in table if line.startswith("good ")] == ["1.25"]
    assert "| 1.25 |" in files["markdown"].read_text()
    assert '<td class="n">1.25</td>' in files["html"].read_text()
