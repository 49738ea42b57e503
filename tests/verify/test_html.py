"""The HTML page: well-formed, complete, escaped, of one file, and small."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from verify import html
from verify.cli import main
from verify.html import beside as beside_files
from verify.html.beside import Beside, Change, Changed
from verify.plan import Plan, Selection
from verify.results import Results, provenance
from verify.spec import COMPUTED, JUDGES, Case, Status, Verdict
from verify.summary import Group, Summary, summarize

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(120)
VOID = {"meta", "input", "br"}
EVIL = """<script>alert('&"')</script>"""


class Page(HTMLParser):
    """A page as text by tag and class, and the data beside it; it must nest well."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.said: dict[str, list[str]] = {}  # tag.class -> texts
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open
        self.text = "".join(self.texts)
        self.data: Any = json.loads(self.scripts[0]) if self.scripts else None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.said.setdefault(f"{tag}.{dict(attrs).get('class', '')}", []).append("")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "script":
            self.scripts.append("")
        if tag not in VOID:
            self.open.append(f"{tag}.{dict(attrs).get('class', '')}")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().partition(".")[0] == tag

    def handle_data(self, data: str) -> None:
        if "script." in self.open:
            self.scripts[-1] += data
            return
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


def page(*verdicts: Verdict, beside: Beside | None = None, **options: object) -> Page:
    return Page(html.report(*results(*verdicts, **options), beside))  # type: ignore[arg-type]


def groups(found: Page) -> dict[str, dict[str, Any]]:
    """What the page's script has of each group."""
    d = found.data
    made = {}
    for i in range(0, len(d["groups"]), 8):
        op, judge, device, dtype, begin, count, lacking, _ = d["groups"][i : i + 8]
        k = slice(begin, begin + count)
        name = "/".join(
            (d["ops"][op], d["judges"][judge], d["devices"][device], d["dtypes"][dtype])
        )
        made[name] = {
            "status": [d["statuses"][s] for s in d["cases"]["status"][k]],
            "rho": d["cases"]["rho"][k],
            "ulp": d["cases"]["ulp"][k],
            "ms": d["cases"]["ms"][k],
            "lacking": dict(zip(d["layouts"], d["lacking"][lacking], strict=True)),
        }
    return made


def reasons(found: Page) -> dict[str, str]:
    """Every cell without a case."""
    d = found.data
    cells = [
        f"{op}/{judge}/{d['devices'][device]}/{d['dtypes'][dtype]}"
        for op in d["ops"]
        for device, dtype in d["rows"]
        for judge in d["judges"]
    ]
    empty = zip(cells, d["empty"], strict=True)
    return {cell: d["reasons"][why] for cell, why in empty if why >= 0}


def test_everything_is_escaped_and_nothing_is_fetched() -> None:
    evil = Change("", EVIL, EVIL, EVIL, True)
    changed = Changed(EVIL, EVIL, True, [evil], [EVIL], [(EVIL, EVIL, EVIL)], [[EVIL, *[1] * 8]])
    text = html.report(*results(*ALL), Beside(changed))
    found = Page(text)
    tags = [tag for tag, _ in found.tags]
    assert {"link", "img", "iframe", "object", "base"}.isdisjoint(tags)
    assert tags.count("script") == 2, "the data and the page's own"
    assert EVIL not in text
    assert "alert(" not in found.scripts[1]
    assert found.text.count(EVIL) >= 6, "a reason, the command, what changed"
    assert "\x00" not in text
    loading = {"src", "onclick", "style", "action"}
    assert not any(loading & attributes.keys() for _, attributes in found.tags)
    links = [attributes.get("href") or "#" for tag, attributes in found.tags if tag == "a"]
    assert all(link.startswith("#") for link in links)
    for loads in ("url(", "@import", "fetch(", "XMLHttpRequest", "innerHTML", "import("):
        assert loads not in text, "text is never markup"
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in (
        found.tags
    )


def test_only_the_texts_of_the_page_itself_may_run() -> None:
    text = html.report(*results(*ALL))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    style = text.partition("<style>")[2].partition("</style>")[0]
    for kind, own in (("style", style), ("script", Page(text).scripts[1])):
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")


def test_failures_come_first_with_all_that_mends_them() -> None:
    said = "\n".join(
        (
            "smallest counterexample: bad/vjp/cpu/float32/1/-/compact/interior/seed0",
            "  x = [1.]",
            "  dx[0] = 2, should be 1",
            "dx[0] = 1, should be 3",
            "budget: error 2, bound 0.5",
            "attribution: this device is wrong",
            "replay: needle-verify --replay ONE",
            "replay: needle-verify --replay FILE",
        )
    )
    told = verdict(
        "bad", Status.FAIL, n=7, message=said, budget={"error": 2.0, "bound": 0.5},
        attribution="this device is wrong",
    )  # fmt: skip
    found = page(told, *ALL, planned=10)
    ids = [Case.parse(v.id).id for v in (told, *ALL)]
    first, second, third = found.data["failures"]
    assert first[1:] == [
        "dx[0] = 1, should be 3",
        "bad/vjp/cpu/float32/1/-/compact/interior/seed0\nx = [1.]\ndx[0] = 2, should be 1",
        [["error", 2], ["bound", 0.5]],
        "this device is wrong",
        ["needle-verify --replay ONE", "needle-verify --replay FILE"],
    ]
    assert second[1:] == [f"{EVIL}?", "", [], "", [f"run {EVIL}"]]
    assert third[1] == "the worker died: SIGSEGV"
    assert third[5] == [Case.parse(ids[5]).replay_line()]
    order = [a["id"] for tag, a in found.tags if tag == "section"]
    assert order == [
        "summary", "failures", "op", "coverage", "cases", "accuracy", "speed", "changes",
        "unjudged", "provenance",
    ]  # fmt: skip
    assert "1 not run = 10 cases" in found.text
    assert "weak/vjp/cpu/float32: zeros would have passed all cases" in found.text
    assert "1 SKIP until May" in found.text


def test_the_four_questions_have_answers_or_say_that_nothing_was_handed_over() -> None:
    found = page(ALL[0])
    assert found.said["p.answer pass"] == ["Yes"]
    assert found.said["p.answer plain"] == ["rho \u2264 0.50"]
    assert found.said["p.answer none"] == ["Not measured", "Not compared"]
    for option in ("--speed FILE", "--baseline", "--accuracy FILE"):
        assert option in found.text
    assert page(*ALL).said["p.answer wrong"] == ["2 wrong"]
    assert page(ALL[-1]).said["p.answer weak"] == ["Weak evidence"]


def test_every_cell_has_its_cases_or_says_why_it_is_empty() -> None:
    found = page(*ALL)
    seen, empty = groups(found), reasons(found)
    cells = len(found.data["ops"]) * len(found.data["rows"]) * len(JUDGES)
    assert len(seen) + len(empty) == cells, "none is missing, none is both"
    exp = seen["exp/vjp/cpu/float32"]
    assert (exp["status"], exp["rho"], exp["ulp"]) == (["PASS"] * 2, [0.5, 0.75], [1.25, -1])
    assert exp["ms"] == [250, 250]
    assert empty["exp/fd/cpu/float32"] == "differences need float64"
    assert empty["exp/distribution/cpu/float32"] == "nothing is drawn"
    assert empty["exp/forward/cpu/float32"] == "not in the plan"
    assert reasons(page(*ALL, planned=9))["exp/forward/cpu/float32"] == "not run"
    assert seen["bad/vjp/cpu/float32"]["status"] == ["FAIL", "PASS", "CRASH"]
    assert seen["weak/vjp/cpu/float32"]["status"] == ["WEAK"]
    assert seen["new/vjp/cpu/float32"]["status"] == ["UNIMPLEMENTED"]
    d = found.data
    assert sorted(d["said"]) == [f"needle has no {EVIL}", "until May"]


def test_a_layout_without_cases_has_its_reason() -> None:
    def lacking(op: str, judge: str, **options: object) -> Any:
        found = page(verdict(op, Status.PASS, judge), **options)
        return groups(found)[f"{op}/{judge}/cpu/float32"]["lacking"]

    exp = lacking("exp", "vjp", layouts=("compact", "strided", "mixed"))
    assert exp["strided"] == "budget default leaves it out"
    assert exp["mixed"] == "it has one input"
    assert exp["offset"] == "not selected"
    assert lacking("exp", "vjp", planned=9)["strided"] == "not run"
    assert lacking("exp", "batch")["strided"] == "this judge is not about layouts"
    assert lacking("matmul", "second")["aliased"] == "differences move one input at a time"
    assert lacking("nobodys", "vjp")["strided"] == "not in the plan"


def test_groups_that_time_did_not_reach_are_cells_too() -> None:
    late = Group("matmul", "forward", "cpu", "float64")
    found = page(ALL[0], planned=5, boxed=[Group("exp", "vjp", "cpu", "float32"), late])
    assert reasons(found)["matmul/forward/cpu/float64"] == "time was up"
    assert "matmul/forward/cpu/float64: the time was too short" in found.text


def test_numbers_that_json_has_not() -> None:
    wild = verdict("exp", Status.FAIL, n=3, rho=math.inf, ulp=math.nan, budget={"x": -math.inf})
    found = page(ALL[0], wild)
    exp = groups(found)["exp/vjp/cpu/float32"]
    assert exp["rho"] == [0.5, "inf"]
    assert exp["ulp"] == [1.25, "nan"]
    assert found.data["failures"][0][3] == [["x", "-inf"]]


def test_the_page_can_be_read_aloud() -> None:
    found = page(*ALL)
    assert ("html", {"lang": "en"}) in found.tags
    ids = [attributes.get("id") for _, attributes in found.tags]
    for tag, attributes in found.tags:
        if tag == "section" and "aria-labelledby" in attributes and attributes["id"] != "op":
            assert attributes["aria-labelledby"] in ids
        if attributes.get("role") == "region":
            assert attributes["tabindex"] == "0", "the keyboard scrolls it"
    count = next(attributes for _, attributes in found.tags if attributes.get("id") == "count")
    assert count["aria-live"] == "polite"
    heads = [attributes for tag, attributes in found.tags if tag == "th"]
    assert all(head.get("scope") in ("col", "row", "rowgroup") for head in heads)


def test_a_hundred_thousand_verdicts_stay_a_small_page() -> None:
    devices = ("cpu", "numpy", "cuda_sim", "cuda")
    names = [
        (f"op{op}", judge, device, dtype)
        for op in range(105)
        for judge in JUDGES
        for device in devices
        for dtype in COMPUTED
    ]
    per = math.ceil(100_000 / len(names))
    verdicts = [
        Verdict(
            Case(*group, ((n + 1,),)).id,
            Status.FAIL if n == 0 and i % 3 == 0 else Status.PASS,
            rho=0.001 * n,
            ulp=0.5,
            message="dx[0] = 1.3120, should be 1.3447\n" * 200 if n == 0 and i % 3 == 0 else "",
        )
        for i, group in enumerate(names)
        for n in range(per)
    ]
    assert len(verdicts) >= 100_000
    text = html.report(*results(*verdicts, devices=devices))
    assert len(text.encode()) < 5_000_000
    found = Page(text)
    assert len(groups(found)) == len(names), "every group has its cell"
    assert found.data["wrong"] == math.ceil(len(names) / 3)
    assert 300 < len(found.data["failures"]) <= found.data["wrong"]
    assert found.data["shortened"] > 0
    assert "characters more" in found.data["failures"][0][1]


def test_what_is_handed_over_is_shown(tmp_path: Path) -> None:
    rows = [
        {"threads": 1, "name": f"exp {EVIL}", "dtype": "float32", "ratio": 2.0,
         "ratio_quartiles": [1.5, 2.5], "needle_us": 10.0, "torch_us": 20.0,
         "needle_gbytes": 3.0, "share_of_limit": 0.5},
    ]  # fmt: skip
    origin = {"cpu": "a cpu", "torch": "2", "commit": "c" * 40}
    path = tmp_path / "speed.json"
    data = {"provenance": origin, "geometric_mean": {"1 thread(s)": 2.0}, "rows": rows}
    for limits, shown in (
        ({}, []),
        ({"copy": 3e12, "float32": 5e13}, [(0, {"copy": 3e12, "float32": 5e13})]),
        ({"2 thread(s)": {"copy": 3e10}}, [(2, {"copy": 3e10})]),
    ):
        path.write_text(json.dumps(data | {"limits": limits}))
        assert beside_files.speed(path)["limits"] == shown
    calibrated = beside_files.accuracy(ROOT / "reports/accuracy-cpu.json")
    found = page(ALL[0], beside=Beside(None, beside_files.speed(path), [calibrated]))
    assert found.data["speed"]["rows"] == [
        [f"exp {EVIL}", "float32", 1, 2, 1.5, 2.5, 10, 20, 3, -1, 0.5]
    ]
    assert found.said["p.answer plain"][1] == "2.00 x torch"
    assert "faster in 1 of 1 rows" in found.text
    tanh = next(r for r in found.data["accuracy"][0]["rows"] if r["op"] == "tanh")
    assert tanh["most"] == pytest.approx(2.42, abs=0.01)
    assert tanh["every"]


@pytest.mark.parametrize(
    ("option", "text", "says"),
    [
        ("--speed", "{", "[speed] no JSON, got file="),
        ("--speed", "{}", "[speed] no report of needle-verify bench, got file="),
        ("--speed", "[]", "[speed] no report of needle-verify bench, got file="),
        ("--accuracy", "{}", "[accuracy] no table of needle-verify calibrate, got file="),
        ("--baseline", "{", "[baseline] malformed, got file="),
        ("--baseline", "", "[baseline] malformed, got file="),
    ],
)
def test_files_that_are_none_are_told_before_anything_runs(
    fake: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    option: str, text: str, says: str,
) -> None:  # fmt: skip
    path, one = tmp_path / "x.json", str(tmp_path / "1.html")
    path.write_text(text)
    assert main(["--op", "good", "--html", one, option, str(path)], fake.parts()) == 2
    assert says in capsys.readouterr().err
    assert main(["--op", "good", "--html", one, option, "/no/file"], fake.parts()) == 2
    assert "cannot read, got file=/no/file" in capsys.readouterr().err
    assert main(["--op", "good", option, str(path)], fake.parts()) == 2
    assert "it is shown in the page of --html" in capsys.readouterr().err


def test_the_command_line_writes_it_and_again_from_the_results_alone(
    fake: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, kept = tmp_path / "1.html", tmp_path / "2.html", tmp_path / "results.jsonl"
    arguments = ["--op", "good,wrong,weak", "--check", "fd", "--json", str(kept)]
    assert main([*arguments, "--html", str(one)], fake.parts()) == 1
    assert main(["--resume", str(kept), "--html", str(two)], fake.parts()) == 1
    assert one.read_text() == two.read_text()
    found = groups(Page(one.read_text()))["wrong/fd/cpu/float32"]
    assert found["status"] == ["FAIL"] * 5
    assert found["rho"] == [5100] * 5
    assert main(["--op", "good", "--html", "/no/such/folder/x.html"], fake.parts()) == 2
    assert "/no/such/folder" in capsys.readouterr().err


def test_what_changed_since_an_earlier_run_or_a_baseline(bench: Any, tmp_path: Path) -> None:
    def change(v: Verdict) -> Verdict:
        hit = v.id.startswith("good/vjp/cpu/float64/7/")
        return replace(v, status=Status.FAIL, rho=9.0, worst=f"dx[0] = {EVIL}") if hit else v

    before, after = bench.results("before.jsonl"), bench.results("after.jsonl", change=change)
    out = tmp_path / "1.html"
    run = ["--resume", str(after), "--html", str(out), "-q"]
    assert main([*run, "--baseline", str(before)], bench.parts) == 1
    found = Page(out.read_text())
    assert "1 verdict changed, 1 for the worse" in found.said["p.answer wrong"]
    assert EVIL not in out.read_text()
    (changed,) = found.data["changes"]
    assert changed[:2] == ["PASS", "FAIL"]
    assert changed[2].startswith("good/vjp/cpu/float64/7/")
    assert {line[0] for line in found.data["compared"]} >= {"good", "slow"}
    assert main([*run, "--baseline", str(bench.baseline)], bench.parts) == 1
    found = Page(out.read_text())
    assert "1 regression" in found.said["p.answer wrong"]
    assert [c[1] for c in found.data["changes"]] == ["failures"]
    assert "held: coverage" in found.text
