"""JUnit and Markdown: valid, complete, made from the results."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from fake_verdicts import ALL, results, verdict
from junit_rules import require_junit

from verify import junit, markdown, table
from verify.cli import main
from verify.spec import Status, Verdict

junitparser = pytest.importorskip("junitparser", reason="needs junitparser (extra: test)")
pytestmark = pytest.mark.timeout(120)


def test_junit_has_a_test_case_per_case_and_parses(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_text(junit.report(*results(*ALL, planned=9)))
    require_junit(path.read_text())
    (suite,) = junitparser.JUnitXml.fromfile(str(path))
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (7, 3, 2, 1)
    assert suite.time == pytest.approx(1.75)
    found = {case.name: case for case in suite}
    assert list(found) == [v.id for v in ALL]
    kinds = {v.id: [(type(r).__name__, r.type) for r in found[v.id].result] for v in ALL}
    assert [kinds[v.id] for v in ALL] == [
        [],
        [("Failure", "FAIL")],
        [("Error", "CRASH")],
        [("Error", "TIMEOUT")],
        [("Failure", "UNIMPLEMENTED")],
        [("Skipped", "SKIP")],
        [("Failure", "WEAK")],
    ]
    bad = found[ALL[1].id]
    assert bad.classname == "bad.vjp"
    assert bad.result[0].message == "dx[0] = 1, should be 2"
    assert "line\n<&>??[1m" in bad.result[0].text
    assert "replay: needle-verify --replay" in bad.result[0].text
    assert "zeros would have passed" in found[ALL[6].id].result[0].message
    properties = {p.name: p.value for p in suite.properties()}
    assert properties["budget"] == "smoke"
    assert properties["not run"] == "2"


def test_markdown_has_failures_first_and_a_table_per_op() -> None:
    text = markdown.report(*results(*ALL, planned=9))
    assert text.startswith("# needle-verify: something is wrong (exit 1)\n")
    assert "2 not run = 9 cases" in text
    assert text.index("dx[0]" if "dx[0]" in text else "## Failures") < text.index("By op")
    assert "FAIL bad/vjp/cpu/float32" in text
    assert "| bad | cpu | f32 | 3 | 1 FAIL, 1 CRASH, 1 TIMEOUT |" in text
    assert "| good | cpu | f32 | 1 | PASS | 0.50 |" in text
    assert "WEAK weak/vjp/cpu/float32: zeros" in text
    assert "- SKIP 1: until May" in text
    good = markdown.report(*results(ALL[0]))
    assert "Failures" not in good


def test_markdown_fits_a_comment_and_cuts_what_passes() -> None:
    """GitHub refuses a comment of more than 65,536 characters."""
    many = [verdict(f"passes{i}", Status.PASS, rho=i / 1000) for i in range(1000)]
    many.append(verdict("wrong", Status.FAIL, message="x" * 100_000, worst="dx[0] = 1"))
    text = markdown.report(*results(*many))
    assert 50_000 < len(text) < 65_536
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")][1:]
    assert rows[:2] == ["| wrong", "| passes999"]
    assert f"... and {1001 - len(rows)} more lines: --html has all" in text
    weak = [verdict(f"weak{i}", Status.PASS, impostors=("zeros",)) for i in range(100)]
    text = markdown.report(*results(*weak))
    assert "WEAK weak39/" in text
    assert "WEAK weak40/" not in text
    assert "- ... and 59 more\n" in text
    assert "\n- 0 PASS + 100 WEAK = 100 cases" in text


def test_a_failure_cannot_end_its_block() -> None:
    text = markdown.report(*results(verdict("bad", Status.FAIL, message="a\n```\n<b>")))
    assert "\n````text\n" in text
    assert text.index("<b>") < text.index("\n````\n")


def test_the_table_fits_80_columns_whatever_is_in_it() -> None:
    def wide(n: int, status: Status, name: str) -> Verdict:
        return verdict(name, status, n, rho=0.5, ulp=1e300, torch_ulp=1e300, worst="dx[0] = 1")

    many = [wide(n + 1, Status.PASS, "a_long_name_of_an_op_that_is_cut") for n in range(2)]
    many += [wide(n + 1, Status.TIMEOUT, "another") for n in range(1000)]
    many.append(wide(1001, Status.PASS, "another"))
    _, summary = results(*many)
    lines = table.table(summary.lines, table.plain).splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) <= 80
    assert lines[0].index("worst") == lines[1].index("vjp") == lines[2].index("vjp")


def test_ops_whose_failures_are_not_printed_are_named() -> None:
    wrong = [verdict(f"op{n % 12}", Status.FAIL, n) for n in range(30)]
    said = table.failures(wrong, table.plain, every=False)
    assert all(f"FAIL op{n}/" in said for n in range(10))
    assert said.endswith(
        "... and 20 more, of op10, op11 too: -v prints all, --json FILE keeps them"
    )
    assert "more" not in table.failures(wrong[:10], table.plain, every=False)


def test_the_command_line_writes_both_and_again_from_the_results_alone(
    fake: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, kept = tmp_path / "one.xml", tmp_path / "two.xml", tmp_path / "results.jsonl"
    arguments = ["--op", "good,wrong", "--check", "fd", "--json", str(kept)]
    assert main([*arguments, "--junit", str(one)], fake.parts()) == 1
    again = ["--resume", str(kept), "--junit", str(two), "--markdown", str(tmp_path / "r.md")]
    assert main(again, fake.parts()) == 1
    assert one.read_text() == two.read_text()
    assert junitparser.JUnitXml.fromfile(str(one)).tests == 20
    assert "wrong/fd/cpu" in (tmp_path / "r.md").read_text()
    capsys.readouterr()
    assert main(["--op", "good", "--junit", "/no/such/folder/x.xml"], fake.parts()) == 2
    out, err = capsys.readouterr()
    assert "/no/such/folder" in err
    assert "PASS" not in out, "told before anything runs"
