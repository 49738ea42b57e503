"""The HTML page: well-formed, complete, escaped, of one file, and small."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

from verify import html
from verify.cli import main
from verify.plan import Plan, Selection
from verify.results import Results, provenance
from verify.spec import COMPUTED, JUDGES, Case, Status, Verdict
from verify.summary import Group, Summary, summarize

pytestmark = pytest.mark.timeout(120)
VOID = {"meta"}
EVIL = """<script>alert('&"')</script>"""


class Page(HTMLParser):
    """A page as text by tag and class; it must nest well."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []  # of the matrix
        self.texts: list[str] = []
        self.said: dict[str, list[str]] = {}  # tag.class -> texts
        self.feed(text)
        self.close()
        assert not self.open
        self.text = "".join(self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.said.setdefault(f"{tag}.{dict(attrs).get('class', '')}", []).append("")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(f"{tag}.{dict(attrs).get('class', '')}")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().partition(".")[0] == tag

    def handle_data(self, data: str) -> None:
        if "style." not in self.open:
            self.texts.append(data)
        for name in self.open[3:]:  # below html, body and main
            self.said[name][-1] += data
        if self.open and self.open[-1].partition(".")[0] in ("td", "th"):
            self.rows[-1][-1] += data


def verdict(op: str, status: Status, judge: str = "vjp", n: int = 1, **more: object) -> Verdict:
    case = Case(op, judge, "cpu", "float32", ((n,),), (("mode", "a<b>&'c'"),))
    return Verdict(case.id, status, seconds=0.25, **more)  # type: ignore[arg-type]


ALL = (
    verdict("exp", Status.PASS, rho=0.5, ulp=1.25),
    verdict("exp", Status.PASS, n=2, rho=0.75),
    verdict("bad", Status.FAIL, worst="dx[0] = 1", message=f"{EVIL}\x00\nreplay: run {EVIL}"),
    verdict("bad", Status.PASS, n=2),
    verdict("bad", Status.CRASH, n=3, message="the worker died: SIGSEGV"),
    verdict("new", Status.UNIMPLEMENTED, message=f"needle has no {EVIL}"),
    verdict("later", Status.SKIP, message="until May"),
    verdict("weak", Status.PASS, impostors=("zeros",)),
)


def results(
    *verdicts: Verdict, planned: int = 0, boxed: list[Group] | None = None, **selection: object
) -> tuple[Results, Summary]:
    plan = Plan(Selection(**selection), tuple(Case.parse(v.id) for v in verdicts))  # type: ignore[arg-type]
    header = provenance(plan, ["needle-verify", EVIL])
    return Results(header, list(verdicts)), summarize(verdicts, planned or len(verdicts), boxed)


def page(*verdicts: Verdict, **options: object) -> Page:
    return Page(html.report(*results(*verdicts, **options)))  # type: ignore[arg-type]


def row(found: Page, op: str, dtype: str = "float32") -> dict[str, str]:
    """A row of the matrix; the op stands in the first of its rows."""
    at = next(i for i, cells in enumerate(found.rows) if cells[0] == op)
    names = found.rows[0]
    width = len(names)
    while dtype not in found.rows[at]:
        at += 1
    cells = found.rows[at]
    return dict(zip(names[width - len(cells) :], cells, strict=True))


def test_everything_is_escaped_and_nothing_is_fetched() -> None:
    text = html.report(*results(*ALL))
    found = Page(text)
    assert {tag for tag, _ in found.tags}.isdisjoint({"script", "link", "img", "iframe"})
    assert EVIL not in text
    assert found.text.count(EVIL) == 4, "text and replay line of a failure, a reason, the command"
    assert "\x00" not in text
    loading = {"src", "href", "onclick", "style", "action"}
    assert not any(loading & attributes.keys() for _, attributes in found.tags)
    assert "url(" not in text
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in (
        found.tags
    )


def test_failures_come_first_with_their_text_and_a_line_to_copy() -> None:
    found = page(*ALL, planned=9)
    assert found.said["h1."] == ["needle-verify: something is wrong (exit 1)"]
    assert found.said["h3."] == [f"FAIL {ALL[2].id}", f"CRASH {ALL[4].id}"]
    assert found.said["code.copy"] == [f"run {EVIL}", Case.parse(ALL[4].id).replay_line()]
    assert found.said["pre."] == [f"{EVIL}?", "the worker died: SIGSEGV"]
    order = ["Failures", "Weak evidence", "Not judged", "Coverage", "Provenance"]
    assert found.said["h2."] == order
    assert "1 not run = 9 cases" in found.text
    assert "weak/vjp/cpu/float32: zeros would have passed all cases" in found.text
    assert "1 SKIP: until May" in found.text
    assert "Failures" not in page(ALL[0]).text


def test_every_cell_has_its_counts_or_says_why_it_is_empty() -> None:
    found = page(*ALL)
    names = found.rows[0]
    assert names == ["op", "device", "type", *JUDGES, "rho", "ULP"]
    assert all(cell for cells in found.rows[1:] for cell in cells[:-2]), "rho and ULP may be empty"
    exp = row(found, "exp")
    assert exp["vjp"] == "✓ 2 · rho 0.75 · 1.25 ULP"
    assert (exp["rho"], exp["ULP"]) == ("0.75", "1.25")
    assert exp["fd"] == "differences need float64"
    assert exp["distribution"] == "nothing is drawn"
    assert exp["forward"] == "not in the plan"
    assert row(page(*ALL, planned=9), "exp")["forward"] == "not run"
    assert row(found, "bad")["vjp"] == "1 FAIL, 1 CRASH, 1 PASS"
    assert row(found, "weak")["vjp"] == "1 WEAK"
    assert row(found, "new")["vjp"] == "1 UNIMPLEMENTED"
    tones = {attributes.get("class") for tag, attributes in found.tags if tag == "td"}
    assert tones == {"pass", "wrong", "weak", "none", "n"}


def test_groups_that_time_did_not_reach_are_cells_too() -> None:
    late = Group("matmul", "forward", "cpu", "float64")
    found = page(ALL[0], planned=5, boxed=[Group("exp", "vjp", "cpu", "float32"), late])
    assert row(found, "matmul", "float64")["forward"] == "time was up"
    assert "matmul/forward/cpu/float64: the time was too short" in found.text


def test_the_table_can_be_read_aloud() -> None:
    found = page(*ALL)
    heads = [attributes for tag, attributes in found.tags if tag == "th"]
    assert all(head.get("scope") in ("col", "row", "rowgroup") for head in heads)
    assert len(found.said["caption."]) == 1
    assert ("html", {"lang": "en"}) in found.tags
    region = next(attributes for _, attributes in found.tags if attributes.get("role") == "region")
    labels = [attributes.get("id") for _, attributes in found.tags]
    assert region["aria-labelledby"] in labels
    assert region["tabindex"] == "0", "the keyboard scrolls it"


def test_a_hundred_thousand_verdicts_stay_a_small_page() -> None:
    devices = ("cpu", "numpy", "cuda_sim", "cuda")
    groups = [
        (f"op{op}", judge, device, dtype)
        for op in range(105)
        for judge in JUDGES
        for device in devices
        for dtype in COMPUTED
    ]
    per = math.ceil(100_000 / len(groups))
    verdicts = [
        Verdict(
            Case(*group, ((n + 1,),)).id,
            Status.FAIL if n == 0 and i % 3 == 0 else Status.PASS,
            rho=0.001 * n,
            ulp=0.5,
            message="dx[0] = 1.3120, should be 1.3447\n" * 200 if n == 0 and i % 3 == 0 else "",
        )
        for i, group in enumerate(groups)
        for n in range(per)
    ]
    assert len(verdicts) >= 100_000
    text = html.report(*results(*verdicts, devices=devices))
    assert len(text.encode()) < 5_000_000
    found = Page(text)
    assert len(found.rows) == 1 + 105 * len(devices) * len(COMPUTED), "every group has its cell"
    assert "characters more" in found.text
    assert f"{math.ceil(len(groups) / 3) - 100} more failures are in the results file" in found.text


def test_the_command_line_writes_it_and_again_from_the_results_alone(
    fake: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, kept = tmp_path / "1.html", tmp_path / "2.html", tmp_path / "results.jsonl"
    arguments = ["--op", "good,wrong,weak", "--check", "fd", "--json", str(kept)]
    assert main([*arguments, "--html", str(one)], fake.parts()) == 1
    assert main(["--resume", str(kept), "--html", str(two)], fake.parts()) == 1
    assert one.read_text() == two.read_text()
    found = Page(one.read_text())
    assert row(found, "wrong")["fd"] == "5 FAIL · rho 5100 · 1.50 ULP"
    assert main(["--op", "good", "--html", "/no/such/folder/x.html"], fake.parts()) == 2
    assert "/no/such/folder" in capsys.readouterr().err
